//! Which cluster events were delivered already. Every event is sent several times, because broadcasts get lost.
//!
//! Per origin a window of the last 64 numbers (as in IPsec's anti-replay window, RFC 4303, 3.4.3). A new boot number
//! starts a new window; the boot before it is remembered, so that a straggler does not reopen it.

use heapless::Vec;
use spore_wire::EventId;

#[derive(Debug, Clone, Copy)]
struct Window {
    /// Bit `n`: number `highest - n` was seen.
    bits: u64,
    origin: u32,
    highest: u32,
    used: u32,
    boot: u16,
    boot_before: Option<u16>,
}

/// Windows of at most `N` origins; the one not heard for longest makes room. An event repeated after its origin made
/// room would be delivered again: `N` wants to exceed the origins active within the half second of repetitions.
#[derive(Debug)]
pub struct Seen<const N: usize> {
    windows: Vec<Window, N>,
    clock: u32,
}

impl<const N: usize> Seen<N> {
    /// Nothing seen yet.
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self { windows: Vec::new(), clock: 0 }
    }

    /// Notes `id`; true the first time. Numbers 64 or more behind the newest count as seen.
    pub fn first_time(&mut self, id: EventId) -> bool {
        self.clock = self.clock.wrapping_add(1);
        let clock = self.clock;
        let origin = id.origin.to_bits();
        let fresh =
            Window { bits: 1, origin, highest: id.number, used: clock, boot: id.boot, boot_before: None };
        let Some(window) = self.windows.iter_mut().find(|window| window.origin == origin) else {
            self.admit(fresh);
            return true;
        };
        window.used = clock;
        if window.boot != id.boot {
            if window.boot_before == Some(id.boot) {
                return false;
            }
            *window = Window { boot_before: Some(window.boot), ..fresh };
            return true;
        }
        match id.number.checked_sub(window.highest) {
            Some(0) => false,
            Some(ahead) => {
                window.bits = window.bits.checked_shl(ahead).unwrap_or(0) | 1;
                window.highest = id.number;
                true
            }
            None => {
                let behind = window.highest.saturating_sub(id.number);
                let bit = 1u64.checked_shl(behind).unwrap_or(0);
                let first = bit != 0 && window.bits & bit == 0;
                window.bits |= bit;
                first
            }
        }
    }

    fn admit(&mut self, window: Window) {
        let clock = self.clock;
        if let Err(window) = self.windows.push(window)
            && let Some(oldest) = self.windows.iter_mut().max_by_key(|other| clock.wrapping_sub(other.used))
        {
            *oldest = window;
        }
    }
}

impl<const N: usize> Default for Seen<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use proptest::prelude::*;

    fn id(origin: u8, boot: u16, number: u32) -> EventId {
        EventId { origin: Ipv4Addr::new(10, 0, 0, origin), boot, number }
    }

    #[test]
    fn restart_begins_anew_and_stragglers_stay_out() {
        let mut seen = Seen::<4>::new();
        assert!(seen.first_time(id(1, 7, 40)));
        assert!(seen.first_time(id(1, 8, 1)));
        assert!(!seen.first_time(id(1, 7, 41)));
        assert!(!seen.first_time(id(1, 8, 1)));
        assert!(seen.first_time(id(1, 1, 1)), "a new flash starts counting again");
        assert_eq!(id(1, 7, 40).to_string(), "10.0.0.1/7/40");
    }

    #[test]
    fn the_longest_silent_origin_makes_room() {
        let mut seen = Seen::<2>::new();
        assert!(seen.first_time(id(1, 1, 1)));
        assert!(seen.first_time(id(2, 1, 1)));
        assert!(!seen.first_time(id(1, 1, 1)));
        assert!(seen.first_time(id(3, 1, 1)));
        assert!(!seen.first_time(id(1, 1, 1)), "1 was heard after 2");
        assert!(seen.first_time(id(2, 1, 1)), "2 made room");
    }

    proptest! {
        #[test]
        fn each_event_is_let_through_at_most_once(numbers in prop::collection::vec(0u32..300, 0..400)) {
            let mut seen = Seen::<2>::new();
            let mut delivered = std::collections::BTreeSet::new();
            let mut highest = 0;
            for number in numbers {
                let first = seen.first_time(id(1, 1, number));
                let expected = !delivered.contains(&number) && (number > highest || highest - number < 64);
                prop_assert_eq!(first, expected || delivered.is_empty());
                if first { delivered.insert(number); }
                highest = highest.max(number);
            }
        }
    }
}
