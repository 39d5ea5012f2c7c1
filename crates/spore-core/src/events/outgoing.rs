//! This node's own cluster events: numbered, repeated, and limited in rate.
//!
//! A broadcast is not acknowledged and may well be lost, so each event is sent three times: at once, 150 ms and 500 ms
//! later. Receivers let it through once ([`super::Seen`]). A token bucket keeps a busy service from filling the air.

use crate::limits;
use crate::time::{Duration, Instant};
use core::fmt;
use heapless::{String, Vec};
use spore_wire::native::EVENT_MAX;

/// When an event is sent again, in milliseconds after the first time.
const REPEATS: [u64; 2] = [150, 500];

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
            Self::TooFast => f.write_str("too many cluster events; wait a moment"),
            Self::Full => f.write_str("too many cluster events under way; wait half a second"),
            Self::Name => write!(f, "an event's name has 1 to {} bytes", limits::EVENT_NAME),
            Self::TooLarge => write!(f, "a cluster event's name and data have at most {EVENT_MAX} bytes"),
        }
    }
}

#[derive(Debug)]
struct Item {
    number: u32,
    queued: Instant,
    due: Instant,
    sent: u8,
    name_len: u8,
    text: String<EVENT_MAX>,
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

/// The queue of at most `N` events.
#[derive(Debug)]
pub struct Outgoing<const N: usize> {
    items: Vec<Item, N>,
    /// Number of the last event.
    accepted: u32,
    bucket: Bucket<{ limits::EVENTS_PER_SECOND }, { limits::EVENTS_AT_ONCE }>,
    refused: u32,
}

impl<const N: usize> Outgoing<N> {
    /// An empty queue that accepts [`limits::EVENTS_PER_SECOND`] in the long run and [`limits::EVENTS_AT_ONCE`] at once.
    pub const fn new() -> Self {
        Self { items: Vec::new(), accepted: 0, bucket: Bucket::new(), refused: 0 }
    }

    /// Accepts an event for sending; gives its number.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn push(&mut self, now: Instant, name: &str, data: &str) -> Result<u32, Refusal> {
        self.accept(now, name, data).inspect_err(|_| self.refused = self.refused.saturating_add(1))
    }

    fn accept(&mut self, now: Instant, name: &str, data: &str) -> Result<u32, Refusal> {
        let name_len = u8::try_from(name.len()).map_err(|_| Refusal::Name)?;
        if name.is_empty() || name.len() > limits::EVENT_NAME {
            return Err(Refusal::Name);
        }
        let mut text = String::new();
        text.push_str(name).and_then(|()| text.push_str(data)).map_err(|_| Refusal::TooLarge)?;
        if self.items.is_full() {
            return Err(Refusal::Full);
        }
        if !self.bucket.take(now) {
            return Err(Refusal::TooFast);
        }
        let number = self.accepted.saturating_add(1);
        let item = Item { number, queued: now, due: now, sent: 0, name_len, text };
        self.items.push(item).map_err(|_| Refusal::Full)?;
        self.accepted = number;
        Ok(number)
    }

    /// What is to be sent now, if anything; call again until it gives `None`.
    pub fn poll(&mut self, now: Instant) -> Option<ToSend<'_>> {
        self.items.retain(|item| usize::from(item.sent) <= REPEATS.len());
        let item = self.items.iter_mut().filter(|item| item.due <= now).min_by_key(|item| item.due)?;
        let repeat = item.sent;
        item.sent = item.sent.saturating_add(1);
        if let Some(after) = REPEATS.get(usize::from(repeat)) {
            item.due = item.queued + Duration::from_millis(*after);
        }
        let (name, data) = item.text.split_at_checked(usize::from(item.name_len))?;
        Some(ToSend { number: item.number, name, data, repeat })
    }

    /// When [`Outgoing::poll`] will next have something.
    pub fn next_at(&self) -> Option<Instant> {
        let pending = self.items.iter().filter(|item| usize::from(item.sent) <= REPEATS.len());
        pending.map(|item| item.due).min()
    }

    /// Events refused since boot.
    pub fn refused(&self) -> u32 {
        self.refused
    }
}

impl<const N: usize> Default for Outgoing<N> {
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
        let mut queue = Outgoing::<4>::new();
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
        let mut queue = Outgoing::<2>::new();
        assert_eq!(queue.push(at(0), "", "x"), Err(Refusal::Name));
        assert_eq!(queue.push(at(0), &"n".repeat(33), "x"), Err(Refusal::Name));
        assert_eq!(queue.push(at(0), "n", &"x".repeat(EVENT_MAX)), Err(Refusal::TooLarge));
        assert_eq!(queue.push(at(0), "n", &"x".repeat(EVENT_MAX - 1)), Ok(1));
        assert_eq!(queue.push(at(0), "n", ""), Ok(2));
        assert_eq!(queue.push(at(0), "n", ""), Err(Refusal::Full));
        assert_eq!(queue.refused(), 4);

        let mut queue = Outgoing::<8>::new();
        for number in 1..=5 {
            assert_eq!(queue.push(at(0), "n", ""), Ok(number));
        }
        assert_eq!(queue.push(at(99), "n", ""), Err(Refusal::TooFast));
        assert_eq!(queue.push(at(100), "n", ""), Ok(6));
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
