//! Small tables of values many members share: each value is stored once and counted.
//!
//! A full table is no failure: the newcomer gets [`NONE`], reads as unknown, and the refusal is counted. The value is
//! offered again with the member's next details, so it appears once there is room.

use crate::hostname::clip;
use core::str;

/// The index that stands for "unknown".
pub const NONE: u8 = u8::MAX;

/// A reference-counted table of at most `N` (< 255) different strings of at most `LEN` bytes (≤ 255).
///
/// Longer strings are cut between characters. An empty string is never stored: it is "unknown".
#[derive(Debug, Clone)]
pub struct Strings<const N: usize, const LEN: usize> {
    slots: [Slot<LEN>; N],
    refused: u32,
}

#[derive(Debug, Clone, Copy)]
struct Slot<const LEN: usize> {
    bytes: [u8; LEN],
    len: u8,
    users: u8,
}

impl<const LEN: usize> Slot<LEN> {
    fn text(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or("")
    }
}

impl<const N: usize, const LEN: usize> Strings<N, LEN> {
    /// An empty table.
    pub const fn new() -> Self {
        const { assert!(N < NONE as usize && LEN <= u8::MAX as usize) };
        Self { slots: [Slot { bytes: [0; LEN], len: 0, users: 0 }; N], refused: 0 }
    }

    /// The string of `index`; empty for [`NONE`].
    pub fn get(&self, index: u8) -> &str {
        self.slots.get(usize::from(index)).filter(|slot| slot.users > 0).map_or("", Slot::text)
    }

    /// Counts one more user of `text` and gives its index, or [`NONE`] when it is empty or there is no room.
    pub fn add(&mut self, text: &str) -> u8 {
        let text = clip(text, LEN);
        if text.is_empty() {
            return NONE;
        }
        let mut free = None;
        for (index, slot) in (0u8..).zip(self.slots.iter_mut()) {
            if slot.users == 0 {
                free = free.or(Some(index));
            } else if slot.text() == text && slot.users < u8::MAX {
                slot.users = slot.users.saturating_add(1);
                return index;
            }
        }
        let slot = free.and_then(|index| self.slots.get_mut(usize::from(index)));
        let (Some(index), Some(slot)) = (free, slot) else {
            self.refused = self.refused.saturating_add(1);
            return NONE;
        };
        for (to, from) in slot.bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        slot.len = u8::try_from(text.len()).unwrap_or(0);
        slot.users = 1;
        index
    }

    /// Whether [`Strings::add`] would find room for `text`.
    pub fn has_room(&self, text: &str) -> bool {
        let text = clip(text, LEN);
        self.slots.iter().any(|slot| slot.users == 0 || (slot.text() == text && slot.users < u8::MAX))
    }

    /// One user less of `index`; without users its room is free.
    pub fn release(&mut self, index: u8) {
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            slot.users = slot.users.saturating_sub(1);
        }
    }

    /// Lets the user of `index` use `text` instead; gives the new index. Says in `.1` whether its text changed.
    pub fn replace(&mut self, index: u8, text: &str) -> (u8, bool) {
        if self.get(index) == clip(text, LEN) {
            return (index, false);
        }
        let was_known = index != NONE;
        self.release(index);
        let new = self.add(text);
        (new, was_known || new != NONE)
    }

    /// How often a string found no room since boot.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Users of every index together, for tests of the counting.
    pub fn users(&self) -> usize {
        self.slots.iter().map(|slot| usize::from(slot.users)).sum()
    }
}

impl<const N: usize, const LEN: usize> Default for Strings<N, LEN> {
    fn default() -> Self {
        Self::new()
    }
}

/// A reference-counted table of at most `N` (< 255) different hashes. 0 stands for "none" and is never stored.
#[derive(Debug, Clone)]
pub struct Hashes<const N: usize> {
    values: [u32; N],
    users: [u8; N],
    refused: u32,
}

impl<const N: usize> Hashes<N> {
    /// An empty table.
    pub const fn new() -> Self {
        const { assert!(N < NONE as usize) };
        Self { values: [0; N], users: [0; N], refused: 0 }
    }

    /// The hash of `index`; 0 for [`NONE`].
    pub fn get(&self, index: u8) -> u32 {
        self.values.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Lets the user of `index` use `hash` instead; gives the new index and whether its hash changed.
    pub fn replace(&mut self, index: u8, hash: u32) -> (u8, bool) {
        if self.get(index) == hash {
            return (index, false);
        }
        self.release(index);
        let new = self.add(hash);
        (new, index != NONE || new != NONE)
    }

    /// Counts one more user of `hash` and gives its index, or [`NONE`] when it is 0 or there is no room.
    pub fn add(&mut self, hash: u32) -> u8 {
        if hash == 0 {
            return NONE;
        }
        let same = self.values.iter().position(|value| *value == hash);
        let found = same.or_else(|| self.users.iter().position(|users| *users == 0));
        let slot = found.and_then(|at| Some((at, self.values.get_mut(at)?, self.users.get_mut(at)?)));
        let Some((at, value, users)) = slot else {
            self.refused = self.refused.saturating_add(1);
            return NONE;
        };
        *value = hash;
        *users = users.saturating_add(1);
        u8::try_from(at).unwrap_or(NONE)
    }

    /// One user less of `index`; without users its room is free.
    pub fn release(&mut self, index: u8) {
        if let Some(users) = self.users.get_mut(usize::from(index)) {
            *users = users.saturating_sub(1);
            if *users == 0
                && let Some(value) = self.values.get_mut(usize::from(index))
            {
                *value = 0;
            }
        }
    }

    /// All hashes in use.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.values.iter().copied().filter(|value| *value != 0)
    }

    /// How often a hash found no room since boot.
    pub fn refused(&self) -> u32 {
        self.refused
    }
}

impl<const N: usize> Default for Hashes<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_share_a_slot() {
        let mut table = Strings::<2, 4>::new();
        let a = table.add("abcdef");
        assert_eq!(table.get(a), "abcd");
        assert_eq!(table.add("abcd"), a);
        let b = table.add("b");
        assert_ne!(a, b);
        assert_eq!(table.add("c"), NONE);
        assert_eq!((table.get(NONE), table.refused()), ("", 1));
        table.release(b);
        let c = table.add("c");
        assert_eq!(table.get(c), "c");
        assert_eq!(table.users(), 3);
    }

    #[test]
    fn replace_tells_a_change() {
        let mut table = Strings::<1, 8>::new();
        let (a, changed) = table.replace(NONE, "a");
        assert!(changed);
        assert_eq!(table.replace(a, "a"), (a, false));
        let (b, changed) = table.replace(a, "b");
        assert!(changed);
        assert_eq!(table.get(b), "b");
        assert_eq!(table.replace(b, ""), (NONE, true));
        assert_eq!(table.users(), 0);
    }

    #[test]
    fn hashes_are_shared_and_freed() {
        let mut table = Hashes::<2>::new();
        let (a, changed) = table.replace(NONE, 7);
        assert!(changed);
        assert_eq!(table.add(7), a);
        assert_eq!(table.replace(a, 7), (a, false));
        let b = table.add(8);
        assert_eq!(table.add(9), NONE);
        assert_eq!(table.refused(), 1);
        table.release(b);
        assert_eq!(table.iter().collect::<Vec<_>>(), [7]);
        assert_eq!(table.replace(NONE, 0), (NONE, false));
    }
}
