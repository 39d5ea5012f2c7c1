//! The pins of a virtual board and its analogue input, and what the lab says of pins in any world.
//!
//! They behave as an ESP8266's do: what drives a pin decides its level, else what something outside gives it, else its pull-up, else the
//! resistors of a module (GPIO0 and 2 up, GPIO15 down). A start of the node lets all of them go; what is outside stays.

use crate::control::PinStatus;
use spore_hal::AnalogIn;
use spore_hal::embedded_hal::digital::{ErrorType, InputPin, OutputPin, StatefulOutputPin};
use spore_hal::embedded_hal::pwm::{self, SetDutyCycle};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

/// The pins a service can have, as on an ESP8266: the others are the serial line, the flash, and the one that wakes the chip.
pub const PINS: [u8; 8] = [0, 2, 4, 5, 12, 13, 14, 15];
/// The greatest value of the analogue input.
pub const ADC_MAX: u16 = 1023;
/// Steps of a virtual PWM's duty: as many as one of the ESP8266 has at 1 kHz.
const LEVELS: u16 = 100;

/// What a pin that nothing drives and nothing outside sets has for a level, without a pull-up of its own.
pub(crate) const fn level_by_module(pin: u8) -> bool {
    matches!(pin, 0 | 2)
}

/// What a pin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Input { pull_up: bool },
    Output,
    OpenDrain { pull_up: bool },
    Pwm { duty: u16 },
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Input { .. } => "input",
            Self::Output | Self::Pwm { .. } => "output",
            Self::OpenDrain { .. } => "open-drain",
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// What the node uses it for.
    kind: Option<Kind>,
    /// What it was told to be.
    high: bool,
    /// What is outside.
    outside: Option<bool>,
}

#[derive(Debug, Default)]
struct Board {
    places: [Place; PINS.len()],
    adc: u16,
}

impl Board {
    fn level(&self, at: usize) -> bool {
        let Place { kind, high, outside } = self.places[at];
        let pulled = |up: bool| outside.unwrap_or((up || level_by_module(PINS[at])) && PINS[at] != 15);
        match kind {
            Some(Kind::Output) => high,
            Some(Kind::Pwm { duty }) => duty > 0,
            Some(Kind::OpenDrain { .. }) if !high => false,
            Some(Kind::Input { pull_up } | Kind::OpenDrain { pull_up }) => pulled(pull_up),
            None => pulled(false),
        }
    }
}

/// The place of a pin in [`PINS`].
fn place(pin: u8) -> Option<usize> {
    PINS.iter().position(|known| *known == pin)
}

/// The pins and the analogue input of a virtual board. Clones are the same board.
#[derive(Debug, Clone, Default)]
pub struct Pins(Rc<RefCell<Board>>);

impl Pins {
    /// Drives a pin, with this level from the first moment on. `None` if there is no such pin or somebody has it.
    pub fn output(&self, pin: u8, high: bool) -> Option<LabPin> {
        self.take(pin, Kind::Output, high)
    }

    /// Reads a pin. `None` as for [`Pins::output`].
    pub fn input(&self, pin: u8, pull_up: bool) -> Option<LabPin> {
        self.take(pin, Kind::Input { pull_up }, false)
    }

    /// Pulls a pin low or lets it go, and reads it. `None` as for [`Pins::output`].
    pub fn open_drain(&self, pin: u8, pull_up: bool) -> Option<LabPin> {
        self.take(pin, Kind::OpenDrain { pull_up }, true)
    }

    /// Drives a pin by PWM, at first never high. `None` as for [`Pins::output`].
    pub fn pwm(&self, pin: u8) -> Option<LabPwm> {
        self.take(pin, Kind::Pwm { duty: 0 }, false).map(LabPwm)
    }

    /// The analogue input.
    pub fn adc(&self) -> LabAdc {
        LabAdc(self.clone())
    }

    fn take(&self, pin: u8, kind: Kind, high: bool) -> Option<LabPin> {
        let at = place(pin)?;
        let place = &mut self.0.borrow_mut().places[at];
        if place.kind.is_some() {
            return None;
        }
        (place.kind, place.high) = (Some(kind), high);
        Some(LabPin { pins: self.clone(), at })
    }

    /// Lets all pins go, as a reset does.
    pub(crate) fn reset(&self) {
        for place in &mut self.0.borrow_mut().places {
            (place.kind, place.high) = (None, false);
        }
    }

    /// Gives a pin a level from outside.
    ///
    /// # Errors
    /// In words, when there is no such pin, or it is driven.
    pub fn set(&self, pin: u8, high: bool) -> Result<(), String> {
        let at = place(pin).ok_or_else(|| no_pin(pin))?;
        let place = &mut self.0.borrow_mut().places[at];
        if matches!(place.kind, Some(Kind::Output | Kind::Pwm { .. })) {
            return Err(driven(pin));
        }
        place.outside = Some(high);
        Ok(())
    }

    /// Sets what is measured, [`ADC_MAX`] at most.
    pub fn set_adc(&self, value: u16) {
        self.0.borrow_mut().adc = value.min(ADC_MAX);
    }

    /// What is measured.
    pub fn adc_value(&self) -> u16 {
        self.0.borrow().adc
    }

    /// All pins.
    pub fn status(&self) -> Vec<PinStatus> {
        let board = self.0.borrow();
        let pins = PINS.iter().enumerate().map(|(at, pin)| {
            let kind = board.places[at].kind;
            let duty = match kind {
                Some(Kind::Pwm { duty }) => Some(duty * 100 / LEVELS),
                _ => None,
            };
            PinStatus::new(*pin, kind.map_or("unused", Kind::as_str), board.level(at), duty)
        });
        pins.collect()
    }
}

/// That there is no such pin, in words.
pub(crate) fn no_pin(pin: impl std::fmt::Display) -> String {
    let known: Vec<String> = PINS.iter().map(u8::to_string).collect();
    format!("there is no pin {pin}; a board of the lab has GPIO {}", known.join(", "))
}

/// That a pin cannot be set from outside, in words.
pub(crate) fn driven(pin: u8) -> String {
    format!("GPIO{pin} is driven by the node: setting it from outside would be a short circuit")
}

/// A pin of a virtual board.
#[derive(Debug)]
pub struct LabPin {
    pins: Pins,
    at: usize,
}

impl LabPin {
    fn drive(&self, high: bool) -> Result<(), Infallible> {
        self.pins.0.borrow_mut().places[self.at].high = high;
        Ok(())
    }

    fn level(&self) -> bool {
        self.pins.0.borrow().level(self.at)
    }
}

impl ErrorType for LabPin {
    type Error = Infallible;
}

impl OutputPin for LabPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.drive(false)
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.drive(true)
    }
}

impl StatefulOutputPin for LabPin {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.pins.0.borrow().places[self.at].high)
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        self.is_set_high().map(|high| !high)
    }
}

impl InputPin for LabPin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.level())
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.level())
    }
}

/// A pin of a virtual board that is driven by PWM.
#[derive(Debug)]
pub struct LabPwm(LabPin);

impl pwm::ErrorType for LabPwm {
    type Error = Infallible;
}

impl SetDutyCycle for LabPwm {
    fn max_duty_cycle(&self) -> u16 {
        LEVELS
    }

    fn set_duty_cycle(&mut self, duty: u16) -> Result<(), Infallible> {
        self.0.pins.0.borrow_mut().places[self.0.at].kind = Some(Kind::Pwm { duty: duty.min(LEVELS) });
        Ok(())
    }
}

/// The analogue input of a virtual board.
#[derive(Debug)]
pub struct LabAdc(Pins);

impl AnalogIn for LabAdc {
    fn read(&mut self) -> u16 {
        self.0.adc_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pins: &Pins, pin: u8) -> (String, String, Option<u16>) {
        let status = pins.status().into_iter().find(|status| status.name == format!("GPIO{pin}")).unwrap();
        (status.direction, status.level, status.duty)
    }

    fn is(direction: &str, level: &str, duty: Option<u16>) -> (String, String, Option<u16>) {
        (direction.into(), level.into(), duty)
    }

    #[test]
    fn an_output_is_seen_from_outside_and_had_once() {
        let pins = Pins::default();
        assert_eq!(seen(&pins, 0), is("unused", "high", None));
        let mut relay = pins.output(0, false).unwrap();
        assert_eq!(seen(&pins, 0), is("output", "low", None));
        relay.set_high().unwrap();
        assert_eq!(seen(&pins, 0), is("output", "high", None));
        assert!(relay.is_set_high().unwrap() && relay.is_high().unwrap());
        assert!(pins.output(0, true).is_none() && pins.input(7, true).is_none());
        assert!(pins.set(0, true).unwrap_err().contains("driven"));
        assert!(pins.set(1, true).unwrap_err().contains("0, 2, 4"));
        pins.reset();
        assert!(pins.input(0, false).is_some(), "a start lets go of it");
    }

    #[test]
    fn an_input_is_set_from_outside() {
        let pins = Pins::default();
        let (mut pulled, mut open) = (pins.input(4, true).unwrap(), pins.input(5, false).unwrap());
        assert!(pulled.is_high().unwrap() && open.is_low().unwrap());
        pins.set(4, false).unwrap();
        pins.set(5, true).unwrap();
        assert!(pulled.is_low().unwrap() && open.is_high().unwrap());
        let mut line = pins.open_drain(12, true).unwrap();
        assert_eq!(seen(&pins, 12), is("open-drain", "high", None));
        line.set_low().unwrap();
        assert_eq!(seen(&pins, 12), is("open-drain", "low", None));
        line.set_high().unwrap();
        pins.set(12, false).unwrap();
        assert!(line.is_low().unwrap(), "somebody else pulls");
        pins.reset();
        assert_eq!(seen(&pins, 5), is("unused", "high", None), "what is outside stays");
    }

    #[test]
    fn duty_and_analogue_value() {
        let pins = Pins::default();
        let mut led = pins.pwm(2).unwrap();
        assert_eq!(seen(&pins, 2), is("output", "low", Some(0)));
        led.set_duty_cycle_percent(30).unwrap();
        assert_eq!(seen(&pins, 2), is("output", "high", Some(30)));
        let mut adc = pins.adc();
        pins.set_adc(512);
        assert_eq!(adc.read(), 512);
        pins.set_adc(5000);
        assert_eq!(adc.read(), ADC_MAX);
    }
}
