//! spore-sdk: the stand-in for Espressif's NONOS SDK (libmain, libnet80211, libpp, …) in an emulated ESP8266.
//!
//! The firmware is linked against this library instead of the vendor's. It has the C interface of versions 2.2 and 3.0 as far as
//! SPORE needs it (`exports.txt`), calls the IP stack which the firmware must provide (`imports.txt`) exactly as the vendor's
//! libraries do, and is stricter than they are: whatever would corrupt memory or hang on a chip ends the emulator with a line that
//! says what the firmware did ([`guard`]). Its radio is QEMU's open_eth and the file `air.txt` ([`air`]).
//!
//! # Files of the board
//!
//! `air.txt`: access points in reach. `board.txt`: `mac=`; without it the address made up at the first start lies in the file `mac`.
//!
//! # What differs from the vendor's
//!
//! - The own access point has no clients: what is sent to all is heard by none, what is sent to one is refused.
//! - A frame is on the wire when `linkoutput` returns; its buffer comes back through `pbuf_free` in the next event of the packet
//!   processor's task. On a chip both take a millisecond or more.
//! - Calls with interrupts masked are refused wherever the vendor's code would be in trouble in an interrupt handler: all but
//!   `system_os_post`, `ets_timer_*`, `system_get_time`, `os_random`, `os_printf_plus`, `system_soft_wdt_feed`, and plain getters.
//! - `system_restart` restarts 110 ms later, as the vendor's; exceptions and watchdogs at once.
//! - Access to flash by bytes is not trapped: QEMU cannot (`spore build` looks for it in the machine code).
//!
//! # Linking
//!
//! - All code of this library belongs into IRAM, as that of libmain; it checks that at its start.
//! - Vectors: sections `.UserEnter.text`, `.DebugExceptionVector.text`, `.NMIExceptionVector.text`, `.KernelExceptionVector.text`,
//!   `.UserExceptionVector.text`, `.DoubleExceptionVector.text` in this order at 0x40100000. They carry their alignment and padding.
//! - Symbols of the linker script: `_bss_start`, `_bss_end`, `_heap_start`.
//! - Its `.bss` is as large as what the vendor's libraries take ([`share`]), so that the heap an emulated node sees is that of a chip.
//!
//! # Interrupts
//!
//! Interrupts are masked at level 1, not 3 as by the vendor's `ets_intr_lock`: a panic's `break` (level 2) is taken everywhere.

#![no_std]
#![feature(asm_experimental_arch)]

mod air;
mod cell;
mod cpu;
mod dog;
mod eth;
mod events;
mod exception;
mod flash;
mod frames;
mod guard;
mod heap;
mod lwip;
mod parameters;
mod print;
mod rom;
mod share;
mod start;
mod system;
mod tasks;
mod time;
mod timer;
mod transmit;
mod wifi;

/// A panic of this library is a bug in it: the trap that `immediate-abort` leaves names the place.
#[cfg(target_arch = "xtensa")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    guard::violation(c"the virtual SDK panicked (a bug of the stand-in)", &[])
}
