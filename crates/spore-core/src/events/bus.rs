//! Callbacks on this node.
//!
//! A callback may fire, subscribe and unsubscribe itself. What it fires is delivered at once, inside its own call
//! (depth first), at most [`limits::EVENT_DEPTH`] deep; deeper ones are refused and counted, so two callbacks that
//! fire each other end. A callback subscribed while an event is being delivered hears the next one, not this one; one
//! unsubscribed hears no more, this event included. Nothing is borrowed while a callback runs.

use super::{ANY, Event};
use crate::limits;
use core::cell::Cell;
use core::fmt;
use spore_sentence::say;

/// A callback. What it keeps must have interior mutability (`Cell`), for it may be called from within itself.
pub type Callback<'a> = &'a dyn Fn(&Event<'_>);

/// Names one subscription; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriberId(u32);

/// All [`limits::SUBSCRIBERS`] places are taken. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say!(f, "all ", limits::SUBSCRIBERS, " subscriptions are taken")
    }
}

/// Callbacks fired each other more than [`limits::EVENT_DEPTH`] deep; this event was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep;

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say!(f, "events fire each other more than ", limits::EVENT_DEPTH, " deep")
    }
}

#[derive(Clone, Copy)]
struct Subscriber<'a> {
    id: SubscriberId,
    name: &'a str,
    callback: Callback<'a>,
}

/// The subscribers of one node.
pub struct Bus<'a> {
    subscribers: [Cell<Option<Subscriber<'a>>>; limits::SUBSCRIBERS],
    next_id: Cell<u32>,
    depth: Cell<u8>,
    refused: Cell<u32>,
}

impl<'a> Bus<'a> {
    /// A bus nobody listens to.
    pub const fn new() -> Self {
        Self {
            subscribers: [const { Cell::new(None) }; limits::SUBSCRIBERS],
            next_id: Cell::new(0),
            depth: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    /// Calls `callback` for each later event called `name`, or for all if `name` is [`ANY`]. Earlier places are called
    /// first.
    ///
    /// # Errors
    /// [`Full`].
    pub fn on(&self, name: &'a str, callback: Callback<'a>) -> Result<SubscriberId, Full> {
        let free = self.subscribers.iter().find(|place| place.get().is_none()).ok_or(Full)?;
        let id = self.next_id.get();
        self.next_id.set(id.checked_add(1).ok_or(Full)?);
        free.set(Some(Subscriber { id: SubscriberId(id), name, callback }));
        Ok(SubscriberId(id))
    }

    /// Ends a subscription; false if it had ended already.
    pub fn off(&self, id: SubscriberId) -> bool {
        let place = self.subscribers.iter().find(|place| place.get().is_some_and(|s| s.id == id));
        place.map(|place| place.set(None)).is_some()
    }

    /// Delivers `event` to its subscribers before it returns; gives their number.
    ///
    /// # Errors
    /// [`TooDeep`] if called from callbacks within callbacks; nobody heard the event then.
    pub fn fire(&self, event: &Event<'_>) -> Result<usize, TooDeep> {
        let depth = self.depth.get();
        if depth >= limits::EVENT_DEPTH {
            self.refused.set(self.refused.get().saturating_add(1));
            return Err(TooDeep);
        }
        self.depth.set(depth.saturating_add(1));
        let newest = self.next_id.get();
        let mut called = 0usize;
        for place in &self.subscribers {
            let Some(subscriber) = place.get() else { continue };
            let wanted = subscriber.name == ANY || subscriber.name == event.name();
            if wanted && subscriber.id.0 < newest {
                (subscriber.callback)(event);
                called = called.saturating_add(1);
            }
        }
        self.depth.set(depth);
        Ok(called)
    }

    /// Events refused for depth since boot.
    pub fn refused(&self) -> u32 {
        self.refused.get()
    }
}

impl Default for Bus<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Bus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.subscribers.iter().filter_map(|place| place.get().map(|s| s.name));
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn user(name: &str) -> Event<'_> {
        Event::User { name, data: "" }
    }

    #[test]
    fn names_and_star_are_heard() {
        let heard = RefCell::new(Vec::new());
        let all = |event: &Event<'_>| heard.borrow_mut().push(format!("all {}", event.name()));
        let door = |event: &Event<'_>| heard.borrow_mut().push(format!("door {}", event.name()));
        let bus = Bus::new();
        let id = bus.on("door", &door).unwrap();
        bus.on(ANY, &all).unwrap();
        assert_eq!(bus.fire(&user("door")), Ok(2));
        assert_eq!(bus.fire(&user("light")), Ok(1));
        assert!(bus.off(id));
        assert!(!bus.off(id));
        assert_eq!(bus.fire(&user("door")), Ok(1));
        assert_eq!(*heard.borrow(), ["door door", "all door", "all light", "all door"]);
    }

    #[test]
    fn full_bus_refuses_and_recovers() {
        let nothing = |_: &Event<'_>| {};
        let bus = Bus::new();
        let ids: Vec<_> = (0..limits::SUBSCRIBERS).map(|_| bus.on("a", &nothing).unwrap()).collect();
        assert_eq!(bus.on("a", &nothing), Err(Full));
        bus.off(ids[3]);
        let again = bus.on("a", &nothing).unwrap();
        assert!(!ids.contains(&again));
    }

    #[test]
    fn mutual_firing_ends() {
        // The bus is leaked so that callbacks can hold it, as a node's services do.
        let bus: &'static Bus<'static> = Box::leak(Box::new(Bus::new()));
        let count: &'static Cell<u32> = Box::leak(Box::new(Cell::new(0)));
        let again: Callback<'static> = Box::leak(Box::new(move |event: &Event<'_>| {
            count.set(count.get() + 1);
            let _ = bus.fire(event);
        }));
        bus.on("a", again).unwrap();
        assert_eq!(bus.fire(&user("a")), Ok(1));
        assert_eq!(count.get(), u32::from(limits::EVENT_DEPTH));
        assert_eq!(bus.refused(), 1);
        assert_eq!(bus.fire(&user("a")), Ok(1), "the depth is back to zero");
    }

    #[test]
    fn subscribing_while_firing_takes_effect_next_time() {
        let bus: &'static Bus<'static> = Box::leak(Box::new(Bus::new()));
        let count: &'static Cell<u32> = Box::leak(Box::new(Cell::new(0)));
        let own: &'static Cell<Option<SubscriberId>> = Box::leak(Box::new(Cell::new(None)));
        let late: Callback<'static> = Box::leak(Box::new(move |_: &Event<'_>| count.set(count.get() + 1)));
        let once: Callback<'static> = Box::leak(Box::new(move |_: &Event<'_>| {
            bus.on(ANY, late).unwrap();
            bus.off(own.get().unwrap());
        }));
        own.set(Some(bus.on("a", once).unwrap()));
        assert_eq!(bus.fire(&user("a")), Ok(1));
        assert_eq!(count.get(), 0);
        assert_eq!(bus.fire(&user("a")), Ok(1));
        assert_eq!(count.get(), 1);
    }
}
