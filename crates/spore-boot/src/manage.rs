//! What a running node asks and tells the boot record: confirm, revert, status.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::check::{SlotCheck, SlotFault, header};
use crate::record::{self, Entry, LastUpdate, Outcome, Reason, Record, RecordError, State};
use core::fmt;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use spore_image::{FlashMap, Header, Slot, Version};
use spore_sentence::say;

/// Ends the trial of the running image well; for a node whose [`crate::Boot::trial`] says it is on trial. Returns whether
/// there was one; without, or when the image on trial was not started yet, nothing is written.
pub fn confirm<F: NorFlash>(flash: &mut F, map: &FlashMap) -> Result<bool, RecordError> {
    let Some(mut record) = record::read(flash, map)? else { return Ok(false) };
    if let State::Confirmed | State::Trial { starts: 0, .. } = record.state {
        return Ok(false);
    }
    record.state = State::Confirmed;
    if let Some(last) = &mut record.last_update {
        last.outcome = Outcome::Confirmed;
        last.reason = Reason::None;
    }
    record::write(flash, map, &record)?;
    Ok(true)
}

/// Why the node cannot go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevertError {
    /// The other slot holds nothing that could be started.
    NothingThere(SlotFault),
    /// There is no boot record, so that nobody knows which slot is the other.
    NoRecord,
    /// The boot record could not be read or written.
    Record(RecordError),
}

impl fmt::Display for RevertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingThere(_) => {
                say!(f, "the other slot holds no image to go back to; install one (nothing was changed)")
            }
            Self::NoRecord => {
                say!(f, "there is no boot record yet; restart the node first (nothing was changed)")
            }
            Self::Record(error) => say!(f, error, " (nothing was changed)"),
        }
    }
}

impl core::error::Error for RevertError {}

impl From<RecordError> for RevertError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Has the next start run the image of the other slot, trial or not, if that image is whole. Returns its slot.
///
/// Reads the whole slot before it returns; use it where a second of work does no harm.
pub fn revert<F: NorFlash>(flash: &mut F, map: &FlashMap, board: &str) -> Result<Slot, RevertError> {
    let mut entry = Entry::first();
    if !record::newest(flash, map, &mut entry)? {
        return Err(RevertError::NoRecord);
    }
    let left = entry.active();
    SlotCheck::new(map, left.other(), board).run(flash).map_err(RevertError::NothingThere)?;
    entry.revert(Reason::Requested);
    entry.read_version(flash, map, left);
    record::append(flash, map, &mut entry)?;
    Ok(entry.active())
}

/// How a slot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// Active and proved.
    Confirmed,
    /// Active and on trial.
    Trial,
    /// Not active, but there is an image: the one before, or one that failed.
    Spare,
    /// No image header.
    Empty,
}

impl SlotState {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Trial => "trial",
            Self::Spare => "spare",
            Self::Empty => "empty",
        }
    }
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A slot and its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// Which.
    pub slot: Slot,
    /// How it stands.
    pub state: SlotState,
    /// Header of the image in it. The payload is not checked here.
    pub header: Option<Header>,
}

/// Both slots and the last update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Slot A, slot B.
    pub slots: [SlotStatus; 2],
    /// Starts since the flash was new.
    pub boot_count: u32,
    /// How the last update ended.
    pub last_update: Option<LastUpdate>,
}

/// How a slot stands, by the record, and what version its header names: as much of [`status`] as a node with little stack needs.
#[inline(never)]
pub fn slot_version<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    slot: Slot,
    record: Option<&Record>,
) -> Result<(SlotState, Option<Version>), RecordError> {
    let status = slot_status(flash, map, slot, record)?;
    Ok((status.state, status.header.map(|header| header.version)))
}

fn slot_status<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    slot: Slot,
    record: Option<&Record>,
) -> Result<SlotStatus, RecordError> {
    let header = match header(flash, map, slot) {
        Ok(header) => Some(header),
        Err(SlotFault::Image(_)) => None,
        Err(SlotFault::Flash(kind)) => return Err(RecordError::Flash(kind)),
    };
    let state = match (&header, record) {
        (None, _) => SlotState::Empty,
        (Some(_), Some(record)) if record.active == slot => match record.state {
            State::Confirmed => SlotState::Confirmed,
            State::Trial { .. } => SlotState::Trial,
        },
        (Some(_), _) => SlotState::Spare,
    };
    Ok(SlotStatus { slot, state, header })
}

/// Reads how things stand: record and headers, about 9 KB of flash. After an installation the active slot is the one
/// the *next* start runs.
pub fn status<F: ReadNorFlash>(flash: &mut F, map: &FlashMap) -> Result<Status, RecordError> {
    let record = record::read(flash, map)?;
    let [a, b] = Slot::BOTH.map(|slot| slot_status(flash, map, slot, record.as_ref()));
    let slots = [a?, b?];
    Ok(Status {
        slots,
        boot_count: record.as_ref().map_or(0, |record| record.boot_count),
        last_update: record.and_then(|record| record.last_update),
    })
}
