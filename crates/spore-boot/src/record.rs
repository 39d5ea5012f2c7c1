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

mod entry;
mod log;

pub use entry::Entry;
pub(crate) use log::{append, newest};
pub use log::{read, write};

use core::fmt;
use embedded_storage::nor_flash::NorFlashErrorKind;
use spore_image::{SECTOR, Slot, Version};
use spore_sentence::say;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 64;
/// Entries of a sector.
pub const ENTRIES: u32 = SECTOR / ENTRY_BYTES as u32;
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
            Self::Crashed(count) => say!(f, "crashed or hung ", count, " times"),
            Self::DeadlinePassed => say!(f, "trial deadline passed"),
            Self::Unconfirmed(count) => say!(f, "started ", count, " times without being confirmed"),
            Self::ImageDamaged => f.write_str("image damaged"),
            Self::Requested => f.write_str("requested"),
            Self::NothingToRevertTo => say!(f, "failed its trial, but the other slot holds no image"),
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
            Self::Flash(_) => say!(f, "the flash chip reports an error at the boot record"),
            Self::Worn => say!(f, "the boot record cannot be written any more; replace the flash chip"),
        }
    }
}

impl core::error::Error for RecordError {}

impl From<NorFlashErrorKind> for RecordError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Flash(kind)
    }
}

#[cfg(all(test, feature = "testkit"))]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failing test may panic"
)]
mod tests {
    use super::log::offset;
    use super::*;
    use crate::testkit::{StrictFlash, small_map};
    use proptest::prelude::*;
    use spore_image::crc32;

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
