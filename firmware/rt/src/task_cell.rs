//! A value that only task context touches.

use core::cell::UnsafeCell;

/// A static value used from task context only, by one closure at a time.
pub struct TaskCell<T>(UnsafeCell<T>);

// SAFETY: nothing is shared between threads; there is one context (see the crate's documentation).
unsafe impl<T> Sync for TaskCell<T> {}
// SAFETY: as above.
unsafe impl<T> Send for TaskCell<T> {}

impl<T> TaskCell<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Lends the value to a closure, which must not come back here for the same cell.
    #[inline(always)]
    pub fn with<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: task context does not preempt itself, and closures given here do not nest on one cell.
        f(unsafe { &mut *self.0.get() })
    }

    /// Lends the value for ever.
    ///
    /// # Safety
    /// At most once for a cell, and nothing else of it may be used after that.
    #[allow(clippy::mut_from_ref, reason = "the caller promises that there is no other")]
    pub unsafe fn lend(&'static self) -> &'static mut T {
        // SAFETY: the caller's.
        unsafe { &mut *self.0.get() }
    }

    /// Address of the value, for the SDK to keep.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}
