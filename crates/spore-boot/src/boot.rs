//! What happens at every start: choose a slot, check its image, count, and go back from an image that fails its trial.
//!
//! **Trial.** An image on trial may be started [`MAX_STARTS`] times and may crash [`MAX_CRASHES`] times. Both are counted
//! in the boot record *before* the image is started, so that a start that leads nowhere is counted too.
//!
//! | cause of this start | what it says about the trial start before it |
//! |---|---|
//! | `Watchdog`, `Exception` | it crashed; with the third crash the node goes back |
//! | `PowerOn`, `Restart` | nothing (power may fail, people press buttons); only the bound on starts counts |
//! | `TrialFailed` | its own deadline passed; the node goes back at once |
//!
//! A brown-out that a broken image causes looks like `PowerOn`, therefore the bound. The cause of the very first start
//! says nothing: what crashed then was the image before.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::check::{SlotCheck, SlotFault, header};
use crate::record::{self, LastUpdate, Outcome, Reason, Record, RecordError, State};
use core::fmt;
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind};
use spore_image::{FlashMap, Header, Slot};

/// Crashes on trial after which the node goes back.
pub const MAX_CRASHES: u8 = 3;
/// Starts on trial without confirmation after which the node goes back.
pub const MAX_STARTS: u8 = 10;

/// Why the node starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// Power came, or somebody pressed reset.
    PowerOn,
    /// The software asked for it.
    Restart,
    /// The watchdog bit.
    Watchdog,
    /// The image crashed.
    Exception,
    /// The image on trial gave up: it was not confirmed before its deadline.
    TrialFailed,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Slot to start.
    pub slot: Slot,
    /// Header of the image in it; the whole image was checked.
    pub header: Header,
    /// Whether the image is on trial and must be confirmed.
    pub trial: bool,
    /// Starts since the flash was new, this one included.
    pub boot_count: u32,
    /// How the last update ended.
    pub last_update: Option<LastUpdate>,
    /// Whether it ended at this very start, by going back.
    pub update_ended: bool,
}

/// Neither slot holds an image that could be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoBootableSlot {
    /// What is wrong with slot A.
    pub a: SlotFault,
    /// What is wrong with slot B.
    pub b: SlotFault,
}

impl fmt::Display for NoBootableSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no image to start, flash one over the serial port: slot a: {}; slot b: {}", self.a, self.b)
    }
}

impl core::error::Error for NoBootableSlot {}

impl NoBootableSlot {
    fn new(slot: Slot, here: SlotFault, there: SlotFault) -> Self {
        match slot {
            Slot::A => Self { a: here, b: there },
            Slot::B => Self { a: there, b: here },
        }
    }
}

/// Chooses the slot to start and writes down that it is started. Called once a start, before the image.
///
/// Without a valid record any image that is whole will do, slot A's first. A confirmed image is started even when the
/// record cannot be written; an image on trial is not, because a trial that is not counted never ends.
pub fn select<F: NorFlash>(
    flash: &mut F,
    map: &FlashMap,
    board: &str,
    cause: ResetCause,
) -> Result<Boot, NoBootableSlot> {
    let before = record::read(flash, map).map_err(|error| {
        let kind = match error {
            RecordError::Flash(kind) => kind,
            RecordError::Worn => NorFlashErrorKind::Other,
        };
        NoBootableSlot { a: SlotFault::Flash(kind), b: SlotFault::Flash(kind) }
    })?;
    let active_before = before.as_ref().map(|record| record.active);
    let update_before = before.as_ref().and_then(|record| record.last_update.clone());
    let mut check = |slot: Slot| SlotCheck::new(map, slot, board).run(flash).map(|verified| verified.header);
    let (mut next, image) = match before {
        None => first_that_is_whole(&mut check)?,
        Some(record) => match failed(&record, cause) {
            None => go_on(record, cause, &mut check)?,
            Some(reason) => go_back(record, reason, &mut check)?,
        },
    };
    // Of a damaged image the header may still be legible, and with it the version.
    if active_before == Some(next.active.other())
        && let Some(last) = &mut next.last_update
        && last.version.is_none()
    {
        last.version = header(flash, map, next.active.other()).ok().map(|header| header.version);
    }
    let update_ended = next.last_update != update_before;
    next.boot_count = next.boot_count.saturating_add(1);
    let trial = matches!(next.state, State::Trial { .. });
    let written = record::write(flash, map, &next);
    if trial
        && written.is_err()
        && let Ok(verified) = SlotCheck::new(map, next.active.other(), board).run(flash)
    {
        return Ok(Boot {
            slot: next.active.other(),
            header: verified.header,
            trial: false,
            boot_count: next.boot_count,
            last_update: next.last_update,
            update_ended,
        });
    }
    Ok(Boot {
        slot: next.active,
        header: image,
        trial,
        boot_count: next.boot_count,
        last_update: next.last_update,
        update_ended,
    })
}

/// The image of a slot, checked.
type Check<'a> = &'a mut dyn FnMut(Slot) -> Result<Header, SlotFault>;

fn first_that_is_whole(check: Check<'_>) -> Result<(Record, Header), NoBootableSlot> {
    let (active, image) = match check(Slot::A) {
        Ok(image) => (Slot::A, image),
        Err(a) => (Slot::B, check(Slot::B).map_err(|b| NoBootableSlot { a, b })?),
    };
    Ok((Record { boot_count: 0, active, state: State::Confirmed, last_update: None }, image))
}

/// Whether the trial has failed by now.
fn failed(record: &Record, cause: ResetCause) -> Option<Reason> {
    let State::Trial { starts, crashes } = record.state else { return None };
    if starts == 0 {
        return None;
    }
    let crashes = crashes.saturating_add(u8::from(is_crash(cause)));
    if cause == ResetCause::TrialFailed {
        Some(Reason::DeadlinePassed)
    } else if crashes >= MAX_CRASHES {
        Some(Reason::Crashed(crashes))
    } else if starts >= MAX_STARTS {
        Some(Reason::Unconfirmed(starts))
    } else {
        None
    }
}

fn is_crash(cause: ResetCause) -> bool {
    matches!(cause, ResetCause::Watchdog | ResetCause::Exception)
}

/// Starts the active image again, if it is still whole.
fn go_on(
    mut record: Record,
    cause: ResetCause,
    check: Check<'_>,
) -> Result<(Record, Header), NoBootableSlot> {
    match check(record.active) {
        Ok(image) => {
            if let State::Trial { starts, crashes } = &mut record.state {
                *crashes = crashes.saturating_add(u8::from(*starts > 0 && is_crash(cause)));
                *starts = starts.saturating_add(1);
            }
            Ok((record, image))
        }
        Err(here) => {
            let other = record.active.other();
            let image = check(other).map_err(|there| NoBootableSlot::new(record.active, here, there))?;
            Ok((reverted(record, Reason::ImageDamaged), image))
        }
    }
}

/// Leaves the image on trial; stays with it if there is nothing to go back to, because some image is better than none.
fn go_back(mut record: Record, reason: Reason, check: Check<'_>) -> Result<(Record, Header), NoBootableSlot> {
    match check(record.active.other()) {
        Ok(image) => Ok((reverted(record, reason), image)),
        Err(there) => {
            let image =
                check(record.active).map_err(|here| NoBootableSlot::new(record.active, here, there))?;
            record.state = State::Confirmed;
            if let Some(last) = &mut record.last_update {
                last.outcome = Outcome::Confirmed;
                last.reason = Reason::NothingToRevertTo;
            }
            Ok((record, image))
        }
    }
}

/// The record with the other slot active.
pub(crate) fn reverted(record: Record, reason: Reason) -> Record {
    // The version of a trial is known; otherwise the last update may have been of the other slot.
    let version = match record.state {
        State::Trial { .. } => record.last_update.and_then(|last| last.version),
        State::Confirmed => None,
    };
    Record {
        boot_count: record.boot_count,
        active: record.active.other(),
        state: State::Confirmed,
        last_update: Some(LastUpdate { version, outcome: Outcome::Reverted, reason }),
    }
}
