//! From the compiler's libraries to programs.

use super::elf::Elf;
use super::map::{self, Input};
use super::place::{self, Stays};
use super::sdk::{self, Libraries};
use super::tools::{output, xtensa};
use crate::exit::{Failure, Outcome};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the firmware is linked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// The stand-in of firmware/virtual/sdk, for the emulator.
    StandIn,
    /// Espressif's libraries, for chips.
    Espressif(Libraries, Heap),
}

/// The heap that Espressif's libraries use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heap {
    /// The one they bring.
    Own,
    /// firmware/heap, because they bring none.
    Ours,
}

impl Sdk {
    /// The board that an image's header names.
    pub fn board(&self) -> &'static str {
        match self {
            Self::StandIn => "esp8266-qemu",
            Self::Espressif(..) => "esp8266",
        }
    }
}

/// A static library of the firmware's workspace that is linked beside others.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub package: &'static str,
    /// The list in firmware/ of what others use of it.
    pub exports: &'static str,
    /// Its name in the link.
    pub object: &'static str,
}

/// The firmware: what an SDK wants of it is what it shows.
pub const APP: Part = Part { package: "spore-firmware", exports: "virtual/sdk/imports.txt", object: "app.o" };
/// The stand-in for the SDK.
pub const SDK: Part = Part { package: "spore-sdk", exports: "virtual/sdk/exports.txt", object: "sdk.o" };
/// The heap for copies of the SDK without one. All of it lies in instruction RAM.
pub const HEAP: Part = Part { package: "spore-sdk-heap", exports: "heap/exports.txt", object: "heap.o" };
/// The package of the second stage.
pub const BOOTLOADER: &str = "spore-bootloader";
/// The package of the stand-in for the chip and its ROM.
pub const ROM: &str = "spore-rom";

/// A linked program and what the linker says about it.
#[derive(Debug)]
pub struct Linked {
    pub elf: Elf,
    pub inputs: Vec<Input>,
    /// What `objdump -d` prints.
    pub listing: String,
}

impl Linked {
    /// Read a program and the map beside it.
    pub fn read(path: &Path) -> Outcome<Self> {
        let elf = Elf::read(path)?;
        let inputs = map::parse(&text(&path.with_extension("map"))?);
        let listing = output(xtensa("objdump").args(["-d", "--no-show-raw-insn"]).arg(path))?;
        Ok(Self { elf, inputs, listing: String::from_utf8_lossy(&listing).into_owned() })
    }
}

/// The linker, at work in one folder.
#[derive(Debug)]
pub struct Linker {
    /// firmware/.
    pub firmware: PathBuf,
    /// Where the libraries are.
    pub libraries: PathBuf,
    /// Where objects, maps and scripts go.
    pub work: PathBuf,
}

impl Linker {
    /// A package's library.
    pub fn library(&self, package: &str) -> PathBuf {
        self.libraries.join(format!("lib{}.a", package.replace('-', "_")))
    }

    fn rom_addresses(&self) -> PathBuf {
        self.firmware.join("link/rom.ld")
    }

    /// Join a library to one object of which only its exports are seen, so that several of them, each with a core of its own, can be
    /// linked together.
    pub fn partial(&self, part: Part) -> Outcome<PathBuf> {
        let object = self.work.join(part.object);
        let exports = names(&text(&self.firmware.join(part.exports))?);
        let whole = object.with_extension("whole.o");
        let mut ld = xtensa("ld");
        ld.args(["-r", "--gc-sections", "-o"]).arg(&whole);
        if let Some(first) = exports.first() {
            ld.args(["-e", first]);
        }
        for export in &exports {
            ld.args(["-u", export]);
        }
        // What the ROM has is not to be taken from the compiler's library: its addresses come first.
        output(ld.arg(self.rom_addresses()).arg(self.library(part.package)))?;
        let missing = undefined(&whole, &exports)?;
        if !missing.is_empty() {
            return Err(Failure::other(format!("{} lacks {}", part.package, missing.join(", ")))
                .hint(format!("firmware/{} lists what others use of it", part.exports)));
        }
        let keep = object.with_extension("exports");
        write(&keep, (exports.join("\n") + "\n").as_bytes())?;
        output(
            xtensa("objcopy")
                .arg(format!("--keep-global-symbols={}", keep.display()))
                .arg(&whole)
                .arg(&object),
        )?;
        let _ = std::fs::remove_file(whole);
        Ok(object)
    }

    /// Link objects by a script, in this order, with relocations kept, and a map.
    /// Libraries are looked through, again and again, for what the objects before them miss.
    pub fn program(
        &self,
        script: &Path,
        objects: &[&Path],
        libraries: &[PathBuf],
        with_rom: bool,
        to: &Path,
    ) -> Outcome<Linked> {
        let mut ld = xtensa("ld");
        ld.args(["-q", "--gc-sections", "--no-check-sections", "-nostdlib"]).arg("-L").arg(&self.work);
        ld.arg("-T").arg(script).arg("-Map").arg(to.with_extension("map")).arg("-o").arg(to);
        if with_rom {
            ld.arg(self.rom_addresses());
        }
        ld.args(objects);
        if !libraries.is_empty() {
            ld.arg(self.firmware.join("link/rom-sdk.ld"));
            ld.arg("--start-group").args(libraries).arg("--end-group");
        }
        output(&mut ld).map_err(|failure| sdk::explain(&failure.message).unwrap_or(failure))?;
        Linked::read(to)
    }

    /// Link the firmware: a draft first, to learn which constants of these objects may stay in flash. Those of libraries stay where
    /// their makers meant them to be.
    pub fn firmware(
        &self,
        script: &Path,
        objects: &[&Path],
        libraries: &[PathBuf],
        to: &Path,
    ) -> Outcome<(Linked, Vec<Stays>)> {
        let whose = if libraries.is_empty() { "*".to_owned() } else { format!("*{}", APP.object) };
        let draft = format!(
            "  .draft 0x{:08x} : SUBALIGN({}) {{ {whose}(.rodata .rodata.*) }}\n",
            place::DRAFT,
            place::APART
        );
        write(&self.work.join("draft.ld"), draft.as_bytes())?;
        write(&self.work.join("word-constants.ld"), b"")?;
        let linked = self.program(script, objects, libraries, true, &self.work.join("draft.elf"))?;
        let mut alignments = BTreeMap::new();
        for object in objects {
            let name = object.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for (section, align) in section_alignments(object)? {
                alignments.insert((name.clone(), section), align);
            }
        }
        let stays = place::judge(&linked.elf, &linked.inputs, &linked.listing, &alignments);
        write(&self.work.join("draft.ld"), b"")?;
        write(&self.work.join("word-constants.ld"), place::script(&stays).as_bytes())?;
        Ok((self.program(script, objects, libraries, true, to)?, stays))
    }
}

fn section_alignments(path: &Path) -> Outcome<Vec<(String, u64)>> {
    let cannot =
        |error: &dyn std::fmt::Display| Failure::other(format!("cannot read {}: {error}", path.display()));
    let data = std::fs::read(path).map_err(|error| cannot(&error))?;
    let file = object::File::parse(&*data).map_err(|error| cannot(&error))?;
    Ok(file
        .sections()
        .filter_map(|section| Some((section.name().ok()?.to_owned(), section.align())))
        .collect())
}

/// Those of these symbols that an object does not define.
fn undefined(path: &Path, names: &[String]) -> Outcome<Vec<String>> {
    let data = std::fs::read(path)
        .map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))?;
    let file = object::File::parse(&*data)
        .map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))?;
    let defined: BTreeSet<&str> = file
        .symbols()
        .filter(|symbol| symbol.is_definition())
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    Ok(names.iter().filter(|name| !defined.contains(name.as_str())).cloned().collect())
}

/// The names in a list: one a line, `#` begins a comment.
pub fn names(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// A file's text.
pub fn text(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))
}

/// Write a file whole.
pub fn write(path: &Path, bytes: &[u8]) -> Outcome {
    std::fs::write(path, bytes)
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))
}
