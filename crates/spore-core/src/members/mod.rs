//! Who is in the cluster: a table sorted by address, with what each member told of itself.
//!
//! ```text
//!            heard                     tick: age ≥ inactiveAfterMs            tick: age ≥ deadAfterMs
//!  (unknown) ─────► ACTIVE ───────────────────────────────────► INACTIVE ────────────────────────► DEAD
//!                     ▲                    heard                    │              heard             │ tick: age ≥ forget_after
//!                     └─────────────────────────────────────────────┴────────────────────────────────┴──────► (forgotten)
//! ```
//!
//! Cost: finding a member is a binary search; a newcomer moves what lies behind it; a tick, a rename and a full table
//! look once at each member. Nothing looks at pairs of members.

mod member;
mod names;

pub use member::{Kind, MemberRef, NodeRef, Status};

use crate::intern::{Hashes, Strings};
use crate::time::{Duration, Instant};
use crate::{labels, limits};
use core::net::Ipv4Addr;
use heapless::Vec;
use member::{CONFLICT, DISCOVERS, Member, RUST, WANTED};
use names::{Gap, NOWHERE, Names};
use spore_wire::{Details, Hostname};

/// When members change status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Age of the last evidence from which a member is INACTIVE.
    pub inactive_after: Duration,
    /// Age from which it is DEAD; more than `inactive_after`.
    pub dead_after: Duration,
    /// Age from which it is forgotten; more than `dead_after`.
    pub forget_after: Duration,
}

impl Thresholds {
    /// The seed's 10 s and 60 s; the dead are kept for an hour, long enough for a person to see who is missing.
    pub const DEFAULT: Self = Self {
        inactive_after: Duration::from_secs(10),
        dead_after: Duration::from_secs(60),
        forget_after: Duration::from_secs(3600),
    };

    /// The status of a member whose last evidence is `age` old.
    pub fn status(&self, age: Duration) -> Status {
        if age < self.inactive_after {
            Status::Active
        } else if age < self.dead_after {
            Status::Inactive
        } else {
            Status::Dead
        }
    }
}

/// What a sign of life tells beside the sign itself. Unknown is `None` or `false`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// Name of the sender, as [`Hostname::foreign`] takes it; empty if it is a node that did not say, as the first C++
    /// generation did. `None` if the message does not even make it a node: tools ask `CLUSTER_DISCOVERY`, too.
    pub hostname: Option<&'a str>,
    /// What it speaks, if the message tells.
    pub kind: Option<Kind>,
    /// The message was `CLUSTER_DISCOVERY`.
    pub discovers: bool,
}

/// What became of a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// A new member.
    New,
    /// A member already; only its age changed (see also [`Heard::revived`]).
    Known,
    /// A member whose name changed; its details are forgotten, for it may be another machine.
    Renamed,
    /// Not a member and nothing that makes it one ([`Evidence::hostname`]). Nothing changed.
    Stranger,
    /// Not a member, and every place is taken by an ACTIVE one. Nothing changed but a counter.
    Full,
}

/// The outcome of [`Members::heard`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What became of it.
    pub admission: Admission,
    /// The status it had before, if it was not ACTIVE.
    pub revived: Option<Status>,
    /// Who had to go for it: the same node under its old address, or the longest silent one of a full table.
    pub left: Option<Departed>,
}

/// A member that is no longer in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departed {
    /// Address.
    pub ip: Ipv4Addr,
    /// Name as last heard.
    pub hostname: Hostname,
    /// Status when it left.
    pub status: Status,
}

impl Departed {
    /// As events carry it.
    pub fn node(&self) -> NodeRef<'_> {
        NodeRef { ip: self.ip, hostname: &self.hostname, status: self.status }
    }
}

/// What a tick found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A member's status changed with its age.
    Status {
        /// The member, with its new status.
        node: NodeRef<'a>,
        /// Its status before.
        from: Status,
    },
    /// A member was forgotten: silent for too long, or its name lives on at another address.
    Left(NodeRef<'a>),
}

/// Members by status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// ACTIVE members.
    pub active: u16,
    /// INACTIVE members.
    pub inactive: u16,
    /// DEAD members.
    pub dead: u16,
}

/// Most changes that one call of [`Members::tick`] reports.
const CHANGES: usize = 8;

/// What many members have in common.
#[derive(Debug)]
struct Tables {
    sdks: Strings<{ limits::SDKS }, { limits::SDK }>,
    versions: Strings<{ limits::VERSIONS }, { limits::VERSION }>,
    boards: Strings<{ limits::BOARDS }, { limits::BOARD }>,
    labels: Strings<{ limits::LABEL_SETS }, { limits::LABEL_SET }>,
    catalogues: Hashes<{ limits::CATALOGUE_HASHES }>,
}

impl Tables {
    fn release(&mut self, member: &Member) {
        self.sdks.release(member.sdk);
        self.versions.release(member.version);
        self.boards.release(member.board);
        self.labels.release(member.labels);
        self.catalogues.release(member.catalogue);
    }
}

/// The table of at most `N` other nodes. The own node is not in it; the caller keeps its own address out.
#[derive(Debug)]
pub struct Members<const N: usize, const SHARE: usize = { limits::NAME_SHARE }> {
    entries: Vec<Member, N>,
    names: Names<N, SHARE>,
    tables: Tables,
    thresholds: Thresholds,
    refused: u32,
    /// Address whose details were asked for last.
    details_cursor: Option<u32>,
    details_round: Option<Instant>,
    conflict_cursor: u32,
}

impl<const N: usize> Members<N> {
    /// An empty table, with as much room for names as boards of this size have.
    pub const fn new(thresholds: Thresholds) -> Self {
        Self::with_room(thresholds)
    }
}

impl<const N: usize, const SHARE: usize> Members<N, SHARE> {
    /// An empty table, with `N * SHARE` bytes for names; each takes one more than it has.
    pub const fn with_room(thresholds: Thresholds) -> Self {
        Self {
            entries: Vec::new(),
            names: Names::new(),
            tables: Tables {
                sdks: Strings::new(),
                versions: Strings::new(),
                boards: Strings::new(),
                labels: Strings::new(),
                catalogues: Hashes::new(),
            },
            thresholds,
            refused: 0,
            details_cursor: None,
            details_round: None,
            conflict_cursor: 0,
        }
    }

    /// Changes the thresholds; the next tick applies them.
    pub fn set_thresholds(&mut self, thresholds: Thresholds) {
        self.thresholds = thresholds;
    }

    fn find(&self, ip: Ipv4Addr) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&ip.to_bits(), |member| member.ip)
    }

    fn entry(&mut self, ip: Ipv4Addr) -> Option<&mut Member> {
        let at = self.find(ip).ok()?;
        self.entries.get_mut(at)
    }

    fn take(&mut self, at: usize) -> Option<Departed> {
        let member = (at < self.entries.len()).then(|| self.entries.remove(at))?;
        let NodeRef { ip, hostname, status } = member.node(self.names.texts());
        let departed = Departed { ip, hostname: Hostname::foreign(hostname), status };
        self.tables.release(&member);
        close(&mut self.entries, self.names.remove(member.name));
        Some(departed)
    }

    /// Takes in a sign of life from `ip`, heard at `now`.
    #[inline(never)]
    pub fn heard(&mut self, now: Instant, ip: Ipv4Addr, evidence: Evidence<'_>) -> Heard {
        let name = evidence.hostname.map(Hostname::foreign);
        let mut heard = Heard { admission: Admission::Known, revived: None, left: None };
        let Self { entries, names, tables, .. } = self;
        let known = entries.binary_search_by_key(&ip.to_bits(), |member| member.ip).ok();
        if let Some(member) = known.and_then(|at| entries.get_mut(at)) {
            let before = member.status();
            heard.revived = (before != Status::Active).then_some(before);
            member.set_status(Status::Active);
            member.set_seen(now);
            let stored = names.texts().get(member.name);
            if let Some(name) = name.filter(|name| !name.is_empty() && **name != *stored) {
                if names.room().saturating_add(member.name_bytes(names.texts())) <= name.len() {
                    // Better the old name than none, or half of one.
                    names.refuse();
                    return heard;
                }
                heard.admission = Admission::Renamed;
                let mut fresh = Member::new(ip, now);
                fresh.set(DISCOVERS, member.has(DISCOVERS));
                let old = core::mem::replace(member, fresh);
                tables.release(&old);
                close(entries, names.remove(old.name));
                let place = names.add(&name);
                if let (Some(member), Some(place)) = (self.entry(ip), place) {
                    member.name = place;
                }
                heard.left = self.claim_name(now, ip, &name);
            }
        } else {
            let Some(name) = name.filter(|_| is_host(ip)) else {
                heard.admission = Admission::Stranger;
                return heard;
            };
            heard.admission = Admission::New;
            heard.left = self.claim_name(now, ip, &name);
            if heard.left.is_none() && (self.entries.is_full() || self.names.room() <= name.len()) {
                heard.left = self.make_room(now, &name);
            }
            if self.entries.is_full() || self.names.room() <= name.len() {
                self.refused = self.refused.saturating_add(1);
                heard.admission = Admission::Full;
                return heard;
            }
            let at = self.find(ip).unwrap_or_else(|at| at);
            let mut newcomer = Member::new(ip, now);
            newcomer.set(CONFLICT, self.names_claimed(ip, &name));
            newcomer.name = if name.is_empty() { NOWHERE } else { self.names.add(&name).unwrap_or(NOWHERE) };
            // There is room.
            let _ = self.entries.insert(at, newcomer);
        }
        if let Some(member) = self.entry(ip) {
            member.set(DISCOVERS, member.has(DISCOVERS) || evidence.discovers);
            if let Some(kind) = evidence.kind {
                member.set(RUST, kind == Kind::Rust);
            }
        }
        heard
    }

    /// Whether another member than `ip` is flagged for `name`.
    fn names_claimed(&self, ip: Ipv4Addr, name: &str) -> bool {
        let names = self.names.texts();
        self.entries.iter().any(|m| m.has(CONFLICT) && m.ip() != ip && names.get(m.name) == name)
    }

    /// `ip` now answers to `name`: a silent member of that name has moved and goes, a living one is in conflict.
    #[inline(never)]
    fn claim_name(&mut self, now: Instant, ip: Ipv4Addr, name: &str) -> Option<Departed> {
        let mut moved = None;
        let mut conflict = false;
        if name.is_empty() {
            return None;
        }
        for (at, other) in self.entries.iter_mut().enumerate() {
            if other.ip() == ip || self.names.texts().get(other.name) != name {
                continue;
            }
            if self.thresholds.status(now.since(other.seen())) == Status::Active {
                other.set(CONFLICT, true);
                conflict = true;
            } else {
                moved = moved.or(Some(at));
            }
        }
        if let Some(member) = self.entry(ip) {
            member.set(CONFLICT, conflict);
        }
        moved.and_then(|at| self.take(at))
    }

    /// Lets the longest silent member go that makes room for a member called `name`, if one is not ACTIVE.
    #[inline(never)]
    fn make_room(&mut self, now: Instant, name: &str) -> Option<Departed> {
        let names = self.names.texts();
        let room = self.names.room();
        let enough = |member: &Member| room.saturating_add(member.name_bytes(names)) > name.len();
        let candidates = self.entries.iter().enumerate().filter(|(_, member)| enough(member));
        let (at, member) = candidates.min_by_key(|(_, member)| member.seen())?;
        if self.thresholds.status(now.since(member.seen())) == Status::Active {
            return None;
        }
        self.take(at)
    }

    /// Stores what a member told of itself. True if anything but the free heap changed; false for strangers.
    ///
    /// The message is evidence, too: call [`Members::heard`] first.
    #[inline(never)]
    pub fn details(&mut self, ip: Ipv4Addr, details: &Details) -> bool {
        let Ok(at) = self.find(ip) else { return false };
        let (Some(member), tables) = (self.entries.get_mut(at), &mut self.tables) else { return false };
        let mut changed = false;
        if details.spore.is_some() {
            changed |= member.kind() != Kind::Rust;
            member.set(RUST, true);
        }
        if let Some(free_heap) = details.free_heap {
            member.free_heap = free_heap;
        }
        changed |= update(&mut member.chip_id, details.chip_id);
        changed |= details.flash_bytes.is_some_and(|bytes| member.set_flash_bytes(bytes));
        changed |= update(&mut member.boot, details.boot);
        let cpu_mhz = details.cpu_mhz.map(|mhz| u8::try_from(mhz).unwrap_or(u8::MAX));
        changed |= update(&mut member.cpu_mhz, cpu_mhz);
        changed |= share(&mut tables.sdks, &mut member.sdk, details.sdk_version.as_deref());
        changed |= share(&mut tables.versions, &mut member.version, details.version.as_deref());
        changed |= share(&mut tables.boards, &mut member.board, details.board.as_deref());
        let labels = details.labels.as_ref().map(labels::encode);
        changed |= share(&mut tables.labels, &mut member.labels, labels.as_deref());
        if let Some(hash) = details.catalogue {
            let (index, other) = tables.catalogues.replace(member.catalogue, hash);
            member.catalogue = index;
            changed |= other;
        }
        changed
    }

    /// Stores a measured round trip; above 65,534 ms it reads that.
    pub fn latency(&mut self, ip: Ipv4Addr, rtt: Duration) {
        if let Some(member) = self.entry(ip) {
            member.set_latency(rtt.as_millis());
        }
    }

    /// Lets time pass: to be called about once a second. Reports each change once, and at most `limit` of them (more than 0; above 8 it counts as 8):
    /// true says that there may be more, and that it is to be called again at once.
    pub fn tick(&mut self, now: Instant, limit: usize, mut report: impl FnMut(Change<'_>)) -> bool {
        let Self { entries, names, tables, thresholds, .. } = self;
        let mut room = limit.min(CHANGES);
        let mut forgotten = Vec::<u16, CHANGES>::new();
        entries.retain_mut(|member| {
            let age = now.since(member.seen());
            let from = member.status();
            let status = thresholds.status(age);
            let over = status == Status::Dead && age >= thresholds.forget_after;
            if room == 0 || (status == from && !over) {
                return true;
            }
            room = room.saturating_sub(1);
            member.set_status(status);
            let node = member.node(names.texts());
            if over {
                report(Change::Left(node));
                tables.release(member);
                // There is room for as many as there are changes.
                let _ = forgotten.push(member.name);
            } else {
                report(Change::Status { node, from });
            }
            !over
        });
        // From the last to the first, so that the places of the others stay what they are.
        while let Some((at, _)) = forgotten.iter().enumerate().max_by_key(|(_, place)| **place) {
            let place = forgotten.swap_remove(at);
            close(entries, names.remove(place));
        }
        if room == 0 {
            return true;
        }
        for member in entries {
            if member.grace_ends() {
                member.set(WANTED, member.kind() == Kind::Text);
            }
        }
        self.settle_conflict(&mut report);
        false
    }

    /// Looks after one conflict of names per tick, so that a table full of them stays linear.
    #[inline(never)]
    fn settle_conflict(&mut self, report: &mut impl FnMut(Change<'_>)) {
        let after = |cursor: u32| self.entries.iter().position(|m| m.ip > cursor && m.has(CONFLICT));
        let Some(at) =
            after(self.conflict_cursor).or_else(|| self.entries.iter().position(|m| m.has(CONFLICT)))
        else {
            return;
        };
        let Some(member) = self.entries.get(at).copied() else { return };
        self.conflict_cursor = member.ip;
        let names = self.names.texts();
        let name = names.get(member.name);
        let rivals = || self.entries.iter().filter(|m| m.ip != member.ip && names.get(m.name) == name);
        if rivals().next().is_none() {
            if let Some(member) = self.entries.get_mut(at) {
                member.set(CONFLICT, false);
            }
        } else if member.status() != Status::Active
            && rivals().any(|m| m.status() == Status::Active)
            && let Some(left) = self.take(at)
        {
            report(Change::Left(left.node()));
        }
    }

    /// Removes a member that said goodbye.
    pub fn forget(&mut self, ip: Ipv4Addr) -> Option<Departed> {
        let at = self.find(ip).ok()?;
        self.take(at)
    }

    /// Whose details to fetch over HTTP next, if anyone's: each text member that is not DEAD once per `interval`, in
    /// the order of addresses; newcomers at once, after three ticks in which a Rust node would have told by itself.
    pub fn next_details_wanted(&mut self, now: Instant, interval: Duration) -> Option<Ipv4Addr> {
        let due = |m: &&mut Member| m.kind() == Kind::Text && m.status() != Status::Dead && !m.in_grace();
        let cursor = self.details_cursor;
        let mut ahead = None;
        let mut first = None;
        for member in self.entries.iter_mut().filter(due) {
            if member.has(WANTED) {
                member.set(WANTED, false);
                return Some(member.ip());
            }
            first = first.or(Some(member.ip));
            if cursor.is_some_and(|cursor| member.ip > cursor) {
                ahead = ahead.or(Some(member.ip));
            }
        }
        let next = ahead.or_else(|| {
            let over = self.details_round.is_none_or(|began| now.since(began) >= interval);
            let first = first.filter(|_| over)?;
            self.details_round = Some(now);
            Some(first)
        })?;
        self.details_cursor = Some(next);
        Some(Ipv4Addr::from_bits(next))
    }

    fn show<'a>(&'a self, member: &'a Member) -> MemberRef<'a> {
        MemberRef { member, names: self.names.texts(), tables: &self.tables }
    }

    /// The member at `ip`.
    pub fn get(&self, ip: Ipv4Addr) -> Option<MemberRef<'_>> {
        let at = self.find(ip).ok()?;
        self.entries.get(at).map(|member| self.show(member))
    }

    /// The first member behind `ip` in the order of addresses, or the very first: to walk through a table that may change
    /// between two steps.
    pub fn after(&self, ip: Option<Ipv4Addr>) -> Option<MemberRef<'_>> {
        let at = ip.map_or(0, |ip| self.entries.partition_point(|member| member.ip <= ip.to_bits()));
        self.entries.get(at).map(|member| self.show(member))
    }

    /// All members in the order of their addresses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = MemberRef<'_>> + Clone {
        self.entries.iter().map(|member| self.show(member))
    }

    /// Every catalogue hash a member told, each once.
    pub fn catalogue_hashes(&self) -> impl Iterator<Item = u32> {
        self.tables.catalogues.iter()
    }

    /// How many members there are, DEAD ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Members by status.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for member in &self.entries {
            let count = match member.status() {
                Status::Active => &mut counts.active,
                Status::Inactive => &mut counts.inactive,
                Status::Dead => &mut counts.dead,
            };
            *count = count.saturating_add(1);
        }
        counts
    }

    /// Newcomers refused because every place was taken by an ACTIVE member, since boot.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Texts and hashes that found no room and read as unknown, since boot.
    pub fn unknown(&self) -> u32 {
        let names = &self.names;
        let Tables { sdks, versions, boards, labels, catalogues } = &self.tables;
        let texts = [names.refused(), sdks.refused(), versions.refused(), boards.refused(), labels.refused()];
        let refused = texts.into_iter().chain([catalogues.refused()]);
        refused.fold(0, u32::saturating_add)
    }
}

/// Moves the places of names up after one was taken out.
fn close(entries: &mut [Member], gap: Gap) {
    entries.iter_mut().for_each(|member| member.name = gap.moved(member.name));
}

/// Whether `ip` can be a node's address at all.
fn is_host(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast())
}

fn update<T: PartialEq>(field: &mut T, told: Option<T>) -> bool {
    match told {
        Some(told) if told != *field => {
            *field = told;
            true
        }
        _ => false,
    }
}

fn share<const N: usize, const LEN: usize>(
    table: &mut Strings<N, LEN>,
    index: &mut u8,
    told: Option<&str>,
) -> bool {
    let Some(text) = told else { return false };
    let (new, changed) = table.replace(*index, text);
    *index = new;
    changed
}
