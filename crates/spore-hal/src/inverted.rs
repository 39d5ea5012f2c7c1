//! Pins that are active when they are low.

use embedded_hal::digital::{ErrorType, InputPin, OutputPin, PinState, StatefulOutputPin};

/// A pin whose high is the other's low: what is switched on by a low level, as relay modules and many LEDs are.
#[derive(Debug)]
pub struct Inverted<P>(P);

impl<P> Inverted<P> {
    /// Takes over a pin.
    pub const fn new(pin: P) -> Self {
        Self(pin)
    }

    /// Gives the pin back.
    pub fn into_inner(self) -> P {
        self.0
    }
}

impl<P: ErrorType> ErrorType for Inverted<P> {
    type Error = P::Error;
}

impl<P: OutputPin> OutputPin for Inverted<P> {
    fn set_low(&mut self) -> Result<(), P::Error> {
        self.0.set_high()
    }

    fn set_high(&mut self) -> Result<(), P::Error> {
        self.0.set_low()
    }

    fn set_state(&mut self, state: PinState) -> Result<(), P::Error> {
        self.0.set_state(!state)
    }
}

impl<P: StatefulOutputPin> StatefulOutputPin for Inverted<P> {
    fn is_set_high(&mut self) -> Result<bool, P::Error> {
        self.0.is_set_low()
    }

    fn is_set_low(&mut self) -> Result<bool, P::Error> {
        self.0.is_set_high()
    }

    fn toggle(&mut self) -> Result<(), P::Error> {
        self.0.toggle()
    }
}

impl<P: InputPin> InputPin for Inverted<P> {
    fn is_high(&mut self) -> Result<bool, P::Error> {
        self.0.is_low()
    }

    fn is_low(&mut self) -> Result<bool, P::Error> {
        self.0.is_high()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;

    #[derive(Default)]
    struct Wire(bool);

    impl ErrorType for Wire {
        type Error = Infallible;
    }

    impl OutputPin for Wire {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0 = false;
            Ok(())
        }
        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0 = true;
            Ok(())
        }
    }

    impl StatefulOutputPin for Wire {
        fn is_set_high(&mut self) -> Result<bool, Infallible> {
            Ok(self.0)
        }
        fn is_set_low(&mut self) -> Result<bool, Infallible> {
            Ok(!self.0)
        }
    }

    impl InputPin for Wire {
        fn is_high(&mut self) -> Result<bool, Infallible> {
            Ok(self.0)
        }
        fn is_low(&mut self) -> Result<bool, Infallible> {
            Ok(!self.0)
        }
    }

    #[test]
    fn high_is_low() {
        let mut pin = Inverted::new(Wire::default());
        let seen =
            |pin: &mut Inverted<Wire>| (pin.is_set_high(), pin.is_high(), pin.is_set_low(), pin.is_low());
        assert_eq!(seen(&mut pin), (Ok(true), Ok(true), Ok(false), Ok(false)));
        pin.set_low().unwrap();
        assert_eq!(seen(&mut pin), (Ok(false), Ok(false), Ok(true), Ok(true)));
        pin.set_state(PinState::High).unwrap();
        assert_eq!(pin.is_high(), Ok(true));
        pin.toggle().unwrap();
        assert!(pin.into_inner().0);
    }
}
