//! Quick crashes in a row, and the safe mode they lead to.
//!
//! A firmware that is confirmed and yet crashes soon after every start, for instance because of what a service does with a
//! sensor that broke, could never be updated: so after [`SAFE_MODE_AFTER`] such crashes it starts without services. An image
//! on trial is not helped but given up, see [`crate::boot`].
//!
//! The count lies in RTC memory ([`WORD`]), sealed like all that is there ([`crate::rtc`]):
//!
//! | start because of | count |
//! |---|---|
//! | crash or watchdog, before the node had run for [`SETTLED_SECONDS`] | one more |
//! | crash or watchdog, after that | 0 |
//! | restart that was asked for, an update that ended by going back, power, reset pin, deep sleep | 0 |
//!
//! So safe mode ends with any of the latter, or with a crash of a node that had settled in it. What lies in the memory
//! after power on does not count, whatever it is.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::boot::ResetCause;
use crate::rtc;

/// Seconds after which a start counts as good: a crash later than that is not a quick one.
pub const SETTLED_SECONDS: u64 = 60;
/// Quick crashes in a row after which a confirmed image starts in safe mode.
pub const SAFE_MODE_AFTER: u8 = 3;
/// Word of RTC user memory at which the count begins.
pub const WORD: usize = 16;
/// Words of the count.
pub const WORDS: usize = 3;

const MAGIC: u32 = u32::from_le_bytes(*b"SPQC");
/// In place of a count: the node has settled.
const SETTLED: u32 = 256;

/// What RTC memory says about the start before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streak {
    /// It had not settled, and came after so many quick crashes in a row.
    Quick(u8),
    /// It had settled.
    Settled,
}

impl Streak {
    /// The record.
    pub fn emit(self) -> [u32; WORDS] {
        rtc::sealed(
            MAGIC,
            &[match self {
                Self::Quick(crashes) => crashes.into(),
                Self::Settled => SETTLED,
            }],
        )
    }

    /// Reads a record; `None` if there is none.
    pub fn parse(words: &[u32; WORDS]) -> Option<Self> {
        match *rtc::opened(MAGIC, words)? {
            [SETTLED] => Some(Self::Settled),
            [crashes] => u8::try_from(crashes).ok().map(Self::Quick),
            _ => None,
        }
    }
}

/// Quick crashes in a row before this start: `before` is what the start before left, `update_ended` tells that this start
/// goes back to another image, which did not crash.
pub fn quick_crashes(before: Option<Streak>, cause: ResetCause, update_ended: bool) -> u8 {
    let crashed = matches!(cause, ResetCause::Watchdog | ResetCause::Exception) && !update_ended;
    match before {
        _ if !crashed => 0,
        Some(Streak::Quick(crashes)) => crashes.saturating_add(1),
        Some(Streak::Settled) => 0,
        // It crashed before it could write anything down.
        None => 1,
    }
}

/// Whether the node is to start with network, API and update only.
pub const fn safe_mode(quick_crashes: u8, on_trial: bool) -> bool {
    quick_crashes >= SAFE_MODE_AFTER && !on_trial
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn words_are_where_the_documentation_says() {
        assert_eq!(Streak::Quick(2).emit()[..2], [u32::from_le_bytes(*b"SPQC"), 2]);
        assert_eq!(Streak::Settled.emit()[1], 256);
        for word in [0, u32::MAX, MAGIC] {
            assert_eq!(Streak::parse(&[word; WORDS]), None);
        }
        assert_eq!(Streak::parse(&rtc::sealed(MAGIC, &[257])), None);
        // Not inside of another record.
        const { assert!(WORD >= rtc::HANDOFF + rtc::HANDOFF_WORDS && WORD + WORDS <= rtc::REQUEST) };
    }

    #[test]
    fn the_third_quick_crash_of_a_confirmed_image_leads_to_safe_mode() {
        let mut left = None;
        for (expected, safe) in [(1, false), (2, false), (3, true), (4, true)] {
            let crashes = quick_crashes(left, ResetCause::Exception, false);
            assert_eq!(
                (crashes, safe_mode(crashes, false), safe_mode(crashes, true)),
                (expected, safe, false)
            );
            left = Some(Streak::Quick(crashes));
        }
        assert_eq!(quick_crashes(Some(Streak::Quick(255)), ResetCause::Watchdog, false), 255);
    }

    const CAUSES: [ResetCause; 5] = [
        ResetCause::PowerOn,
        ResetCause::Restart,
        ResetCause::Watchdog,
        ResetCause::Exception,
        ResetCause::TrialFailed,
    ];

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed(crashes: u8, settled: bool, at in 0..WORDS, flip in 1u32..) {
            let streak = if settled { Streak::Settled } else { Streak::Quick(crashes) };
            let mut words = streak.emit();
            prop_assert_eq!(Streak::parse(&words), Some(streak));
            words[at] ^= flip;
            prop_assert_eq!(Streak::parse(&words), None);
        }

        #[test]
        fn garbage_after_power_on_does_not_count(words: [u32; WORDS], update_ended: bool) {
            prop_assert_eq!(quick_crashes(Streak::parse(&words), ResetCause::PowerOn, update_ended), 0);
        }

        /// The count is the length of the run of quick crashes at the end of the node's life so far.
        #[test]
        fn it_counts_the_last_crashes_in_a_row(life in prop::collection::vec((0..5usize, any::<bool>(), any::<bool>()), 1..20)) {
            let mut left = None;
            let mut starts = Vec::new();
            for (cause, update_ended, settles) in life {
                let crashes = quick_crashes(left, CAUSES[cause], update_ended);
                starts.push((matches!(cause, 2 | 3) && !update_ended && left != Some(Streak::Settled), crashes));
                let run = starts.iter().rev().take_while(|(quick, _)| *quick).count();
                prop_assert_eq!(usize::from(crashes), run);
                left = Some(if settles { Streak::Settled } else { Streak::Quick(crashes) });
            }
        }
    }
}
