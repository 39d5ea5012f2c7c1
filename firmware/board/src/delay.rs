//! Waiting without doing anything else.

use embedded_hal::delay::DelayNs;
use spore_rt::rom;

/// Waits busily, for the microseconds of I2C and the like. A service that waits longer than some milliseconds in all holds up WiFi; what
/// takes longer belongs into a task that is run again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Delay;

/// The longest wait in one call of the ROM: its count of clocks (160 MHz) has 32 bits.
const LONGEST_MICROS: u32 = 10_000_000;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        self.delay_us(ns.div_ceil(1000));
    }

    fn delay_us(&mut self, us: u32) {
        let mut left = us;
        while left > 0 {
            let part = left.min(LONGEST_MICROS);
            // SAFETY: no preconditions.
            unsafe { rom::ets_delay_us(part) };
            left -= part;
        }
    }

    fn delay_ms(&mut self, ms: u32) {
        for _ in 0..ms {
            self.delay_us(1000);
        }
    }
}
