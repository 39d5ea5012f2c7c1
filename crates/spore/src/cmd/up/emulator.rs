//! What emulated nodes need: QEMU, and the firmware built for it.

use crate::cmd::build::{self, esp8266::CHIPS};
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use spore_lab::Emulator;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The emulator, unless `SPORE_QEMU` names another.
const QEMU: &str = "qemu-system-xtensa";

/// Make what emulated nodes are made of, as far as it is not there.
pub fn prepare(context: &Context) -> Outcome {
    // Before the firmware is compiled, which takes a while.
    qemu(context)?;
    if context.root.join("firmware/Cargo.toml").is_file() {
        build::for_emulator(context)?;
    }
    find(context, 1).map(drop)
}

fn qemu(context: &Context) -> Outcome<PathBuf> {
    let program = context.env.get("SPORE_QEMU").map_or(QEMU.to_owned(), |setting| setting.value);
    locate(&program, std::env::var_os("PATH").as_deref()).ok_or_else(|| {
        Failure::other(format!("emulated nodes run in QEMU, and {program} is not there"))
            .hint("install it: sudo apt-get install -y qemu-system-misc (macOS: brew install qemu)")
    })
}

/// Find what emulated nodes are made of, with a flash chip of so many megabytes.
pub fn find(context: &Context, megabytes: u16) -> Outcome<Emulator> {
    let program = qemu(context)?;
    let folder = context.root.join("build/esp8266-qemu");
    let chip = CHIPS.iter().find(|(_, bytes)| *bytes == u32::from(megabytes) << 20);
    let (chip, _) = chip.ok_or_else(|| Failure::other("a flash chip has 1, 2 or 4 MB"))?;
    let setting = context.env.get("SPORE_QEMU_ARGS").map(|setting| setting.value).unwrap_or_default();
    let arguments = setting.split_whitespace().map(Into::into).collect();
    let emulator = Emulator { program, rom: folder.join("rom.elf"), chip: folder.join(chip), arguments };
    for file in [&emulator.rom, &emulator.chip] {
        if !file.is_file() {
            return Err(Failure::other(format!(
                "the firmware is not built: {} is not there",
                file.display()
            ))
            .hint(format!("{PROGRAM} build --board esp8266")));
        }
    }
    Ok(emulator)
}

/// Where a program is: a path as it is written, a name in the folders of `path`.
pub fn locate(program: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if program.contains('/') {
        return Path::new(program).canonicalize().ok();
    }
    std::env::split_paths(path?).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_in;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().canonicalize().unwrap().join("qemu");
        std::fs::write(&file, "").unwrap();
        let path = std::env::join_paths([Path::new("/nowhere"), temp.path()]).unwrap();
        assert!(locate("qemu", Some(&path)).is_some());
        assert_eq!(locate("qemu", Some(OsStr::new("/nowhere"))), None);
        assert_eq!(locate("qemu", None), None);
        assert_eq!(locate(file.to_str().unwrap(), None), Some(file));
        assert_eq!(locate("/nowhere/qemu", Some(&path)), None);
    }

    #[test]
    fn a_missing_emulator_is_told_with_the_remedy() {
        let temp = tempfile::tempdir().unwrap();
        let environment = [("SPORE_QEMU", "/nowhere/qemu")];
        let failure = run_in(temp.path(), &["up", "--emulated", "1"], &environment).0.unwrap_err();
        assert!(failure.message.contains("/nowhere/qemu"), "{}", failure.message);
        assert!(failure.hint.unwrap().contains("apt-get install -y qemu-system-misc"));
        for line in [&["up", "--nodes", "0"][..], &["up", "--nodes", "250", "--emulated", "1"]] {
            let failure = run_in(temp.path(), line, &environment).0.unwrap_err();
            assert!(failure.message.contains("1 to 250 nodes"), "{}", failure.message);
        }
    }
}
