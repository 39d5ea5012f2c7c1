//! `spore monitor`: what a board says on its serial line.

use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::output::style::Tone;
use crate::serial::lines::{Line as Text, Lines};
use crate::serial::{self, Heard, LOG_BAUD, Line, ROM_BAUD, explain, ports};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// After so long without a byte, what has come of a line is shown.
const HALF_LINE: Duration = Duration::from_millis(500);
/// How often a port that is gone is looked for.
const AGAIN: Duration = Duration::from_millis(200);
/// The firmware that addresses are looked up in.
const SYMBOLS: &str = "build/esp8266/firmware.elf";

/// Arguments of `spore monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Serial port [else: SPORE_PORT, or the only USB adapter]
    #[arg(long, value_name = "DEVICE")]
    port: Option<PathBuf>,
    /// Rate in baud: 115200 for the log, 74880 for what the ROM says at a start
    #[arg(long, default_value_t = LOG_BAUD, value_parser = clap::value_parser!(u32).range(300..=4_000_000))]
    baud: u32,
    /// Begin with the ROM's messages at 74880 baud, and go on with the log at --baud
    #[arg(long)]
    rom: bool,
    /// Reset the board first, through RTS; most adapters for ESP-01 have no wire for it
    #[arg(long)]
    reset: bool,
    /// No times before the lines
    #[arg(long)]
    no_timestamps: bool,
}

/// Show what the board says until Ctrl-C.
pub fn run(args: &MonitorArgs, context: &mut Context) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())
            .map_err(|error| Failure::other(format!("cannot catch signals: {error}")))?;
    }
    let path = ports::choose(args.port.as_deref(), context)?;
    let first = if args.rom { ROM_BAUD } else { args.baud };
    let mut line = serial::open(&path, first)?;
    context.note(&format!("{} at {first} baud; Ctrl-C ends it", path.display()));
    if args.reset && !line.reset() {
        context.note("this adapter has no line to reset the board with");
    }
    let mut view = View::new(context, !args.no_timestamps);
    let mut rom = if args.rom { Rom::Awaited } else { Rom::Past };
    while !stop.load(Ordering::Relaxed) {
        match view.listen(&line, context)? {
            Heard::Bytes(_) => {
                rom = rom.then(&view);
                if rom == Rom::Ended {
                    line.set_baud(args.baud).map_err(|error| serial::cannot_open(&path, &error))?;
                    view.forget();
                    context.note(&format!("now at {} baud", args.baud));
                    rom = Rom::Past;
                }
            }
            Heard::Silence => {}
            Heard::Gone => {
                view.flush(context)?;
                context.note(&format!("{} is gone; waiting for it", path.display()));
                let Some(again) = reopen(&path, args.baud, &stop) else { break };
                line = again;
                context.note(&format!("{} is there again", path.display()));
            }
        }
    }
    view.flush(context)
}

/// Wait until a port can be opened again; `None` if the user does not want to wait any longer.
fn reopen(path: &Path, baud: u32, stop: &AtomicBool) -> Option<Line> {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(AGAIN);
        if let Ok(line) = Line::open(path, baud) {
            return Some(line);
        }
    }
    None
}

/// How far the ROM's messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rom {
    Awaited,
    Heard,
    /// What comes is no text at the ROM's rate any more.
    Ended,
    Past,
}

impl Rom {
    fn then(self, view: &View) -> Self {
        match self {
            Self::Awaited if view.rom => Self::Heard,
            Self::Heard if view.garbled => Self::Ended,
            state => state,
        }
    }
}

/// Lines on their way to the user.
pub struct View {
    lines: Lines,
    /// When the last byte came.
    last: Instant,
    timestamps: bool,
    elf: Option<PathBuf>,
    /// Whether the ROM's first line was seen.
    rom: bool,
    /// Whether what came last was no text.
    garbled: bool,
    /// Whether the user knows what to do about that.
    told: bool,
    /// Lines shown.
    pub shown: usize,
}

impl View {
    /// A view of a board that runs what was built here last, as far as we know.
    pub fn new(context: &Context, timestamps: bool) -> Self {
        let elf = Some(context.root.join(SYMBOLS)).filter(|elf| elf.is_file());
        Self {
            lines: Lines::default(),
            last: Instant::now(),
            timestamps,
            elf,
            rom: false,
            garbled: false,
            told: false,
            shown: 0,
        }
    }

    /// Wait a moment for bytes, and show the lines they complete.
    pub fn listen(&mut self, line: &Line, context: &mut Context) -> Outcome<Heard> {
        let mut buffer = [0; 1024];
        let heard = line.read(&mut buffer);
        match heard {
            Heard::Bytes(count) => {
                self.last = Instant::now();
                for text in self.lines.push(&buffer[..count]) {
                    self.show(&text, context)?;
                }
                context.out.flush()?;
            }
            Heard::Silence if self.last.elapsed() > HALF_LINE => self.flush(context)?,
            Heard::Silence | Heard::Gone => {}
        }
        Ok(heard)
    }

    /// Show what has come of a line that has not ended.
    pub fn flush(&mut self, context: &mut Context) -> Outcome {
        if let Some(text) = self.lines.flush() {
            self.show(&text, context)?;
            context.out.flush()?;
        }
        Ok(())
    }

    /// What came before is of no interest any more.
    fn forget(&mut self) {
        self.lines.flush();
        self.garbled = false;
    }

    fn show(&mut self, line: &Text, context: &mut Context) -> Outcome {
        self.garbled = line.garbled;
        self.rom |= line.text.contains(explain::ROM_BEGINS);
        if line.text.is_empty() {
            return Ok(());
        }
        self.shown += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let notes = explain::notes(&line.text, self.elf.as_deref(), &context.root);
        if context.json {
            let time = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            return context.json_line(&json!({"timeMs": time, "line": line.text, "notes": notes}));
        }
        let time = if self.timestamps { clock(since) + "  " } else { String::new() };
        let (palette, tone) = (context.palette, explain::tone(&line.text));
        writeln!(context.out, "{}{}", palette.paint(Tone::Faint, &time), palette.paint(tone, &line.text))?;
        let margin = " ".repeat(time.len());
        for note in notes {
            writeln!(context.out, "{margin}{}", palette.paint(Tone::Heading, &format!("-> {note}")))?;
        }
        if line.garbled && !self.told {
            self.told = true;
            context.note(
                "that is no text: the ROM talks at 74880 baud at a start, the firmware at 115200 (--rom shows both)",
            );
        }
        Ok(())
    }
}

/// The time of day, UTC, with milliseconds.
fn clock(since: Duration) -> String {
    let seconds = since.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        assert_eq!(clock(Duration::from_millis(86_400_000 + 3_723_045)), "01:02:03.045Z");
    }

    #[test]
    fn a_port_that_is_not_there_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let (outcome, out) = crate::testing::run_in(temp.path(), &["monitor", "--port", "/nowhere/x"], &[]);
        let failure = outcome.unwrap_err();
        assert_eq!((failure.kind as u8, out.as_str()), (3, ""));
        assert!(failure.hint.unwrap().contains("plug"));
    }
}
