//! Stand-in for the ESP8266 chip and its boot ROM, on QEMU's `lx60` board with an LX106 core: what `-kernel rom.elf` runs.
//!
//! The firmware, the bootloader and the stand-in of the SDK call the ROM's functions at the ROM's own addresses; `table.S` has a
//! jump at each. A function that is missing here ends QEMU with exit code 71 and its address on the serial line. What the chip
//! does on its own lies here as well: reset and boot from flash, the flash itself (file `flash.bin`), the cache window, RTC
//! memory, the hardware watchdog, power that fails.
//!
//! | addresses | what |
//! |---|---|
//! | 0x40000000-0x4000FFFF | vectors and the table of jumps |
//! | 0x40010000- | hidden services (`spore_hidden`), this crate's code and constants |
//! | 0x3FF80000-0x3FFA1FFF | this crate's data, where an ESP8266 has nothing |
//! | 0x3FFA2000-0x3FFBBFFF | the same for the SDK's stand-in: frames that have come, `air.txt` |
//! | 0x3FFBC000-0x3FFBFFFF | this crate's stack |
//! | 0x3FFFC000-0x3FFFC7FF | the ROM's data which others use: handler tables, `flashchip` |
//!
//! Strictness: see the modules `flash` (alignment, words programmed twice, cache), `cache` (poison), `tasks` (posts), `interrupts`.
//! The ROM's known traps are kept: `ets_post` and `ets_intr_unlock` set the interrupt level to 0 whatever it was, handlers of
//! exceptions run with interrupts enabled, RAM has no defined content at power on, RTC memory is noise then.
//!
//! What it does not do: the rule that IRAM and the flash window take 32-bit accesses only (QEMU's core allows more); the time
//! that erasing and programming take; registers of peripherals (a restart is `software_reset`, not bit 31 of 0x60000700); ROM
//! functions for pins, the radio, SHA-1, MD5 and AES; the ROM's own timers (`ets_timer_*`: the SDK brings its own).
//!
//! # board.txt
//!
//! Lines of `key=value` in the working directory, read once when QEMU starts; the file may be missing.
//!
//! | key | what |
//! |---|---|
//! | `reset` | why the chip starts, as `rtc_get_reset_reason` tells it (`spore_hidden::reset_reason`); power on if absent or 0 |
//! | `cut` | the power fails in the middle of this flash operation, counted from 1; exit code 70 |
//! | `journal` | file to which flash operations are appended (format: module `flash`) |
//! | `strict` | 1: the window is poisoned each time the cache is switched off; 0: never; else often (module `cache`) |
//! | `seed` | start of `spore_hidden::random`; from the host if absent |
//!
//! Others (`mac`) are the SDK's, which reads them by `spore_hidden::board`.
//!
//! # Watchdog
//!
//! Off after power on and after a reset by pin, on after other resets; `ets_wdt_enable`, `_disable` and `_restore` switch it.
//! Feeding is writing 0x73 to 0x60000914, or any `ets_wdt_*`. It is looked at four times a second in the clock's interrupt, and
//! bites 7 s after the last feed. If interrupts stay masked, nothing inside QEMU can bite: for that, the number in the file
//! `alive` (ten digits and a new line, written in place) grows by one each second from the same interrupt, and whoever supervises
//! the process ends it when that stands still for as long, and starts it again with `reset=4` in `board.txt`.

#![no_std]
#![feature(asm_experimental_arch)]

mod board;
mod boot;
mod cache;
mod chip;
mod clock;
mod flash;
mod host;
mod interrupts;
mod pins;
mod print;
mod random;
mod reset;
mod services;
mod strings;
mod tasks;
mod uart;
mod watchdog;

use core::arch::global_asm;
use spore_hidden::at;

global_asm!(
    include_str!("table.S"),
    user_exception = const at::USER_EXCEPTION,
    kernel_exception = const at::KERNEL_EXCEPTION,
    double_exception = const at::DOUBLE_EXCEPTION,
    micros = const at::MICROS,
    alarm = const at::ALARM,
    exit = const at::EXIT,
    violation = const at::VIOLATION,
    file_read = const at::FILE_READ,
    file_write = const at::FILE_WRITE,
    board = const at::BOARD,
    random = const at::RANDOM,
    busy_ticks = const at::BUSY_TICKS,
    cache_enabled = const at::CACHE_ENABLED,
    bite = const at::BITE,
    flash_size = const at::FLASH_SIZE,
    adc = const at::ADC,
    sleep = const at::SLEEP,
);
global_asm!(include_str!("core.S"), options(raw));

/// A panic of this crate is a trap (profile `immediate-abort`); this is for the compiler's eyes.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    host::exit(spore_hidden::exit_code::VIOLATION)
}
