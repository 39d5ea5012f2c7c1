//! What a function does with addresses: whom it calls, how deep its frame is, and which constants it reads by the byte.
//!
//! An abstract interpretation of the function's machine code: every register and every slot of its frame is followed
//! over all paths as "this very number", "the frame's address plus n" and "made from the address of these objects".

use super::disasm::{Function, Insn};
use super::elf::Elf;
use std::collections::{BTreeMap, BTreeSet};

/// Objects by their index in [`World::objects`].
pub type Origins = BTreeSet<usize>;

/// A piece of constant data whose use is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    pub address: u32,
    pub size: u32,
}

/// What all functions have in common.
#[derive(Debug)]
pub struct World<'a> {
    pub elf: &'a Elf,
    /// By address, not overlapping.
    pub objects: Vec<Object>,
    /// How far behind or before an object an address may lie that was made from it.
    pub margin: u32,
    /// Words of data that are addresses of code, sorted: where a jump table may lead.
    pub code_words: Vec<u32>,
}

impl World<'_> {
    /// The objects that this address may have been made from. The address behind one counts: loops end there.
    pub fn origins(&self, address: u32) -> Origins {
        let last =
            self.objects.partition_point(|object| object.address <= address.saturating_add(self.margin));
        let near = self.objects[..last].iter().enumerate().rev().take(8);
        near.filter(|(_, object)| {
            address <= object.address.saturating_add(object.size).saturating_add(self.margin)
        })
        .map(|(index, _)| index)
        .collect()
    }
}

/// A call, or a jump to another function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    pub at: u32,
    /// `None` when a pointer decides.
    pub target: Option<u32>,
    /// The bytes of stack in use when it happens.
    pub depth: u32,
}

/// A use of part of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Narrow {
    pub at: u32,
    /// Index of the object.
    pub object: usize,
}

/// What a function does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of stack.
    pub frame: u32,
    /// The stack pointer is changed by a number that is not known.
    pub unbounded: bool,
    pub calls: BTreeSet<Call>,
    /// Numbers loaded from literals: where, and which.
    pub literals: BTreeSet<(u32, u32)>,
    /// Narrow loads, and stores of any kind, through an address made from an object.
    pub narrow: BTreeSet<Narrow>,
    /// Narrow loads and stores at known addresses: where, and of which address.
    pub parts: BTreeSet<(u32, u32)>,
    /// Objects whose address leaves the function or becomes part of a number.
    pub escapes: Origins,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Value {
    exact: Option<u32>,
    /// The stack pointer at the function's start plus this.
    frame: Option<i32>,
    /// An entry of the jump table at this address, or the entry's address.
    table: Option<u32>,
    origins: Origins,
}

impl Value {
    /// Nothing is known about it.
    fn is_any(&self) -> bool {
        self.exact.is_none() && self.frame.is_none() && self.table.is_none() && self.origins.is_empty()
    }

    fn join(&mut self, other: &Self) -> bool {
        let before = (self.exact, self.frame, self.table, self.origins.len());
        if self.exact != other.exact {
            self.exact = None;
        }
        if self.frame != other.frame {
            self.frame = None;
        }
        if self.table != other.table {
            self.table = None;
        }
        self.origins.extend(&other.origins);
        before != (self.exact, self.frame, self.table, self.origins.len())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    regs: [Value; 16],
    /// Places of the frame about whose content something is known.
    slots: BTreeMap<i32, Value>,
}

impl State {
    /// Take over what may also be so; whether that is news.
    fn join(&mut self, other: &Self) -> bool {
        let mut news = false;
        for (mine, theirs) in self.regs.iter_mut().zip(&other.regs) {
            news |= mine.join(theirs);
        }
        for (slot, theirs) in &other.slots {
            if theirs.origins.is_empty() || self.slots.contains_key(slot) {
                continue;
            }
            self.slots.insert(*slot, Value { origins: theirs.origins.clone(), ..Value::default() });
            news = true;
        }
        let any = Value::default();
        self.slots.retain(|slot, mine| {
            news |= mine.join(other.slots.get(slot).unwrap_or(&any));
            !mine.is_any()
        });
        news
    }
}

/// Follow a function.
pub fn follow(world: &World, function: &Function) -> Summary {
    let mut analysis =
        Analysis { world, function, summary: Summary::default(), kept: BTreeMap::new(), given: None };
    analysis.run();
    analysis.summary
}

struct Analysis<'a> {
    world: &'a World<'a>,
    function: &'a Function,
    summary: Summary,
    /// Objects whose address was stored at these places of the frame.
    kept: BTreeMap<i32, Origins>,
    /// The lowest place of the frame whose address was given to someone else.
    given: Option<i32>,
}

impl Analysis<'_> {
    fn run(&mut self) {
        let insns = &self.function.insns;
        let place: BTreeMap<u32, usize> =
            insns.iter().enumerate().map(|(i, insn)| (insn.address, i)).collect();
        let words = &self.world.code_words;
        let from = words.partition_point(|word| *word < self.function.address);
        let to = words.partition_point(|word| *word < self.function.end);
        let table: Vec<usize> = words[from..to].iter().filter_map(|word| place.get(word).copied()).collect();
        let literals = insns.iter().filter(|insn| insn.op == "l32r").filter_map(|insn| insn.number(1));
        let starts: BTreeSet<u32> = literals.filter_map(|at| self.world.elf.word(at)).collect();
        let mut leaders: BTreeSet<usize> = table.iter().copied().collect();
        leaders.insert(0);
        for (index, insn) in insns.iter().enumerate() {
            leaders.extend(insn.target().and_then(|target| place.get(&target).copied()));
            if insn.ends() || insn.target().is_some() {
                leaders.insert(index + 1);
            }
        }
        let mut entry = State::default();
        entry.regs[1].frame = Some(0);
        let mut states: BTreeMap<usize, State> = BTreeMap::from([(0, entry)]);
        let mut queue = BTreeSet::from([0_usize]);
        while let Some(start) = queue.pop_first() {
            let Some(mut state) = states.get(&start).cloned() else { continue };
            let mut next = Vec::new();
            let mut index = start;
            loop {
                let Some(insn) = insns.get(index) else {
                    // Falls into what follows.
                    self.leave(&state, self.function.end, Some(self.function.end));
                    break;
                };
                if index != start && leaders.contains(&index) {
                    next.push(index);
                    break;
                }
                if let Some(target) = insn.target() {
                    match place.get(&target) {
                        Some(index) => next.push(*index),
                        None => self.leave(&state, insn.address, Some(target)),
                    }
                }
                if insn.op == "jx" {
                    let exact = insn.reg(0).and_then(|reg| state.regs[reg].exact);
                    match exact.and_then(|target| place.get(&target)) {
                        Some(index) => next.push(*index),
                        None if exact.is_none() && !table.is_empty() => {
                            let start = insn.reg(0).and_then(|reg| state.regs[reg].table);
                            let entries = start.map(|start| self.entries(start, &starts)).unwrap_or_default();
                            let known: Vec<_> =
                                entries.iter().filter_map(|to| place.get(to).copied()).collect();
                            next.extend(if known.is_empty() { &table } else { &known });
                        }
                        None => self.leave(&state, insn.address, exact),
                    }
                }
                self.step(&mut state, insn);
                if insn.ends() {
                    break;
                }
                index += 1;
            }
            for index in next {
                let news = match states.get_mut(&index) {
                    Some(known) => known.join(&state),
                    None => {
                        states.insert(index, state.clone());
                        true
                    }
                };
                if news {
                    queue.insert(index);
                }
            }
        }
        // What a callee may find behind a pointer to the frame has left, too.
        if let Some(lowest) = self.given {
            for origins in self.kept.range(lowest..).map(|(_, origins)| origins) {
                self.summary.escapes.extend(origins);
            }
        }
    }

    /// The words of the jump table at `start`: up to the next constant that the function knows.
    fn entries(&self, start: u32, starts: &BTreeSet<u32>) -> Vec<u32> {
        let next = starts.range(start + 1..).next().copied().unwrap_or(u32::MAX);
        let inside = |word: &u32| (self.function.address..self.function.end).contains(word);
        let words = (start..next).step_by(4).map_while(|at| self.world.elf.word(at));
        words.take_while(inside).collect()
    }

    fn escape(&mut self, value: &Value) {
        self.summary.escapes.extend(&value.origins);
        if let Some(place) = value.frame {
            self.given = Some(self.given.map_or(place, |lowest| lowest.min(place)));
        }
    }

    /// A call: the arguments leave.
    fn leave(&mut self, state: &State, at: u32, target: Option<u32>) {
        let depth = state.regs[1].frame.map_or(0, |place| place.min(0).unsigned_abs());
        self.summary.calls.insert(Call { at, target, depth });
        for reg in 2..8 {
            self.escape(&state.regs[reg]);
        }
        // Arguments beyond the sixth lie at the stack pointer.
        if let Some(sp) = state.regs[1].frame {
            for value in state.slots.range(sp..sp.saturating_add(32)).map(|(_, value)| value) {
                self.summary.escapes.extend(&value.origins);
            }
        }
    }

    fn narrow(&mut self, at: u32, base: &Value) {
        self.summary.narrow.extend(base.origins.iter().map(|object| Narrow { at, object: *object }));
    }

    fn step(&mut self, state: &mut State, insn: &Insn) {
        let value = |place: usize| insn.reg(place).map(|reg| state.regs[reg].clone()).unwrap_or_default();
        let number = |place: usize| insn.number(place).unwrap_or(0);
        let result = match insn.op.as_str() {
            "l32r" => {
                let exact = self.world.elf.word(number(1));
                if let Some(exact) = exact {
                    self.summary.literals.insert((insn.address, exact));
                }
                let origins = exact.map(|exact| self.world.origins(exact)).unwrap_or_default();
                Some(Value { exact, origins, ..Value::default() })
            }
            "movi" => Some(Value { exact: insn.number(1), ..Value::default() }),
            "mov" => Some(value(1)),
            "or" if insn.args.get(1) == insn.args.get(2) => Some(value(1)),
            "addi" | "addmi" => Some(add(&value(1), &Value { exact: insn.number(2), ..Value::default() })),
            "add" => Some(add(&value(1), &value(2))),
            "sub" => {
                let (left, right) = (value(1), value(2));
                let minus = Value { exact: right.exact.map(u32::wrapping_neg), ..right.clone() };
                Some(Value {
                    frame: if right.frame.is_some() { None } else { add(&left, &minus).frame },
                    ..add(&left, &minus)
                })
            }
            "and" | "or" => {
                let (left, right) = (value(1), value(2));
                let origins = left.origins.union(&right.origins).copied().collect();
                // A frame may be aligned further down by a mask.
                Some(Value { origins, ..Value::default() })
            }
            "addx2" | "addx4" | "addx8" | "subx2" | "subx4" | "subx8" => {
                let (left, right) = (value(1), value(2));
                let table = if insn.op == "addx4" { right.exact } else { None };
                let origins = left.origins.union(&right.origins).copied().collect();
                Some(Value { table, origins, ..Value::default() })
            }
            "moveqz" | "movnez" | "movltz" | "movgez" => {
                let mut either = value(0);
                either.join(&value(1));
                Some(either)
            }
            "l32i" | "s32i" | "l8ui" | "l16ui" | "l16si" | "s8i" | "s16i" => {
                self.memory(state, insn);
                return;
            }
            "callx0" | "call0" => {
                let target = if insn.op == "call0" { insn.number(0) } else { value(0).exact };
                self.leave(state, insn.address, target);
                for reg in [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] {
                    state.regs[reg] = Value::default();
                }
                return;
            }
            "ret" => {
                for reg in 2..6 {
                    self.escape(&state.regs[reg].clone());
                }
                return;
            }
            // Comparisons, barriers and the like give nothing away.
            op if op.starts_with('b')
                || matches!(
                    op,
                    "j" | "jx"
                        | "memw"
                        | "isync"
                        | "rsync"
                        | "esync"
                        | "dsync"
                        | "extw"
                        | "nop"
                        | "waiti"
                        | "ssl"
                        | "ssr"
                        | "ssai"
                        | "ssa8l"
                        | "ssa8b"
                        | "ill"
                        | "rfe"
                        | "rfi"
                        | "simcall"
                ) =>
            {
                return;
            }
            op if op.starts_with("wsr") => {
                self.escape(&value(0));
                return;
            }
            _ => {
                // Arithmetic that hides an address.
                for place in 1..insn.args.len() {
                    let used = value(place);
                    self.summary.escapes.extend(&used.origins);
                }
                Some(Value::default())
            }
        };
        if let (Some(mut result), Some(reg)) = (result, insn.reg(0)) {
            if reg == 1 && result.frame.is_none() && result.exact.is_some() {
                // Another stack, from its beginning.
                result = Value { frame: Some(0), ..Value::default() };
            }
            if reg == 1 {
                match result.frame {
                    Some(place) => self.summary.frame = self.summary.frame.max(place.min(0).unsigned_abs()),
                    None => self.summary.unbounded = true,
                }
            }
            state.regs[reg] = result;
        }
    }

    fn memory(&mut self, state: &mut State, insn: &Insn) {
        let (Some(reg), Some(base)) = (insn.reg(0), insn.reg(1).map(|base| state.regs[base].clone())) else {
            return;
        };
        let known = base.exact.map(|base| base.wrapping_add(insn.number(2).unwrap_or(0)));
        if let Some(address) = known.filter(|_| !matches!(insn.op.as_str(), "l32i" | "s32i")) {
            self.summary.parts.insert((insn.address, address));
        }
        let slot = base.frame.map(|place| place.wrapping_add(insn.number(2).unwrap_or(0) as i32));
        match insn.op.as_str() {
            "l32i" => {
                let table = base.table.map(|table| table.wrapping_add(insn.number(2).unwrap_or(0)));
                let loaded = slot.and_then(|slot| state.slots.get(&slot).cloned());
                state.regs[reg] = loaded.unwrap_or(Value { table, ..Value::default() });
                if reg == 1 {
                    self.summary.unbounded |= state.regs[1].frame.is_none();
                }
            }
            "s32i" => {
                self.narrow(insn.address, &base);
                let stored = state.regs[reg].clone();
                match slot {
                    Some(slot) => {
                        self.kept.entry(slot).or_default().extend(&stored.origins);
                        // A pointer to the frame that lies in the frame may be given away with it.
                        if let Some(place) = stored.frame {
                            self.kept_frame(place);
                        }
                        // Small numbers are nobody's address.
                        if stored.is_any() || stored.exact.is_some_and(|exact| exact < 0x1000_0000) {
                            state.slots.remove(&slot);
                        } else {
                            state.slots.insert(slot, stored);
                        }
                    }
                    None => self.escape(&stored),
                }
            }
            "s8i" | "s16i" => {
                self.narrow(insn.address, &base);
                if let Some(slot) = slot {
                    state.slots.remove(&(slot & !3));
                }
            }
            _ => {
                self.narrow(insn.address, &base);
                state.regs[reg] = Value::default();
            }
        }
    }

    fn kept_frame(&mut self, place: i32) {
        self.given = Some(self.given.map_or(place, |lowest| lowest.min(place)));
    }
}

fn add(left: &Value, right: &Value) -> Value {
    let exact = left.exact.zip(right.exact).map(|(left, right)| left.wrapping_add(right));
    let frame = match (left.frame, right.frame) {
        (Some(place), None) => right.exact.map(|more| place.wrapping_add(more as i32)),
        (None, Some(place)) => left.exact.map(|more| place.wrapping_add(more as i32)),
        _ => None,
    };
    Value { exact, frame, table: None, origins: left.origins.union(&right.origins).copied().collect() }
}
