//! One member, packed to 32 bytes, and the view of it that others see.

use super::Tables;
use super::names::{NOWHERE, Texts};
use crate::intern::NONE;
use crate::labels;
use crate::time::{Duration, Instant};
use core::net::Ipv4Addr;

/// How alive a member is, by the age of the last evidence of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// Evidence younger than `inactiveAfterMs`.
    Active = 0,
    /// Older than that, younger than `deadAfterMs`.
    Inactive = 1,
    /// Older than both.
    Dead = 2,
}

impl Status {
    /// The word of the seed, used in JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::Dead => "DEAD",
        }
    }
}

/// What a member speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only the texts of C++ SPORE, as far as we know; its details come over HTTP.
    Text,
    /// This SPORE; it broadcasts its details itself.
    Rust,
}

impl Kind {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Rust => "rust",
        }
    }
}

/// What identifies a member in events and changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRef<'a> {
    /// Address.
    pub ip: Ipv4Addr,
    /// Name as last heard.
    pub hostname: &'a str,
    /// Status after the change.
    pub status: Status,
}

/// Latency that was never measured.
const UNMEASURED: u16 = u16::MAX;

const STATUS: u8 = 0b0000_0011;
pub(super) const RUST: u8 = 0b0000_0100;
pub(super) const CONFLICT: u8 = 0b0000_1000;
pub(super) const DISCOVERS: u8 = 0b0001_0000;
pub(super) const WANTED: u8 = 0b0010_0000;
const GRACE: u8 = 0b1100_0000;

/// The packed form. Field order keeps it without padding on 32-bit and 64-bit machines alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub ip: u32,
    seen_low: u32,
    pub free_heap: u32,
    pub chip_id: u32,
    /// Place of its name.
    pub name: u16,
    latency: u16,
    pub boot: u16,
    /// Bits 32 to 39 of the last evidence: 34 years of uptime.
    seen_high: u8,
    flags: u8,
    pub sdk: u8,
    pub version: u8,
    pub board: u8,
    pub labels: u8,
    pub catalogue: u8,
    pub cpu_mhz: u8,
    /// Size of the flash chip as a power of two; 0 if it is not known.
    flash: u8,
}

const _: () =
    assert!(size_of::<Member>() <= 32, "a member costs 32 bytes and its name, on 32-bit machines, too");

impl Member {
    pub fn new(ip: Ipv4Addr, now: Instant) -> Self {
        let mut member = Self {
            ip: ip.to_bits(),
            seen_low: 0,
            free_heap: 0,
            chip_id: 0,
            name: NOWHERE,
            latency: UNMEASURED,
            boot: 0,
            seen_high: 0,
            flags: GRACE,
            sdk: NONE,
            version: NONE,
            board: NONE,
            labels: NONE,
            catalogue: NONE,
            cpu_mhz: 0,
            flash: 0,
        };
        member.set_seen(now);
        member
    }

    pub fn ip(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.ip)
    }

    pub fn seen(&self) -> Instant {
        Instant::from_millis(u64::from(self.seen_high) << 32 | u64::from(self.seen_low))
    }

    pub fn set_seen(&mut self, now: Instant) {
        let [a, b, c, d, e, ..] = now.as_millis().to_le_bytes();
        self.seen_low = u32::from_le_bytes([a, b, c, d]);
        self.seen_high = e;
    }

    pub fn flash_bytes(&self) -> u32 {
        1u32.checked_shl(self.flash.into()).filter(|_| self.flash != 0).unwrap_or(0)
    }

    /// Keeps a flash chip's size, of one that is no power of two (there is none) the power below. Says whether it is another.
    pub fn set_flash_bytes(&mut self, bytes: u32) -> bool {
        let power = bytes.checked_ilog2().and_then(|power| u8::try_from(power).ok()).unwrap_or(0);
        core::mem::replace(&mut self.flash, power) != power
    }

    /// Bytes that its name takes.
    pub fn name_bytes(&self, names: Texts<'_>) -> usize {
        if self.name == NOWHERE { 0 } else { names.get(self.name).len().saturating_add(1) }
    }

    pub fn node<'a>(&self, names: Texts<'a>) -> NodeRef<'a> {
        NodeRef { ip: self.ip(), hostname: names.get(self.name), status: self.status() }
    }

    pub fn status(&self) -> Status {
        match self.flags & STATUS {
            0 => Status::Active,
            1 => Status::Inactive,
            _ => Status::Dead,
        }
    }

    pub fn set_status(&mut self, status: Status) {
        self.flags = self.flags & !STATUS | status as u8;
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub fn set(&mut self, flag: u8, on: bool) {
        self.flags = if on { self.flags | flag } else { self.flags & !flag };
    }

    pub fn kind(&self) -> Kind {
        if self.has(RUST) { Kind::Rust } else { Kind::Text }
    }

    pub fn in_grace(&self) -> bool {
        self.has(GRACE)
    }

    /// Counts one tick of grace; true when it just ended.
    pub fn grace_ends(&mut self) -> bool {
        let left = self.flags & GRACE;
        // The counter is the top two bits, so one less is 0b0100_0000 less.
        self.flags = self.flags & !GRACE | left.saturating_sub(0b0100_0000) & GRACE;
        left != 0 && !self.in_grace()
    }

    pub fn set_latency(&mut self, ms: u64) {
        self.latency = u16::try_from(ms).unwrap_or(UNMEASURED - 1).min(UNMEASURED - 1);
    }
}

/// What is known of one member. Numbers that are not known are 0, texts empty.
#[derive(Debug, Clone, Copy)]
pub struct MemberRef<'a> {
    pub(super) member: &'a Member,
    pub(super) names: Texts<'a>,
    pub(super) tables: &'a Tables,
}

impl<'a> MemberRef<'a> {
    /// Address.
    pub fn ip(&self) -> Ipv4Addr {
        self.member.ip()
    }

    /// Name as last heard.
    pub fn hostname(&self) -> &'a str {
        self.names.get(self.member.name)
    }

    /// Address, name and status together, as events carry them.
    pub fn node(&self) -> NodeRef<'a> {
        self.member.node(self.names)
    }

    /// When there was last evidence of it, in this node's time.
    pub fn seen(&self) -> Instant {
        self.member.seen()
    }

    /// How long ago that was.
    pub fn age(&self, now: Instant) -> Duration {
        now.since(self.seen())
    }

    /// Status as of the last evidence or tick.
    pub fn status(&self) -> Status {
        self.member.status()
    }

    /// What it speaks.
    pub fn kind(&self) -> Kind {
        self.member.kind()
    }

    /// Round trip in milliseconds, if it was measured.
    pub fn latency(&self) -> Option<u16> {
        Some(self.member.latency).filter(|ms| *ms != UNMEASURED)
    }

    /// Free heap in bytes.
    pub fn free_heap(&self) -> u32 {
        self.member.free_heap
    }

    /// Identity of its chip.
    pub fn chip_id(&self) -> u32 {
        self.member.chip_id
    }

    /// Size of its flash chip in bytes.
    pub fn flash_bytes(&self) -> u32 {
        self.member.flash_bytes()
    }

    /// CPU clock in MHz.
    pub fn cpu_mhz(&self) -> u8 {
        self.member.cpu_mhz
    }

    /// Which of its starts this is.
    pub fn boot(&self) -> u16 {
        self.member.boot
    }

    /// Version of its SDK.
    pub fn sdk(&self) -> &'a str {
        self.tables.sdks.get(self.member.sdk)
    }

    /// Version of its firmware.
    pub fn version(&self) -> &'a str {
        self.tables.versions.get(self.member.version)
    }

    /// Name of its board.
    pub fn board(&self) -> &'a str {
        self.tables.boards.get(self.member.board)
    }

    /// Its labels in the order of their keys.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        labels::iter(self.tables.labels.get(self.member.labels))
    }

    /// The value of one of its labels.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Hash of its catalogue, if it told one.
    pub fn catalogue(&self) -> Option<u32> {
        Some(self.tables.catalogues.get(self.member.catalogue)).filter(|hash| *hash != 0)
    }

    /// Whether it was ever heard to send `CLUSTER_DISCOVERY`.
    pub fn discovers(&self) -> bool {
        self.member.has(DISCOVERS)
    }

    /// Whether another living member claims the same hostname.
    pub fn in_conflict(&self) -> bool {
        self.member.has(CONFLICT)
    }
}
