//! What an ESP8266 board has for services: pins ([`Pins`]), the analogue input ([`Adc`]), PWM ([`start_pwm`]), waiting ([`Delay`]).
//!
//! Everything is used from task context only, as services are. What no service uses costs nothing: the linker leaves it out.
#![no_std]

mod adc;
mod delay;
mod pins;
mod pwm;

pub use adc::Adc;
pub use delay::Delay;
pub use pins::{Input, OpenDrain, Output, Pin, Pins, Pull};
pub use pwm::{PwmPin, start as start_pwm};
