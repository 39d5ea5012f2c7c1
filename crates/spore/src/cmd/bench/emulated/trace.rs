//! Where instructions go: the emulator lists each one it executes, and the symbols of the programs say whose it is.

use super::stage::{MONITOR, Stage, built};
use crate::cmd::bench::report::Figure;
use crate::cmd::build::bill::crate_of;
use crate::cmd::build::elf::{Elf, Kind};
use crate::cmd::gdb::DEBUGGER;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use spore_image::{FLASH_WINDOW, FlashMap, Slot};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What the emulator's console says when it has done something.
const PROMPT: &[u8] = b"(qemu) ";
/// The list, in the node's folder.
const LIST: &str = "trace.log";
/// Shares under this are not told, in percent.
const SMALL: f64 = 2.0;

/// The emulator's console.
struct Monitor(UnixStream);

impl Monitor {
    fn open(folder: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(folder.join(MONITOR))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut monitor = Self(stream);
        monitor.answer()?;
        Ok(monitor)
    }

    fn answer(&mut self) -> std::io::Result<()> {
        let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
        while !said.ends_with(PROMPT) {
            match self.0.read(&mut buffer)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => said.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(())
    }

    fn say(&mut self, command: &str) -> std::io::Result<()> {
        writeln!(self.0, "{command}")?;
        self.answer()
    }
}

/// Instructions by the program or crate they belong to.
#[derive(Debug, Default, PartialEq)]
pub struct Shares(BTreeMap<String, u64>);

impl Shares {
    /// How many there were.
    pub fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// In percent, the largest first, small ones together.
    pub fn figures(&self) -> Vec<Figure> {
        let percent = |count: u64| count as f64 * 100.0 / self.all().max(1) as f64;
        let (mut shown, rest): (Vec<_>, Vec<_>) = self
            .0
            .iter()
            .map(|(name, count)| (name.clone(), percent(*count)))
            .partition(|(_, percent)| *percent >= SMALL);
        shown.sort_by(|one, other| other.1.total_cmp(&one.1));
        shown.push(("others".to_owned(), rest.iter().fold(0.0, |sum, (_, percent)| sum + percent)));
        shown.into_iter().map(|(name, percent)| Figure::new(name, percent, "%")).collect()
    }
}

/// Have the emulator list what it executes during `action`, which takes much longer that way.
pub fn during<T>(
    stage: &Stage,
    context: &Context,
    action: impl FnOnce() -> Outcome<T>,
) -> Outcome<(Shares, T)> {
    let folder = stage.folder();
    let cannot = |error: std::io::Error| Failure::other(format!("cannot speak to the emulator: {error}"));
    // The chip may well be too slow to show the lab's watchdog that it lives.
    let debugger = folder.join(DEBUGGER);
    std::fs::write(&debugger, std::process::id().to_string()).map_err(cannot)?;
    let mut monitor = Monitor::open(&folder).map_err(cannot)?;
    let begin = [format!("logfile {LIST}"), "singlestep on".to_owned(), "log exec,nochain".to_owned()];
    for command in &begin {
        monitor.say(command).map_err(cannot)?;
    }
    let result = action();
    for command in ["log none", "singlestep off"] {
        monitor.say(command).map_err(cannot)?;
    }
    let _ = std::fs::remove_file(debugger);
    let names = Names::read(context)?;
    let list = folder.join(LIST);
    let shares = File::open(&list).and_then(|file| names.count(BufReader::new(file))).map_err(cannot)?;
    let _ = std::fs::remove_file(list);
    Ok((shares, result?))
}

/// Whose the code at an address is.
struct Names {
    /// Functions by address: first byte, first behind, whose.
    functions: Vec<(u32, u32, String)>,
}

impl Names {
    fn read(context: &Context) -> Outcome<Self> {
        let mut functions = Vec::new();
        for file in ["rom.elf", "firmware.elf"] {
            let elf = Elf::read(&built(context, file))?;
            let code = elf.symbols.iter().filter(|symbol| symbol.kind == Kind::Function && symbol.placed);
            functions.extend(code.map(|symbol| {
                (symbol.address, symbol.address + symbol.size, whose(symbol.address, &symbol.name))
            }));
        }
        functions.sort();
        Ok(Self { functions })
    }

    fn at(&self, address: u32) -> &str {
        let behind = self.functions.partition_point(|(start, ..)| *start <= address);
        match self.functions[..behind].last() {
            Some((_, end, name)) if address < *end => name,
            _ => program(address),
        }
    }

    fn count(&self, list: impl std::io::BufRead) -> std::io::Result<Shares> {
        let mut addresses = BTreeMap::<u32, u64>::new();
        for line in list.split(b'\n') {
            if let Some(address) = executed(&line?) {
                *addresses.entry(linked(address)).or_default() += 1;
            }
        }
        let mut shares = Shares::default();
        for (address, count) in addresses {
            *shares.0.entry(self.at(address).to_owned()).or_default() += count;
        }
        Ok(shares)
    }
}

/// Where the symbols say that code lies, which are those of an image in slot A.
fn linked(address: u32) -> u32 {
    let Ok(map) = FlashMap::for_size(1 << 20) else { return address };
    let [a, b] = [Slot::A, Slot::B].map(|slot| FLASH_WINDOW + map.slot(slot).offset);
    if (b..b + map.slot_bytes()).contains(&address) { address - b + a } else { address }
}

/// The address in a line of the list: "Trace 0: 0x7fd150706f00 [00000000/40100050/00018014/ff020201] ".
fn executed(line: &[u8]) -> Option<u32> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("Trace ")?;
    u32::from_str_radix(line.split('/').nth(1)?, 16).ok()
}

/// Which program lies at an address.
fn program(address: u32) -> &'static str {
    match address {
        0x4000_0000..0x4010_0000 => "ROM's stand-in",
        0x4010_0000..0x4020_0000 => "SDK's stand-in",
        _ => "firmware",
    }
}

/// Whose a function is. What the ROM's stand-in does for memory and numbers, the ROM of a chip does as well.
fn whose(address: u32, symbol: &str) -> String {
    match program(address) {
        "firmware" => crate_of(&format!(".text.{symbol}")),
        "ROM's stand-in" if of_the_rom(symbol) => "ROM: memory and division".to_owned(),
        program => program.to_owned(),
    }
}

fn of_the_rom(symbol: &str) -> bool {
    ["memcpy", "memset", "memmove", "memcmp"].contains(&symbol)
        || symbol.starts_with("__")
        || crate_of(&format!(".text.{symbol}")) == "compiler_builtins"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_counted_by_owner() {
        let names = Names {
            functions: vec![
                (0x4000_1000, 0x4000_1010, whose(0x4000_1000, "memcpy")),
                (0x4020_3000, 0x4020_3010, whose(0x4020_3000, "_RNvNtCsjUP4KmvqKCr_10spore_core4math3add")),
            ],
        };
        let line =
            |address: u32| format!("Trace 0: 0x7fd150706f00 [00000000/{address:08x}/00018014/ff020201] \n");
        let list: String =
            [0x4000_1004, 0x4000_1010, 0x4020_3000, 0x4027_d00d, 0x4010_0000].map(line).concat()
                + "Stopped\nTrace";
        let shares = names.count(list.as_bytes()).unwrap();
        let expected = [
            ("ROM's stand-in", 1),
            ("ROM: memory and division", 1),
            ("SDK's stand-in", 1),
            ("spore_core", 2),
        ];
        let expected: BTreeMap<_, _> = expected.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(shares, Shares(expected));
        assert_eq!(shares.figures()[0], Figure::new("spore_core", 40.0, "%"));
    }
}
