//! What a linked firmware must not do, each found in its machine code.

use super::disasm::{self, Function};
use super::flow::{self, Object, Summary, World};
use super::link::{HEAP, Linked, names};
use super::map::Input;
use super::place;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::Range;

/// The flash, where the cache shows it.
pub const FLASH: Range<u32> = 0x4020_0000..0x4030_0000;
/// The largest frame that one function may have: the whole stack has 5 KB.
pub const MAX_FRAME: u32 = 1280;
/// The same of functions that run once, at start, before there is a task: the IP stack makes its sockets on the stack.
pub const MAX_START_FRAME: u32 = 3584;
/// These functions.
const START_ONLY: [&str; 1] = ["spore_node::connect"];

/// Something a firmware must not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What, and who does it.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.advice)
    }
}

/// A program with all its functions followed.
pub struct Program<'a> {
    pub linked: &'a Linked,
    pub functions: Vec<Function>,
    pub summaries: Vec<Summary>,
    /// Constants that lie in flash.
    constants: Vec<Object>,
}

impl<'a> Program<'a> {
    /// Follow all functions.
    pub fn new(linked: &'a Linked) -> Self {
        let Linked { elf, inputs, listing, .. } = linked;
        let functions = disasm::functions(elf, inputs, listing);
        let tables: BTreeSet<_> =
            inputs.iter().filter_map(|input| input.name.strip_prefix(".text.")).collect();
        let constants = inputs.iter().filter(|input| {
            let table = input.name.strip_prefix(".rodata.").is_some_and(|name| tables.contains(name));
            FLASH.contains(&input.address) && !table && !is_code(input)
        });
        let constants = constants
            .map(|input| Object { name: input.name.clone(), address: input.address, size: input.size })
            .collect();
        let world = World { elf, objects: constants, margin: 0, code_words: place::code_words(elf) };
        let summaries = functions.iter().map(|function| flow::follow(&world, function)).collect();
        Self { linked, functions, summaries, constants: world.objects }
    }

    /// The function whose instructions lie at this address.
    pub fn at(&self, address: u32) -> Option<usize> {
        let index = self.functions.partition_point(|function| function.address <= address).checked_sub(1)?;
        (address < self.functions[index].end).then_some(index)
    }

    /// A function's name for people.
    pub fn name(&self, index: usize) -> String {
        pretty(&self.functions[index].name)
    }

    /// What stands at an address, for people.
    fn describe(&self, address: u32) -> String {
        if let Some(index) = self.at(address) {
            return self.name(index);
        }
        let inputs = self.linked.inputs.iter();
        let input = inputs.rev().find(|input| (input.address..input.end()).contains(&address));
        input.map_or_else(|| format!("0x{address:08x}"), |input| section_symbol(&input.name))
    }
}

/// Whether an input section holds instructions or their literals.
pub fn is_code(input: &Input) -> bool {
    input.name.contains(".text") || input.name.contains(".literal") || place::is_iram(&input.name)
}

/// A symbol's name for people: demangled, without hash, and without the number that the compiler gives to copies.
pub fn pretty(name: &str) -> String {
    let digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = digits.strip_suffix('.').filter(|_| digits.len() < name.len()).unwrap_or(name);
    format!("{:#}", rustc_demangle::demangle(name))
}

/// The symbol that a section was made for, for people.
pub fn section_symbol(section: &str) -> String {
    let kinds = [".text.", ".literal.", ".rodata.", ".data.", ".bss."];
    kinds.iter().find_map(|kind| section.strip_prefix(kind)).map_or_else(|| section.to_owned(), pretty)
}

/// 128-bit arithmetic, which gives wrong results on this core's compiler.
pub fn arithmetic(program: &Program) -> Vec<Violation> {
    let symbols = program.linked.elf.symbols.iter();
    let wide = symbols.filter(|symbol| symbol.placed && is_wide(&symbol.name));
    let mut found: Vec<_> = wide
        .map(|symbol| {
            let calls = |summary: &Summary| {
                summary.calls.iter().any(|call| call.target == Some(symbol.address))
                    || summary.literals.iter().any(|(_, literal)| *literal == symbol.address)
            };
            let callers = program.summaries.iter().enumerate().filter(|(_, summary)| calls(summary));
            // The wide functions call one another: who else does is to blame.
            let callers = callers.filter(|(index, _)| !is_wide(&program.functions[*index].name));
            let callers: Vec<_> = callers.map(|(index, _)| program.name(index)).collect();
            let callers = if callers.is_empty() { "code not found".to_owned() } else { callers.join(", ") };
            Violation {
                what: format!("128-bit arithmetic: {} is called by {callers}", symbol.name),
                advice: "this compiler gives wrong results for it: use u64, or two of them",
            }
        })
        .collect();
    found.dedup();
    found
}

/// Names of the compiler's functions for 128-bit integers: `__multi3`, `__udivmodti4`, `__floattidf`, …
fn is_wide(name: &str) -> bool {
    let Some(name) = name.strip_prefix("__") else { return false };
    let core = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let arithmetic =
        ["mul", "div", "mod", "shl", "shr", "neg", "mulo", "addo", "subo", "addv", "subv", "cmp"];
    if core.len() < name.len() && core.ends_with("ti") {
        let stem = core.trim_end_matches("ti");
        return arithmetic.iter().any(|kind| stem.contains(kind));
    }
    (name.starts_with("fix") && name.ends_with("ti"))
        || name.starts_with("floatti")
        || name.starts_with("floatunti")
}

/// Parts of words read, or anything written, where only whole words can be read.
pub fn narrow(program: &Program) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, summary) in program.summaries.iter().enumerate() {
        let objects: BTreeMap<usize, u32> =
            summary.narrow.iter().rev().map(|narrow| (narrow.object, narrow.at)).collect();
        for (object, at) in objects {
            let constant = &program.constants[object];
            found.push(Violation {
                what: format!(
                    "{} reads or writes part of a word of {} in flash, at 0x{at:08x}",
                    program.name(index),
                    section_symbol(&constant.name)
                ),
                advice: "flash takes loads of whole aligned words only: read it through spore-rt's flash reader, or put it into data RAM",
            });
        }
    }
    found
}

/// What code may do that runs with the flash cache off (firmware/link/cache-off.txt).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheRules {
    /// Functions beside those in `.iram*` sections of the firmware.
    roots: BTreeSet<String>,
    /// From whom to whom control, or an address, may go all the same.
    hand_offs: BTreeSet<(String, String)>,
}

impl CacheRules {
    /// Read lines of `root FUNCTION` and `hand-off FUNCTION TARGET`; TARGET `*` is a call through a pointer. `#` begins a comment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        for line in names(text) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["root", function] => {
                    rules.roots.insert((*function).to_owned());
                }
                ["hand-off", from, to] => {
                    rules.hand_offs.insert(((*from).to_owned(), (*to).to_owned()));
                }
                _ => return Err(line),
            }
        }
        Ok(rules)
    }

    fn allows(&self, from: &str, to: &str) -> bool {
        self.hand_offs.contains(&(from.to_owned(), to.to_owned()))
    }
}

/// Code that runs with the flash cache off, or in an interrupt, and needs something that lies in flash.
pub fn cache_off(program: &Program, rules: &CacheRules, ours: &str) -> Vec<Violation> {
    let inputs = &program.linked.inputs;
    let is_root = |function: &Function| {
        let input = inputs.iter().find(|input| (input.address..input.end()).contains(&function.address));
        let ours = input.is_some_and(|input| {
            (place::is_iram(&input.name) && input.file.ends_with(ours)) || input.file.ends_with(HEAP.object)
        });
        ours || rules.roots.contains(&pretty(&function.name)) || rules.roots.contains(&function.name)
    };
    let mut queue: VecDeque<usize> =
        (0..program.functions.len()).filter(|index| is_root(&program.functions[*index])).collect();
    let mut seen: BTreeSet<usize> = queue.iter().copied().collect();
    let mut found = Vec::new();
    while let Some(index) = queue.pop_front() {
        let (from, summary) = (program.name(index), &program.summaries[index]);
        if FLASH.contains(&program.functions[index].address) {
            found.push(Violation {
                what: format!("{from} runs while the flash cache is off, and lies in flash"),
                advice: "put it into a section .iram.*",
            });
            continue;
        }
        let mut targets: BTreeMap<u32, u32> =
            summary.calls.iter().filter_map(|call| Some((call.target?, call.at))).collect();
        for (at, literal) in &summary.literals {
            let code = program.at(*literal).is_some_and(|index| program.functions[index].address == *literal);
            if code || FLASH.contains(literal) {
                targets.entry(*literal).or_insert(*at);
            }
        }
        for (target, at) in targets {
            let to = program.describe(target);
            if rules.allows(&from, &to) {
                continue;
            }
            if FLASH.contains(&target) {
                found.push(Violation {
                    what: format!("{from} runs while the flash cache is off, and uses {to} in flash, at 0x{at:08x}"),
                    advice: "put that into a section .iram.* or into data RAM, or, if the cache is on by then, name the hand-off in firmware/link/cache-off.txt",
                });
            } else if let Some(next) = program.at(target)
                && seen.insert(next)
            {
                queue.push_back(next);
            }
        }
        let pointer = summary.calls.iter().find(|call| call.target.is_none());
        if let Some(call) = pointer
            && !rules.allows(&from, "*")
        {
            found.push(Violation {
                what: format!("{from} runs while the flash cache is off, and calls through a pointer at 0x{:08x}", call.at),
                advice: "call a function by name, or, if all targets lie in IRAM, name the hand-off to * in firmware/link/cache-off.txt",
            });
        }
    }
    found
}

/// Functions whose frames are too large, or have no bound.
pub fn frames(program: &Program, ours: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, summary) in program.summaries.iter().enumerate() {
        let address = program.functions[index].address;
        let input =
            program.linked.inputs.iter().find(|input| (input.address..input.end()).contains(&address));
        if !input.is_some_and(|input| input.file.ends_with(ours) || input.file.ends_with(HEAP.object)) {
            continue;
        }
        let name = program.name(index);
        let at_start = START_ONLY.iter().any(|known| name.starts_with(known));
        if summary.frame > if at_start { MAX_START_FRAME } else { MAX_FRAME } {
            found.push(Violation {
                what: format!("the frame of {} has {} bytes of stack", program.name(index), summary.frame),
                advice: "one function may have 1280: keep large values in statics, or move parts into functions of their own (#[inline(never)])",
            });
        }
        if summary.unbounded {
            found.push(Violation {
                what: format!("the frame of {} has no known bound", program.name(index)),
                advice: "its stack pointer is computed; no part of the firmware may do that",
            });
        }
    }
    found
}
