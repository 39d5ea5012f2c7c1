//! An I2C master on two plain pins (NXP, UM10204 "I2C-bus specification and user manual", revision 7).
//!
//! Both pins are open drain: low drives the line, high lets it go, and a resistor pulls it up (the specification's 1.1; 4.7 kΩ at
//! 3.3 V do; a chip's own pull-ups are weak and do for short wires only). One master, addresses of 7 bits. Slaves may stretch the
//! clock, for so long and no longer. A bus that a slave holds, because it was reset or a reading was broken off, is freed by clocking
//! (3.1.16) before the next transaction.

use core::fmt;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::{self, ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation, SevenBitAddress};

/// Half a clock period of standard mode (100 kHz), in microseconds. Real clocks are slower by what the pins take.
const HALF_PERIOD: u32 = 5;
/// How long a slave may hold the clock, in microseconds, unless it is set otherwise.
const STRETCH: u32 = 10_000;
/// Clocks that free a slave in the middle of a byte (3.1.16).
const FREEING_CLOCKS: u32 = 9;

/// Why a transaction ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Nobody answered to the address, or the slave did not take a byte.
    NoAcknowledge(NoAcknowledgeSource),
    /// The clock line stayed low: a slave held it for too long, or there is no pull-up.
    ClockHeld,
    /// The data line stays low although the bus was clocked free: a broken slave, a short, or no pull-up.
    DataHeld,
    /// Somebody else drove the data line low: a second master, or a slave that disturbs.
    ArbitrationLoss,
    /// A pin failed.
    Pin,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAcknowledge(NoAcknowledgeSource::Address) => "nobody answers to the address",
            Self::NoAcknowledge(_) => "a byte was not acknowledged",
            Self::ClockHeld => "the clock line stays low",
            Self::DataHeld => "the data line stays low",
            Self::ArbitrationLoss => "somebody else drives the data line",
            Self::Pin => "a pin failed",
        })
    }
}

impl core::error::Error for Error {}

impl i2c::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoAcknowledge(source) => ErrorKind::NoAcknowledge(*source),
            Self::ClockHeld | Self::DataHeld => ErrorKind::Bus,
            Self::ArbitrationLoss => ErrorKind::ArbitrationLoss,
            Self::Pin => ErrorKind::Other,
        }
    }
}

/// An I2C master. Every call blocks until it is done: about 0.1 ms a byte at 100 kHz, so keep transactions short.
#[derive(Debug)]
pub struct I2cMaster<Scl, Sda, D> {
    scl: Scl,
    sda: Sda,
    delay: D,
    half_period: u32,
    stretch: u32,
}

impl<Scl: OutputPin + InputPin, Sda: OutputPin + InputPin, D: DelayNs> I2cMaster<Scl, Sda, D> {
    /// Takes over two open-drain pins and lets both lines go. 100 kHz at most.
    pub fn new(mut scl: Scl, mut sda: Sda, delay: D) -> Self {
        // A pin that fails now fails again when it matters.
        let _ = (sda.set_high(), scl.set_high());
        Self { scl, sda, delay, half_period: HALF_PERIOD, stretch: STRETCH }
    }

    /// Sets half a clock period in microseconds, at least 1 (5 is 100 kHz, 50 is 10 kHz for long wires).
    pub fn with_half_period(mut self, micros: u32) -> Self {
        self.half_period = micros.max(1);
        self
    }

    /// Sets how long slaves may hold the clock, in microseconds, each time.
    pub const fn with_stretch(mut self, micros: u32) -> Self {
        self.stretch = micros;
        self
    }

    /// Gives the pins back, clock first.
    pub fn into_inner(self) -> (Scl, Sda) {
        (self.scl, self.sda)
    }

    fn wait(&mut self) {
        self.delay.delay_us(self.half_period);
    }

    fn sda(&mut self, high: bool) -> Result<(), Error> {
        self.sda.set_state(high.into()).map_err(|_| Error::Pin)
    }

    fn sda_is_high(&mut self) -> Result<bool, Error> {
        self.sda.is_high().map_err(|_| Error::Pin)
    }

    fn scl_low(&mut self) -> Result<(), Error> {
        self.scl.set_low().map_err(|_| Error::Pin)
    }

    /// Lets the clock go and waits until it is high.
    fn scl_high(&mut self) -> Result<(), Error> {
        self.scl.set_high().map_err(|_| Error::Pin)?;
        for _ in 0..self.stretch {
            if self.scl.is_high().map_err(|_| Error::Pin)? {
                return Ok(());
            }
            self.delay.delay_us(1);
        }
        if self.scl.is_high().map_err(|_| Error::Pin)? { Ok(()) } else { Err(Error::ClockHeld) }
    }

    /// One bit out and in: the clock is low before and after. A bit of ours is `true` where we only listen.
    fn bit(&mut self, out: bool) -> Result<bool, Error> {
        self.sda(out)?;
        self.wait();
        self.scl_high()?;
        self.wait();
        let seen = self.sda_is_high()?;
        self.scl_low()?;
        Ok(seen)
    }

    /// Sends a byte; whether it was acknowledged.
    fn send(&mut self, byte: u8) -> Result<bool, Error> {
        for place in (0..8).rev() {
            let out = byte >> place & 1 == 1;
            if self.bit(out)? != out {
                return Err(Error::ArbitrationLoss);
            }
        }
        Ok(!self.bit(true)?)
    }

    /// Receives a byte and acknowledges it, or not if it is the last.
    fn receive(&mut self, last: bool) -> Result<u8, Error> {
        let mut byte = 0;
        for _ in 0..8 {
            byte = byte << 1 | u8::from(self.bit(true)?);
        }
        self.bit(last)?;
        Ok(byte)
    }

    /// Has whoever holds the data line finish its byte.
    fn free(&mut self) -> Result<(), Error> {
        self.scl_high()?;
        for _ in 0..FREEING_CLOCKS {
            if self.sda_is_high()? {
                break;
            }
            self.scl_low()?;
            self.wait();
            self.scl_high()?;
            self.wait();
        }
        if self.sda_is_high()? { Ok(()) } else { Err(Error::DataHeld) }
    }

    /// START, or again START.
    fn start(&mut self, first: bool) -> Result<(), Error> {
        self.sda(true)?;
        self.wait();
        self.scl_high()?;
        if !self.sda_is_high()? {
            if !first {
                return Err(Error::ArbitrationLoss);
            }
            // Whoever was in the middle of a byte shall forget it.
            self.free()?;
            self.scl_low()?;
            self.stop()?;
        }
        self.wait();
        self.sda(false)?;
        self.wait();
        self.scl_low()
    }

    fn stop(&mut self) -> Result<(), Error> {
        self.sda(false)?;
        self.wait();
        self.scl_high()?;
        self.wait();
        self.sda(true)?;
        self.wait();
        if self.sda_is_high()? { Ok(()) } else { self.free() }
    }

    fn operations(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        let mut reading = None;
        let mut rest = operations;
        while let Some((operation, after)) = rest.split_first_mut() {
            let read = matches!(operation, Operation::Read(_));
            if reading != Some(read) {
                self.start(reading.is_none())?;
                if !self.send(address << 1 | u8::from(read))? {
                    return Err(Error::NoAcknowledge(NoAcknowledgeSource::Address));
                }
                reading = Some(read);
            }
            match operation {
                Operation::Write(bytes) => {
                    for byte in bytes.iter() {
                        if !self.send(*byte)? {
                            return Err(Error::NoAcknowledge(NoAcknowledgeSource::Data));
                        }
                    }
                }
                Operation::Read(bytes) => {
                    // The slave goes on sending until a byte is not acknowledged: the last before something else.
                    let more = after
                        .iter()
                        .map_while(|next| match next {
                            Operation::Read(bytes) => Some(bytes.len()),
                            Operation::Write(_) => None,
                        })
                        .any(|length| length > 0);
                    let count = bytes.len();
                    for (at, byte) in bytes.iter_mut().enumerate() {
                        *byte = self.receive(at + 1 == count && !more)?;
                    }
                }
            }
            rest = after;
        }
        Ok(())
    }
}

impl<Scl, Sda, D> ErrorType for I2cMaster<Scl, Sda, D> {
    type Error = Error;
}

impl<Scl: OutputPin + InputPin, Sda: OutputPin + InputPin, D: DelayNs> I2c<SevenBitAddress>
    for I2cMaster<Scl, Sda, D>
{
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
        if operations.is_empty() {
            return Ok(());
        }
        let done = self.operations(address, operations);
        // The bus is left free in any case, and the first error is the one that counts.
        let stopped = self.stop();
        done.and(stopped)
    }
}
