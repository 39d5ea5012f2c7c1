//! Whether everything lies where the chip, its ROM and the SDK expect it: what no emulator can tell, because the stand-ins are linked with
//! the same script.

use super::bill::{DRAM, HEAP, IRAM};
use super::check::{FLASH, Program, Violation};
use super::elf::{Elf, Section};
use super::map::Input;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What the SDK's start code sets VECBASE to.
const VECTORS: u32 = 0x4010_0000;
/// The vectors of the chip's core, by their distance from there.
const PLACES: [(&str, u32); 5] = [
    ("_DebugExceptionVector", 0x10),
    ("_NMIExceptionVector", 0x20),
    ("_KernelExceptionVector", 0x30),
    ("_UserExceptionVector", 0x50),
    ("_DoubleExceptionVector", 0x70),
];
/// Where the bootloader goes.
const ENTRY: &str = "call_user_start";
/// Code of slot A, behind the image's header and relocation table.
const SLOT: Range<u32> = 0x4020_3000..0x4027_C000;
/// The bootloader's memory, which it must not load anything into.
const BOOTLOADER: u32 = 0x3FFF_8000;
/// The boot ROM.
const ROM: Range<u32> = 0x4000_0000..0x4001_0000;
/// What the SDK reads by the byte, or writes.
const OBJECTS: [&str; 2] = ["netif_default", "ethbroadcast"];
/// The compiler's library, which the SDK's code calls from anywhere, and the heap.
const RAM_ONLY: [&str; 2] = ["libgcc.a", super::link::HEAP.object];

/// The input section that an address lies in.
fn input(inputs: &[Input], address: u32) -> Option<&Input> {
    inputs.iter().rev().find(|input| (input.address..input.end()).contains(&address))
}

/// The vectors and the entry at their places, with code there.
pub fn vectors(program: &Program) -> Vec<Violation> {
    let elf = &program.linked.elf;
    let mut found = Vec::new();
    let mut wrong = |what: String| {
        found.push(Violation {
            what,
            advice: "firmware/link/app.ld places it; the SDK's libmain must bring it (KEEP and EXTERN there), and the ROM's of the same name must not be bound",
        });
    };
    for (name, distance) in PLACES {
        let at = VECTORS + distance;
        let symbols: Vec<_> = elf.symbols.iter().filter(|symbol| symbol.name == name).collect();
        match symbols.as_slice() {
            [] => wrong(format!("{name} is missing")),
            [symbol] if !symbol.placed => wrong(format!(
                "{name} is a mere number, 0x{:08x}: there is no code of it in the firmware",
                symbol.address
            )),
            [symbol] if symbol.address != at => {
                wrong(format!("{name} lies at 0x{:08x} instead of 0x{at:08x}", symbol.address));
            }
            [_] if input(&program.linked.inputs, at).is_none() => {
                wrong(format!("nothing lies at 0x{at:08x}, where {name} must be"));
            }
            [_] => {}
            _ => wrong(format!("there are {} of {name}", symbols.len())),
        }
    }
    match elf.address(ENTRY) {
        None => wrong(format!("the entry {ENTRY} is missing")),
        Some(at) if at != elf.entry => {
            wrong(format!("the program begins at 0x{:08x} instead of {ENTRY} (0x{at:08x})", elf.entry));
        }
        Some(at) if !IRAM.contains(&at) => {
            wrong(format!("the entry {ENTRY} lies at 0x{at:08x}, outside of instruction RAM"));
        }
        Some(_) => {}
    }
    found
}

/// The names and addresses of a linker script that is nothing but assignments.
pub fn assignments(script: &str) -> BTreeMap<String, u32> {
    let lines = script.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once('='));
    let number = |text: &str| u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok();
    lines.filter_map(|(name, address)| Some((name.trim().to_owned(), number(address)?))).collect()
}

/// What the ROM has is used from there; what the ROM lacks of arithmetic lies in RAM for the SDK.
pub fn rom(program: &Program, rom: &BTreeMap<String, u32>) -> Vec<Violation> {
    let mut found = Vec::new();
    for symbol in &program.linked.elf.symbols {
        let Some(address) = rom.get(&symbol.name).filter(|address| ROM.contains(address)) else { continue };
        if symbol.placed || symbol.address != *address {
            found.push(Violation {
                what: format!(
                    "{} is a copy at 0x{:08x}, not the ROM's at 0x{address:08x}",
                    symbol.name, symbol.address
                ),
                advice: "firmware/link/rom.ld must come before whatever brings it: a copy in flash fails while the cache is off",
            });
        }
    }
    for input in &program.linked.inputs {
        let file = RAM_ONLY.iter().find(|name| input.file.contains(*name));
        if let Some(file) = file.filter(|_| FLASH.contains(&input.address)) {
            found.push(Violation {
                what: format!("{} of {file} lies in flash, at 0x{:08x}", input.name, input.address),
                advice: "the SDK uses it while the flash cache is off: firmware/link/app.ld must put it into instruction RAM",
            });
        }
    }
    found
}

/// What the SDK wants of the firmware is the firmware's: functions and objects by these names, of the object `ours`.
pub fn contract(program: &Program, names: &[String], ours: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |what: String, advice: &'static str| found.push(Violation { what, advice });
    for name in names {
        let symbols: Vec<_> =
            program.linked.elf.symbols.iter().filter(|symbol| symbol.name == *name).collect();
        if symbols.is_empty() && !IN_ONE_VERSION.contains(&name.as_str()) {
            wrong(
                format!("{name} is not in the firmware: this SDK does not ask for it"),
                "the IP stack's contract is another than this firmware keeps (firmware/app/src/contract.rs)",
            );
        }
        for symbol in symbols {
            let place = input(&program.linked.inputs, symbol.address);
            let file = place.map_or("no file", |place| place.file.as_str());
            if !symbol.placed || !place.is_some_and(|place| place.file.ends_with(ours)) {
                wrong(
                    format!("{name} is that of {file}, at 0x{:08x}, not the firmware's", symbol.address),
                    "nothing but the firmware may be the SDK's IP stack: link no lwIP, and none of the SDK's examples",
                );
            } else if OBJECTS.contains(&name.as_str()) && !DRAM.contains(&symbol.address) {
                wrong(
                    format!("{name} lies at 0x{:08x}, outside of data RAM", symbol.address),
                    "the SDK reads it by the byte, or writes it",
                );
            }
        }
    }
    found
}

/// Each of these is asked for by one of the SDK's versions only.
const IN_ONE_VERSION: [&str; 2] = ["user_pre_init", "user_rf_cal_sector_set"];

/// The sections: in the memory that is theirs, apart from one another and from what is reserved, with room for the heap.
pub fn sections(elf: &Elf) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |what: String, advice: &'static str| found.push(Violation { what, advice });
    let show = |section: &Section| {
        format!("{} (0x{:08x} to 0x{:08x})", section.name, section.address, section.end())
    };
    let homes = [("instruction RAM", IRAM), ("data RAM", DRAM), ("slot A", SLOT)];
    for section in &elf.sections {
        let home = homes.iter().find(|(_, home)| home.contains(&section.address));
        match home {
            None => wrong(
                format!("section {} lies in no memory of a program's", show(section)),
                "see the map at the head of docs/memory.md; the rest is the ROM's, the stack's, or the flash cache's",
            ),
            Some((name, home)) if section.end() > home.end => wrong(
                format!("section {} goes beyond {name}, which ends at 0x{:08x}", show(section), home.end),
                "see the bill for what takes the room",
            ),
            Some(_) => {}
        }
        if DRAM.contains(&section.address) && !section.bytes.is_empty() && section.end() > BOOTLOADER {
            wrong(
                format!("section {} is loaded where the bootloader's variables are", show(section)),
                "what is loaded into data RAM must end before 0x3FFF8000",
            );
        }
    }
    for pair in elf.sections.windows(2) {
        if let [first, second] = pair
            && first.end() > second.address
        {
            wrong(
                format!("sections {} and {} overlap", show(first), show(second)),
                "firmware/link/app.ld gives each memory to one chain of sections",
            );
        }
    }
    let end = elf.sections.iter().filter(|section| DRAM.contains(&section.address)).map(Section::end).max();
    match elf.address("_heap_start") {
        None => wrong("_heap_start is missing".to_owned(), "firmware/link/app.ld defines it"),
        Some(start) if end.is_some_and(|end| start < end) => wrong(
            format!("the heap begins at 0x{start:08x}, among the variables"),
            "_heap_start must lie behind all sections of data RAM",
        ),
        Some(start) if start.saturating_add(HEAP) > DRAM.end => wrong(
            format!(
                "the SDK's heap would have {} bytes, of which it takes {HEAP}",
                DRAM.end.saturating_sub(start)
            ),
            "see the bill for what takes the room in data RAM",
        ),
        Some(_) => {}
    }
    found
}

/// Parts of words that are read or written at addresses that are known, in flash or in instruction RAM: in functions of `ours`. The SDK's
/// own code is its makers': version 3 brings a handler for such reads, 2 was written without them.
pub fn known_addresses(program: &Program, ours: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, summary) in program.summaries.iter().enumerate() {
        let place = input(&program.linked.inputs, program.functions[index].address);
        if !place.is_some_and(|place| place.file.ends_with(ours)) {
            continue;
        }
        for (at, address) in &summary.parts {
            let memory = if FLASH.contains(address) {
                "flash"
            } else if IRAM.contains(address) {
                "instruction RAM"
            } else {
                continue;
            };
            if seen.insert((index, *address)) {
                found.push(Violation {
                    what: format!(
                        "{} reads or writes part of a word in {memory}, of 0x{address:08x}, at 0x{at:08x}",
                        program.name(index)
                    ),
                    advice: "only whole aligned words can be read there: put it into data RAM",
                });
            }
        }
    }
    found
}
