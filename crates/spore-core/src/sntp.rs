//! When to ask for the time, whom to believe, and what time it is.
//!
//! The first question leaves within [`FIRST`] of having a server, at a random moment, since a hundred nodes may get their power back at
//! once; then one every [`AGAIN`] or a bit later. Unanswered ones are repeated after [`PATIENCE`], twice as long, and so on up to
//! [`AGAIN`]. An answer counts if it comes from the server that was asked, within [`PATIENCE`], with the cookie of the last question, once.

use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;
use spore_wire::sntp::Answer;

/// The first question leaves so long after there is a server, at most.
pub const FIRST: Duration = Duration::from_secs(2);
/// Between questions that are answered; a random eighth is added.
pub const AGAIN: Duration = Duration::from_secs(3600);
/// How long an answer may take, and the first wait after one that did not come.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// Doublings of the wait until it is [`AGAIN`].
const DOUBLINGS: u8 = 10;

/// A question to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// To whom.
    pub server: Ipv4Addr,
    /// What the answer must bring back.
    pub cookie: u64,
}

/// The time of day as a node knows it. New it is nothing but zeros.
#[derive(Debug, Clone)]
pub struct Clock {
    /// Milliseconds from 1970 to the node's boot; 0 while not known.
    boot: u64,
    /// When the next question is due, in tenths of a second since boot.
    due: u32,
    /// Who was asked last, unspecified for nobody.
    server: Ipv4Addr,
    /// Cookie of the question whose answer is waited for; 0 for none.
    cookie: u64,
    /// When it was asked.
    asked: u32,
    /// Questions without an answer in a row.
    unanswered: u8,
}

impl Clock {
    /// Knows nothing yet.
    pub const fn new() -> Self {
        let server = Ipv4Addr::UNSPECIFIED;
        Self { boot: 0, due: 0, server, cookie: 0, asked: 0, unanswered: 0 }
    }

    /// The question that is due now, if one is. `server` is whom to ask, `random` any bits.
    pub fn poll(&mut self, now: Instant, server: Option<Ipv4Addr>, random: u64) -> Option<Question> {
        let server = server?;
        let jitter = |most: Duration| Duration::from_millis((random >> 16) % most.as_millis().max(1));
        if server != self.server {
            // Another network, perhaps: what was asked before counts no more.
            (self.server, self.cookie, self.unanswered) = (server, 0, 0);
            self.due = tenths(now + jitter(FIRST));
        }
        // Right across the wrap, too, since nothing lies years ahead.
        if self.due.wrapping_sub(tenths(now)).cast_signed() > 0 {
            return None;
        }
        // Never 0, which stands for none.
        self.cookie = random | 1;
        self.asked = now.as_millis() as u32;
        let wait = PATIENCE.times(1 << self.unanswered.min(DOUBLINGS));
        self.unanswered = self.unanswered.saturating_add(1).min(DOUBLINGS);
        self.due = tenths(now + wait.min(AGAIN) + jitter(PATIENCE));
        Some(Question { server, cookie: self.cookie })
    }

    /// Takes an answer in; whether it counted.
    pub fn on_answer(&mut self, now: Instant, from: Ipv4Addr, answer: &Answer) -> bool {
        // The difference is right across the wrap of 32 bits, too.
        let took = (now.as_millis() as u32).wrapping_sub(self.asked);
        let late = u64::from(took) > PATIENCE.as_millis();
        if from != self.server || self.cookie == 0 || answer.cookie != self.cookie || late {
            return false;
        }
        // Half the way there and back was the way back (RFC 4330, 5).
        let sent = now.as_millis().saturating_sub(u64::from(took / 2));
        let Some(boot) = answer.unix_millis.checked_sub(sent).filter(|boot| *boot > 0) else { return false };
        let jitter = Duration::from_millis(answer.cookie % (AGAIN.as_millis() / 8));
        (self.boot, self.cookie, self.unanswered) = (boot, 0, 0);
        self.due = tenths(now + AGAIN + jitter);
        true
    }

    /// Milliseconds since 1970, UTC, if they are known.
    pub fn unix_millis(&self, now: Instant) -> Option<u64> {
        (self.boot > 0).then(|| self.boot.saturating_add(now.as_millis()))
    }
}

/// Tenths of a second since boot, rounded up; wraps after 13 years.
fn tenths(at: Instant) -> u32 {
    at.as_millis().div_ceil(100) as u32
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 2);
    const TIME: u64 = 1_795_388_400_000;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// Polls every 100 ms from `from` on until there is a question.
    fn next(clock: &mut Clock, from: u64, random: u64) -> (u64, Question) {
        (from / 100..)
            .find_map(|step| {
                clock.poll(at(step * 100), Some(SERVER), random).map(|question| (step * 100, question))
            })
            .unwrap()
    }

    fn answer(question: Question, unix_millis: u64) -> Answer {
        Answer { cookie: question.cookie, unix_millis }
    }

    #[test]
    fn asked_soon_then_hourly() {
        let mut clock = Clock::new();
        assert_eq!(clock.poll(at(500), None, 1), None);
        let (asked, question) = next(&mut clock, 1000, 0xabcd_ef01_2345_6789);
        assert!((1000..=3000).contains(&asked) && question.server == SERVER);
        assert_eq!(clock.unix_millis(at(asked)), None);
        assert!(clock.on_answer(at(asked + 40), SERVER, &answer(question, TIME)));
        assert_eq!(clock.unix_millis(at(asked + 40)), Some(TIME + 20));
        assert_eq!(clock.unix_millis(at(asked + 60_040)), Some(TIME + 60_020));
        assert!(
            !clock.on_answer(at(asked + 50), SERVER, &answer(question, TIME + 9999)),
            "each answer counts once"
        );
        let (again, second) = next(&mut clock, asked + 100, 99);
        let waited = again - asked;
        assert!((3_600_000..=4_051_000).contains(&waited), "{waited}");
        assert!(clock.on_answer(at(again), SERVER, &answer(second, TIME + 5000)), "time may go back");
        assert_eq!(clock.unix_millis(at(again)), Some(TIME + 5000));
    }

    #[test]
    fn forged_late_and_foreign_answers_do_not_count() {
        let mut clock = Clock::new();
        let (asked, question) = next(&mut clock, 0, 77);
        let good = answer(question, TIME);
        assert!(!clock.on_answer(at(asked), OTHER, &good));
        assert!(!clock.on_answer(at(asked), SERVER, &Answer { cookie: good.cookie ^ 1, ..good }));
        assert!(!clock.on_answer(at(asked), SERVER, &Answer { cookie: 0, ..good }));
        assert!(!clock.on_answer(at(asked + 4001), SERVER, &good));
        assert!(
            !clock.on_answer(at(asked), SERVER, &Answer { unix_millis: 0, ..good }),
            "before the node's boot"
        );
        assert_eq!(clock.unix_millis(at(asked)), None);
        assert!(clock.on_answer(at(asked + 4000), SERVER, &good));
        assert!(!Clock::new().on_answer(
            at(0),
            Ipv4Addr::UNSPECIFIED,
            &Answer { cookie: 0, unix_millis: TIME }
        ));
    }

    #[test]
    fn silence_is_asked_more_and_more_seldom() {
        let mut clock = Clock::new();
        let mut last = next(&mut clock, 0, 3).0;
        let mut waits = Vec::new();
        for _ in 0..14 {
            let (asked, _) = next(&mut clock, last + 100, 3);
            waits.push((asked - last) / 1000);
            last = asked;
        }
        assert!((4..=8).contains(&waits[0]), "{waits:?}");
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
        assert!((3600..=3604).contains(&waits[13]), "{waits:?}");
        let (asked, question) = next(&mut clock, last + 100, 3);
        assert!(clock.on_answer(at(asked + 200), SERVER, &answer(question, TIME)));
    }

    #[test]
    fn another_server_is_asked_at_once_and_the_time_stays() {
        let mut clock = Clock::new();
        let (asked, question) = next(&mut clock, 0, 5);
        assert!(clock.on_answer(at(asked), SERVER, &answer(question, TIME)));
        let moved =
            (asked / 100..).find(|step| clock.poll(at(step * 100), Some(OTHER), 5 << 16).is_some()).unwrap()
                * 100;
        assert!(moved - asked <= 2200, "{moved}");
        assert_eq!(clock.unix_millis(at(asked + 1)), Some(TIME + 1));
    }

    proptest! {
        #[test]
        fn the_error_is_at_most_half_the_round_trip(
            boot in 1_000_000_000_000u64..4_000_000_000_000,
            start in 0u64..1_000_000_000_000,
            there in 0u64..2000,
            back in 0u64..2000,
            random: u64,
        ) {
            let mut clock = Clock::new();
            let (asked, question) = next(&mut clock, start, random);
            let answered = asked + there;
            prop_assert!(clock.on_answer(at(answered + back), SERVER, &answer(question, boot + answered)));
            let known = clock.unix_millis(at(answered + back)).unwrap();
            let error = known.abs_diff(boot + answered + back);
            prop_assert!(error <= (there + back) / 2 + 1, "{error} ms");
        }
    }
}
