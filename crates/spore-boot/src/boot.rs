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

use crate::check::{SlotCheck, SlotFault};
use crate::choose::choose;
use crate::record::{Entry, LastUpdate};
use core::fmt;
use embedded_storage::nor_flash::NorFlash;
use spore_image::{FlashMap, Header, Slot};
use spore_sentence::say;

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
        say!(f, "no image to start, flash one over the serial port: slot a: ", self.a, "; slot b: ", self.b)
    }
}

impl core::error::Error for NoBootableSlot {}

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
    let check = |flash: &mut F, slot: Slot| SlotCheck::new(map, slot, board).run(flash);
    let mut entry = Entry::first();
    let choice = choose(flash, map, cause, &mut entry, check).map_err(|[a, b]| NoBootableSlot { a, b })?;
    let record = entry.record();
    Ok(Boot {
        slot: choice.slot,
        trial: choice.trial,
        boot_count: record.boot_count,
        last_update: record.last_update,
        update_ended: choice.update_ended,
        header: choice.image.header,
    })
}
