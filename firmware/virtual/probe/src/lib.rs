//! Tests the stand-in of the ROM from inside: a program that the ROM boots instead of the bootloader. The word at offset 0x10000
//! of the flash says which case is run (tests/qemu/test_rom.py); a case ends QEMU with 0 if all is well, with 1 after a line that says
//! what is not, or as the stand-in wishes.

#![no_std]
#![feature(asm_experimental_arch)]

mod cases;
mod rom;

use core::arch::global_asm;

/// A panic is a trap; this is for the compiler's eyes.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    spore_hidden::exit(1)
}

// Code that the flash's copy at 0x11000 has, too: made by hand, so that it may run anywhere.
global_asm!(".section .entry, \"ax\"", ".balign 4", ".global probe_entry", "probe_entry:", "j probe_main", options(raw));

/// Where the case's number lies in flash.
const CASE: u32 = 0x1_0000;

/// After the ROM.
#[unsafe(no_mangle)]
extern "C" fn probe_main() {
    let mut case = 0;
    // SAFETY: reads a word of the flash.
    unsafe { rom::SPIRead(CASE, &mut case, 4) };
    cases::run(case);
}
