//! Cases of pins, the analogue input and deep sleep.

use super::{fail, require};
use crate::rom;
use core::ptr::{read_volatile, write_volatile};
use spore_hidden::{interrupt, reset_reason};

/// What pins are used for, and their drivers.
const MTDI: *mut u32 = 0x6000_0804 as *mut u32;
const PIN12: *mut u32 = 0x6000_0358 as *mut u32;
const GPIO4: *mut u32 = 0x6000_083C as *mut u32;
/// Function 3, and the pull-up.
const FUNCTION_3: u32 = 3 << 4;
const PULL_UP: u32 = 1 << 7;

/// The world says: GPIO5 high, GPIO12 low later.
pub(super) unsafe fn used() {
    // SAFETY: pins of the board, registers of the chip.
    unsafe {
        let levels = rom::gpio_input_get();
        require!("GPIO0 and 2 are pulled up, 4 is not, 5 is set", levels & 0b11_0101 == 0b10_0101);
        require!("GPIO15 is pulled down", levels & 1 << 15 == 0);
        require!("the analogue input", spore_hidden::adc() == 512);
        write_volatile(GPIO4, PULL_UP);
        require!("the chip's own pull-up", rom::gpio_input_get() & 1 << 4 != 0);
        // An output: the level first, then the driver.
        write_volatile(GPIO4, 0);
        rom::gpio_output_set(1 << 4, 0, 0, 0);
        require!("a level without a driver is not seen", rom::gpio_input_get() & 1 << 4 == 0);
        rom::gpio_output_set(0, 0, 1 << 4, 0);
        require!("an output that is high", rom::gpio_input_get() & 1 << 4 != 0);
        rom::gpio_output_set(0, 1 << 4, 0, 0);
        require!("an output that is low", rom::gpio_input_get() & 1 << 4 == 0);
        rom::gpio_output_set(0, 0, 0, 1 << 5);
        // An open drain: low is ours, high is the world's.
        write_volatile(MTDI, FUNCTION_3 | PULL_UP);
        write_volatile(PIN12, 1 << 2);
        rom::gpio_output_set(1 << 12, 0, 1 << 12, 0);
        require!("a line let go", rom::gpio_input_get() & 1 << 12 != 0);
        rom::gpio_output_set(0, 1 << 12, 0, 0);
        require!("a line pulled down", rom::gpio_input_get() & 1 << 12 == 0);
        rom::ets_delay_us(600_000);
    }
}

/// Timer FRC1.
const LOAD: *mut u32 = 0x6000_0600 as *mut u32;
const CONTROL: *mut u32 = 0x6000_0608 as *mut u32;
/// On, divided by 16: 5 ticks in a microsecond.
const ON: u32 = 1 << 7 | 1 << 2;

/// High for 1 ms, low for 3 ms.
extern "C" fn toggle(count: u32) {
    // SAFETY: a pin of the board; a register of the chip; a word of this case.
    unsafe {
        if rom::gpio_input_get() & 1 << 4 != 0 {
            rom::gpio_output_set(0, 1 << 4, 0, 0);
            write_volatile(LOAD, 15_000);
        } else {
            rom::gpio_output_set(1 << 4, 0, 0, 0);
            write_volatile(LOAD, 5_000);
        }
        let count = count as *mut u32;
        write_volatile(count, read_volatile(count) + 1);
    }
}

/// A timer that drives a pin, 400 steps of it.
pub(super) unsafe fn timer() {
    let mut count = 0_u32;
    // SAFETY: a pin of the board, registers of the chip, a word that lives until the end.
    unsafe {
        write_volatile(GPIO4, 0);
        rom::gpio_output_set(0, 1 << 4, 1 << 4, 0);
        rom::ets_isr_attach(interrupt::FRC1, toggle, (&raw mut count) as u32);
        write_volatile(LOAD, 100);
        rom::ets_isr_unmask(1 << interrupt::FRC1);
        rom::ets_delay_us(100_000);
        require!("a timer that is off does not count", read_volatile(&raw const count) == 0);
        write_volatile(CONTROL, ON);
        rom::ets_isr_unmask(1 << interrupt::FRC1);
        let began = spore_hidden::micros();
        while read_volatile(&raw const count) < 400 {}
        require!("400 steps of 2 ms on average", spore_hidden::micros() - began >= 790_000);
    }
}

pub(super) unsafe fn sleep() {
    // SAFETY: one word of the ROM's.
    match unsafe { rom::rtc_get_reset_reason() } {
        reset_reason::DEEP_SLEEP => {}
        _ => spore_hidden::sleep(1_500_000),
    }
}

/// GPIO12 is a line of JTAG until somebody says otherwise.
pub(super) unsafe fn not_a_pin() {
    // SAFETY: refused.
    unsafe { rom::gpio_output_set(0, 0, 1 << 12, 0) };
}

pub(super) unsafe fn flash_line() {
    // SAFETY: refused.
    unsafe { rom::gpio_output_set(0, 0, 1 << 6, 0) };
}

pub(super) unsafe fn too_many() {
    // SAFETY: refused.
    unsafe { rom::gpio_output_set(1 << 16, 0, 0, 0) };
}
