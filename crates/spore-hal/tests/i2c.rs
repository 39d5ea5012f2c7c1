//! The I2C master against a slave that is made like one: a memory of 256 bytes that sees nothing but the two lines.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal::i2c::{I2c, NoAcknowledgeSource, Operation};
use proptest::prelude::*;
use spore_hal::i2c::{Error, I2cMaster};
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

const ADDRESS: u8 = 0x50;

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Idle,
    Address,
    Pointer,
    Write,
    Read,
    /// Somebody else is meant, or the master has had enough.
    Deaf,
}

/// The bus: who pulls which line low, and the slave.
struct Bus {
    master_scl: bool,
    master_sda: bool,
    slave_scl: bool,
    slave_sda: bool,
    scl: bool,
    sda: bool,
    state: State,
    bits: u32,
    byte: u8,
    pointer: u8,
    memory: [u8; 256],
    /// Looks at the clock during which it is held after each byte, and those left.
    stretch: u32,
    held: u32,
    /// Takes so many bytes and no more.
    patience: usize,
    starts: usize,
    stops: usize,
    /// Somebody pulls the lines for ever.
    short_scl: bool,
    short_sda: bool,
    elapsed_us: u64,
}

impl Bus {
    fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            master_scl: true,
            master_sda: true,
            slave_scl: true,
            slave_sda: true,
            scl: true,
            sda: true,
            state: State::Idle,
            bits: 0,
            byte: 0,
            pointer: 0,
            memory: [0xff; 256],
            stretch: 0,
            held: 0,
            patience: usize::MAX,
            starts: 0,
            stops: 0,
            short_scl: false,
            short_sda: false,
            elapsed_us: 0,
        }))
    }

    /// Lets the lines settle after somebody did something, and the slave see the edges.
    fn settle(&mut self) {
        loop {
            let scl = self.master_scl && self.slave_scl && !self.short_scl;
            let sda = self.master_sda && self.slave_sda && !self.short_sda;
            if (scl, sda) == (self.scl, self.sda) {
                return;
            }
            if scl != self.scl {
                self.scl = scl;
                if scl { self.rising() } else { self.falling() }
            } else {
                self.sda = sda;
                if self.scl {
                    self.condition(sda);
                }
            }
        }
    }

    fn condition(&mut self, stop: bool) {
        if stop {
            self.stops += 1;
            self.state = State::Idle;
        } else {
            self.starts += 1;
            self.state = State::Address;
        }
        (self.bits, self.byte) = (0, 0);
        self.slave_sda = true;
    }

    fn rising(&mut self) {
        if matches!(self.state, State::Address | State::Pointer | State::Write) && self.bits < 8 {
            self.byte = self.byte << 1 | u8::from(self.sda);
        }
        if self.state == State::Read && self.bits == 8 && self.sda {
            self.state = State::Deaf;
            self.pointer = self.pointer.wrapping_add(1);
        }
        self.bits += 1;
    }

    fn falling(&mut self) {
        match (self.state, self.bits) {
            (State::Idle | State::Deaf, _) | (_, 0) => self.slave_sda = true,
            (State::Read, 1..=7) => {
                self.slave_sda = self.memory[usize::from(self.pointer)] << self.bits & 0x80 != 0
            }
            (State::Read, 8) => self.slave_sda = true,
            (State::Read, _) => {
                self.pointer = self.pointer.wrapping_add(1);
                self.send();
            }
            (_, 8) => self.taken(),
            (State::Address, 9) if self.byte & 1 == 1 => {
                self.state = State::Read;
                self.send();
            }
            (state, 9) => {
                self.state = if state == State::Address { State::Pointer } else { State::Write };
                self.slave_sda = true;
                (self.bits, self.byte) = (0, 0);
            }
            _ => {}
        }
    }

    /// A whole byte came: acknowledged by pulling the line, or not.
    fn taken(&mut self) {
        let mine = match self.state {
            State::Address => self.byte >> 1 == ADDRESS,
            State::Pointer => {
                self.pointer = self.byte;
                true
            }
            _ => {
                let taken = self.patience > 0;
                if taken {
                    self.patience -= 1;
                    self.memory[usize::from(self.pointer)] = self.byte;
                    self.pointer = self.pointer.wrapping_add(1);
                }
                taken
            }
        };
        if mine {
            self.slave_sda = false;
        } else {
            self.state = State::Deaf;
        }
        if self.stretch > 0 {
            self.slave_scl = false;
            self.held = self.stretch;
        }
    }

    fn send(&mut self) {
        self.slave_sda = self.memory[usize::from(self.pointer)] & 0x80 != 0;
        self.bits = 0;
    }
}

struct Scl(Rc<RefCell<Bus>>);
struct Sda(Rc<RefCell<Bus>>);
struct Clock(Rc<RefCell<Bus>>);

impl ErrorType for Scl {
    type Error = Infallible;
}

impl ErrorType for Sda {
    type Error = Infallible;
}

impl Scl {
    fn drive(&self, high: bool) -> Result<(), Infallible> {
        let mut bus = self.0.borrow_mut();
        bus.master_scl = high;
        bus.settle();
        Ok(())
    }
}

impl OutputPin for Scl {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.drive(false)
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.drive(true)
    }
}

impl InputPin for Scl {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        let mut bus = self.0.borrow_mut();
        if bus.held > 0 {
            bus.held -= 1;
            if bus.held == 0 {
                bus.slave_scl = true;
                bus.settle();
            }
        }
        Ok(bus.scl)
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        self.is_high().map(|high| !high)
    }
}

impl Sda {
    fn drive(&self, high: bool) -> Result<(), Infallible> {
        let mut bus = self.0.borrow_mut();
        bus.master_sda = high;
        bus.settle();
        Ok(())
    }
}

impl OutputPin for Sda {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.drive(false)
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.drive(true)
    }
}

impl InputPin for Sda {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.borrow().sda)
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().sda)
    }
}

impl DelayNs for Clock {
    fn delay_ns(&mut self, ns: u32) {
        self.0.borrow_mut().elapsed_us += u64::from(ns / 1000);
    }
}

fn master(bus: &Rc<RefCell<Bus>>) -> I2cMaster<Scl, Sda, Clock> {
    I2cMaster::new(Scl(bus.clone()), Sda(bus.clone()), Clock(bus.clone()))
}

fn is_free(bus: &Rc<RefCell<Bus>>) -> bool {
    let bus = bus.borrow();
    bus.scl && bus.sda && bus.state == State::Idle
}

#[test]
fn bytes_are_written_and_read_back() {
    let bus = Bus::new();
    let mut i2c = master(&bus);
    i2c.write(ADDRESS, &[0x10, 0xde, 0xad, 0xbe, 0xef]).unwrap();
    assert_eq!(bus.borrow().memory[0x10..0x14], [0xde, 0xad, 0xbe, 0xef]);
    let mut seen = [0; 3];
    i2c.write_read(ADDRESS, &[0x11], &mut seen).unwrap();
    assert_eq!(seen, [0xad, 0xbe, 0xef]);
    assert_eq!((bus.borrow().starts, bus.borrow().stops), (3, 2), "write and read are one transaction");
    let mut next = [0];
    i2c.read(ADDRESS, &mut next).unwrap();
    assert_eq!(next, [0xff], "where the slave's pointer stands");
    assert!(is_free(&bus));
}

#[test]
fn the_clock_is_no_faster_than_it_was_set() {
    let bus = Bus::new();
    // 9 bits for each of address, pointer and value.
    master(&bus).write(ADDRESS, &[0, 1]).unwrap();
    assert!((27 * 10..27 * 10 + 40).contains(&bus.borrow().elapsed_us), "{}", bus.borrow().elapsed_us);
    let before = bus.borrow().elapsed_us;
    master(&bus).with_half_period(50).write(ADDRESS, &[0, 1]).unwrap();
    assert!(bus.borrow().elapsed_us - before >= 27 * 100);
}

#[test]
fn operations_of_one_kind_need_no_new_start() {
    let bus = Bus::new();
    let (mut one, mut two) = ([0; 2], [0; 3]);
    let mut operations = [
        Operation::Write(&[0x20]),
        Operation::Write(&[1, 2, 3]),
        Operation::Write(&[4, 5]),
        Operation::Write(&[]),
    ];
    let mut i2c = master(&bus);
    i2c.transaction(ADDRESS, &mut operations).unwrap();
    assert_eq!(bus.borrow().starts, 1);
    let mut operations = [
        Operation::Write(&[0x20]),
        Operation::Read(&mut one),
        Operation::Read(&mut two),
        Operation::Read(&mut []),
    ];
    i2c.transaction(ADDRESS, &mut operations).unwrap();
    assert_eq!((one, two), ([1, 2], [3, 4, 5]));
    assert_eq!(bus.borrow().starts, 3);
    i2c.transaction(ADDRESS, &mut []).unwrap();
    assert_eq!(bus.borrow().starts, 3);
    assert!(is_free(&bus));
}

#[test]
fn who_is_not_there_does_not_answer() {
    let bus = Bus::new();
    let mut i2c = master(&bus);
    assert_eq!(i2c.write(0x51, &[1]), Err(Error::NoAcknowledge(NoAcknowledgeSource::Address)));
    assert_eq!(i2c.read(0x51, &mut [0]), Err(Error::NoAcknowledge(NoAcknowledgeSource::Address)));
    assert!(is_free(&bus));
    bus.borrow_mut().patience = 2;
    assert_eq!(i2c.write(ADDRESS, &[0, 1, 2, 3]), Err(Error::NoAcknowledge(NoAcknowledgeSource::Data)));
    assert!(is_free(&bus));
    assert_eq!(i2c.write(ADDRESS, &[]), Ok(()), "there, asked without a byte");
    assert!(is_free(&bus));
}

#[test]
fn slaves_may_stretch_the_clock_within_a_bound() {
    let bus = Bus::new();
    bus.borrow_mut().stretch = 40;
    let mut i2c = master(&bus).with_stretch(50);
    let mut seen = [0; 2];
    i2c.write(ADDRESS, &[7, 0x5a, 0xa5]).unwrap();
    i2c.write_read(ADDRESS, &[7], &mut seen).unwrap();
    assert_eq!(seen, [0x5a, 0xa5]);
    bus.borrow_mut().stretch = 1000;
    assert_eq!(i2c.write(ADDRESS, &[7, 0]), Err(Error::ClockHeld));
}

#[test]
fn a_slave_left_in_the_middle_of_a_byte_is_clocked_free() {
    for clocks in 1..9 {
        let bus = Bus::new();
        bus.borrow_mut().memory = [0; 256];
        {
            let mut bus = bus.borrow_mut();
            // As after a reset of the master in the middle of a reading: the slave drives zeros.
            (bus.state, bus.bits, bus.slave_sda) = (State::Read, clocks, false);
            bus.settle();
        }
        let mut i2c = master(&bus);
        i2c.write(ADDRESS, &[3, 0x77]).unwrap_or_else(|error| panic!("after {clocks} clocks: {error}"));
        let mut seen = [0];
        i2c.write_read(ADDRESS, &[3], &mut seen).unwrap();
        assert_eq!(seen, [0x77], "after {clocks} clocks");
    }
}

#[test]
fn shorts_are_told_apart() {
    let bus = Bus::new();
    let mut i2c = master(&bus).with_stretch(20);
    bus.borrow_mut().short_sda = true;
    bus.borrow_mut().settle();
    assert_eq!(i2c.write(ADDRESS, &[0]), Err(Error::DataHeld));
    bus.borrow_mut().short_sda = false;
    bus.borrow_mut().short_scl = true;
    bus.borrow_mut().settle();
    assert_eq!(i2c.write(ADDRESS, &[0]), Err(Error::ClockHeld));
    bus.borrow_mut().short_scl = false;
    bus.borrow_mut().settle();
    i2c.write(ADDRESS, &[0, 9]).unwrap();
    assert_eq!(bus.borrow().memory[0], 9);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_is_written_is_read(
        bytes in prop::collection::vec(any::<u8>(), 1..40),
        pointer in any::<u8>(),
        stretch in 0u32..20,
        split in 0usize..40,
    ) {
        let bus = Bus::new();
        bus.borrow_mut().stretch = stretch;
        let mut i2c = master(&bus);
        let (first, second) = bytes.split_at(split.min(bytes.len()));
        let mut operations = [Operation::Write(&[pointer]), Operation::Write(first), Operation::Write(second)];
        prop_assert_eq!(i2c.transaction(ADDRESS, &mut operations), Ok(()));
        let mut seen = vec![0; bytes.len()];
        prop_assert_eq!(i2c.write_read(ADDRESS, &[pointer], &mut seen), Ok(()));
        prop_assert_eq!(seen, bytes);
        prop_assert!(is_free(&bus));
    }

    /// Whatever a slave or noise does to the data line, a transaction ends.
    #[test]
    fn noise_ends(held in prop::collection::vec(any::<bool>(), 0..400)) {
        struct Noise(Vec<bool>);
        impl ErrorType for Noise {
            type Error = Infallible;
        }
        impl OutputPin for Noise {
            fn set_low(&mut self) -> Result<(), Infallible> {
                Ok(())
            }
            fn set_high(&mut self) -> Result<(), Infallible> {
                Ok(())
            }
        }
        impl InputPin for Noise {
            fn is_high(&mut self) -> Result<bool, Infallible> {
                Ok(self.0.pop().unwrap_or(false))
            }
            fn is_low(&mut self) -> Result<bool, Infallible> {
                self.is_high().map(|high| !high)
            }
        }
        let bus = Bus::new();
        let mut i2c = I2cMaster::new(Noise(held.clone()), Noise(held), Clock(bus)).with_stretch(10);
        let mut seen = [0; 4];
        let _ = i2c.write_read(ADDRESS, &[1, 2], &mut seen);
    }
}
