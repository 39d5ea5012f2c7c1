//! What can be made of plain pins, on any board: an I2C master ([`i2c`]), an SPI master ([`spi`]) and a plan for PWM ([`pwm`]),
//! all in software, and pins that mean the opposite ([`Inverted`]).
//!
//! Everything speaks the traits of embedded-hal 1.0, so that drivers written for them work on a node, and services are written
//! against them: a board's real pins and the lab's virtual ones fit alike. Nothing here knows a chip.
#![no_std]
#![forbid(unsafe_code)]

pub mod i2c;
mod inverted;
pub mod pwm;
pub mod spi;

pub use embedded_hal;
pub use i2c::I2cMaster;
pub use inverted::Inverted;
pub use spi::SpiMaster;

/// An analogue input. embedded-hal 1.0 has no trait for one.
pub trait AnalogIn {
    /// The greatest value: full scale of the board's converter, 10 bits.
    const MAX: u16 = 1023;

    /// Measures: 0 to [`AnalogIn::MAX`].
    fn read(&mut self) -> u16;
}

impl<A: AnalogIn + ?Sized> AnalogIn for &mut A {
    fn read(&mut self) -> u16 {
        (**self).read()
    }
}
