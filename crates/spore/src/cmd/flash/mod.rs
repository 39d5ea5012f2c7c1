//! `spore flash`: a board on a USB adapter becomes a node.

mod content;
mod esptool;
mod plan;

use crate::cmd::monitor::View;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Kind, Outcome};
use crate::serial::{Heard, LOG_BAUD, Line, ports};
use clap::{Args, ValueEnum};
use content::Content;
use esptool::{Chip, Esptool};
use plan::{HEAD, Held, Plan, Settings};
use serde_json::json;
use spore_image::FlashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Lines of its log after which a board has started.
const LINES: usize = 8;
/// A board that said something and then nothing for so long has said what there is.
const SAID: Duration = Duration::from_secs(2);

/// Arguments of `spore flash`.
#[derive(Debug, Args)]
pub struct FlashArgs {
    /// Serial port [else: SPORE_PORT, or the only USB adapter]
    #[arg(long, value_name = "DEVICE")]
    port: Option<PathBuf>,
    /// Rate at which the flash is written, in baud
    #[arg(long, default_value_t = LOG_BAUD, value_parser = clap::value_parser!(u32).range(9_600..=2_000_000))]
    baud: u32,
    /// How the flash chip is read: every board can do dout, which an ESP-01S needs
    #[arg(long, value_enum, default_value_t = Mode::Dout)]
    mode: Mode,
    /// Size of the flash chip [default: what it says]
    #[arg(long)]
    size: Option<Size>,
    /// Image to write [default: the one in build/esp8266, built first where ESP8266_SDK_DIR is set]
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Name of the node [default: from its chip id]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Give the board the network of WIFI_SSID and WIFI_PASSWORD, though it has one of its own
    #[arg(long)]
    wifi: bool,
    /// Forget the settings that a board which runs SPORE has, and what Espressif's SDK remembers
    #[arg(long)]
    erase: bool,
    /// Do without esptool's helper on the chip: slow, and nothing can be read back
    #[arg(long, requires = "erase")]
    no_stub: bool,
    /// Do not wait for the board to start
    #[arg(long)]
    no_wait: bool,
    /// Only install esptool, and print where it is
    #[arg(long)]
    prepare: bool,
}

/// How the flash chip is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Two lines for data
    Dout,
    /// Two lines for address and data
    Dio,
    /// Four lines for data
    Qout,
    /// Four lines for address and data
    Qio,
}

impl Mode {
    /// As the bootloader's header has it.
    fn code(self) -> u8 {
        match self {
            Self::Qio => 0,
            Self::Qout => 1,
            Self::Dio => 2,
            Self::Dout => 3,
        }
    }

    /// As esptool names it.
    fn name(self) -> &'static str {
        match self {
            Self::Qio => "qio",
            Self::Qout => "qout",
            Self::Dio => "dio",
            Self::Dout => "dout",
        }
    }
}

/// Size of a flash chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    /// 1 MB
    #[value(name = "1M")]
    M1,
    /// 2 MB
    #[value(name = "2M")]
    M2,
    /// 4 MB, and what is larger
    #[value(name = "4M")]
    M4,
}

impl Size {
    fn bytes(self) -> u32 {
        match self {
            Self::M1 => 1 << 20,
            Self::M2 => 2 << 20,
            Self::M4 => 4 << 20,
        }
    }

    /// As esptool names it.
    fn name(self) -> &'static str {
        match self {
            Self::M1 => "1MB",
            Self::M2 => "2MB",
            Self::M4 => "4MB",
        }
    }
}

/// A network to join.
#[derive(Clone)]
struct Network {
    ssid: String,
    password: String,
}

/// What the user wants of the settings.
#[derive(Clone, Default)]
struct Wanted {
    hostname: Option<String>,
    network: Option<Network>,
    replace_network: bool,
}

impl Wanted {
    fn new(args: &FlashArgs, context: &Context) -> Outcome<Self> {
        let setting = |key| context.env.get(key).map(|setting| setting.value);
        // Without a pass phrase it is an open network.
        let network = setting("WIFI_SSID")
            .map(|ssid| Network { ssid, password: setting("WIFI_PASSWORD").unwrap_or_default() });
        if args.wifi && network.is_none() {
            return Err(Failure::other("--wifi gives the board the network of WIFI_SSID, which is not set")
                .hint("write WIFI_SSID and WIFI_PASSWORD into .env (.env.example)"));
        }
        Ok(Self { hostname: args.hostname.clone(), network, replace_network: args.wifi })
    }
}

/// Flash the board, and show how it starts.
pub fn run(args: &FlashArgs, context: &mut Context) -> Outcome {
    if args.prepare {
        let program = esptool::get(context)?;
        return Ok(writeln!(context.out, "{}", program.display())?);
    }
    let wanted = Wanted::new(args, context)?;
    let content = Content::find(args, context)?;
    let port = ports::choose(args.port.as_deref(), context)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, interrupted.clone())
        .map_err(|error| Failure::other(format!("cannot catch signals: {error}")))?;
    // Its errors say more than esptool's.
    drop(crate::serial::open(&port, LOG_BAUD)?);
    let tool = Esptool::new(esptool::get(context)?, &port, !args.no_stub, interrupted.clone());

    context.note("looking at the board");
    let (chip, head) = tool.look(HEAD, context)?;
    let size = size_of(&chip, args.size, context)?;
    let map = FlashMap::for_size(size.bytes()).map_err(|error| Failure::other(error.to_string()))?;
    let held = match head {
        Some(head) if !args.erase => {
            let tail = plan::tail(&map);
            Some(Held { head, tail: tool.read(tail.offset, tail.length, context)? })
        }
        _ => None,
    };
    let fresh = content.chip(&map, args.mode)?;
    let plan = Plan::new(&fresh, content.image.bytes.len(), &map, held.as_ref(), &wanted)?;
    for note in &plan.notes {
        context.note(note);
    }
    tool.write(&plan.parts, args.baud, args.mode.name(), size.name(), context)?;

    let report = Report { port: &port, chip: &chip, size, content: &content, plan: &plan, map: &map };
    if !context.json {
        report.write(context)?;
    }
    let started = if args.no_wait { None } else { Some(starts(&port, &interrupted, context)?) };
    if context.json { context.json_line(&report.json(started)) } else { Ok(()) }
}

/// The size to go by: what the chip says, or less if the user wants.
fn size_of(chip: &Chip, wanted: Option<Size>, context: &Context) -> Outcome<Size> {
    let refused = |message: String| Failure::new(Kind::Refused, message);
    let Some(bytes) = chip.flash_bytes else {
        return wanted.ok_or_else(|| {
            refused("the flash chip does not say how large it is".into()).hint(
                "look at its marking, or try --size 1M: every board has that, but for blue ESP-01 of 512 KB",
            )
        });
    };
    if bytes < 1 << 20 {
        return Err(refused(format!(
            "the board has {} KB of flash; SPORE needs 1 MB: an image, and room for its successor",
            bytes >> 10
        ))
        .hint("blue ESP-01 boards have 512 KB, black ones and ESP-01S 1 MB"));
    }
    let largest = match bytes >> 20 {
        1 => Size::M1,
        2 | 3 => Size::M2,
        _ => Size::M4,
    };
    if bytes > 4 << 20 {
        context.note(&format!("of the {} MB of flash 4 are used", bytes >> 20));
    }
    match wanted {
        Some(size) if size.bytes() > largest.bytes() => {
            Err(refused(format!("the flash chip has {} MB, not {}", bytes >> 20, size.name())))
        }
        Some(size) => Ok(size),
        None => Ok(largest),
    }
}

/// Show the first lines of the board's log; whether there were any.
fn starts(port: &Path, interrupted: &AtomicBool, context: &mut Context) -> Outcome<bool> {
    // Of the log nothing belongs into a result in JSON.
    let mut nowhere = std::io::sink();
    let json = context.json;
    let patience = context.wait(10);
    context.note(&format!(
        "written; the board starts. If it does not: GPIO0 off ground, then unplug it and plug it in ({} s)",
        patience.as_secs()
    ));
    let begun = Instant::now();
    let mut said = None;
    let mut line = None;
    let mut view = View::new(context, false);
    while begun.elapsed() < patience && view.shown < LINES && !interrupted.load(Ordering::Relaxed) {
        // It may be unplugged right now.
        let Some(open) = &line else {
            line = Line::open(port, LOG_BAUD).ok();
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let heard = if json {
            view.listen(open, &mut context.with_output(&mut nowhere))?
        } else {
            view.listen(open, context)?
        };
        match heard {
            Heard::Bytes(_) => said = Some(Instant::now()),
            Heard::Silence if said.is_some_and(|said| said.elapsed() > SAID) => break,
            Heard::Silence => {}
            Heard::Gone => line = None,
        }
    }
    if said.is_none() {
        context.note("the board has not said anything yet");
    }
    context.note(&format!("go on watching it: {PROGRAM} monitor; see it join: {PROGRAM} cluster members"));
    Ok(said.is_some())
}

/// What was done.
struct Report<'a> {
    port: &'a Path,
    chip: &'a Chip,
    size: Size,
    content: &'a Content,
    plan: &'a Plan,
    map: &'a FlashMap,
}

impl Report<'_> {
    fn left(&self) -> usize {
        (self.map.slot_bytes() as usize).saturating_sub(self.content.image.bytes.len())
    }

    fn settings(&self) -> &'static str {
        match self.plan.settings {
            Settings::New => "new",
            Settings::Kept => "kept",
            Settings::Changed(_) => "changed",
        }
    }

    fn write(&self, context: &mut Context) -> Outcome {
        let image = &self.content.image;
        let Chip { kind, mac, .. } = self.chip;
        writeln!(
            context.out,
            "board     {kind}, {mac}, {} of flash, on {}",
            self.size.name(),
            self.port.display()
        )?;
        writeln!(
            context.out,
            "image     {} {}, {} bytes; {} bytes of its slot are left for successors",
            image.header.name,
            image.version(),
            image.bytes.len(),
            self.left()
        )?;
        let network = match &self.plan.ssid {
            Some(ssid) => format!("joins {ssid:?}"),
            None => "knows no network: it opens the access point spore-xxxxxx to be told one".into(),
        };
        let what = match &self.plan.settings {
            Settings::Changed(what) => format!("changed ({})", what.join(", ")),
            _ => self.settings().to_owned(),
        };
        Ok(writeln!(context.out, "settings  {what}; {network}")?)
    }

    fn json(&self, started: Option<bool>) -> serde_json::Value {
        let image = &self.content.image;
        json!({
            "port": self.port, "chip": self.chip.kind, "mac": self.chip.mac, "flashBytes": self.map.bytes(),
            "image": {
                "path": image.path, "name": image.header.name.as_str(), "version": image.version(), "sha256": image.sha256(),
                "bytes": image.bytes.len(), "left": self.left(),
            },
            "ranSpore": self.plan.runs_spore, "settings": self.settings(), "ssid": self.plan.ssid, "started": started,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run_in;

    fn size(bytes: Option<u64>, wanted: Option<Size>) -> Outcome<Size> {
        let mut nowhere = Vec::new();
        let context = Context::new(
            &crate::args::Global { quiet: true, ..Default::default() },
            Path::new("/"),
            crate::dotenv::Env::of(&[]),
            &mut nowhere,
        );
        size_of(&Chip { flash_bytes: bytes, ..Chip::default() }, wanted, &context)
    }

    #[test]
    fn sizes() {
        let mb = |count: u64| Some(count << 20);
        assert_eq!(size(mb(1), None).unwrap(), Size::M1);
        assert_eq!(size(mb(4), Some(Size::M1)).unwrap(), Size::M1);
        assert_eq!(size(mb(16), None).unwrap(), Size::M4);
        assert_eq!(size(None, Some(Size::M2)).unwrap(), Size::M2);
        for (bytes, wanted) in [
            (Some(512 << 10), None),
            (Some(512 << 10), Some(Size::M1)),
            (mb(1), Some(Size::M2)),
            (None, None),
        ] {
            assert_eq!(size(bytes, wanted).unwrap_err().kind, Kind::Refused, "{bytes:?}");
        }
    }

    #[test]
    fn what_can_be_known_without_a_board_is_said_without_one() {
        let temp = tempfile::tempdir().unwrap();
        let failure = |line: &[&str], env: &[(&str, &str)]| run_in(temp.path(), line, env).0.unwrap_err();
        let none = failure(&["flash"], &[]);
        assert!(none.message.contains("no firmware for chips"), "{}", none.message);
        assert!(none.hint.unwrap().contains("ESP8266_SDK_DIR"));
        assert!(failure(&["flash", "--wifi"], &[]).message.contains("WIFI_SSID"));
        let image = temp.path().join("virtual.img");
        let bytes =
            spore_image::build::virtual_image("x", "1.0.0".parse().unwrap(), Default::default(), 2000)
                .unwrap();
        std::fs::write(&image, bytes).unwrap();
        let wrong = failure(&["flash", "--image", image.to_str().unwrap()], &[]);
        assert!(wrong.message.contains("virtual nodes"), "{}", wrong.message);
    }

    #[test]
    fn an_esptool_of_ones_own() {
        let temp = tempfile::tempdir().unwrap();
        let (outcome, out) =
            run_in(temp.path(), &["flash", "--prepare"], &[("SPORE_ESPTOOL", "/opt/esptool")]);
        assert_eq!((outcome, out.as_str()), (Ok(()), "/opt/esptool\n"));
    }
}
