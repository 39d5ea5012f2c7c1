//! Resets, their reasons, and what the chip forgets.

use crate::{
    board, cache,
    chip::{Cell, store, violation},
    clock, flash, host, interrupts, pins, print, random, tasks, uart, watchdog,
};
use spore_hidden::{exit_code, reset_reason};

/// MHz after reset, as the ROM sees it.
pub(crate) const FREQUENCY: u32 = 52;

unsafe extern "C" {
    fn reset_vector() -> !;
    fn poke(address: u32, value: u32);
    fn skip_access();
}

/// Reason of the last reset; 0 before power on.
static REASON: Cell<u32> = Cell::new(0);

/// RTC memory: system, then user.
const RTC: core::ops::Range<u32> = 0x6000_1000..0x6000_1400;
/// MODER of QEMU's Ethernet, the bit that resets it, and its interrupt mask.
const ETHERNET: u32 = 0xFD03_0000;
const ETHERNET_MASK: u32 = ETHERNET + 8;
const ETHERNET_RESET: u32 = 0x800;

/// Resets the chip.
pub(crate) fn reset(reason: u32) -> ! {
    *REASON.get() = reason;
    // SAFETY: starts from nothing.
    unsafe { reset_vector() }
}

/// `software_reset()`.
#[unsafe(no_mangle)]
extern "C" fn rom_software_reset() -> ! {
    reset(reset_reason::SOFTWARE)
}

/// `rtc_get_reset_reason()`.
#[unsafe(no_mangle)]
extern "C" fn rom_reset_reason() -> u32 {
    *REASON.get()
}

/// What is wrong with the board, and the end.
pub(crate) fn bad_board(what: &str) -> ! {
    print::line(format_args!("\nSPORE: {what}"));
    host::exit(exit_code::BAD_BOARD)
}

fn power_on() {
    if !board::power_on() {
        bad_board("board.txt is too long or not text");
    }
    if !flash::power_on() {
        bad_board("flash.bin must be there and have 1, 2 or 4 MB (or board.txt has a bad journal)");
    }
    if !pins::power_on() {
        bad_board("the journal of pins that board.txt names cannot be written");
    }
    random::power_on();
    watchdog::power_on();
    for word in RTC.step_by(4) {
        // SAFETY: RTC memory.
        unsafe { store(word, random::word()) };
    }
    *REASON.get() = match board::number("reset") {
        None | Some(0) => reset_reason::POWER_ON,
        Some(reason) => reason,
    };
}

/// Everything as it is after a reset: the reason.
pub(crate) fn begin() -> u32 {
    uart::reset();
    print::reset();
    if *REASON.get() == 0 {
        power_on();
    }
    let reason = *REASON.get();
    // SAFETY: nobody uses the chip's RAM now; 0xA5 there is nothing that anybody would expect.
    unsafe {
        host::fill(0x3FFE_8000, 0x1_8000, 0xA5);
        host::fill(0x4010_0000, 0x1_0000, cache::POISON);
    }
    cache::reset();
    interrupts::reset();
    quiet_ethernet();
    tasks::reset();
    random::reset();
    flash::reset();
    watchdog::reset(reason);
    clock::reset();
    pins::reset();
    reason
}

/// QEMU's Ethernet, if there is one, would go on writing into RAM.
fn quiet_ethernet() {
    let handlers = spore_hidden::HANDLERS..spore_hidden::HANDLERS + 256;
    // SAFETY: words of the ROM's table; `skip_access` ends accesses to a device that is not there.
    unsafe {
        for place in handlers.step_by(4) {
            store(place, skip_access as *const () as u32);
        }
        // First the mask: a reset forgets an interrupt that is pending, but leaves its line up for ever.
        poke(ETHERNET_MASK, 0);
        poke(ETHERNET, ETHERNET_RESET);
        poke(ETHERNET, 0);
    }
    interrupts::reset();
}

/// An exception without a handler: what the ROM does is to wait for the watchdog, which is not waited for here.
#[unsafe(no_mangle)]
extern "C" fn rom_fatal(at: u32, cause: u32, address: u32, stack: u32) -> ! {
    if cache::hides(at) {
        violation!("code in flash ({at:#x}) is run while the cache is off");
    }
    let what = match cause {
        64 => "break",
        65 => "exception in an exception",
        _ => "exception",
    };
    print::line(format_args!(
        "\nSPORE: {what}, cause {cause}, at {at:#x}, address {address:#x}, stack {stack:#x}; reset as by the watchdog"
    ));
    reset(reset_reason::WATCHDOG)
}

/// A ROM function that is missing here.
#[unsafe(no_mangle)]
extern "C" fn rom_unimplemented(address: u32) -> ! {
    violation!("call of ROM address {address:#x}, which the stand-in does not have")
}
