//! Whether an image on trial is good: it has joined the network *and* somebody has heard it.
//!
//! Joining alone is not enough: images have been shipped that join and then answer nobody.

use crate::time::{Duration, Instant};

/// How long an image may try by default: two connection attempts of 15 s and as much for being heard.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(45);

/// What is to be done about the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The image is good: record it.
    Confirm,
    /// Time is up: restart without confirming, so that the boot loader goes back.
    GiveUp,
}

/// One trial. Gives exactly one verdict.
#[derive(Debug, Clone)]
pub struct Trial {
    deadline: Instant,
    network_up: bool,
    heard: bool,
    over: bool,
}

impl Trial {
    /// A trial from boot until `deadline` later.
    pub fn new(deadline: Duration) -> Self {
        Self { deadline: Instant::ZERO + deadline, network_up: false, heard: false, over: false }
    }

    /// The station has an address, or lost it.
    pub fn network(&mut self, up: bool) {
        self.network_up = up;
    }

    /// Somebody has heard this node: a peer answered one of its datagrams, or a tool's HTTP request was served. Hearing
    /// a peer's own broadcast does not count.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// The verdict, once, when there is one. At the deadline a good image is still confirmed.
    pub fn poll(&mut self, now: Instant) -> Option<Verdict> {
        let verdict = match (self.over, self.network_up && self.heard) {
            (true, _) => return None,
            (false, true) => Verdict::Confirm,
            (false, false) if now >= self.deadline => Verdict::GiveUp,
            (false, false) => return None,
        };
        self.over = true;
        Some(verdict)
    }

    /// When to poll at the latest; `None` once it is over.
    pub fn next_at(&self) -> Option<Instant> {
        (!self.over).then_some(self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn both_network_and_being_heard_confirm() {
        let mut trial = Trial::new(DEFAULT_DEADLINE);
        trial.heard();
        assert_eq!(trial.poll(at(0)), None);
        trial.network(true);
        assert_eq!(trial.poll(at(45_000)), Some(Verdict::Confirm));
        assert_eq!((trial.poll(at(50_000)), trial.next_at()), (None, None));
    }

    #[test]
    fn neither_alone_is_enough() {
        for heard in [false, true] {
            let mut trial = Trial::new(DEFAULT_DEADLINE);
            trial.network(true);
            if heard {
                trial.heard();
                trial.network(false);
            }
            assert_eq!(trial.poll(at(44_999)), None);
            assert_eq!(trial.next_at(), Some(at(45_000)));
            assert_eq!(trial.poll(at(45_000)), Some(Verdict::GiveUp));
            assert_eq!(trial.poll(at(45_001)), None);
        }
    }
}
