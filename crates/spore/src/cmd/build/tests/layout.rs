//! The checks of the layout, on a small firmware and a small SDK that are linked with the firmware's own script.

use super::super::check::{self, CacheRules, Program, Violation};
use super::super::layout;
use super::super::link::{Linked, Linker, Part, names};
use super::super::tools::{is_there, output, xtensa};
use super::function;
use std::path::{Path, PathBuf};

/// What is linked, to be spoiled.
struct World {
    app: String,
    sdk: String,
    /// Further objects and libraries.
    others: Vec<(&'static str, String)>,
    script: String,
}

fn repository(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware").join(file)).unwrap()
}

/// The SDK's wishes.
fn contract() -> Vec<String> {
    names(&repository("virtual/sdk/imports.txt"))
}

impl World {
    /// All as it should be.
    fn new() -> Self {
        let objects = ["ethbroadcast", "netif_default"];
        let mut app: String = contract()
            .iter()
            .filter(|name| !objects.contains(&name.as_str()))
            .map(|name| function(name, ".text", &format!("{name}: ret")))
            .collect();
        app += ".section .data.ethbroadcast, \"aw\"\n.global ethbroadcast\nethbroadcast: .space 8, 0xFF\n\
                .section .bss.netif_default, \"aw\", @nobits\n.align 4\n.global netif_default\nnetif_default: .space 4\n";
        let mut sdk = String::from(
            ".section .UserEnter.text, \"ax\"\n.align 16\n.global call_user_start\ncall_user_start: ret\n.word run\n",
        );
        for vector in ["Debug", "NMI", "Kernel", "User", "Double"] {
            sdk += &format!(
                ".section .{vector}ExceptionVector.text, \"ax\"\n.align 16\n.global _{vector}ExceptionVector\n\
                 _{vector}ExceptionVector: ret\n"
            );
        }
        let wanted: String = contract().iter().map(|name| format!(".word {name}\n")).collect();
        sdk += &function("run", ".text", &format!("{wanted}.word memcpy, __udivsi3\nrun: ret"));
        // Where something lies wrong, the script must let it pass.
        let script = repository("link/app.ld");
        let script = script.lines().filter(|line| !line.contains("ASSERT(")).collect::<Vec<_>>().join("\n");
        Self { app, sdk, others: Vec::new(), script }
    }

    fn replace(&mut self, from: &str, to: &str) {
        let parts = [&mut self.app, &mut self.sdk, &mut self.script];
        let spoiled =
            parts.into_iter().filter(|part| part.contains(from)).map(|part| *part = part.replace(from, to));
        assert!(spoiled.count() > 0, "{from}");
    }

    fn link(&self, folder: &Path) -> Linked {
        let assemble = |name: &str, source: &str| {
            let (assembly, object) = (folder.join(format!("{name}.s")), folder.join(format!("{name}.o")));
            std::fs::write(&assembly, source).unwrap();
            output(xtensa("as").arg("--longcalls").arg(&assembly).arg("-o").arg(&object)).unwrap();
            object
        };
        std::fs::create_dir(folder.join("link")).unwrap();
        for script in ["link/rom.ld", "link/rom-sdk.ld"] {
            std::fs::write(folder.join(script), repository(script)).unwrap();
        }
        for empty in ["draft.ld", "word-constants.ld"] {
            std::fs::write(folder.join(empty), "").unwrap();
        }
        let script = folder.join("app.ld");
        std::fs::write(&script, &self.script).unwrap();
        let mut objects = vec![assemble("app", &self.app), assemble("sdk", &self.sdk)];
        let mut libraries = Vec::new();
        for (name, source) in &self.others {
            let object = assemble(name, source);
            if name.starts_with("lib") {
                let library = folder.join(format!("{name}.a"));
                output(xtensa("ar").arg("rcs").arg(&library).arg(&object)).unwrap();
                libraries.push(library);
            } else {
                objects.push(object);
            }
        }
        let objects: Vec<_> = objects.iter().map(PathBuf::as_path).collect();
        let linker = Linker { firmware: folder.into(), libraries: folder.into(), work: folder.into() };
        linker.program(&script, &objects, &libraries, true, &folder.join("firmware.elf")).unwrap()
    }

    /// What the checks say.
    fn found(&self) -> Vec<String> {
        let temp = tempfile::tempdir().unwrap();
        let linked = self.link(temp.path());
        let program = Program::new(&linked);
        let rom = layout::assignments(&repository("link/rom.ld"));
        let mut found: Vec<Violation> = layout::vectors(&program);
        found.extend(layout::sections(&linked.elf));
        found.extend(layout::rom(&program, &rom));
        found.extend(layout::contract(&program, &contract(), "app.o"));
        found.extend(layout::known_addresses(&program, "app.o"));
        found.extend(check::cache_off(&program, &CacheRules::default(), "app.o"));
        found.into_iter().map(|violation| violation.what).collect()
    }
}

/// What is spoiled, and what must be said.
type Case<'a> = (&'a dyn Fn(&mut World), &'a [&'a str]);

/// Spoils one thing at a time, and compares what is said with what must be: its beginning.
fn spoiled(cases: &[Case]) {
    if !is_there("xtensa-lx106-elf-as") {
        return;
    }
    for (spoil, expected) in cases {
        let mut world = World::new();
        spoil(&mut world);
        let found = world.found();
        let same = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(found, expected)| found.starts_with(expected));
        assert!(same, "{found:#?}\ninstead of\n{expected:#?}");
    }
}

#[test]
fn nothing_is_said_of_a_firmware_as_it_should_be() {
    spoiled(&[(&|_| (), &[])]);
}

#[test]
fn vectors_and_entry() {
    spoiled(&[
        (
            &|world| world.replace(".global _DoubleExceptionVector\n_DoubleExceptionVector:", ""),
            &["_DoubleExceptionVector is missing"],
        ),
        // Bound to the ROM's, as by the vendor's own list of addresses.
        (
            &|world| {
                world.replace(
                    ".global _NMIExceptionVector\n_NMIExceptionVector:",
                    ".global _NMIExceptionVector\n_NMIExceptionVector = 0x40100020\n",
                );
            },
            &["_NMIExceptionVector is a mere number, 0x40100020: there is no code of it in the firmware"],
        ),
        (
            &|world| world.replace("MAX(., 0x50)", "MAX(., 0x60)"),
            &["_UserExceptionVector lies at 0x40100060 instead of 0x40100050"],
        ),
        (&|world| world.replace("ENTRY(call_user_start)", "ENTRY(run)"), &["the program begins at 0x"]),
        (
            &|world| world.replace(".section .UserEnter.text", ".section .irom0.text"),
            &["the entry call_user_start lies at 0x40203000, outside of instruction RAM"],
        ),
    ]);
}

#[test]
fn the_roms_functions_are_the_roms() {
    let assigned = layout::assignments("/* x */\n\nmemcpy = 0x4000df48;\n ets_post=0x40000e24 ;\n. = 4;\n");
    assert_eq!(
        assigned.into_iter().collect::<Vec<_>>(),
        [("ets_post".to_owned(), 0x4000_0E24), ("memcpy".to_owned(), 0x4000_DF48)]
    );
    let copy = function("copies", ".text", ".word __udivsi3\n__udivsi3: ret")
        .replace(".global copies", ".global copies\ncopies:");
    spoiled(&[
        // A local copy, as the compiler's library would bring.
        (
            &|world| {
                world.app += &copy;
                world.replace("user_init: ret", ".word copies\nuser_init: ret");
            },
            &["__udivsi3 is a copy at 0x402030"],
        ),
        (
            &|world| {
                world.others.push((
                    "libgcc",
                    function("__modsi3", ".irom0.text", "__modsi3: ret")
                        .replace(".irom0.text.__modsi3", ".irom0.text"),
                ));
                world.replace("run: ret", ".word __modsi3\nrun: ret");
            },
            &[".irom0.text of libgcc.a lies in flash, at 0x402030"],
        ),
        (
            &|world| {
                world.others.push(("libgcc", function("__modsi3", ".text", "__modsi3: ret")));
                world.replace("run: ret", ".word __modsi3\nrun: ret");
            },
            &[],
        ),
    ]);
}

#[test]
fn the_sdks_ip_stack_is_the_firmware() {
    let add = function("netif_add", ".text", "netif_add: ret");
    spoiled(&[
        // A library of the user's that has an IP stack of its own.
        (
            &|world| {
                world.replace(&add, "");
                world.others.push(("liblwip", add.clone()));
            },
            &["netif_add is that of "],
        ),
        (
            &|world| {
                world.replace(&add, "");
                world.replace(".word netif_add\n", "");
            },
            &["netif_add is not in the firmware: this SDK does not ask for it"],
        ),
        // Each version asks for one of the two.
        (&|world| world.replace(".word user_pre_init\n", ""), &[]),
        (
            &|world| {
                world.replace(".section .data.ethbroadcast, \"aw\"", ".section .flash.ethbroadcast, \"a\"")
            },
            &["ethbroadcast lies at 0x402030"],
        ),
    ]);
}

#[test]
fn sections_lie_in_their_memories_and_apart() {
    let room = |section: &str, bytes: u32| {
        let kind = if section.starts_with(".bss") { "\"aw\", @nobits" } else { "\"aw\"" };
        format!(".section {section}, {kind}\n.global room\nroom: .space {bytes}\n")
    };
    let with = |section: &'static str, bytes: u32| {
        move |world: &mut World| {
            world.app += &room(section, bytes);
            world.replace("user_init: ret", ".word room\nuser_init: ret");
        }
    };
    let code = |world: &mut World| {
        world.app += &function("room", ".iram", "room: ret\n.space 33000");
        world.replace("user_init: ret", ".word room\nuser_init: ret");
    };
    spoiled(&[
        (&with(".bss.room", 60_000), &[]),
        (&with(".bss.room", 73_000), &["the SDK's heap would have 8"]),
        (&with(".data.room", 66_000), &["section .data (0x3ffe8000 to 0x3fff8"]),
        (&code, &["section .iram (0x40100000 to 0x401081"]),
        (
            &|world| world.replace("> slot_a", "> slot_a\n  .odd 0x3FFFF000 : { *(.data.ethbroadcast) }"),
            &[
                "section .odd (0x3ffff000 to 0x3ffff008) lies in no memory of a program's",
                "ethbroadcast lies at 0x3ffff000",
            ],
        ),
        (
            &|world| world.replace("> slot_a", "> slot_a\n  .over 0x40203004 : { *(.data.ethbroadcast) }"),
            &["sections .irom (0x40203000 to 0x402030", "ethbroadcast lies at 0x40203004"],
        ),
        (
            &|world| world.replace("_heap_start = ABSOLUTE(_bss_end)", "_heap_start = ABSOLUTE(_data_start)"),
            &["the heap begins at 0x3ffe8000, among the variables"],
        ),
        (
            &|world| world.replace("_heap_start = ABSOLUTE(_bss_end)", "_nothing = 0"),
            &["_heap_start is missing"],
        ),
    ]);
}

#[test]
fn parts_of_words_at_known_addresses() {
    let read = |load: &'static str, of: &'static str, whose: &'static str| {
        move |world: &mut World| {
            world.app += &function("cold", ".text", "cold: ret");
            world.app += &function("hot", ".iram", "hot: ret");
            let reader =
                function("reader", ".text", &format!(".Lr: .word {of}\nreader: l32r a8, .Lr\n{load}\nret"));
            if whose == "sdk" {
                world.sdk += &reader;
            } else {
                world.app += &reader;
            }
            world.replace("run: ret", ".word reader, cold, hot\nrun: ret");
        }
    };
    spoiled(&[
        (
            &read("l8ui a2, a8, 2", "cold", "app"),
            &["reader reads or writes part of a word in flash, of 0x402030"],
        ),
        (
            &read("addi a8, a8, 4\ns16i a2, a8, 0", "hot", "app"),
            &["reader reads or writes part of a word in instruction RAM, of 0x401000"],
        ),
        (&read("l32i a2, a8, 0", "cold", "app"), &[]),
        (&read("l8ui a2, a8, 2", "netif_default", "app"), &[]),
        // Its makers know what they do.
        (&read("l8ui a2, a8, 2", "cold", "sdk"), &[]),
    ]);
}

#[test]
fn the_heap_lies_in_ram_with_all_it_uses() {
    let heap = |calls: &str| {
        function(
            "vPortFree",
            ".text",
            &format!(".Lh: .word {calls}\nvPortFree: l32r a8, .Lh\ncallx0 a8\nret"),
        )
    };
    let with = |calls: &'static str| {
        move |world: &mut World| {
            world.others.push(("heap", heap(calls)));
            world.replace("run: ret", ".word vPortFree\nrun: ret");
        }
    };
    spoiled(&[
        (&with("memcpy"), &[]),
        (&with("run"), &[]),
        (&with("user_init"), &["vPortFree runs while the flash cache is off, and uses user_init in flash"]),
        (
            &|world| {
                with("memcpy")(world);
                world.replace("    *app.o(.literal", "    *heap.o(.text .text.*)\n    *app.o(.literal");
            },
            &[
                ".text.vPortFree of heap.o lies in flash, at 0x40203000",
                "vPortFree runs while the flash cache is off, and lies in flash",
            ],
        ),
    ]);
}

#[test]
fn what_others_use_of_a_library_must_be_there() {
    if !is_there("xtensa-lx106-elf-as") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let (assembly, object) = (folder.join("a.s"), folder.join("a.o"));
    std::fs::write(&assembly, function("here", ".text", "here: ret")).unwrap();
    output(xtensa("as").arg(&assembly).arg("-o").arg(&object)).unwrap();
    output(xtensa("ar").arg("rcs").arg(folder.join("libpart.a")).arg(&object)).unwrap();
    std::fs::create_dir(folder.join("link")).unwrap();
    std::fs::write(folder.join("link/rom.ld"), "").unwrap();
    let linker = Linker { firmware: folder.into(), libraries: folder.into(), work: folder.into() };
    let part = Part { package: "part", exports: "exports.txt", object: "part.o" };
    std::fs::write(folder.join("exports.txt"), "here\n").unwrap();
    assert!(linker.partial(part).is_ok());
    std::fs::write(folder.join("exports.txt"), "here\nthere # and everywhere\n").unwrap();
    assert_eq!(linker.partial(part).unwrap_err().message, "part lacks there");
}
