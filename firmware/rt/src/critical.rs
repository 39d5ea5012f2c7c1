//! Critical sections: interrupts of level 1, which are all that the SDK uses, are masked and the level before restored.
//!
//! Not level 15, and not the ROM's `ets_intr_lock`: the trap of a panic (`break`, level 2) must still be taken inside, and the
//! ROM's unlock does not nest.

use core::arch::asm;

struct Section;
critical_section::set_impl!(Section);

// SAFETY: there is one core; with level 1 masked no interrupt handler runs, and tasks do not preempt each other.
unsafe impl critical_section::Impl for Section {
    #[inline(always)]
    unsafe fn acquire() -> u32 {
        let ps: u32;
        // SAFETY: changes the interrupt level only.
        unsafe { asm!("rsil {0}, 1", out(reg) ps, options(nostack)) };
        ps
    }

    #[inline(always)]
    unsafe fn release(ps: u32) {
        restore(ps);
    }
}

/// Sets the processor state register back to what it was.
#[inline(always)]
pub(crate) fn restore(ps: u32) {
    // SAFETY: `ps` was read from the register.
    unsafe { asm!("wsr {0}, ps", "rsync", in(reg) ps, options(nostack)) };
}

/// The processor state register.
#[inline(always)]
pub(crate) fn state() -> u32 {
    let ps: u32;
    // SAFETY: reads only.
    unsafe { asm!("rsr {0}, ps", out(reg) ps, options(nostack, nomem)) };
    ps
}
