//! An SPI master on plain pins, in all four modes, the highest bit first.
//!
//! Chip select is not a part of it: give the device an output pin of its own, or let a driver do it through
//! `embedded_hal::spi::SpiDevice`.

use core::convert::Infallible;
use core::fmt;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::spi::{self, ErrorKind, ErrorType, MODE_0, Mode, Phase, Polarity, SpiBus};

/// A pin failed: nothing else can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pin failed")
    }
}

impl core::error::Error for Error {}

impl spi::Error for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// In place of the input of a bus that only sends: reads zeros.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoInput;

impl digital::ErrorType for NoInput {
    type Error = Infallible;
}

impl InputPin for NoInput {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }
}

/// An SPI master. Every call blocks until it is done.
#[derive(Debug)]
pub struct SpiMaster<Sck, Mosi, Miso, D> {
    sck: Sck,
    mosi: Mosi,
    miso: Miso,
    delay: D,
    mode: Mode,
    half_period: u32,
}

impl<Sck: OutputPin, Mosi: OutputPin, Miso: InputPin, D: DelayNs> SpiMaster<Sck, Mosi, Miso, D> {
    /// Takes over the pins; mode 0, half a clock period of 1 microsecond. The clock goes to where it idles.
    pub fn new(sck: Sck, mosi: Mosi, miso: Miso, delay: D) -> Self {
        Self { sck, mosi, miso, delay, mode: MODE_0, half_period: 1 }.with_mode(MODE_0)
    }

    /// Sets the mode. Do it while no device is selected: the clock may move.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        // A pin that fails now fails again when it matters.
        let _ = self.clock(false);
        self
    }

    /// Sets half a clock period in microseconds; 0 is as fast as the pins go.
    pub const fn with_half_period(mut self, micros: u32) -> Self {
        self.half_period = micros;
        self
    }

    /// Gives the pins back: clock, output, input.
    pub fn into_inner(self) -> (Sck, Mosi, Miso) {
        (self.sck, self.mosi, self.miso)
    }

    /// Has the clock idle, or not.
    fn clock(&mut self, active: bool) -> Result<(), Error> {
        let high = active == (self.mode.polarity == Polarity::IdleLow);
        self.sck.set_state(high.into()).map_err(|_| Error)
    }

    fn wait(&mut self) {
        if self.half_period > 0 {
            self.delay.delay_us(self.half_period);
        }
    }

    fn byte(&mut self, out: u8) -> Result<u8, Error> {
        let mut seen = 0;
        for place in (0..8).rev() {
            let bit = out >> place & 1 == 1;
            // Data changes before the first edge and is taken at it, or changes at it and is taken at the second.
            let second = self.mode.phase == Phase::CaptureOnSecondTransition;
            if second {
                self.clock(true)?;
            }
            self.mosi.set_state(bit.into()).map_err(|_| Error)?;
            self.wait();
            let input = self.miso.is_high().map_err(|_| Error)?;
            self.clock(!second)?;
            self.wait();
            if !second {
                self.clock(false)?;
            }
            seen = seen << 1 | u8::from(input);
        }
        Ok(seen)
    }
}

impl<Sck, Mosi, Miso, D> ErrorType for SpiMaster<Sck, Mosi, Miso, D> {
    type Error = Error;
}

impl<Sck: OutputPin, Mosi: OutputPin, Miso: InputPin, D: DelayNs> SpiBus<u8>
    for SpiMaster<Sck, Mosi, Miso, D>
{
    /// Sends zeros meanwhile.
    fn read(&mut self, words: &mut [u8]) -> Result<(), Error> {
        words.iter_mut().try_for_each(|word| self.byte(0).map(|seen| *word = seen))
    }

    fn write(&mut self, words: &[u8]) -> Result<(), Error> {
        words.iter().try_for_each(|word| self.byte(*word).map(drop))
    }

    /// Sends zeros when there is more to read than to write.
    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Error> {
        for at in 0..read.len().max(write.len()) {
            let seen = self.byte(write.get(at).copied().unwrap_or(0))?;
            if let Some(place) = read.get_mut(at) {
                *place = seen;
            }
        }
        Ok(())
    }

    fn transfer_in_place(&mut self, words: &mut [u8]) -> Result<(), Error> {
        words.iter_mut().try_for_each(|word| self.byte(*word).map(|seen| *word = seen))
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
