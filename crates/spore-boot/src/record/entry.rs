//! One entry of the record as it lies in flash: fields at their offsets, sequence number, checksum. The table is in
//! [`super`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::{ENTRY_BYTES, LastUpdate, Outcome, REASONS, Reason, Record, State};
use crate::read as read_flash;
use embedded_storage::nor_flash::ReadNorFlash;
use spore_image::header::VERSION_AT;
use spore_image::version::VERSION_BYTES;
use spore_image::{FlashMap, Slot, Version, crc32};

const FORMAT: u8 = 1;
const COVERED: usize = 60;

/// An entry on a word boundary: the record as it lies in flash, which is all that the choice of a slot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(4))]
pub struct Entry(pub(super) [u8; ENTRY_BYTES]);

/// Offsets of the fields.
mod at {
    pub const BOOT_COUNT: usize = 4;
    pub const FORMAT: usize = 8;
    pub const ACTIVE: usize = 9;
    pub const TRIAL: usize = 10;
    pub const STARTS: usize = 11;
    pub const CRASHES: usize = 12;
    pub const OUTCOME: usize = 13;
    pub const REASON: usize = 14;
    pub const COUNT: usize = 15;
    pub const VERSION: usize = 16;
}

impl Entry {
    /// The first of a new chip: never started, slot A, confirmed, without an update.
    pub fn first() -> Self {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[at::FORMAT] = FORMAT;
        Self(bytes)
    }

    /// Whether nothing was programmed there.
    pub(super) fn is_blank(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0xFF)
    }

    pub(super) fn emit(record: &Record) -> Self {
        let mut entry = Self::first();
        entry.set_active(record.active);
        entry.set_word(at::BOOT_COUNT, record.boot_count);
        entry.set_trial(match record.state {
            State::Confirmed => None,
            State::Trial { starts, crashes } => Some((starts, crashes)),
        });
        if let Some(LastUpdate { version, outcome, reason }) = &record.last_update {
            entry.end_update(*outcome, *reason);
            let mut padded = [0; VERSION_BYTES];
            for (to, from) in padded.iter_mut().zip(version.iter().flat_map(|text| text.as_str().bytes())) {
                *to = from;
            }
            entry.set_version(&padded);
        }
        entry
    }

    /// What a valid entry says.
    pub(crate) fn record(&self) -> Record {
        let version = self.0.get(at::VERSION..).and_then(|rest| rest.first_chunk::<VERSION_BYTES>());
        let outcome = match self.0[at::OUTCOME] {
            1 => Some(Outcome::Pending),
            2 => Some(Outcome::Confirmed),
            3 => Some(Outcome::Reverted),
            _ => None,
        };
        Record {
            boot_count: self.boot_count(),
            active: self.active(),
            state: match self.trial() {
                None => State::Confirmed,
                Some((starts, crashes)) => State::Trial { starts, crashes },
            },
            last_update: outcome.map(|outcome| LastUpdate {
                version: version
                    .and_then(|version| core::str::from_utf8(version).ok())
                    .and_then(|text| Version::parse(text.trim_end_matches('\0')).ok()),
                outcome,
                reason: Reason::from_code(self.0[at::REASON], self.0[at::COUNT]),
            }),
        }
    }

    // Both are used often, and the bootloader has 8 KB.
    #[inline(never)]
    fn word(&self, offset: usize) -> u32 {
        let bytes = self.0.get(offset..).and_then(|rest| rest.first_chunk()).copied();
        u32::from_le_bytes(bytes.unwrap_or_default())
    }

    #[inline(never)]
    fn set_word(&mut self, offset: usize, value: u32) {
        if let Some(to) = self.0.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()) {
            *to = value.to_le_bytes();
        }
    }

    fn checksum(&self) -> u32 {
        crc32(self.0.first_chunk::<COVERED>().map_or(&[], |covered| covered))
    }

    pub(super) fn sequence(&self) -> u32 {
        self.word(0)
    }

    /// Gives the entry its place in the log, and its checksum.
    pub(super) fn seal(&mut self, sequence: u32) {
        self.set_word(0, sequence);
        self.set_word(COVERED, self.checksum());
    }

    /// Whether the entry is whole.
    pub(super) fn is_valid(&self) -> bool {
        self.word(COVERED) == self.checksum()
            && self.0[at::FORMAT] == FORMAT
            && self.0[at::ACTIVE] < 2
            && self.0[at::TRIAL] < 2
            && self.0[at::OUTCOME] < 4
            && self.0[at::REASON] < REASONS
    }

    /// Starts since the flash was new.
    pub fn boot_count(&self) -> u32 {
        self.word(at::BOOT_COUNT)
    }

    /// Counts a start.
    pub(crate) fn count_start(&mut self) {
        self.set_word(at::BOOT_COUNT, self.boot_count().wrapping_add(1));
    }

    /// The slot that runs.
    pub(crate) fn active(&self) -> Slot {
        if self.0[at::ACTIVE] == 0 { Slot::A } else { Slot::B }
    }

    pub(crate) fn set_active(&mut self, slot: Slot) {
        self.0[at::ACTIVE] = u8::from(slot == Slot::B);
    }

    /// Starts and crashes, if the active image is on trial.
    pub(crate) fn trial(&self) -> Option<(u8, u8)> {
        (self.0[at::TRIAL] != 0).then_some((self.0[at::STARTS], self.0[at::CRASHES]))
    }

    pub(crate) fn set_trial(&mut self, trial: Option<(u8, u8)>) {
        let (starts, crashes) = trial.unwrap_or_default();
        self.0[at::TRIAL] = u8::from(trial.is_some());
        self.0[at::STARTS] = starts;
        self.0[at::CRASHES] = crashes;
    }

    /// Whether there was an update.
    pub(crate) fn has_update(&self) -> bool {
        self.0[at::OUTCOME] != 0
    }

    /// How the last update ended.
    pub(crate) fn end_update(&mut self, outcome: Outcome, reason: Reason) {
        let (code, count) = reason.code();
        self.0[at::OUTCOME] = match outcome {
            Outcome::Pending => 1,
            Outcome::Confirmed => 2,
            Outcome::Reverted => 3,
        };
        self.0[at::REASON] = code;
        self.0[at::COUNT] = count;
    }

    /// Whether the version of the last update is known.
    pub(crate) fn has_version(&self) -> bool {
        self.0[at::VERSION] != 0
    }

    /// The version of the last update, padded with zeros; all zeros: not known.
    pub(crate) fn set_version(&mut self, version: &[u8; VERSION_BYTES]) {
        for (to, from) in self.0.iter_mut().skip(at::VERSION).zip(version) {
            *to = *from;
        }
    }

    /// Takes the version from the header in a slot. What cannot be read or is no version is one that is not known.
    pub(crate) fn read_version<F: ReadNorFlash>(&mut self, flash: &mut F, map: &FlashMap, slot: Slot) {
        let version = self.0.get_mut(at::VERSION..).and_then(|rest| rest.first_chunk_mut::<VERSION_BYTES>());
        if let Some(version) = version {
            let from = map.slot(slot).offset.wrapping_add(VERSION_AT as u32);
            // An error leaves what was there, which is not known either.
            read_flash(flash, from, version).unwrap_or_default();
        }
    }

    /// Makes the other slot the active one, and that the end of the last update.
    pub(crate) fn revert(&mut self, reason: Reason) {
        // The version of a trial is known; otherwise the last update may have been of the other slot.
        if self.trial().is_none() {
            self.set_version(&[0; VERSION_BYTES]);
        }
        self.set_active(self.active().other());
        self.set_trial(None);
        self.end_update(Outcome::Reverted, reason);
    }
}
