//! What an emulated chip can do that an ESP8266 cannot: the services which the stand-in of the ROM (`spore-rom`) gives to the
//! stand-in of the SDK (`spore-sdk`), and to nobody else. The firmware itself must never call them: a chip has nothing there.
//!
//! Each service is a jump at a fixed address from [`at::BASE`] on, called with the call0 convention. Services run on the ROM's
//! hidden stack with interrupts masked, so they may be called from tasks and from interrupt handlers, and cost 16 bytes of the
//! caller's stack at most.
//!
//! # Exceptions and interrupts
//!
//! The handler table of the ROM lies at [`HANDLERS`], a word for each EXCCAUSE. Vectors of the SDK (VECBASE + 0x50 user, + 0x30
//! kernel) have two ways to use it:
//!
//! 1. forward: save a0 in EXCSAVE1, touch nothing else, jump to the ROM's entry, which makes the frame and dispatches:
//!
//!    ```text
//!    wsr.excsave1 a0
//!    movi  a0, 0x40010000   ; at::USER_EXCEPTION (a literal: an address is no immediate)
//!    jx    a0               ; kernel vector: at::KERNEL_EXCEPTION; double (VECBASE + 0x70): at::DOUBLE_EXCEPTION
//!    ```
//! 2. do what the ROM does: `addmi a1, a1, -256`, save a2, a3 and a4 at offsets 0x14, 0x18 and 0x1C of the frame, and jump to
//!    the word of the table, with everything else untouched.
//!
//! Cause 4 leads to the handlers attached by number with the ROM's `ets_isr_attach(number, function, argument)`; a handler runs on
//! the interrupted stack at INTLEVEL 1. Numbers that mean something here are in [`interrupt`].
//!
//! # Clock
//!
//! QEMU's CCOUNT ticks [`TICKS_PER_MICRO`] times a microsecond, whatever the core "runs at". Its one comparator (interrupt 6)
//! belongs to the ROM: it keeps the 64-bit clock, looks after the watchdog and beats in the file `alive`. Timers are made from
//! [`alarm`].

#![no_std]

/// The addresses of the services, in the order of the ROM's table. Those of exceptions are jumped to, not called.
pub mod at {
    /// Start of the table: the first address behind the ROM.
    pub const BASE: u32 = 0x4001_0000;
    /// Entry for the user vector: a0 is in EXCSAVE1, nothing else has been touched.
    pub const USER_EXCEPTION: u32 = BASE;
    /// Entry for the kernel vector, as for the user vector.
    pub const KERNEL_EXCEPTION: u32 = BASE + 4;
    /// Entry for the double exception vector: says so and resets the chip as its watchdog would.
    pub const DOUBLE_EXCEPTION: u32 = BASE + 8;
    /// [`crate::micros`].
    pub const MICROS: u32 = BASE + 12;
    /// [`crate::alarm`].
    pub const ALARM: u32 = BASE + 16;
    /// [`crate::exit`].
    pub const EXIT: u32 = BASE + 20;
    /// [`crate::violation`].
    pub const VIOLATION: u32 = BASE + 24;
    /// [`crate::file_read`].
    pub const FILE_READ: u32 = BASE + 28;
    /// [`crate::file_write`].
    pub const FILE_WRITE: u32 = BASE + 32;
    /// [`crate::board`].
    pub const BOARD: u32 = BASE + 36;
    /// [`crate::random`].
    pub const RANDOM: u32 = BASE + 40;
    /// [`crate::busy_ticks`].
    pub const BUSY_TICKS: u32 = BASE + 44;
    /// [`crate::cache_enabled`].
    pub const CACHE_ENABLED: u32 = BASE + 48;
    /// [`crate::bite`].
    pub const BITE: u32 = BASE + 52;
    /// [`crate::flash_size`].
    pub const FLASH_SIZE: u32 = BASE + 56;
    /// [`crate::adc`].
    pub const ADC: u32 = BASE + 60;
    /// [`crate::sleep`].
    pub const SLEEP: u32 = BASE + 64;
}

/// Numbers of interrupts for `ets_isr_attach` and `ets_isr_unmask`.
pub mod interrupt {
    /// QEMU's UART, a 16550 at 0xFD050020.
    pub const UART: u32 = 0;
    /// QEMU's Ethernet, open_eth.
    pub const ETHERNET: u32 = 1;
    /// CCOMPARE0: the ROM's own; it cannot be attached to.
    pub const CLOCK: u32 = 6;
    /// The chip's timer FRC1, by its registers at 0x60000600: it counts down once from each value written, as long as it is switched on.
    pub const FRC1: u32 = 9;
    /// The chip's timer FRC2: its handler is called when the time given to [`crate::alarm`] has come.
    pub const TIMER: u32 = 10;
}

/// Exit codes of an emulated chip.
pub mod exit_code {
    /// The power failed as `cut=` in board.txt wished.
    pub const POWER_CUT: u32 = 70;
    /// The firmware broke the contract of the chip; a line on the serial says how.
    pub const VIOLATION: u32 = 71;
    /// `flash.bin` or `board.txt` is not usable, or the flash holds nothing to boot.
    pub const BAD_BOARD: u32 = 72;
}

/// Why the chip was reset, as the ROM's `rtc_get_reset_reason` and its boot message tell (RESET_REASON of the RTOS SDK's rtc_register.h).
pub mod reset_reason {
    /// Power came.
    pub const POWER_ON: u32 = 1;
    /// The reset pin, or the pin CH_PD.
    pub const EXTERNAL: u32 = 2;
    /// `software_reset`.
    pub const SOFTWARE: u32 = 3;
    /// The hardware watchdog bit.
    pub const WATCHDOG: u32 = 4;
    /// Woken from deep sleep.
    pub const DEEP_SLEEP: u32 = 5;
}

/// The handler table of the ROM: 64 addresses, by EXCCAUSE.
pub const HANDLERS: u32 = 0x3FFF_C000;

/// CCOUNT ticks in a microsecond.
pub const TICKS_PER_MICRO: u32 = 40;

/// The service at an address of [`at`], as a function of the given type.
macro_rules! service {
    ($address:expr, $($signature:tt)+) => {{
        // SAFETY: spore-rom has a function of this signature at this address; the two crates change together.
        unsafe { core::mem::transmute::<usize, $($signature)+>($address as usize) }
    }};
}

/// Microseconds since the process started, also across restarts of the chip.
#[must_use]
pub fn micros() -> u64 {
    service!(at::MICROS, extern "C" fn() -> u64)()
}

/// Sets the one alarm: when [`micros`] reaches `at` (or at once if it has), the handler attached to [`interrupt::TIMER`] is called,
/// once, provided that interrupt is unmasked by then; else as soon as it is. A new alarm replaces the old; `u64::MAX` is none.
pub fn alarm(at: u64) {
    service!(at::ALARM, extern "C" fn(u64))(at);
}

/// Ends QEMU with a code of [`exit_code`] (or another of 0 to 255).
pub fn exit(code: u32) -> ! {
    service!(at::EXIT, extern "C" fn(u32) -> !)(code)
}

/// Says on the serial line how the firmware broke the contract, and ends QEMU with [`exit_code::VIOLATION`].
pub fn violation(message: &str) -> ! {
    service!(at::VIOLATION, extern "C" fn(*const u8, usize) -> !)(message.as_ptr(), message.len())
}

/// Reads from a file of the board's directory, from `offset` on: the number of bytes read, 0 at its end, `None` if there is no such file.
/// `name` has at most 63 bytes.
#[must_use]
pub fn file_read(name: &str, offset: u32, into: &mut [u8]) -> Option<usize> {
    let read: extern "C" fn(*const u8, usize, u32, *mut u8, usize) -> i32 =
        service!(at::FILE_READ, extern "C" fn(*const u8, usize, u32, *mut u8, usize) -> i32);
    let count = read(name.as_ptr(), name.len(), offset, into.as_mut_ptr(), into.len());
    usize::try_from(count).ok()
}

/// Writes a file of the board's directory, making it if need be: over its old content, or behind it if `append`. Whether all was written.
/// `name` has at most 63 bytes.
#[must_use]
pub fn file_write(name: &str, append: bool, content: &[u8]) -> bool {
    let write: extern "C" fn(*const u8, usize, u32, *const u8, usize) -> i32 =
        service!(at::FILE_WRITE, extern "C" fn(*const u8, usize, u32, *const u8, usize) -> i32);
    let count = write(name.as_ptr(), name.len(), u32::from(append), content.as_ptr(), content.len());
    usize::try_from(count) == Ok(content.len())
}

/// The value of a key of `board.txt` (as it was at power on), cut to the room given: the number of bytes, `None` if the key is not there.
#[must_use]
pub fn board(key: &str, into: &mut [u8]) -> Option<usize> {
    let board: extern "C" fn(*const u8, usize, *mut u8, usize) -> i32 =
        service!(at::BOARD, extern "C" fn(*const u8, usize, *mut u8, usize) -> i32);
    usize::try_from(board(key.as_ptr(), key.len(), into.as_mut_ptr(), into.len())).ok()
}

/// A random word: from the host's generator, or a fixed sequence if `board.txt` has a `seed`. For simulations, not for keys.
#[must_use]
pub fn random() -> u32 {
    service!(at::RANDOM, extern "C" fn() -> u32)()
}

/// Ticks of CCOUNT since power on that were not spent waiting for interrupts in `ets_run`. Divide by [`TICKS_PER_MICRO`].
#[must_use]
pub fn busy_ticks() -> u64 {
    service!(at::BUSY_TICKS, extern "C" fn() -> u64)()
}

/// Whether flash can be seen in the cache window now.
#[must_use]
pub fn cache_enabled() -> bool {
    service!(at::CACHE_ENABLED, extern "C" fn() -> u32)() != 0
}

/// Resets the chip at once as the hardware watchdog does.
pub fn bite() -> ! {
    service!(at::BITE, extern "C" fn() -> !)()
}

/// Size of the flash in bytes: 1, 2 or 4 MB.
#[must_use]
pub fn flash_size() -> u32 {
    service!(at::FLASH_SIZE, extern "C" fn() -> u32)()
}

/// What is measured at the chip's analogue input: what the file `inputs.txt` says (`adc=512`), else 0. May be anything.
#[must_use]
pub fn adc() -> u32 {
    service!(at::ADC, extern "C" fn() -> u32)()
}

/// Deep sleep: pins are let go, nothing runs, and after so many microseconds the chip is reset with [`reset_reason::DEEP_SLEEP`]. 0 is
/// for ever. Call it without interrupts under way.
pub fn sleep(micros: u64) -> ! {
    service!(at::SLEEP, extern "C" fn(u64) -> !)(micros)
}
