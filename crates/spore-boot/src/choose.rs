//! The choice of a slot, for anyone who can say whether the image in a slot is whole. The rules are in [`crate::boot`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::boot::{MAX_CRASHES, MAX_STARTS, ResetCause};
use crate::record::{self, Entry, Outcome, Reason, RecordError};
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind};
use spore_image::{FlashMap, Slot};

/// What was chosen.
#[derive(Debug, Clone)]
pub struct Choice<I> {
    /// Slot to start.
    pub slot: Slot,
    /// What the check found in it.
    pub image: I,
    /// Whether the image is on trial and must be confirmed.
    pub trial: bool,
    /// Whether an update ended at this very start, by going back.
    pub update_ended: bool,
}

/// Chooses the slot to start and writes down that it is started: [`crate::select`] with a check of one's own, which says
/// what is in a slot if that can be started. `entry` becomes what was written.
///
/// Fails when neither can: with what the check said about slot A and slot B.
pub fn choose<F: NorFlash, I, E: From<NorFlashErrorKind>>(
    flash: &mut F,
    map: &FlashMap,
    cause: ResetCause,
    entry: &mut Entry,
    mut check: impl FnMut(&mut F, Slot) -> Result<I, E>,
) -> Result<Choice<I>, [E; 2]> {
    let known = match record::newest(flash, map, entry) {
        Ok(known) => known,
        Err(error) => {
            let kind = match error {
                RecordError::Flash(kind) => kind,
                RecordError::Worn => NorFlashErrorKind::Other,
            };
            return Err([kind.into(), kind.into()]);
        }
    };
    if !known {
        *entry = Entry::first();
    }
    let active = entry.active();
    let failed = failed(entry, cause);
    let first = if failed.is_some() { active.other() } else { active };
    let (mut slot, mut image, why) = match check(flash, first) {
        Ok(image) => (first, image, failed),
        Err(fault) => match check(flash, first.other()) {
            Ok(image) => {
                let none = Reason::NothingToRevertTo;
                (first.other(), image, Some(if failed.is_some() { none } else { Reason::ImageDamaged }))
            }
            Err(other) if first == Slot::A => return Err([fault, other]),
            Err(other) => return Err([other, fault]),
        },
    };
    let mut update_ended = false;
    match why {
        _ if !known => entry.set_active(slot),
        None => {
            if let Some((starts, crashes)) = entry.trial() {
                let crashes = crashes.saturating_add(u8::from(starts > 0 && is_crash(cause)));
                entry.set_trial(Some((starts.saturating_add(1), crashes)));
            }
        }
        // Some image is better than none.
        Some(Reason::NothingToRevertTo) => {
            entry.set_trial(None);
            if entry.has_update() {
                entry.end_update(Outcome::Confirmed, Reason::NothingToRevertTo);
                update_ended = true;
            }
        }
        Some(reason) => {
            entry.revert(reason);
            update_ended = true;
            // Of a damaged image the header may still be legible, and with it the version.
            if !entry.has_version() {
                entry.read_version(flash, map, active);
            }
        }
    }
    entry.count_start();
    let mut trial = entry.trial().is_some();
    // An image on trial that cannot be counted is not started, if there is another.
    if record::append(flash, map, entry).is_err()
        && trial
        && let Ok(other) = check(flash, slot.other())
    {
        (slot, image, trial) = (slot.other(), other, false);
    }
    Ok(Choice { slot, image, trial, update_ended })
}

/// Whether the trial has failed by now.
fn failed(entry: &Entry, cause: ResetCause) -> Option<Reason> {
    let (starts, crashes) = entry.trial()?;
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
