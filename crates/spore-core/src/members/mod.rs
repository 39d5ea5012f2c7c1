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

pub use member::{Kind, MemberRef, NodeRef, Status};

use crate::intern::{Hashes, Strings};
use crate::time::{Duration, Instant};
use crate::{labels, limits};
use core::net::Ipv4Addr;
use heapless::Vec;
use member::{CONFLICT, DISCOVERS, LongNames, Member, RUST, WANTED, storable};
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

/// What many members have in common.
#[derive(Debug)]
struct Tables {
    names: LongNames,
    sdks: Strings<{ limits::SDKS }, { limits::SDK }>,
    versions: Strings<{ limits::VERSIONS }, { limits::VERSION }>,
    boards: Strings<{ limits::BOARDS }, { limits::BOARD }>,
    labels: Strings<{ limits::LABEL_SETS }, { limits::LABEL_SET }>,
    catalogues: Hashes<{ limits::CATALOGUE_HASHES }>,
}

impl Tables {
    fn release(&mut self, member: &Member) {
        member.release_hostname(&mut self.names);
        self.sdks.release(member.sdk);
        self.versions.release(member.version);
        self.boards.release(member.board);
        self.labels.release(member.labels);
        self.catalogues.release(member.catalogue);
    }
}

/// The table of at most `N` other nodes. The own node is not in it; the caller keeps its own address out.
#[derive(Debug)]
pub struct Members<const N: usize> {
    entries: Vec<Member, N>,
    tables: Tables,
    thresholds: Thresholds,
    refused: u32,
    /// Address whose details were asked for last.
    details_cursor: Option<u32>,
    details_round: Option<Instant>,
    conflict_cursor: u32,
}

impl<const N: usize> Members<N> {
    /// An empty table.
    pub const fn new(thresholds: Thresholds) -> Self {
        Self {
            entries: Vec::new(),
            tables: Tables {
                names: Strings::new(),
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
        let NodeRef { ip, hostname, status } = member.node(&self.tables.names);
        let departed = Departed { ip, hostname: Hostname::foreign(hostname), status };
        self.tables.release(&member);
        Some(departed)
    }

    /// Takes in a sign of life from `ip`, heard at `now`.
    #[inline(never)]
    pub fn heard(&mut self, now: Instant, ip: Ipv4Addr, evidence: Evidence<'_>) -> Heard {
        let name = evidence.hostname.map(Hostname::foreign);
        let mut heard = Heard { admission: Admission::Known, revived: None, left: None };
        let Self { entries, tables, .. } = self;
        let known = entries.binary_search_by_key(&ip.to_bits(), |member| member.ip).ok();
        if let Some(member) = known.and_then(|at| entries.get_mut(at)) {
            let before = member.status();
            heard.revived = (before != Status::Active).then_some(before);
            member.set_status(Status::Active);
            member.set_seen(now);
            let stored = member.hostname(&tables.names);
            let other = name.as_deref().filter(|name| !name.is_empty() && *name != stored);
            if let Some(name) = other.filter(|name| storable(&tables.names, name) != stored) {
                heard.admission = Admission::Renamed;
                let mut fresh = Member::new(ip, now);
                fresh.set(DISCOVERS, member.has(DISCOVERS));
                let old = core::mem::replace(member, fresh);
                // The old name's room may be the new one's.
                tables.release(&old);
                let name = storable(&tables.names, name);
                member.set_hostname(&mut tables.names, name);
                heard.left = self.claim_name(now, ip, name);
            }
        } else {
            let Some(name) = name.filter(|_| is_host(ip)) else {
                heard.admission = Admission::Stranger;
                return heard;
            };
            heard.admission = Admission::New;
            let name = storable(&tables.names, &name);
            heard.left = self.claim_name(now, ip, name);
            if heard.left.is_none() && self.entries.is_full() {
                heard.left = self.make_room(now);
            }
            let at = self.find(ip).unwrap_or_else(|at| at);
            let mut newcomer = Member::new(ip, now);
            newcomer.set(CONFLICT, self.names_claimed(ip, name));
            newcomer.set_hostname(&mut self.tables.names, name);
            if self.entries.insert(at, newcomer).is_err() {
                self.tables.release(&newcomer);
                self.refused = self.refused.saturating_add(1);
                heard.admission = Admission::Full;
                return heard;
            }
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
        let names = &self.tables.names;
        self.entries
            .iter()
            .any(|other| other.has(CONFLICT) && other.ip() != ip && other.hostname(names) == name)
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
            if other.ip() == ip || other.hostname(&self.tables.names) != name {
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

    /// Lets the longest silent member go, if one is not ACTIVE.
    #[inline(never)]
    fn make_room(&mut self, now: Instant) -> Option<Departed> {
        let oldest = self.entries.iter().enumerate().min_by_key(|(_, member)| member.seen());
        let (at, member) = oldest?;
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
        changed |= update(&mut member.flash_units, details.flash_bytes.map(Member::flash_units));
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

    /// Lets time pass: to be called about once a second. Reports each change once, and at most `limit` (more than 0) of them:
    /// true says that there may be more, and that it is to be called again at once.
    pub fn tick(&mut self, now: Instant, limit: usize, mut report: impl FnMut(Change<'_>)) -> bool {
        let Self { entries, tables, thresholds, .. } = self;
        let mut room = limit;
        entries.retain_mut(|member| {
            let age = now.since(member.seen());
            let from = member.status();
            let status = thresholds.status(age);
            let forgotten = status == Status::Dead && age >= thresholds.forget_after;
            if room == 0 || (status == from && !forgotten) {
                return true;
            }
            room = room.saturating_sub(1);
            member.set_status(status);
            if forgotten {
                report(Change::Left(member.node(&tables.names)));
                tables.release(member);
            } else {
                report(Change::Status { node: member.node(&tables.names), from });
            }
            !forgotten
        });
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
        let names = &self.tables.names;
        let name = member.hostname(names);
        let rivals = || self.entries.iter().filter(|m| m.ip != member.ip && m.hostname(names) == name);
        if rivals().next().is_none() {
            if let Some(member) = self.entries.get_mut(at) {
                member.set(CONFLICT, false);
            }
        } else if member.status() != Status::Active && rivals().any(|m| m.status() == Status::Active) {
            if let Some(left) = self.take(at) {
                report(Change::Left(left.node()));
            }
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

    /// The member at `ip`.
    pub fn get(&self, ip: Ipv4Addr) -> Option<MemberRef<'_>> {
        let at = self.find(ip).ok()?;
        self.entries.get(at).map(|member| MemberRef { member, tables: &self.tables })
    }

    /// The first member behind `ip` in the order of addresses, or the very first: to walk through a table that may change
    /// between two steps.
    pub fn after(&self, ip: Option<Ipv4Addr>) -> Option<MemberRef<'_>> {
        let at = ip.map_or(0, |ip| self.entries.partition_point(|member| member.ip <= ip.to_bits()));
        self.entries.get(at).map(|member| MemberRef { member, tables: &self.tables })
    }

    /// All members in the order of their addresses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = MemberRef<'_>> + Clone {
        self.entries.iter().map(|member| MemberRef { member, tables: &self.tables })
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
        let Tables { names, sdks, versions, boards, labels, catalogues } = &self.tables;
        let texts = [names.refused(), sdks.refused(), versions.refused(), boards.refused(), labels.refused()];
        let refused = texts.into_iter().chain([catalogues.refused()]);
        refused.fold(0, u32::saturating_add)
    }
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
