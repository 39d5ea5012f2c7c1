//! A place for a value that comes when the node is put together.

use core::ops::{Deref, DerefMut};

/// Memory of a value that is set before it is used: [`crate::assemble`] sets all of them.
///
/// Empty it is nothing but zero bytes, so that a [`crate::Memory`] in a static takes no room in the image. (`Option` may
/// spell `None` with other bytes.)
pub struct Later<T>(heapless::Vec<T, 1>);

impl<T> Later<T> {
    /// Not set yet.
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Sets the value, in place of the one before.
    pub fn set(&mut self, value: T) {
        self.0.clear();
        // There is room for one.
        let _ = self.0.push(value);
    }
}

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self.0.first() {
            Some(value) => value,
            None => unset(),
        }
    }
}

impl<T> DerefMut for Later<T> {
    fn deref_mut(&mut self) -> &mut T {
        match self.0.first_mut() {
            Some(value) => value,
            None => unset(),
        }
    }
}

#[cold]
#[inline(never)]
fn unset() -> ! {
    panic!("a part of the node was used before it was assembled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_last_value_that_was_set() {
        let mut place: Later<u8> = Later::new();
        place.set(1);
        place.set(2);
        *place += 1;
        assert_eq!(*place, 3);
    }
}
