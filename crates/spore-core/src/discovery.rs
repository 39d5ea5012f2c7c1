//! What to say when, and what to answer to whom: decisions only, no bytes.
//!
//! Broadcasts, each by its task: [`Broadcast::Discovery`] every `discoveryIntervalMs`, [`Broadcast::Heartbeat`] every
//! `heartbeatIntervalMs`, [`Broadcast::Update`] every `memberInfoIntervalMs`. Answers go to the sender only. Text nodes
//! always get the answer their generation waits for. Rust nodes hear each other's broadcasts and need hardly any: at
//! most [`ANSWERS_PER_SECOND`] per node, and details once to one that has just started ([`on_details`]). So the datagrams of N
//! Rust nodes grow with N.

use crate::events::Bucket;
use crate::members::{Kind, MemberRef};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;
use spore_wire::{Details, Text};

/// Answers to discoveries of known Rust nodes, per second.
pub const ANSWERS_PER_SECOND: u32 = 2;
/// A round trip that takes longer was not an answer to our last question.
pub const LATENCY_MAX: Duration = Duration::from_secs(2);

/// A broadcast this node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broadcast {
    /// `CLUSTER_DISCOVERY`.
    Discovery,
    /// `CLUSTER_HEARTBEAT`.
    Heartbeat,
    /// `NODE_UPDATE` with the own details.
    Update,
}

/// An answer to the sender of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `CLUSTER_RESPONSE`.
    Response,
    /// `CLUSTER_NODE_INFO` with the own details, what the generation of September 2025 waits for.
    NodeInfo,
    /// `NODE_UPDATE` with the own details, what the generation of October 2025 waits for.
    NodeUpdate,
}

/// What a datagram asks of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaction {
    /// To be sent to its sender.
    pub answer: Option<Answer>,
    /// Measured round trip to its sender.
    pub latency: Option<Duration>,
    /// The datagram answers one of ours: its sender has heard this node.
    pub heard_us: bool,
}

/// The memory of the rules.
#[derive(Debug)]
pub struct Discovery {
    discovery_sent: Option<Instant>,
    heartbeat_sent: Option<Instant>,
    answers: Bucket<ANSWERS_PER_SECOND, ANSWERS_PER_SECOND>,
    rng: Rng,
    crowd: u32,
    /// Discoveries of Rust nodes to let pass before the next is answered.
    skip: u64,
}

impl Discovery {
    /// Nothing said yet.
    pub const fn new(seed: u64) -> Self {
        Self {
            discovery_sent: None,
            heartbeat_sent: None,
            answers: Bucket::new(),
            rng: Rng::new(seed),
            crowd: 0,
            skip: 0,
        }
    }

    /// Notes that `what` was broadcast at `now`; round trips are measured from here.
    pub fn sent(&mut self, now: Instant, what: Broadcast) {
        match what {
            Broadcast::Discovery => self.discovery_sent = Some(now),
            Broadcast::Heartbeat => self.heartbeat_sent = Some(now),
            Broadcast::Update => {}
        }
    }

    /// Decides about a datagram heard from `from`. `member` is what was known of its sender *before* this datagram, so
    /// ask before [`crate::members::Members::heard`]. The own broadcasts that come back (`from` is `own`) ask nothing.
    pub fn on_text(
        &mut self,
        now: Instant,
        from: Ipv4Addr,
        own: Ipv4Addr,
        member: Option<MemberRef<'_>>,
        text: &Text<'_>,
    ) -> Reaction {
        let mut reaction = Reaction::default();
        if from == own {
            return reaction;
        }
        let rust = member.is_some_and(|member| member.kind() == Kind::Rust);
        match text {
            Text::Discovery => {
                let answer = !rust || self.takes_turn(now);
                reaction.answer = answer.then_some(Answer::Response);
            }
            Text::Heartbeat { .. } if rust => {}
            Text::Heartbeat { .. } => {
                let discovers = member.is_some_and(|member| member.discovers());
                reaction.answer = Some(if discovers { Answer::NodeInfo } else { Answer::NodeUpdate });
            }
            Text::Response { .. } => {
                reaction.latency = round_trip(self.discovery_sent, now);
                reaction.heard_us = true;
            }
            Text::NodeInfo { .. } => {
                reaction.latency = round_trip(self.heartbeat_sent, now);
                reaction.heard_us = true;
            }
            // An update may be an answer or a broadcast; it proves nothing.
            Text::NodeUpdate { .. } | Text::Event { .. } | Text::Raw { .. } => {}
        }
        reaction
    }
}

impl Discovery {
    /// How many members there are, more or less: the more, the more of their discoveries are let pass.
    pub fn set_crowd(&mut self, members: usize) {
        self.crowd = u32::try_from(members).unwrap_or(u32::MAX);
    }

    /// Whether it is this asker's turn. Nodes ask in a steady rhythm, so a mere limit would always serve the same two; a
    /// random number of askers is let pass instead, and everybody's turn comes.
    fn takes_turn(&mut self, now: Instant) -> bool {
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return false;
        }
        if !self.answers.take(now) {
            return false;
        }
        self.skip = self.rng.below(u64::from(self.crowd));
        true
    }
}

/// What to answer to a Rust node that told of itself: the own details, if it is new or has restarted, for then it knows
/// nobody. `member` is what was known of it before, as for [`Discovery::on_text`].
pub fn on_details(member: Option<MemberRef<'_>>, details: &Details) -> Option<Answer> {
    let known = member.is_some_and(|member| {
        member.kind() == Kind::Rust && details.boot.is_none_or(|boot| boot == member.boot())
    });
    (details.spore.is_some() && !known).then_some(Answer::NodeUpdate)
}

fn round_trip(sent: Option<Instant>, now: Instant) -> Option<Duration> {
    sent.map(|sent| now.since(sent)).filter(|rtt| *rtt < LATENCY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Evidence, Members, Thresholds};

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 2);
    const BEAT: Text<'_> = Text::Heartbeat { hostname: "p" };

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn peer(kind: Kind, discovers: bool) -> Members<1> {
        let mut members = Members::new(Thresholds::DEFAULT);
        members.heard(at(0), PEER, Evidence { hostname: Some("p"), kind: Some(kind), discovers });
        members
    }

    #[test]
    fn own_broadcasts_are_ignored() {
        let mut rules = Discovery::new(1);
        for text in [Text::Discovery, BEAT, Text::Response { hostname: "p" }] {
            assert_eq!(rules.on_text(at(0), OWN, OWN, None, &text), Reaction::default());
        }
    }

    #[test]
    fn discoveries_of_strangers_and_text_nodes_are_always_answered() {
        let mut rules = Discovery::new(1);
        let text = peer(Kind::Text, true);
        for _ in 0..10 {
            for member in [None, text.get(PEER)] {
                let reaction = rules.on_text(at(0), PEER, OWN, member, &Text::Discovery);
                assert_eq!(reaction.answer, Some(Answer::Response));
            }
        }
    }

    #[test]
    fn discoveries_of_rust_nodes_are_answered_twice_a_second() {
        let mut rules = Discovery::new(1);
        let rust = peer(Kind::Rust, true);
        let answers = (0..10_000)
            .filter(|ms| rules.on_text(at(*ms), PEER, OWN, rust.get(PEER), &Text::Discovery).answer.is_some())
            .count();
        // The burst of two, and two for each of ten seconds, less the one that would fall on the end.
        assert_eq!(answers, 21);
    }

    #[test]
    fn heartbeats_get_the_details_their_generation_waits_for() {
        let mut rules = Discovery::new(1);
        let mut answer = |members: Option<&Members<1>>| {
            rules.on_text(at(0), PEER, OWN, members.and_then(|m| m.get(PEER)), &BEAT).answer
        };
        assert_eq!(answer(None), Some(Answer::NodeUpdate));
        assert_eq!(answer(Some(&peer(Kind::Text, true))), Some(Answer::NodeInfo));
        assert_eq!(answer(Some(&peer(Kind::Text, false))), Some(Answer::NodeUpdate));
        assert_eq!(answer(Some(&peer(Kind::Rust, true))), None);
    }

    #[test]
    fn latency_is_measured_from_the_own_question() {
        let mut rules = Discovery::new(1);
        let response = Text::Response { hostname: "p" };
        let info = Text::NodeInfo { hostname: "p", json: "" };
        let latency = |rules: &mut Discovery, now, text: &Text<'_>| {
            let reaction = rules.on_text(at(now), PEER, OWN, None, text);
            assert!(reaction.heard_us && reaction.answer.is_none());
            reaction.latency.map(Duration::as_millis)
        };
        assert_eq!(latency(&mut rules, 5, &response), None, "nothing was asked");
        rules.sent(at(1000), Broadcast::Discovery);
        rules.sent(at(1500), Broadcast::Heartbeat);
        rules.sent(at(1600), Broadcast::Update);
        assert_eq!(latency(&mut rules, 1012, &response), Some(12));
        assert_eq!(latency(&mut rules, 1530, &info), Some(30));
        assert_eq!(latency(&mut rules, 2999, &response), Some(1999));
        assert_eq!(latency(&mut rules, 3000, &response), None);
    }

    #[test]
    fn in_a_steady_rhythm_everybody_gets_an_answer_now_and_then() {
        let mut members = Members::<16>::new(Thresholds::DEFAULT);
        let peers: Vec<Ipv4Addr> = (1..=12).map(|n| Ipv4Addr::new(10, 4, 0, 100 + n)).collect();
        let rust = Evidence { hostname: Some("peer"), kind: Some(Kind::Rust), discovers: true };
        for peer in &peers {
            members.heard(at(0), *peer, rust);
        }
        let mut rules = Discovery::new(7);
        rules.set_crowd(members.len());
        let mut answered = std::collections::BTreeMap::new();
        for second in 0..120 {
            for (n, peer) in peers.iter().enumerate() {
                let now = at(second * 1000 + n as u64 * 80);
                if rules.on_text(now, *peer, OWN, members.get(*peer), &Text::Discovery).answer.is_some() {
                    *answered.entry(*peer).or_insert(0) += 1;
                }
            }
        }
        let total: u32 = answered.values().sum();
        assert!((120..=241).contains(&total), "about two a second at most: {total}");
        assert_eq!(answered.len(), peers.len(), "{answered:?}");
    }
}
