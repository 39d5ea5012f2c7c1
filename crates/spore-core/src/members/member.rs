//! One member, packed to 44 bytes, and the view of it that others see.

use super::Tables;
use crate::hostname::clip;
use crate::intern::{NONE, Strings};
use crate::labels;
use crate::limits;
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

/// Flash sizes are kept in units of this many bytes: the smallest sector of any chip.
const FLASH_UNIT: u32 = 4096;

/// The packed form. Field order keeps it without padding on 32-bit and 64-bit machines alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub ip: u32,
    seen_low: u32,
    pub free_heap: u32,
    pub chip_id: u32,
    /// Size of the flash chip in units of [`FLASH_UNIT`].
    pub flash_units: u16,
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
    /// Index of a name longer than [`limits::SHORT_NAME`], or [`NONE`].
    long_name: u8,
    /// A shorter name, padded with zero bytes.
    short_name: [u8; limits::SHORT_NAME],
}

const _: () = assert!(size_of::<Member>() <= 44, "a member costs 44 bytes, on 32-bit machines, too");

impl Member {
    pub fn new(ip: Ipv4Addr, now: Instant) -> Self {
        let mut member = Self {
            ip: ip.to_bits(),
            seen_low: 0,
            free_heap: 0,
            chip_id: 0,
            flash_units: 0,
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
            long_name: NONE,
            short_name: [0; limits::SHORT_NAME],
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

    /// Flash sizes as chips have them, which are multiples of 4 KiB below 256 MiB; of others the multiple below.
    pub fn flash_units(bytes: u32) -> u16 {
        u16::try_from(bytes / FLASH_UNIT).unwrap_or(u16::MAX)
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

/// Names longer than [`limits::SHORT_NAME`], each once.
pub(super) type LongNames = Strings<{ limits::LONG_NAMES }, { limits::HOSTNAME }>;

/// A member's name.
impl Member {
    pub fn hostname<'a>(&'a self, names: &'a LongNames) -> &'a str {
        if self.long_name != NONE {
            return names.get(self.long_name);
        }
        let end = self.short_name.iter().position(|byte| *byte == 0).unwrap_or(limits::SHORT_NAME);
        self.short_name.get(..end).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("")
    }

    /// Gives a member without a name one: as [`Hostname::foreign`](spore_wire::Hostname::foreign) leaves it, so without zero
    /// bytes, and as [`storable`] leaves it, so that there is room.
    pub fn set_hostname(&mut self, names: &mut LongNames, hostname: &str) {
        if hostname.len() > limits::SHORT_NAME {
            self.long_name = names.add(hostname);
        }
        if self.long_name == NONE {
            for (to, from) in self.short_name.iter_mut().zip(clip(hostname, limits::SHORT_NAME).bytes()) {
                *to = from;
            }
        }
    }

    pub fn release_hostname(&self, names: &mut LongNames) {
        names.release(self.long_name);
    }

    pub fn node<'a>(&'a self, names: &'a LongNames) -> NodeRef<'a> {
        NodeRef { ip: self.ip(), hostname: self.hostname(names), status: self.status() }
    }
}

/// As much of a name as there is room for: all of it unless too many other names are long.
pub(super) fn storable<'n>(names: &LongNames, hostname: &'n str) -> &'n str {
    if hostname.len() <= limits::SHORT_NAME || names.has_room(hostname) {
        hostname
    } else {
        clip(hostname, limits::SHORT_NAME)
    }
}

/// What is known of one member. Numbers that are not known are 0, texts empty.
#[derive(Debug, Clone, Copy)]
pub struct MemberRef<'a> {
    pub(super) member: &'a Member,
    pub(super) tables: &'a Tables,
}

impl<'a> MemberRef<'a> {
    /// Address.
    pub fn ip(&self) -> Ipv4Addr {
        self.member.ip()
    }

    /// Name as last heard.
    pub fn hostname(&self) -> &'a str {
        self.member.hostname(&self.tables.names)
    }

    /// Address, name and status together, as events carry them.
    pub fn node(&self) -> NodeRef<'a> {
        self.member.node(&self.tables.names)
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
        u32::from(self.member.flash_units).saturating_mul(FLASH_UNIT)
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
