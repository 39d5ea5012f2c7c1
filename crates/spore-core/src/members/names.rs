//! The names of members, one behind the other, each with its length in front: names differ in length, and 24 bytes for each of 254
//! members would be a sixth of what a node has on an ESP8266.

use core::str;

/// The place of a name that is not there: it reads as empty.
pub(super) const NOWHERE: u16 = u16::MAX;

/// Room for `N` names of `SHARE - 1` bytes on average.
#[derive(Debug)]
pub(super) struct Names<const N: usize, const SHARE: usize> {
    shares: [[u8; SHARE]; N],
    used: u16,
    refused: u32,
}

/// Names to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    /// The name at a place.
    pub fn get(self, at: u16) -> &'a str {
        let name = self.0.get(at.into()..).and_then(|bytes| {
            let (length, rest) = bytes.split_first()?;
            str::from_utf8(rest.get(..usize::from(*length))?).ok()
        });
        name.unwrap_or_default()
    }
}

/// Where bytes were taken out: every place behind it moves up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    at: u16,
    bytes: u16,
}

impl Gap {
    /// Where something lies now.
    pub const fn moved(self, place: u16) -> u16 {
        if place > self.at && place != NOWHERE { place.saturating_sub(self.bytes) } else { place }
    }
}

impl<const N: usize, const SHARE: usize> Names<N, SHARE> {
    /// No names.
    pub const fn new() -> Self {
        const { assert!(N * SHARE < NOWHERE as usize) };
        Self { shares: [[0; SHARE]; N], used: 0, refused: 0 }
    }

    /// The names.
    pub const fn texts(&self) -> Texts<'_> {
        Texts(self.shares.as_flattened())
    }

    /// Bytes that are free, and that the longest name that fits has, plus one.
    pub fn room(&self) -> usize {
        self.shares.as_flattened().len().saturating_sub(self.used.into())
    }

    /// Puts a name of at most 255 bytes behind the others; gives its place, or `None` when there is no room, which is counted.
    pub fn add(&mut self, name: &str) -> Option<u16> {
        let at = self.used;
        let place = self.shares.as_flattened_mut().get_mut(at.into()..).and_then(|free| {
            let (length, rest) = free.split_first_mut()?;
            rest.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
            *length = u8::try_from(name.len()).ok()?;
            Some(at)
        });
        if place.is_some() {
            let bytes = u16::try_from(name.len()).unwrap_or(0).saturating_add(1);
            self.used = at.saturating_add(bytes);
        } else {
            self.refuse();
        }
        place
    }

    /// Takes a name out. Places of others have to be [`moved`](Gap::moved).
    pub fn remove(&mut self, at: u16) -> Gap {
        let used = usize::from(self.used);
        let bytes = self.shares.as_flattened_mut();
        let length = bytes.get(..used).and_then(|bytes| bytes.get(usize::from(at))).copied();
        let Some(length) = length else { return Gap { at, bytes: 0 } };
        let gap = u16::from(length).saturating_add(1);
        let behind = usize::from(at).saturating_add(gap.into());
        if behind <= used {
            bytes.copy_within(behind..used, at.into());
            self.used = self.used.saturating_sub(gap);
        }
        Gap { at, bytes: gap }
    }

    /// Counts a name that found no room.
    pub const fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    /// How often a name found no room since boot.
    pub const fn refused(&self) -> u32 {
        self.refused
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_is_refused_and_counted() {
        let mut names = Names::<4, 3>::new();
        let first = names.add("four").unwrap();
        let second = names.add("fives").unwrap();
        assert_eq!((names.room(), names.add("x"), names.refused()), (1, None, 1));
        assert_eq!(names.add(""), Some(11));
        let gap = names.remove(first);
        assert_eq!((names.texts().get(gap.moved(second)), names.room()), ("fives", 5));
        assert_eq!((names.texts().get(NOWHERE), gap.moved(NOWHERE)), ("", NOWHERE));
        assert_eq!(names.remove(NOWHERE), Gap { at: NOWHERE, bytes: 0 });
    }

    proptest! {
        #[test]
        fn like_a_list_of_names(steps in prop::collection::vec((any::<u8>(), "[a-zä]{0,12}"), 0..60)) {
            let mut names = Names::<8, 11>::new();
            let mut model: Vec<(u16, String)> = Vec::new();
            for (choice, name) in steps {
                if choice % 3 == 0 && !model.is_empty() {
                    let (place, _) = model.remove(usize::from(choice) % model.len());
                    let gap = names.remove(place);
                    model.iter_mut().for_each(|(place, _)| *place = gap.moved(*place));
                } else {
                    let fits = names.room() > name.len();
                    let place = names.add(&name);
                    prop_assert_eq!(place.is_some(), fits);
                    model.extend(place.map(|place| (place, name)));
                }
                let used: usize = model.iter().map(|(_, name)| name.len() + 1).sum();
                prop_assert_eq!(names.room(), 88 - used);
                for (place, name) in &model {
                    prop_assert_eq!(names.texts().get(*place), name);
                }
            }
        }
    }
}
