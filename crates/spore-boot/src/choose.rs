//! The choice of a slot, for anyone who can say whether the image in a slot is whole. The rules are in [`crate::boot`].
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::boot::{MAX_CRASHES, MAX_STARTS, ResetCause};
use crate::record::{self, Entry, LastUpdate, Outcome, Reason, RecordError};
use crate::{PAGE, Page, read};
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind, ReadNorFlash};
use spore_image::header::{MAGIC, View};
use spore_image::version::VERSION_BYTES;
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
    entry: Entry,
}

impl<I> Choice<I> {
    /// Starts since the flash was new, this one included.
    pub fn boot_count(&self) -> u32 {
        self.entry.boot_count()
    }

    /// How the last update ended.
    pub fn last_update(&self) -> Option<LastUpdate> {
        self.entry.record().last_update
    }
}

/// Chooses the slot to start and writes down that it is started: [`crate::select`] with a check of one's own, which says
/// what is in a slot if that can be started.
///
/// Fails when neither can: with what the check said about slot A and slot B.
pub fn choose<F: NorFlash, I, E: From<NorFlashErrorKind>>(
    flash: &mut F,
    map: &FlashMap,
    cause: ResetCause,
    mut check: impl FnMut(&mut F, Slot) -> Result<I, E>,
) -> Result<Choice<I>, [E; 2]> {
    let before = match record::scan(flash, map) {
        Ok(found) => found.newest().copied(),
        Err(RecordError::Flash(kind)) => return Err([kind.into(), kind.into()]),
        Err(RecordError::Worn) => {
            return Err([NorFlashErrorKind::Other.into(), NorFlashErrorKind::Other.into()]);
        }
    };
    let mut entry = before.unwrap_or(Entry::first(Slot::A));
    let active = entry.active();
    let failed = failed(&entry, cause);
    let first = if failed.is_some() { active.other() } else { active };
    let image = match check(flash, first) {
        Ok(image) => {
            match (failed, entry.trial()) {
                (Some(reason), _) => entry.revert(reason),
                (None, Some((starts, crashes))) => {
                    let crashes = crashes.saturating_add(u8::from(starts > 0 && is_crash(cause)));
                    entry.set_trial(Some((starts.saturating_add(1), crashes)));
                }
                (None, None) => {}
            }
            image
        }
        Err(fault) => match check(flash, first.other()) {
            Ok(image) => {
                if before.is_none() {
                    entry.set_active(first.other());
                } else if failed.is_none() {
                    entry.revert(Reason::ImageDamaged);
                } else {
                    // Nothing to go back to: some image is better than none.
                    entry.set_trial(None);
                    if entry.has_update() {
                        entry.end_update(Outcome::Confirmed, Reason::NothingToRevertTo);
                    }
                }
                image
            }
            Err(other) if first == Slot::A => return Err([fault, other]),
            Err(other) => return Err([other, fault]),
        },
    };
    // Of a damaged image the header may still be legible, and with it the version.
    if before.is_some() && entry.active() != active && !entry.has_version() {
        entry.set_version(&version(flash, map, active).unwrap_or_default());
    }
    let update_ended = before.is_some_and(|before| !entry.same_update(&before));
    entry.count_start();
    let written = record::append(flash, map, &mut entry);
    let (slot, trial) = (entry.active(), entry.trial().is_some());
    if trial
        && written.is_err()
        && let Ok(image) = check(flash, slot.other())
    {
        return Ok(Choice { slot: slot.other(), image, trial: false, update_ended, entry });
    }
    Ok(Choice { slot, image, trial, update_ended, entry })
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

/// The version in the header of a slot, padded with zeros, if that header is legible.
pub(crate) fn version<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    slot: Slot,
) -> Option<[u8; VERSION_BYTES]> {
    let mut page = Page([0; PAGE]);
    read(flash, map.slot(slot).offset, &mut page.0).ok()?;
    let view = View::new(&page.0)?;
    (view.magic() == MAGIC && view.checksum() == view.computed_checksum()).then(|| view.version())
}
