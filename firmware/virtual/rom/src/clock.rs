//! Time: CCOUNT made 64 bits wide, the one comparator (interrupt 6), the alarm, the share of time spent idle.

use crate::{
    chip::{Cell, load, store},
    interrupts, pins, reset, watchdog,
};
use core::arch::asm;
use spore_hidden::{TICKS_PER_MICRO, interrupt};

/// How often the clock is looked at when nothing else asks, in microseconds.
const LOOK: u64 = 250_000;
/// The shortest time the comparator is set to, in ticks: it must not have passed before it is set.
const SHORTEST: u32 = 400;

/// The chip's timer FRC1: the value to count down from, and its control. A value that was taken is replaced by this mark, so that the same
/// one written again is seen. It counts when its interrupt is unmasked, and after each of its interrupts: whoever writes a value at
/// another moment is heard at the next look of the clock only.
const FRC1_LOAD: u32 = 0x6000_0600;
const FRC1_CONTROL: u32 = 0x6000_0608;
const FRC1_ON: u32 = 1 << 7;
const TAKEN: u32 = 0xFFFF_FFFF;
/// Clocks of the chip's timers in a microsecond.
const TIMER_MHZ: u32 = 80;

struct Clock {
    /// CCOUNT up to which `micros` counts.
    counted: u32,
    /// Microseconds since power on.
    micros: u64,
    /// When the alarm rings; `u64::MAX` is never.
    alarm: u64,
    /// When FRC1 has counted down; `u64::MAX` is never.
    frc1: u64,
    /// Ticks spent waiting for interrupts.
    idle: u64,
    /// CCOUNT when the present wait began.
    waiting: Option<u32>,
    /// Ticks spent in functions for flash and cache.
    in_flash: u64,
}

static CLOCK: Cell<Clock> = Cell::new(Clock {
    counted: 0,
    micros: 0,
    alarm: u64::MAX,
    frc1: u64::MAX,
    idle: 0,
    waiting: None,
    in_flash: 0,
});

/// The core's cycle counter, which QEMU lets tick at 40 MHz.
pub(crate) fn ccount() -> u32 {
    let count: u32;
    // SAFETY: reads a counter.
    unsafe { asm!("rsr.ccount {0}", out(reg) count, options(nomem, nostack)) };
    count
}

/// Sets the comparator, which also takes its interrupt back.
fn compare(count: u32) {
    // SAFETY: the comparator belongs to this module.
    unsafe { asm!("wsr.ccompare0 {0}", "rsync", in(reg) count, options(nomem, nostack)) };
}

/// A 40th, without the division this core has not (exact for all values).
const fn fortieth(ticks: u32) -> u32 {
    let n = ticks >> 2;
    let mut q = (n >> 1) + (n >> 2);
    q += q >> 4;
    q += q >> 8;
    q += q >> 16;
    q >>= 3;
    let rest = n - q * 10;
    q + (rest > 9) as u32
}
const _: () = assert!(TICKS_PER_MICRO == 40 && fortieth(u32::MAX) == u32::MAX / 40 && fortieth(39) == 0);

/// Microseconds since power on.
pub(crate) fn micros() -> u64 {
    let clock = CLOCK.get();
    let passed = fortieth(ccount().wrapping_sub(clock.counted));
    clock.counted = clock.counted.wrapping_add(passed * TICKS_PER_MICRO);
    clock.micros += u64::from(passed);
    clock.micros
}

/// Sets the comparator for what comes next.
fn program() {
    let now = micros();
    let clock = CLOCK.get();
    let ring = if interrupts::unmasked(interrupt::TIMER) { clock.alarm } else { u64::MAX };
    let ring = if interrupts::unmasked(interrupt::FRC1) { ring.min(clock.frc1) } else { ring };
    let micros = ring.saturating_sub(now).min(LOOK) as u32;
    let mut ticks = (micros * TICKS_PER_MICRO).max(SHORTEST);
    loop {
        let until = ccount().wrapping_add(ticks);
        compare(until);
        // A host under load may have let it pass: then nothing would come for 107 s.
        if (until.wrapping_sub(ccount()) as i32) > 0 {
            break;
        }
        ticks *= 2;
    }
}

/// The comparator's interrupt: the interrupts of the chip's timers that come now, a bit each.
#[unsafe(no_mangle)]
extern "C" fn clock_tick() -> u32 {
    let now = micros();
    watchdog::look(now);
    pins::look(now);
    let clock = CLOCK.get();
    let mut rings = 0;
    if now >= clock.alarm && interrupts::unmasked(interrupt::TIMER) {
        clock.alarm = u64::MAX;
        rings |= 1 << interrupt::TIMER;
    }
    if now >= clock.frc1 && interrupts::unmasked(interrupt::FRC1) {
        clock.frc1 = u64::MAX;
        rings |= 1 << interrupt::FRC1;
    }
    program();
    rings
}

/// Rings at `at`, once.
pub(crate) fn alarm(at: u64) {
    CLOCK.get().alarm = at;
    program();
}

/// Looks whether FRC1 was given something to count down.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn clock_frc1() {
    // SAFETY: registers of the chip, RAM in QEMU.
    let (load, control) = unsafe { (load(FRC1_LOAD), load(FRC1_CONTROL)) };
    if load == TAKEN || control & FRC1_ON == 0 {
        return;
    }
    // SAFETY: as above.
    unsafe { store(FRC1_LOAD, TAKEN) };
    let shift = match control >> 2 & 3 {
        0 => 0,
        1 => 4,
        _ => 8,
    };
    // 23 bits, at 80 MHz divided.
    let micros = ((load & 0x7F_FFFF) << shift) / TIMER_MHZ;
    CLOCK.get().frc1 = self::micros() + u64::from(micros.max(1));
    program();
}

/// The timer's interrupt was unmasked: an alarm may have waited for that.
pub(crate) fn unmasked() {
    program();
}

/// The core is about to wait for interrupts.
pub(crate) fn wait() {
    CLOCK.get().waiting = Some(ccount());
}

/// The core does something again.
pub(crate) fn awake() {
    let clock = CLOCK.get();
    if let Some(since) = clock.waiting.take() {
        clock.idle += u64::from(ccount().wrapping_sub(since));
    }
}

/// Ticks since power on that were not spent waiting.
pub(crate) fn busy() -> u64 {
    let total = micros() * u64::from(TICKS_PER_MICRO);
    total.saturating_sub(CLOCK.get().idle)
}

/// Ticks since power on that were spent in functions for flash and cache.
pub(crate) fn in_flash() -> u64 {
    CLOCK.get().in_flash
}

/// Counts the ticks until it is dropped to the functions for flash and cache.
pub(crate) struct InFlash(u32);

impl InFlash {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self(ccount())
    }
}

impl Drop for InFlash {
    fn drop(&mut self) {
        CLOCK.get().in_flash += u64::from(ccount().wrapping_sub(self.0));
    }
}

/// Back to the state at reset: no alarm; the clock runs on.
pub(crate) fn reset() {
    awake();
    (CLOCK.get().alarm, CLOCK.get().frc1) = (u64::MAX, u64::MAX);
    // SAFETY: registers of the chip, RAM in QEMU.
    unsafe {
        store(FRC1_LOAD, TAKEN);
        store(FRC1_CONTROL, 0);
    }
    program();
}

/// `ets_delay_us(micros)`: waits, busy.
#[unsafe(no_mangle)]
extern "C" fn rom_delay_us(micros: u32) {
    let mut left = u64::from(micros) * u64::from(TICKS_PER_MICRO);
    let mut last = ccount();
    while left > 0 {
        let now = ccount();
        left = left.saturating_sub(u64::from(now.wrapping_sub(last)));
        last = now;
    }
}

/// What `ets_update_cpu_frequency` was told, in MHz: it changes nothing but what `ets_get_cpu_frequency` says.
static FREQUENCY: Cell<u32> = Cell::new(reset::FREQUENCY);

/// `ets_update_cpu_frequency(MHz)`.
#[unsafe(no_mangle)]
extern "C" fn rom_update_cpu_frequency(mhz: u32) {
    *FREQUENCY.get() = mhz;
}

/// `ets_get_cpu_frequency()`: MHz.
#[unsafe(no_mangle)]
extern "C" fn rom_get_cpu_frequency() -> u32 {
    *FREQUENCY.get()
}
