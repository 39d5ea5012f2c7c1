//! What a firmware costs: the bill that `spore build` prints, and that docs/memory.md keeps.

use super::check::{FLASH, Program, Violation, is_code, pretty};
use super::map::Input;
use super::place::Stays;
use super::stack::{self, Sized, Stack};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the SDK takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Which SDK.
    pub version: String,
    /// Bytes of instruction RAM.
    pub iram: u32,
    /// Bytes of data RAM: variables, constants and zeroed memory.
    pub dram: u32,
    /// Bytes of an image: executed in place, and the segments of RAM.
    pub image: u32,
}

/// Bytes of data RAM that the SDK takes from the heap as a station.
pub const HEAP: u32 = 9 * 1024;

impl Default for Share {
    /// NONOS SDK 3.0.5 with station and access point, the largest of those measured: what is reckoned with when a stand-in is linked. RAM
    /// as linked with stubs for the IP stack (2026-11-22), the image as linked with this firmware (2026-11-23).
    fn default() -> Self {
        Self { version: "3.0.5".to_owned(), iram: 28_109, dram: 1_540 + 23_160, image: 186_641 }
    }
}

impl Share {
    /// All that is not of the object `ours`.
    pub fn of(program: &Program, ours: &str, version: String) -> Self {
        let mut share = Self { version, iram: 0, dram: 0, image: 0 };
        for input in program.linked.inputs.iter().filter(|input| !input.file.ends_with(ours)) {
            let zeroed =
                program.linked.elf.section_at(input.address).is_some_and(|section| section.name == ".bss");
            if IRAM.contains(&input.address) {
                share.iram += input.size;
            } else if DRAM.contains(&input.address) {
                share.dram += input.size;
            } else if !FLASH.contains(&input.address) {
                continue;
            }
            if !zeroed {
                share.image += input.size;
            }
        }
        share
    }
}

/// Addresses of instruction RAM.
pub const IRAM: std::ops::Range<u32> = 0x4010_0000..0x4010_8000;
/// Addresses of data RAM that programs have.
pub const DRAM: std::ops::Range<u32> = 0x3FFE_8000..0x3FFF_C000;

/// What there is.
pub mod limit {
    /// Bytes of instruction RAM.
    pub const IRAM: u32 = 32 * 1024;
    /// Bytes of data RAM that the firmware's statics and constants may take.
    pub const DRAM: u32 = 46 * 1024;
    /// What they should take.
    pub const DRAM_GOAL: u32 = 35 * 1024;
    /// Bytes of a slot of a 1 MB chip.
    pub const SLOT: u32 = 488 * 1024;
    /// Bytes before the first slot.
    pub const BOOTLOADER: u32 = 8 * 1024;
    /// Header and relocation table of an image.
    pub const HEADER: u32 = 4 * 1024;
}

/// Data RAM of the firmware alone, by kind, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Dram {
    pub rodata: u32,
    pub data: u32,
    pub bss: u32,
}

impl Dram {
    /// All kinds.
    pub fn total(self) -> u32 {
        self.rodata + self.data + self.bss
    }
}

/// Flash of the firmware alone, by kind, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Flash {
    /// Executed in place.
    pub code: u32,
    /// Constants that stay there.
    pub constants: u32,
    /// Loaded into RAM: instructions, variables, constants.
    pub loaded: u32,
}

impl Flash {
    /// All kinds, with header and relocation table.
    pub fn total(self) -> u32 {
        self.code + self.constants + self.loaded + limit::HEADER
    }
}

/// The bill. All but `stand_in` is the firmware's own share; limits count the SDK's share beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    pub share: Share,
    pub iram: u32,
    pub dram: Dram,
    pub flash: Flash,
    pub bootloader: u32,
    /// Words that an installation in slot B changes, and the bytes that their table takes of 3840.
    pub relocations: usize,
    pub relocation_table: usize,
    /// Instruction RAM of the SDK's stand-in.
    pub stand_in_iram: u32,
    pub stack: Stack,
    /// The largest of data RAM, by name.
    pub largest: Vec<Sized>,
    /// Data RAM by crate, zeroed memory and variables.
    pub statics_by_crate: Vec<Sized>,
    /// Instructions by crate.
    pub code_by_crate: Vec<Sized>,
}

impl Bill {
    /// Count.
    pub fn new(program: &Program, stays: &[Stays], ours: &str) -> Self {
        let mut bill = Self::default();
        let (mut code, mut statics) = (BTreeMap::new(), BTreeMap::new());
        let mut largest = Vec::new();
        let elf = &program.linked.elf;
        let rodata = elf.address("_rodata_start").unwrap_or(0)..elf.address("_rodata_end").unwrap_or(0);
        let mut loaded = 0;
        for input in &program.linked.inputs {
            if !input.file.ends_with(ours) {
                if input.file.ends_with("sdk.o") && IRAM.contains(&input.address) {
                    bill.stand_in_iram += input.size;
                }
                continue;
            }
            let whose = crate_of(&input.name);
            if FLASH.contains(&input.address) {
                if is_code(input) {
                    bill.flash.code += input.size;
                    *code.entry(whose).or_insert(0) += input.size;
                } else {
                    bill.flash.constants += input.size;
                }
            } else if IRAM.contains(&input.address) {
                bill.iram += input.size;
                loaded += input.size;
                *code.entry(whose).or_insert(0) += input.size;
            } else if rodata.contains(&input.address) {
                bill.dram.rodata += input.size;
                loaded += input.size;
                largest.push(named(input));
            } else if elf.section_at(input.address).is_some_and(|section| section.name == ".bss") {
                bill.dram.bss += input.size;
                *statics.entry(whose).or_insert(0) += input.size;
                largest.push(named(input));
            } else {
                bill.dram.data += input.size;
                loaded += input.size;
                *statics.entry(whose).or_insert(0) += input.size;
                largest.push(named(input));
            }
        }
        debug_assert!(stays.iter().map(|stay| stay.size).sum::<u32>() <= bill.flash.constants + 64 * 1024);
        bill.flash.loaded = loaded;
        bill.largest = top(largest, 12);
        let list =
            |map: BTreeMap<String, u32>| map.into_iter().map(|(name, bytes)| Sized { name, bytes }).collect();
        bill.statics_by_crate = top(list(statics), 8);
        bill.code_by_crate = top(list(code), 16);
        bill.stack = stack::bound(program, ours);
        bill
    }

    /// What is over budget.
    pub fn over(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut judge = |what: &str, bytes: u32, limit: u32, advice| {
            if bytes > limit {
                let what = format!(
                    "{what}: {} bytes, {} more than the {} there are",
                    dotted(bytes),
                    dotted(bytes - limit),
                    dotted(limit)
                );
                found.push(Violation { what, advice });
            }
        };
        judge(
            "instruction RAM with the SDK's share",
            self.iram + self.share.iram,
            limit::IRAM,
            "keep in .iram.* only what runs with the flash cache off",
        );
        judge(
            "data RAM of the firmware",
            self.dram.total(),
            limit::DRAM,
            "see the largest above; constants may go to a section .flash.* if they are read by whole words",
        );
        judge(
            "data RAM with the SDK's share and its heap",
            self.dram.total() + self.share.dram + HEAP,
            DRAM.end - DRAM.start,
            "the SDK takes that much from its heap while it runs",
        );
        judge(
            "image with the SDK's share",
            self.flash.total() + self.share.image,
            limit::SLOT,
            "see the code by crate above",
        );
        judge("bootloader", self.bootloader, limit::BOOTLOADER, "it must end before slot A");
        found
    }

    /// For people, and for docs/memory.md: the same build gives the same text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |columns: [&str; 5]| {
            let [name, numbers @ ..] = columns;
            let mut row = format!("{name:<24}");
            for number in numbers {
                let _ = write!(row, "{number:>11}");
            }
            text.push_str(row.trim_end());
            text.push('\n');
        };
        let row = |name: &'static str, own: u32, share: u32, limit: u32| {
            let left = i64::from(limit) - i64::from(own) - i64::from(share);
            let left = if left < 0 {
                format!("-{}", dotted(left.unsigned_abs() as u32))
            } else {
                dotted(left as u32)
            };
            (name, [dotted(own), if share == 0 { String::new() } else { dotted(share) }, dotted(limit), left])
        };
        line(["bytes", "firmware", "SDK's", "limit", "left"]);
        let rows = [
            row("instruction RAM", self.iram, self.share.iram, limit::IRAM),
            row("data RAM", self.dram.total(), 0, limit::DRAM),
            row("image in its slot", self.flash.total(), self.share.image, limit::SLOT),
            row("bootloader", self.bootloader, 0, limit::BOOTLOADER),
        ];
        for (name, [own, share, limit, left]) in &rows {
            line([name, own, share, limit, left]);
        }
        let heap = 80 * 1024_i64 - i64::from(self.dram.total() + self.share.dram + HEAP);
        let list = |text: &mut String, title: &str, sizes: &[Sized]| {
            let _ = writeln!(text, "\n{title}");
            for Sized { name, bytes } in sizes {
                let _ = writeln!(text, "{:>11}  {}", dotted(*bytes), shorten(name));
            }
        };
        let part = |name: &str, bytes| Sized { name: name.to_owned(), bytes };
        let goal =
            format!("data RAM (goal {}; {heap} free beside the SDK and its heap)", dotted(limit::DRAM_GOAL));
        list(
            &mut text,
            &goal,
            &[
                part("constants", self.dram.rodata),
                part("variables with a value", self.dram.data),
                part("zeroed", self.dram.bss),
            ],
        );
        list(
            &mut text,
            "image",
            &[
                part("code executed in place", self.flash.code),
                part("constants read from flash by words", self.flash.constants),
                part("loaded into RAM", self.flash.loaded),
                part("header and relocation table", limit::HEADER),
            ],
        );
        let _ = writeln!(
            text,
            "{:>11}  relocations, in {} of 3,840 bytes",
            dotted(self.relocations as u32),
            dotted(self.relocation_table as u32)
        );
        let stack = &self.stack;
        let _ = writeln!(
            text,
            "\nstack: {} bytes by direct calls; {} calls through pointers are not followed",
            dotted(stack.bound),
            stack.indirect_calls
        );
        for Sized { name, bytes } in &stack.chain {
            let _ = writeln!(text, "{:>11}  {}", dotted(*bytes), shorten(name));
        }
        if let Some(Sized { name, bytes }) = &stack.by_pointer {
            let _ = writeln!(
                text,
                "deepest that only a pointer reaches: {} bytes from {}",
                dotted(*bytes),
                shorten(name)
            );
        }
        if !stack.recursive.is_empty() {
            let names: Vec<_> = stack.recursive.iter().map(|name| shorten(name)).collect();
            let _ = writeln!(text, "recursive, counted once: {}", names.join(", "));
        }
        list(&mut text, "stack by task", &stack.tasks);
        list(&mut text, "deepest task", &stack.task_chain);
        list(&mut text, "largest frames", &stack.frames);
        list(&mut text, "largest in data RAM", &self.largest);
        list(&mut text, "statics by crate", &self.statics_by_crate);
        list(&mut text, "code by crate", &self.code_by_crate);
        text
    }
}

fn named(input: &Input) -> Sized {
    Sized { name: stable(&input.name), bytes: input.size }
}

/// A section's name for people, without the numbers that a compiler gives to what has no name.
fn stable(section: &str) -> String {
    if section.contains(".Lanon.") {
        return "(constant without a name)".to_owned();
    }
    if let Some(function) = section.strip_prefix(".rodata..Lswitch.table.") {
        return format!(
            "switch of {}",
            pretty(function.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.'))
        );
    }
    if section.starts_with(".rodata.cst") || section.starts_with(".rodata.str") {
        return "(merged constants)".to_owned();
    }
    super::check::section_symbol(section)
}

/// The largest first; what is equal, by name.
fn top(mut sizes: Vec<Sized>, count: usize) -> Vec<Sized> {
    sizes.sort_by(|a, b| (b.bytes, &a.name).cmp(&(a.bytes, &b.name)));
    sizes.truncate(count);
    sizes
}

/// The crate whose code or data an input section of this name is: that of the type or function first named.
pub fn crate_of(section: &str) -> String {
    let symbol = super::check::section_symbol(section);
    let start = symbol.trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '_');
    let start = ["mut ", "dyn ", "const "].iter().find_map(|word| start.strip_prefix(word)).unwrap_or(start);
    let end = start.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(start.len());
    if start[end..].starts_with("::") { start[..end].to_owned() } else { "(no path)".to_owned() }
}

/// A number with commas.
fn dotted(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A Rust path without the types in its brackets, and not too long.
fn shorten(name: &str) -> String {
    let (mut short, mut depth) = (String::new(), 0_i32);
    // `<A as B>::c` is no list of types: its bracket opens a path.
    let (lead, rest) = name.strip_prefix('<').map_or(("", name), |rest| ("<", rest));
    short.push_str(lead);
    for c in rest.chars() {
        match c {
            '<' => {
                if depth == 0 {
                    short.push_str("<…>");
                }
                depth += 1;
            }
            '>' if depth > 0 => depth -= 1,
            _ if depth == 0 => short.push(c),
            _ => {}
        }
    }
    if short.chars().count() > 100 {
        short = short.chars().take(99).collect::<String>() + "…";
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_short() {
        assert_eq!(dotted(0), "0");
        assert_eq!(dotted(999), "999");
        assert_eq!(dotted(1_234_567), "1,234,567");
        assert_eq!(shorten("a::b<c::d<e>>::f"), "a::b<…>::f");
        assert_eq!(shorten("<a::B<c> as d::E>::f"), "<a::B<…> as d::E>::f");
        assert_eq!(shorten(&"x".repeat(200)).chars().count(), 100);
    }

    #[test]
    fn crates_by_the_first_path() {
        let of = |symbol: &str| crate_of(&format!(".text.{symbol}"));
        assert_eq!(of("_RNvNtCsjUP4KmvqKCr_10spore_core4math3add"), "spore_core");
        assert_eq!(
            of(
                "_RNvXs_NtCs6X6iFdve7yn_10spore_core6configNtB4_6ConfigNtNtCslIPRlvllfqZ_4core5clone5Clone5clone"
            ),
            "spore_core"
        );
        assert_eq!(of("user_init"), "(no path)");
        assert_eq!(pretty("_RNvNtCsjUP4KmvqKCr_10spore_core4math3add.579"), "spore_core::math::add");
        assert_eq!(pretty("plain"), "plain");
    }

    #[test]
    fn over_budget_by_each_part() {
        let fits = Bill { iram: 4_000, bootloader: 8_192, ..Bill::default() };
        assert_eq!(fits.over(), []);
        let whats = |bill: Bill| bill.over().into_iter().map(|violation| violation.what).collect::<Vec<_>>();
        assert!(whats(Bill { iram: 4_660, ..Bill::default() })[0].starts_with("instruction RAM"));
        let dram = Dram { rodata: 20_000, data: 1_000, bss: 26_105 };
        assert_eq!(
            whats(Bill { dram, ..Bill::default() }),
            ["data RAM of the firmware: 47,105 bytes, 1 more than the 47,104 there are"]
        );
        let flash = Flash { code: 310_000, constants: 4_000, loaded: 2_000 };
        assert!(whats(Bill { flash, ..Bill::default() })[0].starts_with("image with"));
        assert!(whats(Bill { bootloader: 8_193, ..Bill::default() })[0].starts_with("bootloader"));
    }
}
