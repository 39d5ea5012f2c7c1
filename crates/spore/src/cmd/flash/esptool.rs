//! Espressif's esptool, a program of its own: installed on first use, run, and what it says put into our words.

use super::plan::Part;
use crate::cmd::build::tools;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Kind, Outcome};
use crate::output::progress::Progress;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is installed, pinned whole.
const REQUIREMENTS: &str = include_str!("esptool.txt");
/// Where, in the project.
const FOLDER: &str = "build/esptool";
/// What to do when no chip answers.
const NO_ANSWER: &str = "the chip must start with GPIO0 at ground: unplug the adapter, connect GPIO0 to GND, plug it in again and repeat the \
    command (most adapters for ESP-01 cannot do that by themselves). Also: TX to RX and RX to TX, EN at 3.3 V, no other program on the \
    port, a supply of 300 mA; docs/hardware.md shows the wiring";
/// What to do when a chip no longer answers.
const BROKEN_OFF: &str = "what is on the board is incomplete now; unplug it, plug it in again with GPIO0 at ground, and repeat the command: it \
    writes everything anew. If it breaks off again: another cable or supply, or a lower --baud";

/// The program.
pub struct Esptool {
    program: PathBuf,
    port: PathBuf,
    stub: bool,
    /// Set by Ctrl-C, which reaches esptool as well. We do not end before it: temporary files hold a pass phrase.
    interrupted: Arc<AtomicBool>,
}

/// What the chip said about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chip {
    /// Such as `ESP8266EX`.
    pub kind: String,
    /// Its address, such as `18:fe:34:ab:34:12`.
    pub mac: String,
    /// Size of its flash chip, if that says so.
    pub flash_bytes: Option<u64>,
}

impl Chip {
    /// From what esptool prints.
    fn parse(said: &str) -> Self {
        let value = |key: &str| said.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
        let size = value("Auto-detected flash size:").or_else(|| value("Detected flash size:"));
        Self {
            kind: value("Chip type:").unwrap_or_default(),
            mac: value("MAC:").unwrap_or_default(),
            flash_bytes: size.and_then(|size| bytes_of(&size)),
        }
    }
}

/// The number in `512KB` or `4MB`.
fn bytes_of(text: &str) -> Option<u64> {
    let unit = |suffix: &str, shift: u32| text.strip_suffix(suffix)?.parse::<u64>().ok()?.checked_shl(shift);
    unit("KB", 10).or_else(|| unit("MB", 20))
}

impl Esptool {
    /// The program for a board on this port. Without `stub`, nothing is loaded into the chip's RAM to help.
    pub fn new(program: PathBuf, port: &Path, stub: bool, interrupted: Arc<AtomicBool>) -> Self {
        Self { program, port: port.to_owned(), stub, interrupted }
    }

    /// Ask the chip what it is and, where the stub is there to do it, read the first bytes of its flash.
    pub fn look(&self, length: u32, context: &Context) -> Outcome<(Chip, Option<Vec<u8>>)> {
        if !self.stub {
            let said = self.run(&["--after", "no-reset", "flash-id"], &mut |_| {}, context)?;
            return Ok((Chip::parse(&said), None));
        }
        let (said, content) = self.read_flash(0, length, context)?;
        Ok((Chip::parse(&said), Some(content)))
    }

    /// Read a part of the flash.
    pub fn read(&self, offset: u32, length: u32, context: &Context) -> Outcome<Vec<u8>> {
        Ok(self.read_flash(offset, length, context)?.1)
    }

    fn read_flash(&self, offset: u32, length: u32, context: &Context) -> Outcome<(String, Vec<u8>)> {
        let folder = Scratch::new()?;
        let file = folder.0.join("read");
        let (offset, length) = (format!("{offset:#x}"), format!("{length:#x}"));
        let words = [
            "--after",
            "no-reset-stub",
            "read-flash",
            "--flash-size",
            "detect",
            &offset,
            &length,
            &shown(&file),
        ];
        let said = self.run(&words, &mut |_| {}, context)?;
        let content = std::fs::read(&file)
            .map_err(|error| Failure::other(format!("esptool did not write {}: {error}", file.display())))?;
        Ok((said, content))
    }

    /// Write parts in their order, each erased and verified, and reset the board.
    pub fn write(&self, parts: &[Part], baud: u32, mode: &str, size: &str, context: &Context) -> Outcome {
        let folder = Scratch::new()?;
        let baud = baud.to_string();
        let mut words: Vec<String> =
            ["--baud", &baud, "--after", "hard-reset", "write-flash"].map(Into::into).into();
        // The bootloader's header says these already. esptool is told the same, lest it change them.
        words.extend(["--flash-mode", mode, "--flash-freq", "40m", "--flash-size", size].map(Into::into));
        for (index, part) in parts.iter().enumerate() {
            let file = folder.0.join(format!("part-{index}"));
            std::fs::write(&file, &part.bytes)
                .map_err(|error| Failure::other(format!("cannot write {}: {error}", file.display())))?;
            words.extend([format!("{:#x}", part.offset), shown(&file)]);
        }
        let total = parts.iter().map(|part| part.bytes.len()).sum();
        let progress = Progress::new("flash", total, context.quiet);
        let mut written = Written::new(parts);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let outcome = self.run(&words, &mut |line| progress.set(written.after(line)), context);
        progress.finish();
        outcome.map(drop).map_err(|failure| match failure.kind {
            // The chip was reached a moment ago.
            Kind::Unreachable if written.begun() => Failure::new(
                Kind::Unreachable,
                format!("the connection broke off while writing: {}", failure.message),
            )
            .hint(BROKEN_OFF),
            _ => failure,
        })
    }

    /// Run the program; each line it prints goes to `heard`. What it printed.
    fn run(&self, words: &[&str], heard: &mut dyn FnMut(&str), context: &Context) -> Outcome<String> {
        let mut command = Command::new(&self.program);
        command.args(["--chip", "esp8266", "--port"]).arg(&self.port);
        if !self.stub {
            command.arg("--no-stub");
        }
        command.args(words);
        if context.verbose > 0 {
            context.note(&format!("{command:?}"));
        }
        // Whole lines at once, of a width of which ours do not depend on the terminal.
        command.env("PYTHONUNBUFFERED", "1").env("COLUMNS", "120").env_remove("ESPTOOL_CFGFILE");
        let cannot = |error| {
            Failure::other(format!("cannot run {}: {error}", self.program.display()))
                .hint(format!("SPORE_ESPTOOL names esptool, if not what {PROGRAM} flash --prepare installs"))
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot)?;
        let errors = child.stderr.take();
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What cannot be read is not there; the exit code tells of the failure.
            let _ = errors.map(|mut errors| errors.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut said = String::new();
        for line in child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).split(b'\n')) {
            let line = String::from_utf8_lossy(&line.map_err(cannot)?).into_owned();
            if context.verbose > 1 {
                context.note(&line);
            }
            heard(&line);
            said.push_str(&line);
            said.push('\n');
        }
        let status = child.wait().map_err(cannot)?;
        let errors = errors.join().unwrap_or_default();
        if context.verbose > 1 {
            context.note(&errors);
        }
        if status.success() { Ok(said) } else { Err(self.explain(status, &errors)) }
    }

    /// Why it failed, from the line in which it says so.
    fn explain(&self, status: ExitStatus, errors: &str) -> Failure {
        if self.interrupted.load(Ordering::Relaxed) {
            return Failure::other("interrupted").hint(BROKEN_OFF);
        }
        let line = errors.lines().find_map(|line| line.split_once("error occurred: "));
        let Some((_, why)) = line else {
            let end: Vec<_> = errors.lines().rev().take(5).collect();
            let end: Vec<_> = end.into_iter().rev().collect();
            return Failure::other(format!("esptool failed ({status}):\n{}", end.join("\n")))
                .hint(format!("again with -vv shows all it says: {PROGRAM} flash -vv"));
        };
        let port = self.port.display();
        if why.contains("Failed to connect") {
            Failure::new(Kind::Unreachable, format!("no chip answers on {port}: {why}")).hint(NO_ANSWER)
        } else if why.contains("This chip is") {
            Failure::new(Kind::Refused, format!("the chip on {port} is no ESP8266: {why}"))
        } else if why.contains("MD5") || why.contains("Write failed") {
            Failure::other(format!("what was written cannot be read back: {why}"))
                .hint("the flash chip is worn or has too little current; try another supply, and --mode dout")
        } else if why.contains("exclusively lock") || why.contains("busy") {
            Failure::new(Kind::Unreachable, format!("another program has {port} open: {why}"))
                .hint("end it: a monitor, an IDE, ModemManager")
        } else if why.contains("could not open port") || why.contains("No such file") {
            Failure::new(Kind::Unreachable, format!("{port} is gone")).hint(BROKEN_OFF)
        } else {
            Failure::new(Kind::Unreachable, why.to_owned()).hint(BROKEN_OFF)
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A folder of our own among the temporary files, gone at the end. It may hold a pass phrase: nobody else may look.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Outcome<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let cannot = |error| Failure::other(format!("cannot make a temporary folder: {error}"));
        let mut number = std::process::id();
        loop {
            let folder = std::env::temp_dir().join(format!("spore-flash-{number}"));
            match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    number = number.wrapping_add(7919)
                }
                Err(error) => return Err(cannot(error)),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How many bytes are written, by what esptool prints.
struct Written {
    sizes: Vec<usize>,
    /// Parts begun.
    parts: usize,
    /// Of the part begun last, in percent.
    percent: f64,
}

impl Written {
    fn new(parts: &[Part]) -> Self {
        Self { sizes: parts.iter().map(|part| part.bytes.len()).collect(), parts: 0, percent: 0.0 }
    }

    fn begun(&self) -> bool {
        self.parts > 0
    }

    /// Bytes written after this line: `Writing 'file' at 0x…` begins a part, `Writing at 0x… 27.2% …` is in the middle of one.
    fn after(&mut self, line: &str) -> usize {
        if line.starts_with("Writing '") || (self.parts == 0 && line.starts_with("Flash will be erased")) {
            self.parts += 1;
            self.percent = 0.0;
        } else if let Some(percent) = line.strip_prefix("Writing at ").and_then(|rest| rest.split('%').next())
            && let Some(percent) = percent.rsplit(' ').next().and_then(|percent| percent.parse::<f64>().ok())
        {
            self.percent = percent.clamp(0.0, 100.0);
        }
        let before: usize = self.sizes.iter().take(self.parts.saturating_sub(1)).sum();
        let this = self.sizes.get(self.parts.saturating_sub(1)).copied().unwrap_or(0);
        before + (this as f64 * self.percent / 100.0) as usize
    }
}

/// Where esptool is; installed if it is not there yet.
pub fn get(context: &Context) -> Outcome<PathBuf> {
    if let Some(setting) = context.env.get("SPORE_ESPTOOL") {
        return Ok(setting.value.into());
    }
    let folder = context.root.join(FOLDER);
    let program = folder.join("bin/esptool");
    let mark = folder.join("requirements.txt");
    if program.is_file() && std::fs::read_to_string(&mark).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(program);
    }
    let version = REQUIREMENTS.lines().find_map(|line| line.strip_prefix("esptool==")).unwrap_or_default();
    context.note(&format!("installing esptool {version} into {} (once)", folder.display()));
    install(&folder)?;
    std::fs::write(&mark, REQUIREMENTS)
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", mark.display())))?;
    Ok(program)
}

fn install(folder: &Path) -> Outcome {
    let by_hand = "or install esptool 5 yourself, and name it: SPORE_ESPTOOL=/path/to/esptool";
    if !tools::is_there("python3") {
        return Err(Failure::other("esptool needs Python 3.10 or later, and there is no python3").hint(
            format!("install it (Debian, Ubuntu: sudo apt-get install -y python3 python3-venv), {by_hand}"),
        ));
    }
    let make = || tools::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    let made = make().or_else(|failure| {
        // Debian has the module in a package of its own.
        if tools::install_package("python3-venv") { make() } else { Err(failure) }
    });
    made.map_err(|failure| failure.hint(format!("sudo apt-get install -y python3-venv, {by_hand}")))?;
    let list = folder.join("wanted.txt");
    std::fs::write(&list, REQUIREMENTS)
        .map_err(|error| Failure::other(format!("cannot write {}: {error}", list.display())))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&list);
    tools::output(&mut pip).map_err(|failure| {
        failure.about("esptool could not be installed").hint(format!("is there a network? {by_hand}"))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn what_esptool_says_about_a_chip() {
        let said = "Chip type:          ESP8266EX\nMAC:                18:fe:34:ab:34:12\nAuto-detected flash size: 1MB\n";
        let chip =
            Chip { kind: "ESP8266EX".into(), mac: "18:fe:34:ab:34:12".into(), flash_bytes: Some(1 << 20) };
        assert_eq!(Chip::parse(said), chip);
        assert_eq!(Chip::parse("Detected flash size: 512KB\n").flash_bytes, Some(512 << 10));
        assert_eq!(Chip::parse("Detected flash size: Unknown\n"), Chip::default());
    }

    #[test]
    fn progress_over_all_parts() {
        let part = |length| Part { what: "x", offset: 0, bytes: vec![0; length] };
        let mut written = Written::new(&[part(100), part(300)]);
        let mut after = |line: &str| written.after(line);
        assert_eq!(after("Configuring flash size..."), 0);
        assert_eq!(after("Writing '/tmp/part-0' at 0x000f8000..."), 0);
        assert_eq!(after("Flash will be erased from 0x000f8000 to 0x000fafff..."), 0);
        assert_eq!(after("Writing at 0x000f8000 ━━━━━━━━  50.0% 31B/31B [0s] "), 50);
        assert_eq!(after("Writing at 0x000f8000 ━━━━━━━━ 100.0% 31B/31B [0s] "), 100);
        assert_eq!(after("Writing '/tmp/part-1' at 0x00002000..."), 100);
        assert_eq!(after("Writing at 0x00005ff9 ━━━━━━━━━━━━━━━━  10.0% 16.00kB/58.82kB [0s] "), 130);
    }

    #[test]
    fn its_errors_in_our_words() {
        let tool = Esptool::new("esptool".into(), Path::new("/dev/ttyUSB0"), true, Arc::default());
        let explain = |text: &str| tool.explain(ExitStatus::from_raw(2 << 8), text);
        let connect = explain(
            "WARNING: x\nERROR: A fatal error occurred: Failed to connect to ESP8266: No serial data received.\nmore\n",
        );
        assert_eq!(connect.kind, Kind::Unreachable);
        assert!(connect.message.contains("/dev/ttyUSB0") && connect.hint.unwrap().contains("GPIO0"));
        assert_eq!(
            explain("ERROR: A fatal error occurred: This chip is ESP32, not ESP8266.").kind,
            Kind::Refused
        );
        assert_eq!(explain("ERROR: A fatal error occurred: MD5 of file does not match").kind, Kind::Other);
        assert_eq!(
            explain("ERROR: A serial exception error occurred: could not open port x").kind,
            Kind::Unreachable
        );
        let busy = explain(
            "ERROR: A serial exception error occurred: could not open port x: Could not exclusively lock",
        );
        assert!(busy.message.contains("another program"), "{}", busy.message);
        let other = explain("Traceback\nValueError: x\n");
        assert!(
            other.message.contains("ValueError") && other.hint.unwrap().contains("-vv"),
            "{}",
            other.message
        );
    }
}
