//! What goes wrong on the LAN, on purpose: loss, delay, duplication, corruption, islands.
//!
//! A frame on its way from one port to another is shown to every [`Rule`] in the order they were added. Their
//! [`Verdict`]s add up: one [`Verdict::Drop`] loses the frame, delays sum, each duplicate is a copy more. All
//! chances come from the switch's seed, so a run can be repeated.

use crate::Mac;
use embassy_time::Duration;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// The random numbers of a switch, drawn from its seed.
pub type Rng = fastrand::Rng;

/// A frame on its way from one port to another. A broadcast is one passage for each receiver.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
    /// Address the sending port was attached with.
    pub from: Mac,
    /// Address the receiving port was attached with.
    pub to: Mac,
    /// The frame, Ethernet header first.
    pub frame: &'a [u8],
}

impl Passage<'_> {
    /// Whether the frame is for everybody, or for a group (bit 0 of the first byte, IEEE 802.3).
    pub fn is_broadcast(&self) -> bool {
        self.frame.first().is_some_and(|byte| byte & 1 == 1)
    }
}

/// What a rule does to a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Pass,
    /// The frame is lost; no further rule is asked.
    Drop,
    /// The frame arrives this much later.
    Deliver(Duration),
    /// The frame arrives once more, this much after the first.
    Duplicate(Duration),
    /// A bit of the frame arrives flipped.
    Corrupt,
}

/// Decides about passages.
pub trait Rule {
    /// What happens to this one. Must not touch the switch or its rules.
    fn judge(&mut self, passage: &Passage<'_>, rng: &mut Rng) -> Verdict;
}

impl<F: FnMut(&Passage<'_>, &mut Rng) -> Verdict> Rule for F {
    fn judge(&mut self, passage: &Passage<'_>, rng: &mut Rng) -> Verdict {
        self(passage, rng)
    }
}

/// Which passages a [`Fault`] concerns; the default is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selector {
    /// Only broadcasts and multicasts.
    pub broadcast_only: bool,
    /// Only what this node sends.
    pub from: Option<Mac>,
    /// Only what this node receives.
    pub to: Option<Mac>,
    /// Only what this node sends or receives.
    pub node: Option<Mac>,
}

impl Selector {
    fn matches(&self, passage: &Passage<'_>) -> bool {
        (!self.broadcast_only || passage.is_broadcast())
            && self.from.is_none_or(|mac| mac == passage.from)
            && self.to.is_none_or(|mac| mac == passage.to)
            && self.node.is_none_or(|mac| mac == passage.from || mac == passage.to)
    }
}

/// What a [`Fault`] does. Chances are from 0.0 to 1.0 and independent for every passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Frames are lost.
    Loss {
        /// How likely.
        chance: f64,
    },
    /// Frames are late, and with jitter out of order.
    Delay {
        /// At least so much.
        base: Duration,
        /// Up to so much more, evenly spread.
        jitter: Duration,
    },
    /// Frames arrive twice.
    Duplicate {
        /// How likely.
        chance: f64,
    },
    /// Frames arrive with a flipped bit.
    Corrupt {
        /// How likely.
        chance: f64,
    },
}

/// An everyday rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What happens.
    pub effect: Effect,
    /// To which frames.
    pub on: Selector,
}

impl Fault {
    /// Loses any frame with this chance.
    pub fn loss(chance: f64) -> Self {
        Effect::Loss { chance }.into()
    }

    /// Delays every frame.
    pub fn delay(base: Duration, jitter: Duration) -> Self {
        Effect::Delay { base, jitter }.into()
    }

    /// The same for fewer frames.
    #[must_use]
    pub fn on(self, on: Selector) -> Self {
        Self { on, ..self }
    }
}

impl From<Effect> for Fault {
    fn from(effect: Effect) -> Self {
        Self { effect, on: Selector::default() }
    }
}

impl Rule for Fault {
    fn judge(&mut self, passage: &Passage<'_>, rng: &mut Rng) -> Verdict {
        if !self.on.matches(passage) {
            return Verdict::Pass;
        }
        let verdict_if = |hit, verdict| if hit { verdict } else { Verdict::Pass };
        match self.effect {
            Effect::Loss { chance } => verdict_if(rng.f64() < chance, Verdict::Drop),
            Effect::Delay { base, jitter } => {
                let extra = Duration::from_micros(rng.u64(0..=jitter.as_micros()));
                Verdict::Deliver(base + extra)
            }
            // A millisecond is about what a repeated frame takes on 802.11.
            Effect::Duplicate { chance } => {
                verdict_if(rng.f64() < chance, Verdict::Duplicate(Duration::from_millis(1)))
            }
            Effect::Corrupt { chance } => verdict_if(rng.f64() < chance, Verdict::Corrupt),
        }
    }
}

/// A rule that lets frames pass only between ports of the same island.
#[derive(Debug, Clone, Default)]
pub struct Partition(HashMap<Mac, usize>);

impl Partition {
    /// Each slice is an island; ports named in none form one more.
    pub fn new(islands: &[&[Mac]]) -> Self {
        let number =
            |(n, island): (usize, &&[Mac])| island.iter().map(move |mac| (*mac, n + 1)).collect::<Vec<_>>();
        Self(islands.iter().enumerate().flat_map(number).collect())
    }
}

impl Rule for Partition {
    fn judge(&mut self, passage: &Passage<'_>, _: &mut Rng) -> Verdict {
        let island = |mac: &Mac| self.0.get(mac).copied().unwrap_or(0);
        if island(&passage.from) == island(&passage.to) { Verdict::Pass } else { Verdict::Drop }
    }
}

/// Name of a rule in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u64);

#[derive(Default)]
struct Rules {
    next: u64,
    list: Vec<(RuleId, Box<dyn Rule>)>,
}

/// The rules of a switch.
#[derive(Clone, Default)]
pub struct Faults(Rc<RefCell<Rules>>);

/// What became of a passage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    pub(crate) delay: Duration,
    /// Delays of further copies, from the first copy's arrival.
    pub(crate) copies: Vec<Duration>,
    pub(crate) flipped_bits: u32,
}

impl Faults {
    /// Puts a rule in force, behind those that are, until [`Self::remove`] or [`Self::clear`].
    pub fn add(&self, rule: impl Rule + 'static) -> RuleId {
        let mut rules = self.0.borrow_mut();
        rules.next += 1;
        let id = RuleId(rules.next);
        rules.list.push((id, Box::new(rule)));
        id
    }

    /// Puts a rule in force until the guard is dropped.
    pub fn scoped(&self, rule: impl Rule + 'static) -> RuleGuard {
        RuleGuard { id: self.add(rule), rules: Rc::downgrade(&self.0) }
    }

    /// Ends a rule; says whether it was in force.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.0.borrow_mut();
        let before = rules.list.len();
        rules.list.retain(|(other, _)| *other != id);
        rules.list.len() < before
    }

    /// Ends all rules.
    pub fn clear(&self) {
        self.0.borrow_mut().list.clear();
    }

    /// How many rules are in force.
    pub fn len(&self) -> usize {
        self.0.borrow().list.len()
    }

    /// Whether no rule is in force.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn judge(&self, passage: &Passage<'_>, rng: &mut Rng) -> Fate {
        let mut fate = Fate::default();
        for (_, rule) in &mut self.0.borrow_mut().list {
            match rule.judge(passage, rng) {
                Verdict::Pass => {}
                Verdict::Drop => {
                    fate.lost = true;
                    break;
                }
                Verdict::Deliver(delay) => fate.delay += delay,
                Verdict::Duplicate(after) => fate.copies.push(after),
                Verdict::Corrupt => fate.flipped_bits += 1,
            }
        }
        fate
    }
}

/// Keeps a rule in force.
#[must_use = "dropping the guard ends the rule"]
pub struct RuleGuard {
    id: RuleId,
    rules: Weak<RefCell<Rules>>,
}

impl Drop for RuleGuard {
    fn drop(&mut self) {
        if let Some(rules) = self.rules.upgrade() {
            Faults(rules).remove(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Mac = [2, 0, 0, 0, 0, 1];
    const B: Mac = [2, 0, 0, 0, 0, 2];
    const C: Mac = [2, 0, 0, 0, 0, 3];
    const UNICAST: [u8; 6] = B;
    const BROADCAST: [u8; 6] = [0xff; 6];

    fn passage(from: Mac, to: Mac, frame: &[u8]) -> Passage<'_> {
        Passage { from, to, frame }
    }

    #[test]
    fn verdicts_add_up_and_a_drop_ends_it() {
        let (faults, mut rng) = (Faults::default(), Rng::with_seed(1));
        let second = Duration::from_secs(1);
        faults.add(Fault::delay(second, Duration::MIN));
        faults.add(Fault::delay(second, Duration::MIN));
        faults.add(Fault::from(Effect::Duplicate { chance: 1.0 }));
        faults.add(Fault::from(Effect::Corrupt { chance: 1.0 }));
        let fate = faults.judge(&passage(A, B, &UNICAST), &mut rng);
        assert_eq!((fate.lost, fate.delay, fate.copies.len(), fate.flipped_bits), (false, second * 2, 1, 1));
        let all = faults.add(Fault::loss(1.0));
        assert!(faults.judge(&passage(A, B, &UNICAST), &mut rng).lost);
        assert!(faults.remove(all));
        assert!(!faults.remove(all));
        faults.clear();
        assert_eq!(faults.judge(&passage(A, B, &UNICAST), &mut rng), Fate::default());
    }

    #[test]
    fn a_guard_ends_its_rule() {
        let faults = Faults::default();
        let guard = faults.scoped(Fault::loss(1.0));
        assert_eq!(faults.len(), 1);
        drop(guard);
        assert!(faults.is_empty());
    }

    #[test]
    fn selectors_select() {
        let lost = |on: Selector, from, to, frame: &[u8]| {
            let mut rule = Fault::loss(1.0).on(on);
            rule.judge(&passage(from, to, frame), &mut Rng::with_seed(1)) == Verdict::Drop
        };
        let broadcast = Selector { broadcast_only: true, ..Selector::default() };
        assert!(lost(broadcast, A, B, &BROADCAST) && !lost(broadcast, A, B, &UNICAST));
        let sends = Selector { from: Some(A), ..Selector::default() };
        assert!(lost(sends, A, B, &UNICAST) && !lost(sends, B, A, &UNICAST));
        let hears = Selector { to: Some(A), ..Selector::default() };
        assert!(lost(hears, B, A, &UNICAST) && !lost(hears, A, B, &UNICAST));
        let node = Selector { node: Some(A), ..Selector::default() };
        assert!(lost(node, B, A, &UNICAST) && lost(node, A, B, &UNICAST) && !lost(node, B, C, &UNICAST));
    }

    #[test]
    fn islands_hear_themselves_only() {
        let mut rule = Partition::new(&[&[A], &[B]]);
        let mut rng = Rng::with_seed(1);
        let mut passes = |from, to| rule.judge(&passage(from, to, &UNICAST), &mut rng) == Verdict::Pass;
        let others = [2, 0, 0, 0, 0, 9];
        assert!(passes(A, A) && passes(C, others));
        assert!(!passes(A, B) && !passes(A, C) && !passes(C, B));
    }

    #[test]
    fn chances_are_about_right_and_repeatable() {
        let lost = |seed| {
            let (mut rule, mut rng) = (Fault::loss(0.3), Rng::with_seed(seed));
            (0..10_000).filter(|_| rule.judge(&passage(A, B, &UNICAST), &mut rng) == Verdict::Drop).count()
        };
        assert!((2_700..3_300).contains(&lost(5)));
        assert_eq!(lost(5), lost(5));
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let (base, jitter) = (Duration::from_millis(5), Duration::from_millis(3));
        let (mut rule, mut rng) = (Fault::delay(base, jitter), Rng::with_seed(2));
        let delays: Vec<_> = (0..1_000)
            .map(|_| match rule.judge(&passage(A, B, &UNICAST), &mut rng) {
                Verdict::Deliver(delay) => delay,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(delays.iter().all(|delay| (base..=base + jitter).contains(delay)));
        assert!(!delays.is_sorted());
    }
}
