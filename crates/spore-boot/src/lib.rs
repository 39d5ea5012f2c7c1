//! Which image runs: the boot record, the trial of a new image, and the choice of a slot.
//!
//! The same code runs in the bootloader ([`boot::select`]), in the node ([`Installer`], [`confirm`], [`status`]) and in
//! the lab. It is generic over a blocking NOR flash with words of at most 4 bytes and sectors of 4096, holds no global
//! state, and never programs a word twice between two erasures.
//!
//! Power may fail at any flash operation. The rule that keeps a node bootable is one of order: the running slot is
//! never written, and the boot record names an image only after that image was read back whole from flash. What a cut
//! leaves at each step is in `docs/update.md`; `tests/cuts.rs` tries every one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "testkit")]
extern crate std;

pub mod boot;
pub mod check;
pub mod choose;
pub mod crashes;
pub mod install;
pub mod manage;
pub mod record;
pub mod rtc;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use boot::{Boot, MAX_CRASHES, MAX_STARTS, NoBootableSlot, ResetCause, select};
pub use check::{SlotCheck, SlotFault, SlotFlaw};
pub use choose::{Choice, choose};
pub use install::{InstallError, InstallFault, Installed, Installer};
pub use manage::{RevertError, SlotState, SlotStatus, Status, confirm, revert, slot_version, status};
pub use record::{Entry, LastUpdate, Outcome, Reason, Record, RecordError, State};
pub use rtc::{Crash, CrashKind, Handoff, Request, Reset, TaskName};

use embedded_storage::nor_flash::{NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Bytes that are programmed with one order: the page of the flash chips in question.
pub(crate) const PAGE: usize = 256;

/// A buffer on a word boundary, which the ESP8266's ROM asks for.
#[derive(Debug, Clone)]
#[repr(align(4))]
pub(crate) struct Page(pub [u8; PAGE]);

/// Reads, and reduces the driver's error to its kind.
pub(crate) fn read<F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
    bytes: &mut [u8],
) -> Result<(), NorFlashErrorKind> {
    const { assert!(F::READ_SIZE <= 4, "spore-boot reads words") }
    flash.read(offset, bytes).map_err(|error| error.kind())
}

/// Programs words that were erased and not programmed since.
pub(crate) fn program<F: NorFlash>(
    flash: &mut F,
    offset: u32,
    bytes: &[u8],
) -> Result<(), NorFlashErrorKind> {
    const { assert!(F::WRITE_SIZE <= 4, "spore-boot programs words") }
    flash.write(offset, bytes).map_err(|error| error.kind())
}

/// Erases the sector that begins at `offset`.
pub(crate) fn erase<F: NorFlash>(flash: &mut F, offset: u32) -> Result<(), NorFlashErrorKind> {
    const { assert!(F::ERASE_SIZE == spore_image::SECTOR as usize, "spore-boot erases 4096-byte sectors") }
    flash.erase(offset, offset.wrapping_add(spore_image::SECTOR)).map_err(|error| error.kind())
}
