//! The SPI master against a shift register that looks at the edges only.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal::spi::{MODE_0, MODE_1, MODE_2, MODE_3, Mode, Phase, Polarity, SpiBus};
use proptest::prelude::*;
use spore_hal::SpiMaster;
use spore_hal::spi::NoInput;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

/// A device that answers every byte with the one before, as a chain of shift registers of 8 bits does.
struct Register {
    mode: Mode,
    sck: bool,
    mosi: bool,
    miso: bool,
    shift: u8,
    bits: u32,
    taken: Vec<u8>,
}

impl Register {
    fn new(mode: Mode, first: u8) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            mode,
            sck: mode.polarity == Polarity::IdleHigh,
            mosi: false,
            // With data taken at the first edge, the first bit is there before it.
            miso: mode.phase == Phase::CaptureOnFirstTransition && first & 0x80 != 0,
            shift: first,
            bits: 0,
            taken: Vec::new(),
        }))
    }

    fn clock(&mut self, high: bool) {
        if high == self.sck {
            return;
        }
        self.sck = high;
        let first = high == (self.mode.polarity == Polarity::IdleLow);
        if first == (self.mode.phase == Phase::CaptureOnFirstTransition) {
            self.shift = self.shift << 1 | u8::from(self.mosi);
            self.bits += 1;
            if self.bits.is_multiple_of(8) {
                self.taken.push(self.shift);
            }
        } else {
            self.miso = self.shift & 0x80 != 0;
        }
    }
}

struct Pin(Rc<RefCell<Register>>, fn(&mut Register, bool));
struct Input(Rc<RefCell<Register>>);
struct NoDelay;

impl ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.1(&mut self.0.borrow_mut(), false);
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.1(&mut self.0.borrow_mut(), true);
        Ok(())
    }
}

impl ErrorType for Input {
    type Error = Infallible;
}

impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.borrow().miso)
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().miso)
    }
}

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}

fn master(register: &Rc<RefCell<Register>>, mode: Mode) -> SpiMaster<Pin, Pin, Input, NoDelay> {
    let sck = Pin(register.clone(), Register::clock);
    let mosi = Pin(register.clone(), |register, high| register.mosi = high);
    // The clock may move to where it idles before the device is selected.
    let spi = SpiMaster::new(sck, mosi, Input(register.clone()), NoDelay).with_mode(mode);
    let mut device = register.borrow_mut();
    (device.bits, device.sck) = (0, mode.polarity == Polarity::IdleHigh);
    device.taken.clear();
    drop(device);
    spi
}

const MODES: [Mode; 4] = [MODE_0, MODE_1, MODE_2, MODE_3];

#[test]
fn all_modes_carry_bytes_both_ways() {
    for mode in MODES {
        let register = Register::new(mode, 0x3c);
        let mut spi = master(&register, mode);
        register.borrow_mut().shift = 0x3c;
        register.borrow_mut().miso = mode.phase == Phase::CaptureOnFirstTransition && 0x3c & 0x80 != 0;
        let mut words = [0x81, 0x42, 0xff];
        spi.transfer_in_place(&mut words).unwrap();
        assert_eq!(words, [0x3c, 0x81, 0x42], "{mode:?}");
        assert_eq!(register.borrow().taken, [0x81, 0x42, 0xff], "{mode:?}");
        let mut read = [0; 1];
        spi.transfer(&mut read, &[0x11, 0x22]).unwrap();
        assert_eq!((read, register.borrow().taken.len()), ([0xff], 5));
        let mut read = [0; 3];
        spi.transfer(&mut read, &[0x33]).unwrap();
        assert_eq!(read, [0x22, 0x33, 0]);
        spi.write(&[7, 8]).unwrap();
        let mut read = [9; 2];
        spi.read(&mut read).unwrap();
        assert_eq!(read, [8, 0]);
        spi.flush().unwrap();
        assert_eq!(register.borrow().sck, mode.polarity == Polarity::IdleHigh, "the clock idles");
    }
}

#[test]
fn without_an_input_zeros_are_read() {
    let register = Register::new(MODE_0, 0xff);
    let sck = Pin(register.clone(), Register::clock);
    let mosi = Pin(register.clone(), |register, high| register.mosi = high);
    let mut spi = SpiMaster::new(sck, mosi, NoInput, NoDelay).with_half_period(0);
    let mut words = [0xa5];
    spi.transfer_in_place(&mut words).unwrap();
    assert_eq!((words, &register.borrow().taken[..]), ([0], &[0xa5][..]));
}

proptest! {
    #[test]
    fn bytes_arrive(bytes in prop::collection::vec(any::<u8>(), 0..30), mode in 0usize..4) {
        let mode = MODES[mode];
        let register = Register::new(mode, 0);
        let mut spi = master(&register, mode);
        spi.write(&bytes).unwrap();
        prop_assert_eq!(&register.borrow().taken, &bytes);
    }
}
