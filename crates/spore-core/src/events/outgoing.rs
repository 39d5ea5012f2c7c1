//! This node's own cluster events: numbered, repeated, and limited in rate.
//!
//! A broadcast is not acknowledged and may well be lost, so each event is sent three times: at once, 150 ms and 500 ms
//! later. Receivers let it through once ([`super::Seen`]). A token bucket keeps a busy service from filling the air.

use crate::limits;
use crate::time::{Duration, Instant};
use core::fmt;
use heapless::{String, Vec};
use spore_sentence::say;
use spore_wire::native::EVENT_MAX;

/// When an event is sent, in milliseconds after it was accepted.
const SENDINGS: [u64; 3] = [0, 150, 500];

/// Why an event was not accepted. Nothing but a counter has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many events in a short time.
    TooFast,
    /// As many events as there is room for are still being repeated.
    Full,
    /// The name is empty or exceeds [`limits::EVENT_NAME`].
    Name,
    /// Name and data together exceed [`EVENT_MAX`].
    TooLarge,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFast => say!(f, "too many cluster events; wait a moment"),
            Self::Full => say!(f, "too many cluster events under way; wait half a second"),
            Self::Name => say!(f, "an event's name has 1 to ", limits::EVENT_NAME, " bytes"),
            Self::TooLarge => say!(f, "a cluster event's name and data have at most ", EVENT_MAX, " bytes"),
        }
    }
}

#[derive(Debug)]
struct Item {
    queued: Instant,
    number: u32,
    /// Bytes of name and data.
    length: u16,
    name_length: u8,
    /// How often it was sent.
    sent: u8,
}

impl Item {
    /// When it is to be sent next; `None` when it was sent for the last time.
    fn due(&self) -> Option<Instant> {
        let after = SENDINGS.get(usize::from(self.sent))?;
        Some(self.queued + Duration::from_millis(*after))
    }
}

/// One sending of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToSend<'q> {
    /// Number of the event in this start of the node, from 1.
    pub number: u32,
    /// Its name.
    pub name: &'q str,
    /// Its data.
    pub data: &'q str,
    /// 0 the first time, then 1 and 2.
    pub repeat: u8,
}

/// The queue of at most `N` events of together `BYTES` bytes.
#[derive(Debug)]
pub struct Outgoing<const N: usize, const BYTES: usize> {
    items: Vec<Item, N>,
    /// Name and data of each item, one after the other.
    texts: String<BYTES>,
    /// Number of the last event.
    accepted: u32,
    bucket: Bucket<{ limits::EVENTS_PER_SECOND }, { limits::EVENTS_AT_ONCE }>,
    refused: u32,
}

impl<const N: usize, const BYTES: usize> Outgoing<N, BYTES> {
    /// An empty queue that accepts [`limits::EVENTS_PER_SECOND`] in the long run and [`limits::EVENTS_AT_ONCE`] at once.
    pub const fn new() -> Self {
        const { assert!(BYTES >= EVENT_MAX) };
        Self { items: Vec::new(), texts: String::new(), accepted: 0, bucket: Bucket::new(), refused: 0 }
    }

    /// Accepts an event for sending; gives its number.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn push(&mut self, now: Instant, name: &str, data: &str) -> Result<u32, Refusal> {
        self.accept(now, name, data).inspect_err(|_| self.refused = self.refused.saturating_add(1))
    }

    fn accept(&mut self, now: Instant, name: &str, data: &str) -> Result<u32, Refusal> {
        let name_length = u8::try_from(name.len()).map_err(|_| Refusal::Name)?;
        if name.is_empty() || name.len() > limits::EVENT_NAME {
            return Err(Refusal::Name);
        }
        let total = name.len().saturating_add(data.len());
        let length = u16::try_from(total).map_err(|_| Refusal::TooLarge)?;
        if total > EVENT_MAX {
            return Err(Refusal::TooLarge);
        }
        self.drop_finished();
        if self.items.is_full() || total > BYTES.saturating_sub(self.texts.len()) {
            return Err(Refusal::Full);
        }
        if !self.bucket.take(now) {
            return Err(Refusal::TooFast);
        }
        let number = self.accepted.saturating_add(1);
        // The room for both was just checked.
        let _ = self.texts.push_str(name);
        let _ = self.texts.push_str(data);
        let item = Item { queued: now, number, length, name_length, sent: 0 };
        self.items.push(item).map_err(|_| Refusal::Full)?;
        self.accepted = number;
        Ok(number)
    }

    fn drop_finished(&mut self) {
        let (mut at, mut start) = (0usize, 0usize);
        while let Some(item) = self.items.get(at) {
            let end = start.saturating_add(usize::from(item.length));
            if item.due().is_some() {
                at = at.saturating_add(1);
                start = end;
            } else {
                self.items.remove(at);
                self.texts.drain(start..end);
            }
        }
    }

    /// What is to be sent now, if anything; call again until it gives `None`.
    pub fn poll(&mut self, now: Instant) -> Option<ToSend<'_>> {
        self.drop_finished();
        let due = self.items.iter().enumerate().filter_map(|(at, item)| Some((item.due()?, at)));
        let (_, at) = due.filter(|(due, _)| *due <= now).min()?;
        let start = self.items.iter().take(at).map(|item| usize::from(item.length)).sum();
        let item = self.items.get_mut(at)?;
        let repeat = item.sent;
        item.sent = item.sent.saturating_add(1);
        let text = self.texts.get(start..)?.get(..usize::from(item.length))?;
        let (name, data) = text.split_at_checked(usize::from(item.name_length))?;
        Some(ToSend { number: item.number, name, data, repeat })
    }

    /// When [`Outgoing::poll`] will next have something.
    pub fn next_at(&self) -> Option<Instant> {
        self.items.iter().filter_map(Item::due).min()
    }

    /// Events refused since boot.
    pub fn refused(&self) -> u32 {
        self.refused
    }
}

impl<const N: usize, const BYTES: usize> Default for Outgoing<N, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// A token bucket: `BURST` tokens at most, one more every `1000 / PER_SECOND` ms. It starts full.
#[derive(Debug, Clone)]
pub(crate) struct Bucket<const PER_SECOND: u32, const BURST: u32> {
    /// Thousandths of tokens that are missing.
    missing: u32,
    filled: Instant,
}

impl<const PER_SECOND: u32, const BURST: u32> Bucket<PER_SECOND, BURST> {
    pub(crate) const fn new() -> Self {
        const { assert!(BURST > 0 && BURST < u32::MAX / 1000) };
        Self { missing: 0, filled: Instant::ZERO }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.since(self.filled).as_millis();
        let gained = u32::try_from(passed.saturating_mul(u64::from(PER_SECOND))).unwrap_or(u32::MAX);
        self.missing = self.missing.saturating_sub(gained);
        self.filled = self.filled.max(now);
        let after = self.missing.saturating_add(1000);
        let there = after <= BURST.saturating_mul(1000);
        if there {
            self.missing = after;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn an_event_is_sent_three_times() {
        let mut queue = Outgoing::<4, 2048>::new();
        assert_eq!(queue.push(at(1000), "door", "open"), Ok(1));
        let mut sent = Vec::<(u64, u8), 8>::new();
        while let Some(when) = queue.next_at() {
            let item = queue.poll(when).unwrap();
            assert_eq!((item.number, item.name, item.data), (1, "door", "open"));
            sent.push((when.as_millis(), item.repeat)).unwrap();
        }
        assert_eq!(sent, [(1000, 0), (1150, 1), (1500, 2)]);
        assert_eq!(queue.poll(at(9000)), None);
    }

    #[test]
    fn refusals_are_typed_and_counted() {
        let mut queue = Outgoing::<2, 2048>::new();
        assert_eq!(queue.push(at(0), "", "x"), Err(Refusal::Name));
        assert_eq!(queue.push(at(0), &"n".repeat(33), "x"), Err(Refusal::Name));
        assert_eq!(queue.push(at(0), "n", &"x".repeat(EVENT_MAX)), Err(Refusal::TooLarge));
        assert_eq!(queue.push(at(0), "n", &"x".repeat(EVENT_MAX - 1)), Ok(1));
        assert_eq!(queue.push(at(0), "n", ""), Ok(2));
        assert_eq!(queue.push(at(0), "n", ""), Err(Refusal::Full));
        assert_eq!(queue.refused(), 4);

        let mut queue = Outgoing::<8, 2048>::new();
        for number in 1..=5 {
            assert_eq!(queue.push(at(0), "n", ""), Ok(number));
        }
        assert_eq!(queue.push(at(99), "n", ""), Err(Refusal::TooFast));
        assert_eq!(queue.push(at(100), "n", ""), Ok(6));
    }

    #[test]
    fn texts_share_their_room() {
        let mut queue = Outgoing::<8, { EVENT_MAX + 100 }>::new();
        let long = "x".repeat(EVENT_MAX - 1);
        assert_eq!(queue.push(at(0), "a", "first"), Ok(1));
        assert_eq!(queue.push(at(0), "n", &long), Ok(2));
        assert_eq!(queue.push(at(0), "n", &long), Err(Refusal::Full));
        assert_eq!(queue.push(at(400), "b", "third"), Ok(3));
        let mut sent = Vec::<(u32, u8), 16>::new();
        while let Some(when) = queue.next_at() {
            let item = queue.poll(when).unwrap();
            let (name, data) = [("a", "first"), ("n", &long), ("b", "third")][item.number as usize - 1];
            assert_eq!((item.name, item.data), (name, data));
            sent.push((item.number, item.repeat)).unwrap();
        }
        assert_eq!(sent, [(1, 0), (2, 0), (1, 1), (2, 1), (3, 0), (1, 2), (2, 2), (3, 1), (3, 2)]);
        assert_eq!(queue.push(at(9000), "n", &long), Ok(4), "all room is free again");
    }

    proptest! {
        #[test]
        fn the_rate_is_kept(steps in prop::collection::vec(0u64..300, 1..200)) {
            let mut bucket = Bucket::<10, 5>::new();
            let mut now = 0;
            let mut taken = 0;
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(at(now)));
                prop_assert!(taken <= 5 + now / 100);
            }
        }
    }
}
