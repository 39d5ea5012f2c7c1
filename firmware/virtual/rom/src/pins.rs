//! Pins and the analogue input: `gpio_output_set`, `gpio_input_get`, and the files through which the world sees and sets them.
//!
//! - `inputs.txt`, written from outside at any time, lines of `key=value`: `4=high` is the level that something outside gives GPIO4, and
//!   `adc=512` what is measured at TOUT. It is read again when the chip looks and the last reading is older than 5 ms.
//! - `pins.txt`, written by the chip, empty lines at its end: a line for each pin that was made an output or an input since reset: name, `output`,
//!   `open-drain` or `input`, `high` or `low`, and how many percent of the time it was high while it toggled fast. Written at once when
//!   the last writing is older than 50 ms, else soon.
//! - the journal, if `board.txt` names one (`pins=pins.log`): a line for each change: microseconds, drivers that are on, outputs that
//!   are high, both in hexadecimal.
//!
//! What nothing outside sets reads as the pull-up says, or as a module has it: GPIO0 and 2 high, GPIO15 low, others low.
//!
//! Strict: driving a line of the flash, or a pin whose register in the IO multiplexer does not make it a pin, ends QEMU. Registers of pins
//! beside the multiplexer's and the drivers' kind are not modelled; whoever writes levels to registers is not heard.

use crate::{
    board,
    chip::{Cell, load, store, violation},
    clock,
    host::{self, File, Mode},
};
use core::fmt::Write as _;

const COUNT: u32 = 16;
/// Lines of the flash.
const FLASH: core::ops::RangeInclusive<u32> = 6..=11;
/// The IO multiplexer: place and function of each pin, and what the ROM leaves there. GPIO2 is the serial line of the ROM's log then,
/// GPIO12 to 15 are JTAG.
const IO_MUX: u32 = 0x6000_0800;
const MUX: [(u32, u32, u32); COUNT as usize] = [
    (0x34, 0, PULL_UP),
    (0x18, 3, PULL_UP),
    (0x38, 0, PULL_UP | 2 << 4),
    (0x14, 3, PULL_UP),
    (0x3c, 0, 0),
    (0x40, 0, 0),
    (0x1c, 3, 0),
    (0x20, 3, 0),
    (0x24, 3, 0),
    (0x28, 3, 0),
    (0x2c, 3, 0),
    (0x30, 3, 0),
    (0x04, 3, 0),
    (0x08, 3, 0),
    (0x0c, 3, 0),
    (0x10, 3, 0),
];
const FUNCTION: u32 = 1 << 8 | 3 << 4;
const PULL_UP: u32 = 1 << 7;
/// The kind of a pin's driver.
const PIN: u32 = 0x6000_0328;
const OPEN_DRAIN: u32 = 1 << 2;
/// Levels by a module's own resistors.
const PULLED_UP: u32 = 1 << 0 | 1 << 2;

/// Between readings of `inputs.txt` and writings of `pins.txt`, in microseconds.
const READ: u64 = 5_000;
const WRITE: u64 = 50_000;
/// Changes of a pin between two writings from which on it is said for how much of the time it was high.
const FAST: u32 = 4;
/// The longest `inputs.txt`.
const ROOM: usize = 512;

struct Pins {
    /// Output registers, and drivers that are on.
    out: u32,
    driven: u32,
    /// Pins whose driver was switched since reset.
    used: u32,
    /// What the world says: which pins, and their levels; TOUT.
    set: u32,
    levels: u32,
    adc: u32,
    read: u64,
    /// `pins.txt` is to be written; when it was.
    changed: bool,
    written: u64,
    /// For each pin: changes since `written`, microseconds it was high, and since when the level is as it is.
    toggles: [u32; COUNT as usize],
    high: [u32; COUNT as usize],
    since: [u64; COUNT as usize],
    journal: Option<File>,
    /// `pins.txt`, and the longest text that was in it.
    shown: Option<File>,
    longest: usize,
}

static PINS: Cell<Pins> = Cell::new(Pins {
    out: 0,
    driven: 0,
    used: 0,
    set: 0,
    levels: 0,
    adc: 0,
    read: 0,
    changed: true,
    written: 0,
    toggles: [0; COUNT as usize],
    high: [0; COUNT as usize],
    since: [0; COUNT as usize],
    journal: None,
    shown: None,
    longest: 0,
});

/// A register.
fn register(address: u32) -> u32 {
    // SAFETY: a register of the chip, RAM in QEMU.
    unsafe { load(address) }
}

fn mux(pin: u32) -> (u32, u32) {
    let (place, function, _) = MUX[pin as usize & 15];
    (register(IO_MUX + place), function << 4)
}

fn is_open_drain(pin: u32) -> bool {
    register(PIN + 4 * pin) & OPEN_DRAIN != 0
}

/// At power on: opens the files; false if the journal cannot be.
pub(crate) fn power_on() -> bool {
    PINS.get().shown = File::open(c"pins.txt", Mode::Create);
    let Some(name) = board::value("pins") else { return true };
    let file = host::name(name.as_bytes(), &mut [0; 64]).and_then(|name| File::open(name, Mode::Create));
    PINS.get().journal = file;
    file.is_some()
}

/// Back to the state after a reset: no driver is on.
pub(crate) fn reset() {
    for (pin, (place, _, value)) in (0..).zip(MUX) {
        // SAFETY: registers of the chip, RAM in QEMU.
        unsafe {
            store(IO_MUX + place, value);
            store(PIN + 4 * pin, 0);
        }
    }
    let pins = PINS.get();
    (pins.out, pins.driven, pins.used) = (0, 0, 0);
    pins.toggles = [0; COUNT as usize];
    write(clock::micros());
}

/// `gpio_output_set(high, low, drivers on, drivers off)`.
#[unsafe(no_mangle)]
extern "C" fn rom_gpio_output_set(set: u32, clear: u32, enable: u32, disable: u32) {
    let all = set | clear | enable | disable;
    if all >> COUNT != 0 {
        violation!("gpio_output_set with mask {all:#x}: there are {COUNT} pins");
    }
    for pin in (0..COUNT).filter(|pin| enable & 1 << pin != 0) {
        if FLASH.contains(&pin) {
            violation!("gpio_output_set drives GPIO{pin}, a line of the flash");
        }
        let (value, function) = mux(pin);
        if value & FUNCTION != function {
            violation!(
                "gpio_output_set drives GPIO{pin}, which is no pin: its function in the IO multiplexer is another"
            );
        }
    }
    let now = clock::micros();
    let pins = PINS.get();
    let before = pins.levels_out();
    let was = (pins.out, pins.driven, pins.used);
    pins.out = pins.out & !clear | set;
    pins.driven = pins.driven & !disable | enable;
    pins.used |= enable | disable;
    if was == (pins.out, pins.driven, pins.used) {
        return;
    }
    pins.count(now, before);
    pins.changed = true;
    if let Some(journal) = pins.journal {
        let mut line = Line::<48>::new();
        let _ = writeln!(line, "{now} {:04x} {:04x}", pins.driven, pins.out);
        let _ = journal.write(line.bytes());
    }
    if now - pins.written >= WRITE {
        write(now);
    }
}

/// `gpio_input_get()`.
#[unsafe(no_mangle)]
extern "C" fn rom_gpio_input_get() -> u32 {
    listen(clock::micros());
    let pins = PINS.get();
    (0..COUNT).filter(|pin| pins.level(*pin)).fold(0, |levels, pin| levels | 1 << pin)
}

/// What is measured at TOUT.
#[unsafe(no_mangle)]
extern "C" fn hidden_adc() -> u32 {
    listen(clock::micros());
    PINS.get().adc
}

/// With the clock: writes what had to wait.
pub(crate) fn look(now: u64) {
    let pins = PINS.get();
    let fast = pins.toggles.iter().any(|count| *count > 0);
    if (pins.changed || fast) && now - pins.written >= WRITE {
        write(now);
    }
}

impl Pins {
    /// The outputs that are high.
    fn levels_out(&self) -> u32 {
        self.out & self.driven
    }

    /// Takes note of which outputs changed.
    fn count(&mut self, now: u64, before: u32) {
        let after = self.levels_out();
        for pin in (0..COUNT).filter(|pin| (before ^ after) & 1 << pin != 0) {
            self.settle(now, pin, before);
            self.toggles[pin as usize & 15] += 1;
        }
    }

    /// Counts the time since the last change.
    fn settle(&mut self, now: u64, pin: u32, before: u32) {
        let at = pin as usize & 15;
        if before & 1 << pin != 0 {
            self.high[at] += (now - self.since[at]) as u32;
        }
        self.since[at] = now;
    }

    fn level(&self, pin: u32) -> bool {
        let bit = 1 << pin;
        let high = self.out & bit != 0;
        if self.driven & bit != 0 && !(high && is_open_drain(pin)) {
            return high;
        }
        if self.set & bit != 0 {
            return self.levels & bit != 0;
        }
        PULLED_UP & bit != 0 || mux(pin).0 & PULL_UP != 0 && pin != 15
    }
}

/// Reads what the world says, unless that was just done.
fn listen(now: u64) {
    let pins = PINS.get();
    if pins.read != 0 && now - pins.read < READ {
        return;
    }
    pins.read = now;
    (pins.set, pins.levels, pins.adc) = (0, 0, 0);
    let Some(file) = File::open(c"inputs.txt", Mode::Read) else { return };
    let mut text = [0; ROOM];
    let length = file.read(&mut text) as usize;
    file.close();
    let text = text.get(..length).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match (key.trim().parse::<u32>(), value.trim()) {
            (Ok(pin), level @ ("high" | "low")) if pin < COUNT => {
                pins.set |= 1 << pin;
                pins.levels |= u32::from(level == "high") << pin;
            }
            (Err(_), value) if key.trim() == "adc" => pins.adc = value.parse().unwrap_or(0),
            _ => {}
        }
    }
}

/// Writes `pins.txt`.
fn write(now: u64) {
    let pins = PINS.get();
    let passed = (now - pins.written).max(1) as u32;
    let levels = pins.levels_out();
    let mut text = Line::<768>::new();
    let used = pins.used;
    for pin in (0..COUNT).filter(|pin| used & 1 << pin != 0) {
        pins.settle(now, pin, levels);
        let kind = match (pins.driven & 1 << pin != 0, is_open_drain(pin)) {
            (false, _) => "input",
            (true, false) => "output",
            (true, true) => "open-drain",
        };
        let level = if pins.level(pin) { "high" } else { "low" };
        let _ = write!(text, "GPIO{pin} {kind} {level}");
        let at = pin as usize & 15;
        if kind == "output" && pins.toggles[at] >= FAST {
            let _ = write!(text, " {}", (pins.high[at] * 100 + passed / 2) / passed);
        }
        let _ = text.write_str("\n");
        (pins.toggles[at], pins.high[at]) = (0, 0);
    }
    // In one piece over what was there, so that nobody reads a half: empty lines behind it.
    while text.length < pins.longest {
        let _ = text.write_str("\n");
    }
    pins.longest = text.length;
    (pins.written, pins.changed) = (now, false);
    if let Some(file) = pins.shown {
        file.seek(Some(0));
        // Whoever took the directory away does not want to know.
        let _ = file.write(text.bytes());
    }
}

/// A text of bounded length; what is longer is cut.
struct Line<const N: usize> {
    text: [u8; N],
    length: usize,
}

impl<const N: usize> Line<N> {
    const fn new() -> Self {
        Self { text: [0; N], length: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }
}

impl<const N: usize> core::fmt::Write for Line<N> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if let Some(place) = self.text.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}
