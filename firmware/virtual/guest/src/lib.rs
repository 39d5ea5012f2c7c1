//! A small firmware for tests of the SDK's stand-in (tests/qemu/test_sdk.py): it brings an IP stack that answers ARP and echoes UDP, and
//! does what the word at offset 0x40000 of the flash says ([`cases`]), well or wrongly on purpose.

#![no_std]
#![feature(asm_experimental_arch)]

mod cases;
mod sdk;
mod stack;

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A panic is a trap; this is for the compiler's eyes.
#[cfg(target_arch = "xtensa")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    spore_hidden::exit(2)
}

/// Where the case's number lies in flash.
const CASE: u32 = 0x4_0000;

/// What this run is about.
static CURRENT: AtomicU32 = AtomicU32::new(0);

/// The number of this run's case.
fn case() -> u32 {
    CURRENT.load(Relaxed)
}

/// Prints with the SDK's `os_printf`.
macro_rules! say {
    ($format:literal $(, $argument:expr)*) => {{
        #[allow(unused_unsafe, reason = "used inside unsafe blocks as well as outside")]
        // SAFETY: a C string whose conversions fit the arguments.
        let conversions = unsafe { crate::sdk::os_printf_plus($format.as_ptr().cast() $(, $argument)*) };
        conversions
    }};
}
pub(crate) use say;

/// SDK 2.x: the first of the last five sectors. It is the first call of all.
#[unsafe(no_mangle)]
extern "C" fn user_rf_cal_sector_set() -> u32 {
    let mut number = 0;
    // SAFETY: reads a word of the flash.
    unsafe { sdk::spi_flash_read(CASE, &raw mut number, 4) };
    CURRENT.store(number, Relaxed);
    spore_hidden::flash_size() / 4096 - if case() == cases::WRONG_SECTOR { 6 } else { 5 }
}

/// SDK 3.x.
#[unsafe(no_mangle)]
extern "C" fn user_pre_init() {
    let size = spore_hidden::flash_size();
    let table = [4, size - 0x5000, 0x1000, 5, size - 0x4000, 0x1000, 6, size - 0x3000, 0x3000];
    // SAFETY: three entries.
    let taken = unsafe { sdk::system_partition_table_regist(table.as_ptr(), 3, 2) };
    assert!(taken);
}

/// Start.
#[unsafe(no_mangle)]
extern "C" fn user_init() {
    cases::begin(case());
}
