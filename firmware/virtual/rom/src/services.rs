//! The hidden services: see `spore_hidden`, whose functions these are.

use crate::{
    board, cache, clock, flash,
    host::{self, File, Mode},
    interrupts, pins, print, random, reset, watchdog,
};
use spore_hidden::{exit_code, reset_reason};

/// The bytes that a caller hands over.
///
/// # Safety
/// `at` points at `length` readable bytes, which nobody changes meanwhile.
unsafe fn bytes<'a>(at: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: by the caller.
    unsafe { core::slice::from_raw_parts(at, length) }
}

/// Opens a file by a name without NUL.
fn open(name: &[u8], mode: Mode) -> Option<File> {
    File::open(host::name(name, &mut [0; 64])?, mode)
}

#[unsafe(no_mangle)]
extern "C" fn hidden_micros() -> u64 {
    clock::micros()
}

#[unsafe(no_mangle)]
extern "C" fn hidden_alarm(at: u64) {
    clock::alarm(at);
}

#[unsafe(no_mangle)]
extern "C" fn hidden_exit(code: u32) -> ! {
    host::exit(code)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hidden_violation(message: *const u8, length: usize) -> ! {
    // SAFETY: a text of the SDK's stand-in.
    let message = unsafe { bytes(message, length) };
    print::say("\nSPORE: contract of the SDK violated: ");
    message.iter().for_each(|&byte| print::rom_uart_putc1(byte));
    print::say("\n");
    host::exit(exit_code::VIOLATION)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hidden_file_read(
    name: *const u8,
    name_length: usize,
    offset: u32,
    to: u32,
    length: u32,
) -> i32 {
    // SAFETY: a name of the SDK's stand-in.
    let Some(file) = open(unsafe { bytes(name, name_length) }, Mode::Read) else { return -1 };
    file.seek(Some(offset));
    // SAFETY: a buffer of the SDK's stand-in.
    let count = unsafe { file.read_to(to, length) };
    file.close();
    count as i32
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hidden_file_write(
    name: *const u8,
    name_length: usize,
    append: u32,
    from: u32,
    length: u32,
) -> i32 {
    let mode = if append == 0 { Mode::Create } else { Mode::Append };
    // SAFETY: a name of the SDK's stand-in.
    let Some(file) = open(unsafe { bytes(name, name_length) }, mode) else { return -1 };
    // SAFETY: a buffer of the SDK's stand-in.
    let whole = unsafe { file.write_from(from, length) };
    file.close();
    if whole { length as i32 } else { -1 }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn hidden_board(key: *const u8, key_length: usize, to: *mut u8, length: usize) -> i32 {
    // SAFETY: a name of the SDK's stand-in.
    let key = core::str::from_utf8(unsafe { bytes(key, key_length) });
    let Some(value) = key.ok().and_then(board::value) else { return -1 };
    let count = value.len().min(length);
    // SAFETY: a buffer of the SDK's stand-in.
    unsafe { core::ptr::copy_nonoverlapping(value.as_ptr(), to, count) };
    count as i32
}

#[unsafe(no_mangle)]
extern "C" fn hidden_random() -> u32 {
    random::word()
}

#[unsafe(no_mangle)]
extern "C" fn hidden_busy_ticks() -> u64 {
    clock::busy()
}

#[unsafe(no_mangle)]
extern "C" fn hidden_cache_enabled() -> u32 {
    u32::from(cache::enabled())
}

#[unsafe(no_mangle)]
extern "C" fn hidden_bite() -> ! {
    reset::reset(reset_reason::WATCHDOG)
}

/// Only the clock runs, which beats and wakes; pins are let go.
#[unsafe(no_mangle)]
extern "C" fn hidden_sleep(micros: u64) -> ! {
    let end = clock::micros().saturating_add(micros);
    print::line(format_args!("\nSPORE: asleep"));
    watchdog::off();
    pins::reset();
    interrupts::only_clock();
    while micros == 0 || clock::micros() < end {
        clock::wait();
        // SAFETY: the clock's interrupt comes at least four times a second; then they are masked again.
        unsafe { core::arch::asm!("waiti 0", "rsil {0}, 1", out(reg) _, options(nostack)) };
    }
    reset::reset(reset_reason::DEEP_SLEEP)
}

#[unsafe(no_mangle)]
extern "C" fn hidden_flash_size() -> u32 {
    flash::size()
}
