//! State shared between tasks and interrupt handlers.

use core::cell::UnsafeCell;

use crate::cpu;

/// A value that is only touched with interrupts masked. There is one core, and tasks do not preempt each other.
pub struct Locked<T>(UnsafeCell<T>);

// SAFETY: `with` is the only way in, it masks interrupts, and its callers never call back into the same cell.
unsafe impl<T> Sync for Locked<T> {}

impl<T> Locked<T> {
    /// A cell.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Works on the value with interrupts masked. `work` must be short, and must not use the same cell.
    #[inline]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let state = cpu::mask();
        // SAFETY: interrupts are masked and `work` does not come back here, so this is the only reference.
        let result = work(unsafe { &mut *self.0.get() });
        cpu::restore(state);
        result
    }

    /// Where the value lies.
    pub const fn address(&self) -> *mut T {
        self.0.get()
    }
}

impl<T: Copy> Locked<T> {
    /// A copy of the value.
    pub fn get(&self) -> T {
        self.with(|value| *value)
    }

    /// Replaces the value; returns the one before.
    pub fn set(&self, value: T) -> T {
        self.with(|old| core::mem::replace(old, value))
    }
}
