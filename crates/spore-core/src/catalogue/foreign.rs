//! Catalogues of other nodes, one per hash, fetched once from whoever has it.

use super::Fnv;
use crate::limits;
use crate::members::{Members, Status};
use crate::time::{Duration, Instant};
use core::fmt;
use core::net::Ipv4Addr;
use heapless::Vec;
use spore_sentence::sentence;
use spore_wire::Method;

/// Wait before a catalogue is asked for again, doubled with each further failure.
const RETRY: Duration = Duration::from_secs(5);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// Why a catalogue cannot be filled in now. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillError {
    /// Another one is being filled in.
    Busy,
    /// Every place is taken by a catalogue some member has.
    Full,
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                Self::Busy => sentence!("another catalogue is being fetched"),
                Self::Full => sentence!("no room for another catalogue"),
            },
            f,
        )
    }
}

/// Endpoints that every node has, by their numbers from 0 to 127: they are stored as one byte.
pub type Common = fn(u8) -> Option<(Method, &'static str)>;

/// What marks the number of a common endpoint; no method has this bit.
const COMMON: u8 = 0x80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// Known by hash only; `next` is when to ask again.
    Wanted {
        failures: u8,
        next: Instant,
        asked: u32,
    },
    Filling,
    Stored,
}

#[derive(Debug)]
struct Slot {
    hash: u32,
    state: State,
    truncated: bool,
    /// Endpoints one after the other: [`COMMON`] and the number of a common one, or method bits, length of the URI, URI.
    bytes: Vec<u8, { limits::CATALOGUE_BYTES }>,
}

/// The catalogues of others: [`limits::CATALOGUES`] of [`limits::CATALOGUE_BYTES`] bytes.
///
/// A catalogue is filled in by [`Foreign::begin`], [`Foreign::push`] for each endpoint, [`Foreign::finish`].
#[derive(Debug)]
pub struct Foreign {
    slots: [Slot; limits::CATALOGUES],
    common: Option<Common>,
    /// Running sum of the catalogue being filled in.
    sum: u32,
}

impl Foreign {
    /// None known.
    pub const fn new() -> Self {
        const FREE: Slot = Slot { hash: 0, state: State::Free, truncated: false, bytes: Vec::new() };
        Self { slots: [FREE; limits::CATALOGUES], common: None, sum: 0 }
    }

    /// Takes less room for endpoints that every node has. To be said before the first catalogue comes in.
    pub fn set_common(&mut self, common: Common) {
        self.common = Some(common);
    }

    /// Which catalogue to fetch next, and from whom: one that a member told the hash of, that is neither known nor the
    /// `own` one. By this answer it counts as asked for: it is named again, with the next member that has it, after 5 s,
    /// then 10 s and so on up to 300 s, unless it was filled in by then.
    pub fn next_wanted<const N: usize>(
        &mut self,
        now: Instant,
        members: &Members<N>,
        own: u32,
    ) -> Option<(u32, Ipv4Addr)> {
        for hash in members.catalogue_hashes().filter(|hash| *hash != own) {
            let (failures, asked) = match self.slot(hash).map(|slot| slot.state) {
                Some(State::Wanted { failures, next, asked }) if next <= now => (failures, asked),
                Some(_) => continue,
                None => (0, 0),
            };
            let holders = || {
                let alive = members.iter().filter(|member| member.status() != Status::Dead);
                alive.filter(|member| member.catalogue() == Some(hash)).map(|member| member.ip())
            };
            let later = holders().find(|ip| ip.to_bits() > asked);
            let Some(ip) = later.or_else(|| holders().next()) else { continue };
            let place =
                match self.slots.iter().position(|slot| slot.state != State::Free && slot.hash == hash) {
                    Some(place) => Some(place),
                    None => self.vacate(members),
                };
            let slot = self.slots.get_mut(place?)?;
            let wait = RETRY.times(1u64.checked_shl(u32::from(failures)).unwrap_or(u64::MAX)).min(RETRY_MAX);
            slot.hash = hash;
            slot.state =
                State::Wanted { failures: failures.saturating_add(1), next: now + wait, asked: ip.to_bits() };
            return Some((hash, ip));
        }
        None
    }

    /// A place for a new catalogue: a free one, or one no member has any more.
    fn vacate<const N: usize>(&mut self, members: &Members<N>) -> Option<usize> {
        if let Some(free) = self.slots.iter().position(|slot| slot.state == State::Free) {
            return Some(free);
        }
        let unused = |slot: &Slot| {
            slot.state != State::Filling && !members.catalogue_hashes().any(|hash| hash == slot.hash)
        };
        let place = self.slots.iter().position(unused)?;
        self.slots.get_mut(place)?.clear();
        Some(place)
    }

    /// Starts filling in the catalogue of `hash`, or that of a member that tells no hash.
    ///
    /// # Errors
    /// [`FillError`].
    pub fn begin<const N: usize>(
        &mut self,
        hash: Option<u32>,
        members: &Members<N>,
    ) -> Result<(), FillError> {
        if self.slots.iter().any(|slot| slot.state == State::Filling) {
            return Err(FillError::Busy);
        }
        let hash = hash.unwrap_or(0);
        let known =
            self.slots.iter().position(|slot| hash != 0 && slot.state != State::Free && slot.hash == hash);
        let place = known.or_else(|| self.vacate(members)).ok_or(FillError::Full)?;
        let slot = self.slots.get_mut(place).ok_or(FillError::Full)?;
        slot.clear();
        slot.hash = hash;
        slot.state = State::Filling;
        self.sum = 0;
        Ok(())
    }

    /// Adds an endpoint to the catalogue being filled in; if it does not fit the catalogue is marked truncated.
    pub fn push(&mut self, method: Method, uri: &str) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.state == State::Filling) else { return };
        let mut fnv = Fnv(0x811c_9dc5);
        fnv.text(method.as_str());
        fnv.text(uri);
        self.sum = self.sum.wrapping_add(fnv.mixed());
        let numbers = (0..COMMON).map_while(|number| Some((number, self.common?(number)?)));
        if let Some((number, _)) = numbers.into_iter().find(|(_, common)| *common == (method, uri)) {
            slot.truncated |= slot.bytes.push(COMMON | number).is_err();
            return;
        }
        let room = slot.bytes.capacity().saturating_sub(slot.bytes.len());
        match u8::try_from(uri.len()) {
            Ok(length) if uri.len().saturating_add(2) <= room => {
                // The room was just checked.
                let _ = slot.bytes.extend_from_slice(&[method.bits(), length]);
                let _ = slot.bytes.extend_from_slice(uri.as_bytes());
            }
            _ => slot.truncated = true,
        }
    }

    /// Ends filling in; gives the catalogue's hash, for [`Members::details`] of a member that told none. `None` if
    /// nothing was begun, or if nothing was filled in for such a member.
    pub fn finish(&mut self) -> Option<u32> {
        let place = self.slots.iter().position(|slot| slot.state == State::Filling)?;
        let empty = self.slots.get(place).is_none_or(|slot| slot.bytes.is_empty());
        let told = self.slots.get(place).map_or(0, |slot| slot.hash);
        let hash = if told == 0 { self.sum.max(1) } else { told };
        let known = self.slot(hash).is_some_and(|slot| slot.state == State::Stored);
        if told == 0 {
            // It may be wanted by this hash already; what was filled in replaces the wish.
            self.slots
                .iter_mut()
                .filter(|s| s.hash == hash && matches!(s.state, State::Wanted { .. }))
                .for_each(Slot::clear);
        }
        let slot = self.slots.get_mut(place)?;
        if told == 0 && (empty || known) {
            slot.clear();
            return (!empty).then_some(hash);
        }
        slot.hash = hash;
        slot.state = State::Stored;
        Some(hash)
    }

    /// Gives up filling in. A told hash is wanted again after `RETRY`.
    pub fn abort(&mut self, now: Instant) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.state == State::Filling) {
            let hash = slot.hash;
            slot.clear();
            if hash != 0 {
                slot.hash = hash;
                slot.state = State::Wanted { failures: 1, next: now + RETRY, asked: 0 };
            }
        }
    }

    fn slot(&self, hash: u32) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.state != State::Free && slot.hash == hash && hash != 0)
    }

    /// Methods and URIs of the catalogue of `hash`, if it is known.
    pub fn endpoints(&self, hash: u32) -> Option<impl Iterator<Item = (Method, &str)>> {
        self.slot(hash).filter(|slot| slot.state == State::Stored).map(|slot| slot.endpoints(self.common))
    }

    /// Whether the catalogue of `hash` is known, but only in part.
    pub fn truncated(&self, hash: u32) -> bool {
        self.slot(hash).is_some_and(|slot| slot.truncated)
    }

    /// Which known catalogues hold `uri`: then one look at each member tells who offers it.
    pub fn offering(&self, uri: &str) -> Offers {
        let mut hashes = Vec::new();
        for slot in self.slots.iter().filter(|slot| slot.state == State::Stored) {
            if slot.endpoints(self.common).any(|(_, other)| other == uri) {
                // As many places as catalogues.
                let _ = hashes.push(slot.hash);
            }
        }
        Offers(hashes)
    }
}

impl Default for Foreign {
    fn default() -> Self {
        Self::new()
    }
}

impl Slot {
    fn clear(&mut self) {
        self.hash = 0;
        self.state = State::Free;
        self.truncated = false;
        self.bytes.clear();
    }

    fn endpoints(&self, common: Option<Common>) -> impl Iterator<Item = (Method, &str)> {
        let mut rest = self.bytes.as_slice();
        core::iter::from_fn(move || {
            if let Some((first, tail)) = rest.split_first()
                && first & COMMON != 0
            {
                rest = tail;
                return common?(first & !COMMON);
            }
            let (&[bits, length], tail) = rest.split_first_chunk::<2>()?;
            let (uri, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            let method = Method::ALL.into_iter().find(|method| method.bits() == bits).unwrap_or(Method::Any);
            Some((method, core::str::from_utf8(uri).ok()?))
        })
    }
}

/// Hashes of the catalogues that hold a URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers(Vec<u32, { limits::CATALOGUES }>);

impl Offers {
    /// Whether a member with this catalogue offers it.
    pub fn contains(&self, catalogue: Option<u32>) -> bool {
        catalogue.is_some_and(|hash| self.0.contains(&hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Evidence, Thresholds};
    use proptest::prelude::*;
    use spore_wire::Details;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn ip(low: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 4, 0, low)
    }

    fn members(hashes: &[u32]) -> Members<16> {
        let mut members = Members::new(Thresholds::DEFAULT);
        for (low, hash) in (1u8..).zip(hashes) {
            let name = format!("n{low}");
            members.heard(at(0), ip(low), Evidence { hostname: Some(&name), ..Evidence::default() });
            members.details(ip(low), &Details { catalogue: Some(*hash), ..Details::default() });
        }
        members
    }

    fn fill(foreign: &mut Foreign, hash: Option<u32>, members: &Members<16>, uris: &[&str]) -> Option<u32> {
        foreign.begin(hash, members).unwrap();
        uris.iter().for_each(|uri| foreign.push(Method::Get, uri));
        foreign.finish()
    }

    #[test]
    fn each_hash_is_fetched_once_and_failures_go_to_another_holder() {
        let members = members(&[7, 7, 8, 9]);
        let mut foreign = Foreign::new();
        assert_eq!(foreign.next_wanted(at(0), &members, 9), Some((7, ip(1))));
        assert_eq!(foreign.next_wanted(at(0), &members, 9), Some((8, ip(3))));
        assert_eq!(foreign.next_wanted(at(4_999), &members, 9), None);
        assert_eq!(fill(&mut foreign, Some(8), &members, &["/x"]), Some(8));
        assert_eq!(foreign.next_wanted(at(5_000), &members, 9), Some((7, ip(2))));
        assert_eq!(foreign.next_wanted(at(14_999), &members, 9), None);
        assert_eq!(foreign.next_wanted(at(15_000), &members, 9), Some((7, ip(1))));
        assert_eq!(fill(&mut foreign, Some(7), &members, &["/y", "/x"]), Some(7));
        assert_eq!(foreign.next_wanted(at(9_000_000), &members, 9), None);
        assert_eq!(
            foreign.endpoints(7).unwrap().collect::<Vec<_, 4>>(),
            [(Method::Get, "/y"), (Method::Get, "/x")]
        );
        let offers = foreign.offering("/y");
        assert!(offers.contains(Some(7)) && !offers.contains(Some(8)) && !offers.contains(None));
        assert!(foreign.endpoints(9).is_none());
    }

    #[test]
    fn catalogues_nobody_has_make_room() {
        let hashes: Vec<u32, 16> = (1..=limits::CATALOGUES as u32).collect();
        let all = members(&hashes);
        let mut foreign = Foreign::new();
        for hash in &hashes {
            fill(&mut foreign, Some(*hash), &all, &["/a"]);
        }
        assert_eq!(foreign.begin(Some(99), &all), Err(FillError::Full));
        let other = members(&[2, 99]);
        assert_eq!(foreign.next_wanted(at(0), &other, 0), Some((99, ip(2))));
        assert!(foreign.endpoints(1).is_none() && foreign.endpoints(2).is_some());
    }

    #[test]
    fn members_without_a_hash_get_one_from_what_they_offer() {
        let none = members(&[]);
        let mut foreign = Foreign::new();
        let first = fill(&mut foreign, None, &none, &["/a", "/b"]).unwrap();
        let second = fill(&mut foreign, None, &none, &["/b", "/a"]).unwrap();
        assert_eq!(first, second);
        assert_eq!(foreign.slots.iter().filter(|slot| slot.state != State::Free).count(), 1);
        assert_ne!(fill(&mut foreign, None, &none, &["/a"]), Some(first));
        assert_eq!(fill(&mut foreign, None, &none, &[]), None);
        assert_eq!(foreign.finish(), None);
    }

    #[test]
    fn common_endpoints_take_a_byte() {
        let members = members(&[7]);
        let mut foreign = Foreign::new();
        let routes = ["/api/node/status-of-a-node", "/api/cluster/members-of-it"];
        foreign.set_common(|number| match number {
            0 => Some((Method::Get, "/api/node/status-of-a-node")),
            1 => Some((Method::Get, "/api/cluster/members-of-it")),
            _ => None,
        });
        let mut uris = Vec::<&str, 128>::new();
        for _ in 0..60 {
            uris.extend(routes);
        }
        uris.push("/own").unwrap();
        fill(&mut foreign, Some(7), &members, &uris);
        assert!(!foreign.truncated(7));
        assert!(foreign.endpoints(7).unwrap().map(|(_, uri)| uri).eq(uris));
        assert!(foreign.offering("/own").contains(Some(7)) && foreign.offering(routes[1]).contains(Some(7)));
    }

    #[test]
    fn too_much_is_marked_truncated_and_an_abort_is_retried() {
        let members = members(&[7]);
        let mut foreign = Foreign::new();
        let long = "/".repeat(limits::CATALOGUE_BYTES / 3 - 6);
        assert_eq!(fill(&mut foreign, Some(7), &members, &[&long, &long, &long, &long, "/s"]), Some(7));
        assert!(foreign.truncated(7));
        assert_eq!(foreign.endpoints(7).unwrap().count(), 4, "a short one still fits");
        foreign.begin(Some(7), &members).unwrap();
        assert_eq!(foreign.begin(None, &members), Err(FillError::Busy));
        foreign.abort(at(0));
        assert_eq!(foreign.next_wanted(at(4_999), &members, 0), None);
        assert_eq!(foreign.next_wanted(at(5_000), &members, 0), Some((7, ip(1))));
    }

    proptest! {
        #[test]
        fn what_fits_comes_back(uris in prop::collection::vec("/[a-zä/]{0,200}", 0..12)) {
            let members = members(&[7]);
            let mut foreign = Foreign::new();
            let uris: std::vec::Vec<&str> = uris.iter().map(String::as_str).collect();
            fill(&mut foreign, Some(7), &members, &uris);
            let mut room = limits::CATALOGUE_BYTES;
            let mut expected = std::vec::Vec::new();
            for uri in &uris {
                if uri.len() < 256 && uri.len() + 2 <= room {
                    room -= uri.len() + 2;
                    expected.push((Method::Get, *uri));
                }
            }
            prop_assert_eq!(foreign.truncated(7), expected.len() < uris.len());
            for uri in uris {
                let kept = expected.iter().any(|(_, other)| *other == uri);
                prop_assert_eq!(foreign.offering(uri).contains(Some(7)), kept);
            }
            prop_assert_eq!(foreign.endpoints(7).unwrap().collect::<std::vec::Vec<_>>(), expected);
        }
    }
}
