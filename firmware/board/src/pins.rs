//! The pins, each handed out once.
//!
//! Levels go through the ROM (`gpio_output_set`, `gpio_input_get`), which the emulator's stand-in models; what a pin is used for, its
//! pull-up and its driver are registers of the chip (names and places: Espressif's `eagle_soc.h` and `gpio_register.h` of the NONOS SDK).

use crate::adc::Adc;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin, PinState, StatefulOutputPin};
use spore_rt::rom;
use spore_rt::task_cell::TaskCell;

/// Registers of what pins are used for (`PERIPHS_IO_MUX`).
const IO_MUX: u32 = 0x6000_0800;
/// The bits of the function: 0, 1 and 2 of its number lie at 4, 5 and 8.
const FUNCTION: u32 = 1 << 8 | 1 << 5 | 1 << 4;
/// The pull-up.
const PULL_UP: u32 = 1 << 7;
/// Registers `GPIO_PIN0` to `GPIO_PIN15`, and the bit of the open drain in them.
const PIN: u32 = 0x6000_0328;
const OPEN_DRAIN: u32 = 1 << 2;

/// The pins and the analogue input of the chip. GPIO1 and 3 are the serial line, GPIO6 to 11 the flash, GPIO16 is left for waking up
/// from deep sleep: none of them is here.
#[derive(Debug)]
pub struct Pins {
    /// GPIO0, also on an ESP-01. Strap: must not be low when the chip starts, or it waits for an image on the serial line. So nothing may
    /// pull it down; a relay module that switches at low is fine, since it pulls up.
    pub gpio0: Pin,
    /// GPIO2, also on an ESP-01 (the LED of an ESP-01S, on at low). Strap: must not be low when the chip starts; it sends the ROM's
    /// log while it does.
    pub gpio2: Pin,
    /// GPIO4.
    pub gpio4: Pin,
    /// GPIO5.
    pub gpio5: Pin,
    /// GPIO12.
    pub gpio12: Pin,
    /// GPIO13.
    pub gpio13: Pin,
    /// GPIO14.
    pub gpio14: Pin,
    /// GPIO15. Strap: must be low when the chip starts, and modules pull it down: good as an output that is active at high.
    pub gpio15: Pin,
    /// The analogue input.
    pub adc: Adc,
}

static TAKEN: TaskCell<bool> = TaskCell::new(false);

impl Pins {
    /// All pins, once: `None` ever after.
    pub fn take() -> Option<Self> {
        let pin = Pin;
        (!TAKEN.with(|taken| core::mem::replace(taken, true))).then(|| Self {
            gpio0: pin(0),
            gpio2: pin(2),
            gpio4: pin(4),
            gpio5: pin(5),
            gpio12: pin(12),
            gpio13: pin(13),
            gpio14: pin(14),
            gpio15: pin(15),
            adc: Adc::new(),
        })
    }
}

/// The pull-up of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// None: something outside decides the level.
    None,
    /// The chip's own, 30 to 100 kΩ.
    Up,
}

/// A pin that nobody uses yet.
#[derive(Debug)]
pub struct Pin(u8);

impl Pin {
    /// Drives the pin, with this level from the first moment on.
    pub fn into_output(self, level: PinState) -> Output {
        self.prepare(Pull::None, false);
        let mut output = Output(self.0);
        // The level first: it shows when the driver is switched on.
        let Ok(()) = output.set_state(level);
        self.enable();
        output
    }

    /// Reads the pin.
    pub fn into_input(self, pull: Pull) -> Input {
        output_set(0, 0, 0, self.mask());
        self.prepare(pull, false);
        Input(self.0)
    }

    /// Pulls the pin low or lets it go, and reads it: for I2C and other shared lines.
    pub fn into_open_drain(self, pull: Pull) -> OpenDrain {
        self.prepare(pull, true);
        let mut line = OpenDrain(self.0);
        let Ok(()) = line.set_high();
        self.enable();
        line
    }

    fn mask(&self) -> u32 {
        mask(self.0)
    }

    fn enable(&self) {
        output_set(0, 0, self.mask(), 0);
    }

    /// Makes it a pin, instead of what else it may be.
    #[inline(never)]
    fn prepare(&self, pull: Pull, open_drain: bool) {
        // GPIO0, 2, 4 and 5 are function 0 of their registers, the others function 3 of the JTAG pins'.
        let (place, function) = match self.0 {
            0 => (0x34, 0),
            2 => (0x38, 0),
            4 => (0x3c, 0),
            5 => (0x40, 0),
            // 12 to 15: in the order of the JTAG pins.
            number => (u32::from(number) * 4 - 0x2c, 0b11 << 4),
        };
        let pull = if pull == Pull::Up { PULL_UP } else { 0 };
        change(IO_MUX + place, FUNCTION | PULL_UP, function | pull);
        change(PIN + u32::from(self.0) * 4, OPEN_DRAIN, if open_drain { OPEN_DRAIN } else { 0 });
    }
}

const fn mask(number: u8) -> u32 {
    1 << number
}

/// Changes bits of a register.
fn change(register: u32, clear: u32, set: u32) {
    let register = core::ptr::with_exposed_provenance_mut::<u32>(register as usize);
    // SAFETY: a register of pins, which only task context changes.
    unsafe { register.write_volatile(register.read_volatile() & !clear | set) };
}

fn output_set(set: u32, clear: u32, enable: u32, disable: u32) {
    // SAFETY: masks of pins that their owner has.
    unsafe { rom::gpio_output_set(set, clear, enable, disable) };
}

fn level(number: u8) -> bool {
    // SAFETY: no preconditions.
    (unsafe { rom::gpio_input_get() }) & mask(number) != 0
}

/// A pin that is driven.
#[derive(Debug)]
pub struct Output(u8);

impl Output {
    /// Its bit in masks of pins.
    pub(crate) const fn mask(&self) -> u32 {
        mask(self.0)
    }
}

impl ErrorType for Output {
    type Error = Infallible;
}

impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), Infallible> {
        output_set(0, mask(self.0), 0, 0);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        output_set(mask(self.0), 0, 0, 0);
        Ok(())
    }
}

impl StatefulOutputPin for Output {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(level(self.0))
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(!level(self.0))
    }
}

/// A pin that is read.
#[derive(Debug)]
pub struct Input(u8);

impl ErrorType for Input {
    type Error = Infallible;
}

impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(level(self.0))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!level(self.0))
    }
}

/// A pin that pulls its line low or lets it go.
#[derive(Debug)]
pub struct OpenDrain(u8);

impl ErrorType for OpenDrain {
    type Error = Infallible;
}

impl OutputPin for OpenDrain {
    fn set_low(&mut self) -> Result<(), Infallible> {
        output_set(0, mask(self.0), 0, 0);
        Ok(())
    }

    /// Lets the line go.
    fn set_high(&mut self) -> Result<(), Infallible> {
        output_set(mask(self.0), 0, 0, 0);
        Ok(())
    }
}

impl InputPin for OpenDrain {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(level(self.0))
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!level(self.0))
    }
}
