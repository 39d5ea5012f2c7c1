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

global_asm!(
    // At the start of IRAM: vectors as the SDK has them, which forward to the ROM.
    ".section .vectors, \"ax\"",
    ".balign 16",
    ".global vectors",
    "vectors:",
    ".4byte {user}, {kernel}, {double}",
    ".org 0x30",
    "wsr.excsave1 a0",
    "l32r a0, vectors + 4",
    "jx a0",
    ".org 0x50",
    "wsr.excsave1 a0",
    "l32r a0, vectors",
    "jx a0",
    ".org 0x70",
    "wsr.excsave1 a0",
    "l32r a0, vectors + 8",
    "jx a0",
    ".section .entry, \"ax\"",
    ".balign 4",
    ".global probe_entry",
    "probe_entry:",
    "j probe_main",
    user = const spore_hidden::at::USER_EXCEPTION,
    kernel = const spore_hidden::at::KERNEL_EXCEPTION,
    double = const spore_hidden::at::DOUBLE_EXCEPTION,
);

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
