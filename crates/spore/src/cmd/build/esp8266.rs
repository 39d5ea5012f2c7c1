//! The firmware for ESP8266: compile, link, check, pack.

use super::bill::{Bill, Share};
use super::check::{self, CacheRules, Program, Violation};
use super::link::{APP, BOOTLOADER, HEAP, Heap, Linker, ROM, SDK, Sdk, names, text, write};
use super::sdk::{Libraries, NO_RADIO};
use super::{BuildArgs, fresh, layout, tools};
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use spore_image::Version;
use spore_pack::PackError;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Chips whose whole content is built, and their sizes in bytes.
pub(in crate::cmd) const CHIPS: [(&str, u32); 3] =
    [("chip.bin", 1 << 20), ("chip-2M.bin", 2 << 20), ("chip-4M.bin", 4 << 20)];
/// How many bytes before its end a chip has the radio's calibration.
const RADIO_BEFORE_END: usize = 4 * 4096;
/// How many it has room for: a sector. Espressif's file has 128.
const RADIO_BYTES: usize = 4096;
/// Where docs/memory.md keeps the bill.
const MARKS: (&str, &str) = ("<!-- bill -->\n```\n", "```\n<!-- /bill -->");

/// Files of a build.
struct Places {
    firmware: PathBuf,
    /// What users take.
    out: PathBuf,
    /// Objects, maps, scripts.
    work: PathBuf,
}

/// Make the firmware and everything that an emulated board needs; the image's path is the last line printed.
pub fn run(args: &BuildArgs, sdk: &Sdk, context: &mut Context) -> Outcome {
    let firmware = context.root.join("firmware");
    if !firmware.join("Cargo.toml").exists() {
        return Err(Failure::other(format!("there is no firmware in {}", context.root.display()))
            .hint("run this inside SPORE's repository"));
    }
    let version = match &args.version {
        Some(version) => version.clone(),
        None => Version::parse(env!("CARGO_PKG_VERSION")).map_err(|error| {
            Failure::other(format!("the version {} is none: {error}", env!("CARGO_PKG_VERSION")))
        })?,
    };
    let out = context.root.join("build").join(sdk.board());
    let places = Places { firmware, work: out.join("link"), out };
    std::fs::create_dir_all(&places.work)
        .map_err(|error| Failure::other(format!("cannot make {}: {error}", places.work.display())))?;
    match sdk {
        Sdk::StandIn => context.note(
            "without Espressif's SDK (ESP8266_SDK_DIR) the firmware is linked with stand-ins, for the emulator",
        ),
        Sdk::Espressif(libraries, heap) => {
            let version = libraries.version()?;
            let heap = if *heap == Heap::Ours { " and a heap of ours, because it has none" } else { "" };
            context.note(&format!("the firmware is linked with Espressif's SDK {version}{heap}, for chips"));
            if libraries.radio()?.is_none() {
                context.note(NO_RADIO);
            }
        }
    }
    let bill = match up_to_date(&places, args, sdk, &version, context)? {
        (_, Some(bill)) => bill,
        (inputs, None) => {
            let bill = make(&places, args, sdk, &version, context)?;
            write(&places.out.join("inputs"), inputs.as_bytes())?;
            bill
        }
    };
    let image = places.out.join("firmware.spore");
    let image = match &args.output {
        Some(path) => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|error| Failure::other(format!("cannot make {}: {error}", folder.display())))?;
            }
            std::fs::copy(&image, path)
                .map_err(|error| Failure::other(format!("cannot write {}: {error}", path.display())))?;
            path.clone()
        }
        None => image,
    };
    keep(args, context, &bill)?;
    if context.json {
        let value = serde_json::from_str::<serde_json::Value>(&text(&places.out.join("bill.json"))?)
            .map_err(|error| Failure::other(format!("the bill is damaged: {error}")))?;
        return context
            .json_line(&serde_json::json!({"path": image, "name": args.name, "version": version.as_str(),
            "board": sdk.board(), "bill": value}));
    }
    Ok(write!(context.out, "{bill}\n{}\n", image.display())?)
}

/// What decides about a build, as a number, and the last build's bill when that has not changed.
fn up_to_date(
    places: &Places,
    args: &BuildArgs,
    sdk: &Sdk,
    version: &Version,
    context: &Context,
) -> Outcome<(String, Option<String>)> {
    let program = std::env::current_exe().unwrap_or_default();
    let crates = ["sentence", "wire", "image", "boot", "core", "node", "heap"]
        .map(|name| context.root.join(format!("crates/spore-{name}")));
    let others = ["examples", "Cargo.toml"].map(|name| context.root.join(name));
    let mut paths = vec![program.as_path(), places.firmware.as_path()];
    paths.extend(crates.iter().chain(&others).map(PathBuf::as_path));
    let mut outputs = vec!["bootloader.elf", "bootloader.bin", "firmware.elf", "firmware.spore", "bill.json"];
    match sdk {
        Sdk::StandIn => outputs.push("rom.elf"),
        Sdk::Espressif(libraries, _) => {
            paths.extend(libraries.files().iter().map(PathBuf::as_path).chain(libraries.radio_file()));
        }
    }
    let inputs = fresh::fingerprint(&paths, &[&args.name, version.as_str()])?;
    let mut outputs = outputs.into_iter().chain(CHIPS.map(|(name, _)| name));
    let fresh = std::fs::read_to_string(places.out.join("inputs")).is_ok_and(|before| before == inputs)
        && outputs.all(|name| places.out.join(name).exists());
    let bill = if fresh { std::fs::read_to_string(places.out.join("bill.txt")).ok() } else { None };
    Ok((inputs, bill))
}

fn make(
    places: &Places,
    args: &BuildArgs,
    sdk: &Sdk,
    version: &Version,
    context: &mut Context,
) -> Outcome<String> {
    let _ = std::fs::remove_file(places.out.join("inputs"));
    tools::need_rust(&places.firmware, context)?;
    tools::need_binutils(context)?;
    context.note("compiling the firmware");
    let env = [("SPORE_BOARD", sdk.board()), ("SPORE_VERSION", version.as_str())];
    let quiet = context.quiet || !std::io::stderr().is_terminal();
    let packages: &[&str] = match sdk {
        Sdk::StandIn => &[APP.package, SDK.package, BOOTLOADER, ROM],
        Sdk::Espressif(_, Heap::Own) => &[APP.package, BOOTLOADER],
        Sdk::Espressif(_, Heap::Ours) => &[APP.package, HEAP.package, BOOTLOADER],
    };
    let libraries = tools::cargo(&places.firmware, packages, &env, quiet)?;
    context.note("linking");
    let linker = Linker { firmware: places.firmware.clone(), libraries, work: places.work.clone() };
    let script = |name: &str| places.firmware.join("link").join(name);
    let out = |name: &str| places.out.join(name);
    let bootloader = linker.library(BOOTLOADER);
    linker.program(&script("bootloader.ld"), &[&bootloader], &[], true, &out("bootloader.elf"))?;
    let app = linker.partial(APP)?;
    let elf = out("firmware.elf");
    let (linked, stays) = match sdk {
        Sdk::StandIn => {
            linker.program(
                &script("rom-standin.ld"),
                &[&linker.library(ROM)],
                &[],
                false,
                &out("rom.elf"),
            )?;
            let stand_in = linker.partial(SDK)?;
            linker.firmware(&script("app.ld"), &[&app, &stand_in], &[], &elf)?
        }
        Sdk::Espressif(libraries, heap) => {
            let mut files = libraries.files().to_vec();
            files.push(Libraries::arithmetic()?);
            let mut objects = vec![app];
            if *heap == Heap::Ours {
                objects.push(linker.partial(HEAP)?);
            }
            let objects: Vec<_> = objects.iter().map(PathBuf::as_path).collect();
            linker.firmware(&script("app.ld"), &objects, &files, &elf)?
        }
    };

    context.note("checking");
    let program = Program::new(&linked);
    let packed = pack(&out("firmware.elf"), sdk, args, version);
    let bootloader = bootloader_image(&read(&out("bootloader.elf"))?);
    let mut bill = Bill::new(&program, &stays, APP.object);
    if let Sdk::Espressif(libraries, _) = sdk {
        bill.share = Share::of(&program, APP.object, libraries.version()?);
    }
    bill.bootloader = match &bootloader {
        Ok(image) => image.len() as u32,
        Err(PackError::RomTooLarge { bytes, .. }) => u32::try_from(*bytes).unwrap_or(u32::MAX),
        Err(_) => 0,
    };
    if let Ok(packed) = &packed {
        bill.relocations = packed.relocations;
        bill.relocation_table = packed.table;
        if let Sdk::Espressif(..) = sdk {
            // What the packer adds (gaps, the table of segments) is there because of the SDK's sections, for the most part.
            bill.share.image = (packed.image.len() as u32).saturating_sub(bill.flash.total());
        }
    }
    let rules = Rules {
        cache: cache_rules(&script("cache-off.txt"))?,
        rom: layout::assignments(&(text(&script("rom.ld"))? + &text(&script("rom-sdk.ld"))?)),
        contract: names(&text(&places.firmware.join(APP.exports))?),
    };
    let found = violations(&program, &rules, &bill);
    let bill_text = bill.text();
    if !found.is_empty() {
        let lines: Vec<_> = found.iter().map(|violation| format!("- {violation}")).collect();
        let message = format!("the firmware must not be used:\n{}", lines.join("\n"));
        if !args.unchecked {
            write!(context.out, "{bill_text}")?;
            return Err(Failure::other(message));
        }
        context.note(&message);
        if packed.is_err() || bootloader.is_err() {
            write!(context.out, "{bill_text}")?;
        }
    }
    let packed = packed?;
    let bootloader = bootloader.map_err(|error| {
        Failure::other(format!("cannot pack {}: {error}", out("bootloader.elf").display()))
    })?;
    write(&out("bootloader.bin"), &bootloader)?;
    write(&out("firmware.spore"), &packed.image)?;
    for (name, bytes) in CHIPS {
        let mut chip = spore_pack::chip(&bootloader, &packed.image, bytes)
            .map_err(|error| Failure::other(format!("cannot make a chip of this: {error}")))?;
        if let Sdk::Espressif(libraries, _) = sdk
            && let Some(radio) = libraries.radio()?
        {
            put_radio(&mut chip, &radio);
        }
        write(&out(name), &chip)?;
    }
    write(&out("bill.txt"), bill_text.as_bytes())?;
    let json = serde_json::to_string(&bill)
        .map_err(|error| Failure::other(format!("cannot write JSON: {error}")))?;
    write(&out("bill.json"), json.as_bytes())?;
    Ok(bill_text)
}

/// Puts the radio's calibration where the SDK looks for it: in the last sector but three.
pub(in crate::cmd) fn put_radio(chip: &mut [u8], data: &[u8]) {
    let start = chip.len().saturating_sub(RADIO_BEFORE_END);
    chip.iter_mut().skip(start).take(RADIO_BYTES).zip(data).for_each(|(to, from)| *to = *from);
}

/// The radio's calibration in a chip's content, if there is one.
pub(in crate::cmd) fn radio_of(chip: &[u8]) -> Option<Vec<u8>> {
    let start = chip.len().checked_sub(RADIO_BEFORE_END)?;
    let data = chip.get(start..)?.get(..RADIO_BYTES)?;
    data.iter().any(|byte| *byte != 0xFF).then(|| data.to_vec())
}

/// What the checks go by.
struct Rules {
    cache: CacheRules,
    /// Addresses in the ROM.
    rom: BTreeMap<String, u32>,
    /// What the SDK wants of the firmware.
    contract: Vec<String>,
}

fn violations(program: &Program, rules: &Rules, bill: &Bill) -> Vec<Violation> {
    let mut found = layout::vectors(program);
    found.extend(layout::sections(&program.linked.elf));
    found.extend(layout::rom(program, &rules.rom));
    found.extend(layout::contract(program, &rules.contract, APP.object));
    found.extend(check::arithmetic(program));
    found.extend(check::narrow(program));
    found.extend(layout::known_addresses(program, APP.object));
    found.extend(check::cache_off(program, &rules.cache, APP.object));
    found.extend(check::frames(program, APP.object));
    found.extend(bill.over());
    found
}

fn cache_rules(path: &Path) -> Outcome<CacheRules> {
    CacheRules::parse(&text(path)?).map_err(|line| {
        Failure::other(format!("{}: this line says nothing known: {line}", path.display()))
            .hint("lines are `root FUNCTION` and `hand-off FUNCTION TARGET`")
    })
}

fn pack(elf: &Path, sdk: &Sdk, args: &BuildArgs, version: &Version) -> Outcome<spore_pack::Packed> {
    spore_pack::pack(&read(elf)?, sdk.board(), &args.name, version.clone())
        .map_err(|error| Failure::other(format!("cannot pack {}: {error}", elf.display())))
}

fn bootloader_image(elf: &[u8]) -> Result<Vec<u8>, PackError> {
    use spore_pack::{RomFreq, RomMode, RomSize, rom_image};
    rom_image(elf, RomMode::default(), RomSize::default(), RomFreq::default())
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| Failure::other(format!("cannot read {}: {error}", path.display())))
}

/// Write the bill to docs/memory.md, or compare it with what is there.
fn keep(args: &BuildArgs, context: &Context, bill: &str) -> Outcome {
    if !args.save_bill && !args.check_bill {
        return Ok(());
    }
    let path = context.root.join("docs/memory.md");
    let page = text(&path)?;
    let kept = replace(&page, bill).ok_or_else(|| {
        Failure::other(format!("{} has no place for the bill", path.display()))
            .hint(format!("it lies between the lines {:?} and {:?}", MARKS.0, MARKS.1))
    })?;
    if args.save_bill {
        return write(&path, kept.as_bytes());
    }
    if kept == page {
        return Ok(());
    }
    let before: Vec<_> = page.lines().collect();
    let news: Vec<_> = bill.lines().filter(|line| !before.contains(line)).take(20).collect();
    Err(Failure::other(format!(
        "docs/memory.md keeps another bill than this build's; new lines:\n{}",
        news.join("\n")
    ))
    .hint(format!("{PROGRAM} build --save-bill, and commit docs/memory.md")))
}

/// The page with this bill in the place of its own.
fn replace(page: &str, bill: &str) -> Option<String> {
    let (before, rest) = page.split_once(MARKS.0)?;
    let (_, after) = rest.split_once(MARKS.1)?;
    Some(format!("{before}{}{bill}{}{after}", MARKS.0, MARKS.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_has_its_place() {
        let page = "# Memory\n\n<!-- bill -->\n```\nold\n```\n<!-- /bill -->\n\nEnd.\n";
        let new = replace(page, "new\nlines\n").unwrap();
        assert_eq!(new, "# Memory\n\n<!-- bill -->\n```\nnew\nlines\n```\n<!-- /bill -->\n\nEnd.\n");
        assert_eq!(replace(&new, "old\n").unwrap(), page);
        assert_eq!(replace("# Memory\n", "x"), None);
    }
}
