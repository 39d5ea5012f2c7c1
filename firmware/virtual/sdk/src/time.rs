//! Time since the chip started.

use crate::cell::Locked;

/// The emulator's clock when the SDK started.
static BOOT: Locked<u64> = Locked::new(0);

/// Begins to count.
pub fn begin() {
    BOOT.set(spore_hidden::micros());
}

/// Microseconds since the SDK started.
#[must_use]
pub fn since_boot() -> u64 {
    spore_hidden::micros() - BOOT.get()
}

/// The emulator's clock at a time since boot, for the alarm.
#[must_use]
pub fn absolute(since_boot: u64) -> u64 {
    since_boot.saturating_add(BOOT.get())
}

/// Microseconds since start, low 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_time() -> u32 {
    since_boot() as u32
}
