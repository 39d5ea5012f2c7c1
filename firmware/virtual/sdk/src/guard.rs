//! What a chip would punish later and without a word: found at once, and said.

use core::ffi::CStr;

use crate::{cell::Locked, cpu, print, time};

/// The lowest address of the one stack.
pub const STACK_LIMIT: u32 = 0x3FFF_EB30;
/// Painted below the stack: what lies here changes only when the stack overflows.
const GUARD_START: u32 = 0x3FFF_E830;
/// The paint.
const PAINT: u32 = 0x5AFE_57AC;
/// A callback should not run longer.
pub const LONG_MICROS: u32 = 15_000;
/// A callback must not run longer: the access point may throw the station out.
pub const MUCH_TOO_LONG_MICROS: u32 = 500_000;

/// What is counted beside violations; printed before each restart.
#[derive(Clone, Copy)]
pub struct Counters {
    /// Frames given to the IP stack.
    pub received: u32,
    /// Frames that came while no receive buffer was free.
    pub no_buffer: u32,
    /// Frames that came while the link was down.
    pub link_down: u32,
    /// Frames for which the queue of the receiving task was full.
    pub queue_full: u32,
    /// Frames sent.
    pub sent: u32,
    /// Frames refused because the station was not joined.
    pub refused: u32,
    /// Frames refused because too many were under way.
    pub busy: u32,
    /// Callbacks of the firmware that ran longer than 15 ms.
    pub long: u32,
    /// The longest callback in microseconds.
    pub longest: u32,
}

/// The counters.
pub static COUNTERS: Locked<Counters> = Locked::new(Counters {
    received: 0,
    no_buffer: 0,
    link_down: 0,
    queue_full: 0,
    sent: 0,
    refused: 0,
    busy: 0,
    long: 0,
    longest: 0,
});

/// Whether [`paint`] has been called.
static PAINTED: Locked<bool> = Locked::new(false);

/// Prints the counters in one line.
pub fn print_counters() {
    let c = COUNTERS.get();
    print::print(
        c"SDK counters: rx %u, no buffer %u, link down %u, queue full %u, tx %u, refused %u, busy %u, long callbacks %u, longest %u us\n",
        &[c.received, c.no_buffer, c.link_down, c.queue_full, c.sent, c.refused, c.busy, c.long, c.longest],
    );
}

/// Ends the emulator: the firmware did what a chip punishes. Says what, with words as arguments of the format.
#[inline(never)]
pub fn violation(format: &CStr, arguments: &[u32]) -> ! {
    let _ = cpu::mask();
    print_counters();
    print::print(c"SPORE: contract of the SDK violated: ", &[]);
    print::print(format, arguments);
    print::print(c"\n", &[]);
    spore_hidden::exit(spore_hidden::exit_code::VIOLATION)
}

/// Refuses a call made from an interrupt handler or with interrupts masked.
pub fn task_only(function: &CStr) {
    if cpu::interrupt_level() != 0 {
        violation(
            c"%s called with interrupts masked or from an interrupt handler",
            &[function.as_ptr() as u32],
        );
    }
}

/// Whether a range lies in the chip's data RAM, where variables and the heap are (the stack does not count).
#[must_use]
pub fn in_data_ram(start: u32, length: u32) -> bool {
    (0x3FFE_8000..0x3FFF_C000).contains(&start) && length <= 0x3FFF_C000 - start
}

/// Whether an address lies in code: IRAM, ROM, or the window of the flash.
#[must_use]
pub fn is_code(address: u32) -> bool {
    (0x4000_0000..0x4001_0000).contains(&address)
        || (0x4010_0000..0x4011_0000).contains(&address)
        || (0x4020_0000..0x4030_0000).contains(&address)
}

/// Paints the memory below the stack.
pub fn paint() {
    for address in (GUARD_START..STACK_LIMIT).step_by(4) {
        // SAFETY: RAM of the ROM's downloader, which is not in use once the firmware runs.
        unsafe { (address as *mut u32).write_volatile(PAINT) };
    }
    PAINTED.set(true);
}

/// Looks whether the stack has grown over its end, at every word painted.
pub fn check_stack() {
    look_at_paint(4);
}

/// Looks at one word in each 48 bytes: after each callback, where looking at all would cost more than many a callback.
fn glance_at_stack() {
    look_at_paint(48);
}

fn look_at_paint(step: u32) {
    if !PAINTED.get() {
        return;
    }
    let mut address = STACK_LIMIT - 4;
    while address >= GUARD_START {
        // SAFETY: as in `paint`.
        if unsafe { (address as *const u32).read_volatile() } != PAINT {
            violation(
                c"the stack overflowed: 0x%08x, below its end 0x%08x, was written",
                &[address, STACK_LIMIT],
            );
        }
        address -= step;
    }
}

/// Calls the firmware: measures how long it runs, and looks at what it left behind. `kind` and `number` say who was called.
#[inline(always)]
pub fn callback<R>(kind: &'static CStr, number: u32, call: impl FnOnce() -> R) -> R {
    let begin = time::system_get_time();
    let result = call();
    finished(kind, number, begin);
    result
}

/// The part of [`callback`] that does not depend on the callee.
#[inline(never)]
fn finished(kind: &'static CStr, number: u32, begin: u32) {
    let micros = time::system_get_time().wrapping_sub(begin);
    if cpu::interrupt_level() != 0 {
        violation(c"%s %u returned with interrupts masked", &[kind.as_ptr() as u32, number]);
    }
    glance_at_stack();
    let first = COUNTERS.with(|c| {
        c.longest = c.longest.max(micros);
        if micros > LONG_MICROS {
            c.long += 1;
        }
        micros > LONG_MICROS && c.long == 1
    });
    if first || micros > MUCH_TOO_LONG_MICROS {
        print::print(c"SDK: %s %u ran %u us\n", &[kind.as_ptr() as u32, number, micros]);
    }
}
