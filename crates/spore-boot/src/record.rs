//! The boot record: which slot runs, whether on trial, how often the node has started, how the last update ended.
//!
//! Two sectors, each a log of 64 entries of 64 bytes. Every entry is complete in itself; the valid one with the highest
//! sequence number counts. A new one goes behind the last one that is not blank. When a sector is full, the other is
//! erased and begun; the full one still holds the newest entry until the first of the new sector is whole. So there is
//! a valid entry at every moment, and no word is programmed twice.
//!
//! One entry, little endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | sequence number, from 1 |
//! | 4 | 4 | starts since the flash was new |
//! | 8 | 1 | entry format, 1 |
//! | 9 | 1 | active slot: 0 = a, 1 = b |
//! | 10 | 1 | state: 0 confirmed, 1 trial |
//! | 11 | 1 | trial: starts so far |
//! | 12 | 1 | trial: starts that ended in a crash |
//! | 13 | 1 | last update: 0 none, 1 pending, 2 confirmed, 3 reverted |
//! | 14 | 1 | reason code (see [`Reason`]) |
//! | 15 | 1 | count that belongs to the reason |
//! | 16 | 24 | version of the last update, zero-padded text; zero: not known |
//! | 40 | 20 | reserved: written as zero, not looked at |
//! | 60 | 4 | CRC-32 (ISO-HDLC) of bytes 0 to 59 |
//!
//! Wear: one entry a start and about three an update, so a sector is erased once in 128 starts; 100,000 erasures last
//! for 12 million starts.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::{erase, program, read as read_flash};
use core::fmt;
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind, ReadNorFlash};
use spore_image::header::VERSION_AT;
use spore_image::version::VERSION_BYTES;
use spore_image::{FlashMap, SECTOR, Slot, Version, crc32};

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 64;
/// Entries of a sector.
pub const ENTRIES: u32 = SECTOR / ENTRY_BYTES as u32;
const FORMAT: u8 = 1;
const COVERED: usize = 60;
/// How many reason codes there are.
const REASONS: u8 = 7;

/// How the active image stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has proved itself.
    Confirmed,
    /// It is new, and the other slot is gone back to if it fails.
    Trial {
        /// How often it was started.
        starts: u8,
        /// How many of these starts ended in an exception or at the watchdog.
        crashes: u8,
    },
}

/// How an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has not ended: the image is on trial.
    Pending,
    /// The new image stays.
    Confirmed,
    /// The node went back to the other image.
    Reverted,
}

impl Outcome {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Reverted => "reverted",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why an update ended as it did. [`Display`](fmt::Display) gives the sentence of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing to tell (code 0).
    None,
    /// The image crashed, or was ended by the watchdog, so many times on trial (code 1).
    Crashed(u8),
    /// The image was not confirmed in time (code 2).
    DeadlinePassed,
    /// The image was started so many times without being confirmed: power failed, or it restarts itself (code 3).
    Unconfirmed(u8),
    /// The image in flash no longer has its checksum (code 4).
    ImageDamaged,
    /// Somebody asked for the other image (code 5).
    Requested,
    /// It failed its trial, but there is nothing to go back to (code 6).
    NothingToRevertTo,
}

impl Reason {
    const fn code(self) -> (u8, u8) {
        match self {
            Self::None => (0, 0),
            Self::Crashed(count) => (1, count),
            Self::DeadlinePassed => (2, 0),
            Self::Unconfirmed(count) => (3, count),
            Self::ImageDamaged => (4, 0),
            Self::Requested => (5, 0),
            Self::NothingToRevertTo => (6, 0),
        }
    }

    const fn from_code(code: u8, count: u8) -> Self {
        match code {
            1 => Self::Crashed(count),
            2 => Self::DeadlinePassed,
            3 => Self::Unconfirmed(count),
            4 => Self::ImageDamaged,
            5 => Self::Requested,
            6 => Self::NothingToRevertTo,
            _ => Self::None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Crashed(count) => write!(f, "crashed or hung {count} times"),
            Self::DeadlinePassed => f.write_str("trial deadline passed"),
            Self::Unconfirmed(count) => write!(f, "started {count} times without being confirmed"),
            Self::ImageDamaged => f.write_str("image damaged"),
            Self::Requested => f.write_str("requested"),
            Self::NothingToRevertTo => f.write_str("failed its trial, but the other slot holds no image"),
        }
    }
}

/// The last update and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUpdate {
    /// Version that was installed; `None` if its header can no longer be read.
    pub version: Option<Version>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
}

/// What the boot record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Starts since the flash was new.
    pub boot_count: u32,
    /// Slot to run.
    pub active: Slot,
    /// How its image stands.
    pub state: State,
    /// How the last update ended; `None` before the first.
    pub last_update: Option<LastUpdate>,
}

/// Why the record could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// The flash driver failed.
    Flash(NorFlashErrorKind),
    /// What was written does not read back, in either sector: the flash is worn out.
    Worn,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(_) => f.write_str("the flash chip reports an error at the boot record"),
            Self::Worn => f.write_str("the boot record cannot be written any more; replace the flash chip"),
        }
    }
}

impl core::error::Error for RecordError {}

impl From<NorFlashErrorKind> for RecordError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Flash(kind)
    }
}

/// An entry on a word boundary: the record as it lies in flash, which is all that the choice of a slot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(4))]
pub struct Entry([u8; ENTRY_BYTES]);

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
    fn is_blank(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0xFF)
    }

    fn emit(record: &Record) -> Self {
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

    fn sequence(&self) -> u32 {
        self.word(0)
    }

    /// Gives the entry its place in the log, and its checksum.
    fn seal(&mut self, sequence: u32) {
        self.set_word(0, sequence);
        self.set_word(COVERED, self.checksum());
    }

    /// Whether the entry is whole.
    fn is_valid(&self) -> bool {
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

/// Where a look through both sectors finds the newest valid entry.
#[derive(Clone, Copy)]
struct Place {
    /// Its sector, 0 or 1; [`NO_SECTOR`] if there is none.
    sector: u32,
    /// Index behind the last entry of that sector that is not blank.
    next: u32,
}

const NO_SECTOR: u32 = 2;

fn offset(map: &FlashMap, sector: u32, entry: u32) -> u32 {
    let bytes = entry.wrapping_mul(SECTOR / ENTRIES);
    map.record().offset.wrapping_add(sector.wrapping_mul(SECTOR)).wrapping_add(bytes)
}

/// Looks for the newest valid entry; `newest` becomes it if there is one.
fn scan<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    newest: &mut Entry,
) -> Result<Place, NorFlashErrorKind> {
    let mut place = Place { sector: NO_SECTOR, next: 0 };
    let mut entry = Entry::first();
    for sector in 0..2 {
        let mut behind = 0;
        // From the end, because sequence numbers only grow within a sector: the first valid entry is its newest.
        for index in (0..ENTRIES).rev() {
            read_flash(flash, offset(map, sector, index), &mut entry.0)?;
            if entry.is_blank() {
                continue;
            }
            behind = behind.max(index.wrapping_add(1));
            if entry.is_valid() {
                if place.sector == NO_SECTOR || entry.sequence() > newest.sequence() {
                    *newest = entry;
                    place.sector = sector;
                }
                break;
            }
        }
        if place.sector == sector {
            place.next = behind;
        }
    }
    Ok(place)
}

/// Whether there is a valid entry; `entry` becomes the newest.
pub(crate) fn newest<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    entry: &mut Entry,
) -> Result<bool, RecordError> {
    Ok(scan(flash, map, entry)?.sector != NO_SECTOR)
}

/// The newest valid entry; `None` on a new chip, or when both sectors are damaged.
pub fn read<F: ReadNorFlash>(flash: &mut F, map: &FlashMap) -> Result<Option<Record>, RecordError> {
    let mut entry = Entry::first();
    Ok(newest(flash, map, &mut entry)?.then(|| entry.record()))
}

/// Makes `record` the newest entry. Until this returns, a reader finds either the entry before or this one.
///
/// Costs a look through both sectors, one program order of 64 bytes, and in one of 64 calls an erasure. An entry that
/// does not read back is tried once more in the other sector.
pub fn write<F: NorFlash>(flash: &mut F, map: &FlashMap, record: &Record) -> Result<(), RecordError> {
    append(flash, map, &mut Entry::emit(record))
}

/// [`write`] of an entry, which gets its sequence number and checksum.
pub(crate) fn append<F: NorFlash>(
    flash: &mut F,
    map: &FlashMap,
    entry: &mut Entry,
) -> Result<(), RecordError> {
    // Sequence number 0, in case there is none.
    let mut newest = Entry::first();
    let Place { sector, next } = scan(flash, map, &mut newest)?;
    let known = sector != NO_SECTOR;
    entry.seal(newest.sequence().wrapping_add(1));
    if known && next < ENTRIES && place(flash, offset(map, sector, next), entry)? {
        return Ok(());
    }
    // The sector that does not hold the newest; without one nothing is known about either, so try both.
    for fresh in 0..2 {
        if fresh == sector {
            continue;
        }
        erase(flash, offset(map, fresh, 0))?;
        if place(flash, offset(map, fresh, 0), entry)? {
            return Ok(());
        }
    }
    Err(RecordError::Worn)
}

/// Programs an entry and says whether it reads back.
fn place<F: NorFlash>(flash: &mut F, offset: u32, entry: &Entry) -> Result<bool, RecordError> {
    program(flash, offset, &entry.0)?;
    let mut back = Entry::first();
    read_flash(flash, offset, &mut back.0)?;
    Ok(back == *entry)
}

#[cfg(all(test, feature = "testkit"))]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failing test may panic"
)]
mod tests {
    use super::*;
    use crate::testkit::{StrictFlash, small_map};
    use proptest::prelude::*;

    fn record(boot_count: u32) -> Record {
        Record {
            boot_count,
            active: Slot::B,
            state: State::Trial { starts: 2, crashes: 1 },
            last_update: Some(LastUpdate {
                version: Some("1.3.0".parse().unwrap()),
                outcome: Outcome::Reverted,
                reason: Reason::Crashed(3),
            }),
        }
    }

    fn sealed(sequence: u32, record: &Record) -> Entry {
        let mut entry = Entry::emit(record);
        entry.seal(sequence);
        entry
    }

    #[test]
    fn what_no_version_of_this_writes_is_not_believed() {
        for (at, value) in [(8, 2), (9, 2), (10, 2), (13, 4), (14, 7)] {
            let mut entry = Entry::emit(&record(1));
            entry.0[at] = value;
            entry.seal(1);
            assert!(!entry.is_valid(), "{at}");
        }
    }

    #[test]
    fn bytes_are_where_the_table_says() {
        let entry = sealed(9, &record(7)).0;
        assert_eq!(&entry[..16], &[9, 0, 0, 0, 7, 0, 0, 0, 1, 1, 1, 2, 1, 3, 1, 3]);
        assert_eq!(&entry[16..22], b"1.3.0\0");
        assert_eq!(entry[60..], crc32(&entry[..60]).to_le_bytes());
        assert!(Entry(entry).is_valid());
        assert_eq!((Entry(entry).sequence(), Entry(entry).record()), (9, record(7)));
        assert!(!Entry([0xFF; ENTRY_BYTES]).is_valid());
        assert!(!Entry([0; ENTRY_BYTES]).is_valid());
    }

    #[test]
    fn the_newest_counts_and_wear_is_shared() {
        let map = small_map(4);
        let mut flash = StrictFlash::new(&map);
        assert_eq!(read(&mut flash, &map), Ok(None));
        for count in 1..=1280 {
            write(&mut flash, &map, &record(count)).unwrap();
            assert_eq!(read(&mut flash, &map), Ok(Some(record(count))));
        }
        let first = map.record().offset;
        assert_eq!((flash.wear(first), flash.wear(first + SECTOR)), (10, 10), "1280 entries, 64 a sector");
    }

    #[test]
    fn damage_to_the_newest_leaves_the_one_before() {
        let map = small_map(4);
        let mut flash = StrictFlash::new(&map);
        for count in 1..=70 {
            write(&mut flash, &map, &record(count)).unwrap();
        }
        // Entry 70 is the sixth of the second sector.
        let newest = offset(&map, 1, 5);
        flash.corrupt(newest + 20, 0x10);
        assert_eq!(read(&mut flash, &map), Ok(Some(record(69))));
        write(&mut flash, &map, &record(71)).unwrap();
        assert_eq!(read(&mut flash, &map), Ok(Some(record(71))));
    }

    #[test]
    fn a_word_that_no_longer_takes_a_value_is_left_behind() {
        let map = small_map(4);
        let mut flash = StrictFlash::new(&map);
        write(&mut flash, &map, &record(1)).unwrap();
        flash.stuck(offset(&map, 0, 1) + 8);
        write(&mut flash, &map, &record(2)).unwrap();
        assert_eq!(read(&mut flash, &map), Ok(Some(record(2))));
        assert_eq!(flash.wear(offset(&map, 1, 0)), 1, "went to the other sector");
        flash.stuck(offset(&map, 1, 1) + 8);
        flash.stuck(offset(&map, 0, 0) + 8);
        assert_eq!(write(&mut flash, &map, &record(3)), Err(RecordError::Worn));
        assert_eq!(read(&mut flash, &map), Ok(Some(record(2))));
    }

    #[test]
    fn a_new_chip_with_a_worn_first_sector() {
        let map = small_map(4);
        let mut flash = StrictFlash::new(&map);
        flash.stuck(offset(&map, 0, 0) + 8);
        write(&mut flash, &map, &record(1)).unwrap();
        assert_eq!(read(&mut flash, &map), Ok(Some(record(1))));
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed(
            sequence: u32, boot_count: u32, b: bool, trial: Option<(u8, u8)>,
            last in proptest::option::of((any::<Option<u8>>(), 0usize..3, 0u8..7, any::<u8>())),
        ) {
            let record = Record {
                boot_count,
                active: if b { Slot::B } else { Slot::A },
                state: trial.map_or(State::Confirmed, |(starts, crashes)| State::Trial { starts, crashes }),
                last_update: last.map(|(major, outcome, code, count)| LastUpdate {
                    version: major.map(|major| format!("{major}.0.0-rc.1").parse().unwrap()),
                    outcome: [Outcome::Pending, Outcome::Confirmed, Outcome::Reverted][outcome],
                    reason: Reason::from_code(code, count),
                }),
            };
            let entry = sealed(sequence, &record);
            prop_assert!(entry.is_valid());
            prop_assert_eq!((entry.sequence(), entry.record()), (sequence, record));
        }

        #[test]
        fn a_damaged_entry_is_not_believed(at in 0usize..64, flip in 1u8..) {
            let mut entry = sealed(3, &record(3));
            entry.0[at] ^= flip;
            prop_assert!(!entry.is_valid());
        }
    }
}
