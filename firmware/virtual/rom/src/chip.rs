//! All state of the chip's stand-in, in hidden memory.

use core::cell::UnsafeCell;

/// A value of the one core, reached only with interrupts masked (the thunks of `core.S` mask them) and never while a reference to
/// the same value lives.
pub(crate) struct Cell<T>(UnsafeCell<T>);

// SAFETY: there is one core, and interrupts are masked.
unsafe impl<T> Sync for Cell<T> {}

impl<T> Cell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value.
    #[allow(clippy::mut_from_ref, reason = "the rule above: one reference at a time")]
    pub(crate) fn get(&self) -> &mut T {
        // SAFETY: by the rule above.
        unsafe { &mut *self.0.get() }
    }
}

/// Reads a word of the chip's memory or registers.
///
/// # Safety
/// There is readable memory at `address`, a multiple of 4.
pub(crate) unsafe fn load(address: u32) -> u32 {
    // SAFETY: by the caller.
    unsafe { core::ptr::read_volatile(address as *const u32) }
}

/// Writes a word of the chip's memory or registers.
///
/// # Safety
/// There is memory at `address`, a multiple of 4, and nobody else's reference covers it.
pub(crate) unsafe fn store(address: u32, value: u32) {
    // SAFETY: by the caller.
    unsafe { core::ptr::write_volatile(address as *mut u32, value) };
}

/// Ends QEMU with the code of a violated contract, after a line that says how: `violation!("format", arguments)`.
macro_rules! violation {
    ($($argument:tt)*) => {{
        $crate::print::say("\nSPORE: contract of the chip violated: ");
        $crate::print::line(format_args!($($argument)*));
        $crate::host::exit(spore_hidden::exit_code::VIOLATION)
    }};
}
pub(crate) use violation;
