//! Instructions, from the ticks that the emulated chip counts.

use crate::cmd::bench::report::Figure;
use crate::exit::{Failure, Kind, Outcome};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nanoseconds of a tick of CCOUNT in QEMU, and of an instruction with `-icount shift=5`.
const TICK: f64 = 25.0;
const INSTRUCTION: f64 = 32.0;
/// How long the chip may take to write its file again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between looks at that file.
const LOOK: Duration = Duration::from_millis(2);
/// Instructions a second of an ESP8266 at 80 MHz: one each cycle, and one each three.
const CLOCK: f64 = 80e6;
const CAREFUL: f64 = 3.0;
/// Instructions in a microsecond of the emulator's time.
pub const PER_MICRO: f64 = 1e3 / INSTRUCTION;

/// What the chip has done since its power came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Microseconds, waiting included.
    micros: u64,
    /// Ticks, waiting not included.
    busy: u64,
    /// Ticks in the stand-ins of the ROM's functions for flash and cache.
    flash: u64,
}

impl Work {
    /// Instructions since the power came.
    pub fn instructions(self) -> f64 {
        Spent::between(Self::default(), self).all
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_suffix('\n')?.split(' ').map(|word| u64::from_str_radix(word, 16).ok());
        let mut number = || numbers.next().flatten();
        Some(Self { micros: number()?, busy: number()?, flash: number()? })
    }
}

/// Instructions between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Seconds that passed.
    pub seconds: f64,
    /// All instructions.
    pub all: f64,
    /// Those of the stand-ins for flash and cache.
    pub flash: f64,
}

impl Spent {
    /// What was done from one moment to another.
    pub fn between(before: Work, after: Work) -> Self {
        let instructions = |ticks: u64| ticks as f64 * TICK / INSTRUCTION;
        Self {
            seconds: (after.micros - before.micros) as f64 / 1e6,
            all: instructions(after.busy - before.busy),
            flash: instructions(after.flash - before.flash),
        }
    }

    /// Without what the node would have done in that time anyway.
    pub fn without(self, idle: f64) -> Self {
        Self { all: self.all - idle * self.seconds, ..self }
    }
}

/// Reads what the chip writes once a second.
pub struct Meter {
    file: PathBuf,
}

impl Meter {
    /// Of this file.
    pub fn new(file: PathBuf) -> Self {
        Self { file }
    }

    fn read(&self) -> Option<Work> {
        Work::parse(&std::fs::read_to_string(&self.file).ok()?)
    }

    /// The next that the chip writes.
    pub fn next(&self) -> Outcome<Work> {
        let (begin, last) = (Instant::now(), self.read());
        loop {
            match self.read() {
                Some(work) if Some(work) != last => return Ok(work),
                _ if begin.elapsed() > PATIENCE => {
                    let message = format!("the chip no longer writes {}", self.file.display());
                    return Err(Failure::new(Kind::TimedOut, message)
                        .hint("is the firmware older than this command? ./ctl.sh build"));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    /// All that was begun before this call is in it: the second from now.
    pub fn quiet(&self) -> Outcome<Work> {
        self.next()?;
        self.next()
    }

    /// What `action` cost, and what it gave.
    pub fn around<T>(&self, action: impl FnOnce() -> Outcome<T>) -> Outcome<(Spent, T)> {
        let before = self.next()?;
        let result = action()?;
        Ok((Spent::between(before, self.quiet()?), result))
    }
}

/// The same measured several times.
#[derive(Debug, Clone, Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    /// One more.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The one in the middle; of an even number the lower of both.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }

    /// Median, least and most.
    pub fn figures(&self, unit: &'static str) -> Vec<Figure> {
        let ends = [self.0.first(), self.0.last()].map(|end| end.copied().unwrap_or_default());
        vec![
            Figure::new("median", self.median(), unit),
            Figure::new("least", ends[0], unit),
            Figure::new("most", ends[1], unit),
        ]
    }
}

/// How often a second an ESP8266 could do what takes so many instructions.
pub fn rates(instructions: f64) -> Vec<Figure> {
    vec![
        Figure::new("80 MHz, 1 cycle each", CLOCK / instructions, "/s"),
        Figure::new("3 cycles each", CLOCK / CAREFUL / instructions, "/s"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_instructions() {
        let before = Work::parse("0000000000000010 0000000000000100 0000000000000000\n").unwrap();
        let after = Work { micros: 0x10 + 2_000_000, busy: 0x100 + 128, flash: 32 };
        let spent = Spent::between(before, after);
        assert_eq!(spent, Spent { seconds: 2.0, all: 100.0, flash: 25.0 });
        assert_eq!(spent.without(20.0).all, 60.0);
        for torn in ["", "00", "0000000000000010 0000000000000100 00000000", "x y z\n"] {
            assert_eq!(Work::parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn the_middle_of_a_spread() {
        let mut spread = Spread::default();
        assert_eq!(spread.median(), 0.0);
        [5.0, 1.0, 3.0, 2.0].into_iter().for_each(|value| spread.add(value));
        assert_eq!(spread.median(), 2.0);
    }
}
