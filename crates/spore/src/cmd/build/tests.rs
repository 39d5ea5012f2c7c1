//! The checks, shown on small programs made with the assembler for the ESP8266's core. Without that assembler there is nothing to show
//! them on: `need_binutils` is asked first, and the tests end there.

mod layout;

use super::bill::{Bill, Share};
use super::check::{self, CacheRules, Program, Violation};
use super::link::{Linked, Linker};
use super::tools::{is_there, output, xtensa};
use std::path::Path;

/// Constants apart, as in a draft, or where app.ld puts them.
fn link(folder: &Path, source: &str) -> Linked {
    let (assembly, object) = (folder.join("app.s"), folder.join("app.o"));
    std::fs::write(&assembly, source).unwrap();
    output(xtensa("as").arg("--longcalls").arg(&assembly).arg("-o").arg(&object)).unwrap();
    let script = folder.join("test.ld");
    std::fs::write(
        &script,
        "ENTRY(start)\nMEMORY {\n iram_all : ORIGIN = 0x40100000, LENGTH = 64K\n dram_all : ORIGIN = 0x3FFE8000, LENGTH = 128K\n \
         slot_a : ORIGIN = 0x40203000, LENGTH = 512K\n}\nSECTIONS {\n .irom : { KEEP(*(.literal .literal.* .text .text.*)) *(.flash.*) } > slot_a\n \
         .iram : { KEEP(*(.iram.*)) } > iram_all\n .data : { _rodata_start = .; *(.rodata.*) _rodata_end = .; } > dram_all\n \
         .bss : { *(.bss.*) } > dram_all\n}\n",
    )
    .unwrap();
    let linker =
        Linker { firmware: folder.to_owned(), libraries: folder.to_owned(), work: folder.to_owned() };
    linker.program(&script, &[&object], &[], false, &folder.join("firmware.elf")).unwrap()
}

/// What a check says about a program; `None` where there is no assembler.
fn found(source: &str, check: impl Fn(&Program) -> Vec<Violation>) -> Option<Vec<String>> {
    if !is_there("xtensa-lx106-elf-as") {
        return None;
    }
    let temp = tempfile::tempdir().unwrap();
    let linked = link(temp.path(), source);
    Some(check(&Program::new(&linked)).into_iter().map(|violation| violation.what).collect())
}

/// A function of the given lines. `.literal` of the assembler goes before the section's code.
fn function(name: &str, section: &str, lines: &str) -> String {
    format!(
        ".section {section}.{name}, \"ax\"\n.align 4\n.global {name}\n.type {name}, @function\n{lines}\n.size {name}, . - {name}\n"
    )
}

#[test]
fn wide_arithmetic_names_its_caller() {
    let source = function("__multi3", ".text", "__multi3: ret")
        + &function("__muldi3", ".text", "__muldi3: ret")
        + &function("start", ".text", ".Lw: .word __multi3\nstart: l32r a8, .Lw\ncallx0 a8\nret");
    let Some(found) = found(&source, check::arithmetic) else { return };
    assert_eq!(found, ["128-bit arithmetic: __multi3 is called by start"]);
}

#[test]
fn bytes_of_constants_in_flash() {
    let constant = "\n.section .flash.table, \"a\"\n.align 4\ntable: .word 1, 2, 3\n";
    let read = |load: &str| {
        function(
            "start",
            ".text",
            &format!(".Lw: .word table\nstart: l32r a8, .Lw\naddx4 a8, a2, a8\n{load}\nret"),
        ) + constant
    };
    let Some(bytes) = found(&read("l8ui a2, a8, 1"), check::narrow) else { return };
    assert_eq!(bytes.len(), 1);
    assert!(
        bytes[0].starts_with("start reads or writes part of a word of .flash.table in flash"),
        "{bytes:?}"
    );
    assert_eq!(found(&read("l32i a2, a8, 0"), check::narrow).unwrap(), [""; 0]);
    for load in ["l16ui a2, a8, 0", "l16si a2, a8, 0", "s8i a2, a8, 0", "s16i a2, a8, 0", "s32i a2, a8, 0"] {
        assert_eq!(found(&read(load), check::narrow).unwrap().len(), 1, "{load}");
    }
    // Through a slot of the frame, another register, and around a loop.
    let detour = "s32i a8, a1, 4\nmovi a8, 0\n1: l32i a9, a1, 4\naddi a9, a9, 4\nmov a10, a9\nl8ui a2, a10, 0\nbnez a2, 1b";
    assert_eq!(found(&read(detour), check::narrow).unwrap().len(), 1);
}

#[test]
fn only_constants_read_by_words_stay_in_flash() {
    if !is_there("xtensa-lx106-elf-as") {
        return;
    }
    let constants: [(&str, &str, bool); 6] = [
        ("words", "l32r a8, .Lwords\naddx4 a8, a2, a8\nl32i a2, a8, 0\nmovi a8, 0", true),
        ("bytes", "l32r a8, .Lbytes\nadd a8, a8, a2\nl8ui a2, a8, 0\nmovi a8, 0", false),
        ("given", "l32r a2, .Lgiven\ncallx0 a0", false),
        ("stored", "l32r a8, .Lstored\ns32i a8, a3, 0\nmovi a8, 0", false),
        ("hidden", "l32r a8, .Lhidden\nslli a8, a8, 1\nmovi a8, 0", false),
        ("kept", "l32r a8, .Lkept\ns32i a8, a1, 0\nmovi a8, 0\nl32i a8, a1, 0\nl32i a9, a8, 4", true),
    ];
    let mut source = String::new();
    for (name, code, _) in constants {
        source += &function(
            name,
            ".text",
            &format!(".L{name}: .word data_{name}\n{name}: addi a1, a1, -16\n{code}\nmovi a2, 0\nret"),
        );
        source += &format!(".section .rodata.data_{name}, \"a\"\n.align 4\ndata_{name}: .word 1, 2, 3\n");
    }
    // A function's own constants are its jump tables; one whose address lies in data may be read by anyone.
    source += ".section .rodata.words, \"a\"\n.align 4\n.word words\n.section .rodata.pointed, \"a\"\n.align 4\npointed: .word 1\n\
               .section .data.pointer, \"aw\"\n.word pointed\n";
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    std::fs::write(folder.join("app.s"), &source).unwrap();
    let object = folder.join("app.o");
    output(xtensa("as").arg(folder.join("app.s")).arg("-o").arg(&object)).unwrap();
    let script = folder.join("test.ld");
    std::fs::write(
        &script,
        "ENTRY(words)\nMEMORY {\n dram_all : ORIGIN = 0x3FFE8000, LENGTH = 128K\n slot_a : ORIGIN = 0x40203000, LENGTH = 512K\n}\n\
         SECTIONS {\n INCLUDE draft.ld\n .irom : { KEEP(*(.text .text.*)) INCLUDE word-constants.ld\n } > slot_a\n \
         .data : { KEEP(*(.rodata .rodata.* .data .data.*)) } > dram_all\n}\n",
    )
    .unwrap();
    std::fs::create_dir(folder.join("link")).unwrap();
    std::fs::write(folder.join("link/rom.ld"), "").unwrap();
    let linker = Linker { firmware: folder.into(), libraries: folder.into(), work: folder.into() };
    let (linked, stays) = linker.firmware(&script, &[&object], &[], &folder.join("firmware.elf")).unwrap();
    let stays: Vec<_> = stays.iter().map(|stay| stay.section.as_str()).collect();
    assert_eq!(stays, [".rodata.data_kept", ".rodata.data_words", ".rodata.words"]);
    for (name, _, in_flash) in constants {
        let input = linked.inputs.iter().find(|input| input.name == format!(".rodata.data_{name}")).unwrap();
        assert_eq!(check::FLASH.contains(&input.address), in_flash, "{name}");
    }
}

#[test]
fn a_vendors_library_fills_in_what_is_missing_and_keeps_its_constants() {
    if !is_there("xtensa-lx106-elf-as") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let assemble = |name: &str, source: &str| {
        let (assembly, object) = (folder.join(format!("{name}.s")), folder.join(format!("{name}.o")));
        std::fs::write(&assembly, source).unwrap();
        output(xtensa("as").arg("--longcalls").arg(&assembly).arg("-o").arg(&object)).unwrap();
        object
    };
    let reads = |name: &str, calls: &str| {
        function(
            name,
            ".text",
            &format!(
                ".L{name}: .word data_{name}\n.Lc{name}: .word {calls}\n{name}: l32r a8, .Lc{name}\n\
                callx0 a8\nl32r a8, .L{name}\nl32i a2, a8, 0\nmovi a8, 0\nret"
            ),
        ) + &format!(".section .rodata.data_{name}, \"a\"\n.align 4\ndata_{name}: .word 1, 2, 3\n")
    };
    let app = assemble("app", &reads("start", "vendor"));
    let member = assemble("vendor", &reads("vendor", "in_rom"));
    let library = folder.join("libvendor.a");
    output(xtensa("ar").arg("rcs").arg(&library).arg(&member)).unwrap();
    let script = folder.join("test.ld");
    std::fs::write(
        &script,
        "ENTRY(start)\nMEMORY {\n iram_all : ORIGIN = 0x40100000, LENGTH = 64K\n dram_all : ORIGIN = 0x3FFE8000, LENGTH = 128K\n \
         slot_a : ORIGIN = 0x40203000, LENGTH = 512K\n}\nSECTIONS {\n INCLUDE draft.ld\n \
         .irom : { KEEP(*app.o(.text .text.*)) INCLUDE word-constants.ld\n } > slot_a\n .iram : { *(.text .text.*) } > iram_all\n \
         .data : { *(.rodata .rodata.*) } > dram_all\n}\n",
    )
    .unwrap();
    std::fs::create_dir(folder.join("link")).unwrap();
    std::fs::write(folder.join("link/rom.ld"), "").unwrap();
    std::fs::write(folder.join("link/rom-sdk.ld"), "").unwrap();
    let linker = Linker { firmware: folder.into(), libraries: folder.into(), work: folder.into() };
    let link =
        || linker.firmware(&script, &[&app], std::slice::from_ref(&library), &folder.join("firmware.elf"));
    let missing = link().unwrap_err();
    assert!(missing.message.ends_with("in_rom first: in_rom"), "{}", missing.message);
    std::fs::write(folder.join("link/rom-sdk.ld"), "in_rom = 0x40001234;\n").unwrap();
    let (linked, stays) = link().unwrap();
    // Both are read by words; only ours may be moved.
    assert_eq!(stays.iter().map(|stay| stay.section.as_str()).collect::<Vec<_>>(), [".rodata.data_start"]);
    let share = Share::of(&Program::new(&linked), "app.o", "1.2.3".to_owned());
    assert_eq!((share.dram, share.image), (12, share.iram + 12));
    assert!((12..64).contains(&share.iram), "{}", share.iram);
}

#[test]
fn what_runs_with_the_cache_off() {
    let rules = |text: &str| CacheRules::parse(text).unwrap();
    let source = function("erase", ".iram", ".Lw: .word helper\nerase: l32r a8, .Lw\ncallx0 a8\nret")
        + &function("helper", ".iram", ".Lv: .word deep\nhelper: l32r a8, .Lv\ncallx0 a8\nret")
        + &function("deep", ".text", "deep: ret")
        + &function("start", ".text", ".Lu: .word erase\nstart: l32r a8, .Lu\ncallx0 a8\nret");
    let check = |text: &str| found(&source, |program| check::cache_off(program, &rules(text), "app.o"));
    let Some(all) = check("") else { return };
    assert_eq!(all.len(), 1);
    assert!(
        all[0].starts_with("helper runs while the flash cache is off, and uses deep in flash"),
        "{all:?}"
    );
    assert_eq!(check("hand-off helper deep # the cache is on again").unwrap(), [""; 0]);
    let from_flash = check("root start").unwrap();
    assert!(
        from_flash
            .iter()
            .any(|what| what.contains("start runs while the flash cache is off, and lies in flash")),
        "{from_flash:?}"
    );
    let pointer =
        function("isr", ".iram", "isr: l32i a8, a2, 0\ncallx0 a8\nret") + ".global start\nstart = isr\n";
    let check =
        |text: &str| found(&pointer, |program| check::cache_off(program, &rules(text), "app.o")).unwrap();
    assert!(check("")[0].contains("isr runs while the flash cache is off, and calls through a pointer"));
    assert_eq!(check("hand-off isr *"), [""; 0]);
    let table = function("isr", ".iram", ".Lt: .word table\nisr: l32r a8, .Lt\nl32i a2, a8, 0\nret")
        + ".section .flash.table, \"a\"\n.align 4\ntable: .word 1\n.global start\nstart = isr\n";
    let data = found(&table, |program| check::cache_off(program, &rules(""), "app.o")).unwrap();
    assert!(data[0].contains("uses .flash.table in flash"), "{data:?}");
    assert!(CacheRules::parse("allow everything").is_err());
}

#[test]
fn frames_in_every_form_the_compiler_has() {
    let forms = [
        ("start: addi a1, a1, -64\ns32i a0, a1, 0\naddi a1, a1, 64\nret", 64),
        ("start: addi a8, a1, -48\nor a1, a8, a8\nret", 48),
        ("start: addmi a1, a1, -512\nret", 512),
        ("start: movi a8, -1040\nadd a8, a1, a8\nor a1, a8, a8\nret", 1040),
        (".Lw: .word -5664\nstart: l32r a8, .Lw\nadd a8, a1, a8\nor a1, a8, a8\nret", 5664),
        (".Lw: .word 5664\nstart: l32r a8, .Lw\nsub a1, a1, a8\nret", 5664),
    ];
    for (code, bytes) in forms {
        let source = function("start", ".text", code);
        let Some(found) = found(&source, |program| {
            assert_eq!(program.summaries[0].frame, bytes, "{code}");
            check::frames(program, "app.o")
        }) else {
            return;
        };
        assert_eq!(!found.is_empty(), bytes > check::MAX_FRAME, "{found:?}");
    }
    let unknown = found(&function("start", ".text", "start: sub a1, a1, a2\nret"), |program| {
        check::frames(program, "app.o")
    });
    assert_eq!(unknown.unwrap(), ["the frame of start has no known bound"]);
}

#[test]
fn stack_of_a_chain_and_kinds_of_memory() {
    let source = function(
        "start",
        ".text",
        ".Lw: .word middle\nstart: addi a1, a1, -32\nl32r a8, .Lw\ncallx0 a8\naddi a1, a1, 32\nret",
    ) + &function(
        "middle",
        ".text",
        ".Lu: .word leaf\nmiddle: addi a1, a1, -64\nl32r a8, .Lu\ncallx0 a8\ncallx0 a2\naddi a1, a1, 64\nret",
    ) + &function("leaf", ".text", "leaf: addi a1, a1, -16\naddi a1, a1, 16\nret")
        + &function("hot", ".iram", "hot: ret")
        + ".section .rodata.words, \"a\"\n.word 1, 2\n.section .bss.room, \"aw\", @nobits\n.space 40\n\
           .section .flash.page, \"a\"\n.space 12\n";
    let check = |program: &Program| {
        let bill = Bill::new(program, &[], "app.o");
        assert_eq!((bill.stack.bound, bill.stack.indirect_calls), (32 + 64 + 16, 1));
        let names: Vec<_> = bill.stack.chain.iter().map(|part| (part.name.as_str(), part.bytes)).collect();
        assert_eq!(names, [("start", 32), ("middle", 64), ("leaf", 16)]);
        Vec::new()
    };
    let Some(_) = found(&source, check) else { return };
}
