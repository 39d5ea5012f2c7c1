//! Special registers of the core.

use core::arch::asm;

/// Masks interrupts of level 1; returns the processor state to give to [`restore`].
#[inline(always)]
#[must_use]
pub fn mask() -> u32 {
    let state: u32;
    // SAFETY: changes the interrupt level only.
    unsafe { asm!("rsil {0}, 1", out(reg) state, options(nostack)) };
    state
}

/// Sets the processor state.
#[inline(always)]
pub fn restore(state: u32) {
    // SAFETY: the value was read from this register.
    unsafe { asm!("wsr {0}, ps", "rsync", in(reg) state, options(nostack)) };
}

/// The level up to which interrupts are masked now.
#[inline(always)]
#[must_use]
pub fn interrupt_level() -> u32 {
    let state: u32;
    // SAFETY: reads only.
    unsafe { asm!("rsr {0}, ps", out(reg) state, options(nostack, nomem)) };
    state & 15
}

/// Reads a special register by name.
macro_rules! special {
    ($name:literal) => {{
        let value: u32;
        // SAFETY: reads only.
        unsafe { core::arch::asm!(concat!("rsr {0}, ", $name), out(reg) value, options(nostack, nomem)) };
        value
    }};
}
pub(crate) use special;
