//! The way of a new image into the free slot, in pieces of any size. On its way into slot B it is moved there
//! ([`spore_image::relocation`]).
//!
//! The order is what makes it safe: nothing is erased before the header is known to be acceptable; the payload is
//! written first and the header last, so that an interrupted installation never looks like an image; the slot is read
//! back whole before the boot record names it. An installation is given up by dropping it.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::check::{SlotCheck, SlotFault};
use crate::record::{self, LastUpdate, Outcome, Reason, Record, RecordError, State};
use crate::{PAGE, Page, erase, program};
use core::fmt;
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind, ReadNorFlash};
use spore_image::verify::Progress;
use spore_image::{Fault, FlashMap, HEADER_BYTES, Header, ImageError, SECTOR, Slot};
use spore_sentence::say;

/// Why an installation is refused or ended. The running image is untouched in every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallError {
    /// An image is on trial, or waits for it; the other slot is what the node would go back to.
    TrialOpen,
    /// The next start runs the other slot, so that slot must not be written: the node was told to go back.
    RestartPending,
    /// The image is not acceptable.
    Image(ImageError),
    /// The image was whole, but flash does not give back what was written.
    ReadBack(SlotFault),
    /// The flash driver failed.
    Flash(NorFlashErrorKind),
    /// The boot record could not be read or written.
    Record(RecordError),
    /// The installation is over; bytes came, or an end, after [`Installer::finish_step`] had begun.
    Over,
}

/// The kind of refusal, for who has to answer with a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallFault {
    /// The bytes are not a whole image: HTTP 400.
    Malformed,
    /// Not now: HTTP 409.
    Conflict,
    /// It does not fit: HTTP 413.
    TooLarge,
    /// It is whole, but not for this node: HTTP 422.
    Unacceptable,
    /// The node's flash is broken: HTTP 500.
    Broken,
}

impl InstallError {
    /// The kind of refusal.
    pub const fn fault(&self) -> InstallFault {
        match self {
            Self::TrialOpen | Self::RestartPending | Self::Over => InstallFault::Conflict,
            Self::Image(error) => match error.fault() {
                Fault::Malformed => InstallFault::Malformed,
                Fault::TooLarge => InstallFault::TooLarge,
                Fault::Unacceptable => InstallFault::Unacceptable,
            },
            Self::ReadBack(_) | Self::Flash(_) | Self::Record(_) => InstallFault::Broken,
        }
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrialOpen => {
                say!(f, "an image is on trial; wait until it is confirmed or reverted (nothing was changed)")
            }
            Self::RestartPending => {
                say!(f, "the node goes back to its other image; restart it first (nothing was changed)")
            }
            Self::Image(error) => error.fmt(f),
            Self::ReadBack(_) => {
                say!(f, "the flash chip did not keep the image; try again (the running image is untouched)")
            }
            Self::Flash(kind) => {
                say!(f, "the flash chip failed: ", kind, " (the running image is untouched)")
            }
            Self::Record(error) => say!(f, error, " (the running image is untouched)"),
            Self::Over => say!(f, "this installation is over; begin another (nothing was changed)"),
        }
    }
}

impl core::error::Error for InstallError {}

impl From<ImageError> for InstallError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<NorFlashErrorKind> for InstallError {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Flash(kind)
    }
}

impl From<RecordError> for InstallError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// An image that was installed and runs at the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Slot it lies in.
    pub slot: Slot,
    /// What it says about itself.
    pub header: Header,
}

/// What an installation does next.
#[derive(Debug)]
enum Phase {
    /// Takes bytes; [`Installer::check`] sees them as they come.
    Receiving,
    /// Reads the slot back; [`Installer::check`] begins anew.
    Checking,
    Failed(InstallError),
    Done,
}

/// An installation under way. It borrows nothing, so that it can live across awaits and the flash can be shared: every
/// call is handed the flash. Dropping it gives the installation up.
///
/// At most one at a time per flash chip; the caller sees to that. What a forgotten one would erase of an image that
/// another has installed since is refused, but not what it would program into a sector it has begun.
#[derive(Debug)]
pub struct Installer {
    check: SlotCheck,
    progress: Progress,
    page: Page,
    phase: Phase,
}

impl Installer {
    /// Begins an installation into the slot that is not `running` (which is [`crate::Boot::slot`]). Writes nothing.
    ///
    /// Errors: [`InstallError::TrialOpen`], [`InstallError::RestartPending`], [`InstallError::Record`].
    pub fn begin<F: ReadNorFlash>(
        flash: &mut F,
        map: &FlashMap,
        board: &str,
        running: Slot,
    ) -> Result<Self, InstallError> {
        Self::may_begin(flash, map, running)?;
        Ok(Self::new(map, board, running))
    }

    /// Whether an installation may begin; the errors are those of [`Installer::begin`].
    pub fn may_begin<F: ReadNorFlash>(
        flash: &mut F,
        map: &FlashMap,
        running: Slot,
    ) -> Result<(), InstallError> {
        refuse(record::read(flash, map)?.as_ref(), running)
    }

    /// An installation into the slot that is not `running`, once [`Installer::may_begin`] has allowed it: apart, so that a
    /// small stack holds the value once at most.
    pub fn new(map: &FlashMap, board: &str, running: Slot) -> Self {
        Self {
            check: SlotCheck::new(map, running.other(), board),
            progress: Progress { received: 0, total: None },
            page: Page([0xFF; PAGE]),
            phase: Phase::Receiving,
        }
    }

    /// The slot that is written.
    pub const fn slot(&self) -> Slot {
        self.check.slot
    }

    /// The largest image in bytes, header included.
    pub const fn capacity(&self) -> u32 {
        self.check.map.slot_bytes()
    }

    /// How much has been received.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// What the image says about itself, once that is known and acceptable.
    pub fn header(&self) -> Option<&Header> {
        self.check.verifier.header()
    }

    /// Takes bytes from the start of `chunk` and returns how many: at least one unless it is empty, and never more than
    /// one erasure and 16 program orders' worth (4096 bytes). Call again with the rest; do other things between.
    ///
    /// Once it has failed, every further call fails alike.
    pub fn write<F: NorFlash>(&mut self, flash: &mut F, chunk: &[u8]) -> Result<usize, InstallError> {
        match &self.phase {
            Phase::Receiving => {}
            Phase::Failed(error) => return Err(error.clone()),
            Phase::Checking | Phase::Done => return Err(InstallError::Over),
        }
        self.take(flash, chunk).inspect_err(|error| self.phase = Phase::Failed(error.clone()))
    }

    /// [`Installer::write`] until all of `chunk` is taken.
    pub fn write_all<F: NorFlash>(&mut self, flash: &mut F, mut chunk: &[u8]) -> Result<(), InstallError> {
        while !chunk.is_empty() {
            let taken = self.write(flash, chunk)?;
            chunk = chunk.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    #[inline(never)]
    fn take<F: NorFlash>(&mut self, flash: &mut F, chunk: &[u8]) -> Result<usize, InstallError> {
        let header = HEADER_BYTES as u32;
        let position = self.progress.received;
        // The header alone first, because nothing may be erased before it is accepted; then never past a sector.
        let into_sector = position % SECTOR;
        let room = header.checked_sub(position).filter(|missing| *missing > 0);
        let room = room.unwrap_or(SECTOR.saturating_sub(into_sector));
        let chunk = chunk.get(..room as usize).unwrap_or(chunk);
        self.progress = self.check.verifier.update(chunk)?;
        if position < header || chunk.is_empty() {
            return Ok(chunk.len());
        }
        let start = self.check.start();
        if position == header || into_sector == 0 {
            refuse(record::read(flash, &self.check.map)?.as_ref(), self.check.slot.other())?;
            erase(flash, start.saturating_add(position.saturating_sub(into_sector)))?;
        }
        let mut at = position;
        let mut rest = chunk;
        while !rest.is_empty() {
            let in_page = at as usize % PAGE;
            let (_, free) = self.page.0.split_at_mut(in_page);
            let (piece, behind) = rest.split_at(rest.len().min(free.len()));
            for (to, from) in free.iter_mut().zip(piece) {
                *to = *from;
            }
            if in_page.saturating_add(piece.len()) == PAGE {
                let page = at.saturating_sub(in_page as u32);
                self.check.relocate(flash, &mut self.page.0)?;
                program(flash, start.saturating_add(page), &self.page.0)?;
            }
            at = at.saturating_add(piece.len() as u32);
            rest = behind;
        }
        Ok(chunk.len())
    }

    /// Ends the installation, a little at a time: judges the image and writes its header, then reads the slot back
    /// (2048 bytes a call), then has the boot record name it. True: it is [installed](Self::installed). False: not through yet,
    /// call again.
    ///
    /// Until it returns `Ok(true)` the node as it is now comes back after a power cut, or the new image on trial if
    /// the cut came at the very last write.
    pub fn finish_step<F: NorFlash>(&mut self, flash: &mut F) -> Result<bool, InstallError> {
        let result = match &self.phase {
            Phase::Receiving => self.seal(flash).map(|()| false),
            Phase::Checking => match self.check.step(flash) {
                Ok(false) => Ok(false),
                Ok(true) => self.switch(flash).map(|()| true),
                Err(fault) => Err(InstallError::ReadBack(fault)),
            },
            Phase::Failed(error) => Err(error.clone()),
            Phase::Done => Err(InstallError::Over),
        };
        result.inspect_err(|error| self.phase = Phase::Failed(error.clone()))
    }

    /// [`Installer::finish_step`] until it is through.
    pub fn finish<F: NorFlash>(mut self, flash: &mut F) -> Result<Installed, InstallError> {
        while !self.finish_step(flash)? {}
        let header = self.installed().ok_or(InstallError::Over)?.clone();
        Ok(Installed { slot: self.slot(), header })
    }

    /// What was installed says about itself, once the boot record names it.
    pub fn installed(&self) -> Option<&Header> {
        self.header().filter(|_| matches!(self.phase, Phase::Done))
    }

    /// Judges the image, writes what is left of the payload, then the header.
    #[inline(never)]
    fn seal<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), InstallError> {
        let start = self.check.start();
        let end = self.check.verifier.judge()?.image_length();
        let in_page = end as usize % PAGE;
        let (used, behind) = self.page.0.split_at_mut(in_page);
        if !used.is_empty() {
            // Whole words are programmed; behind the end they stay as erased.
            behind.fill(0xFF);
            let words = self.page.0.get_mut(..in_page.next_multiple_of(4)).unwrap_or_default();
            self.check.relocate(flash, words)?;
            program(flash, start.saturating_add(end.saturating_sub(in_page as u32)), words)?;
        }
        if let Some(header) = self.check.verifier.header() {
            self.page.0 = header.emit()?;
        }
        program(flash, start, &self.page.0)?;
        self.check.restart();
        self.phase = Phase::Checking;
        Ok(())
    }

    /// Has the boot record name the image.
    #[inline(never)]
    fn switch<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), InstallError> {
        let before = record::read(flash, &self.check.map)?;
        refuse(before.as_ref(), self.check.slot.other())?;
        let record = Record {
            boot_count: before.map_or(0, |record| record.boot_count),
            active: self.check.slot,
            state: State::Trial { starts: 0, crashes: 0 },
            last_update: Some(LastUpdate {
                version: self.header().map(|header| header.version.clone()),
                outcome: Outcome::Pending,
                reason: Reason::None,
            }),
        };
        record::write(flash, &self.check.map, &record)?;
        self.phase = Phase::Done;
        Ok(())
    }
}

/// Whether the slot beside the running one must stay as it is.
fn refuse(record: Option<&Record>, running: Slot) -> Result<(), InstallError> {
    match record {
        Some(Record { state: State::Trial { .. }, .. }) => Err(InstallError::TrialOpen),
        Some(record) if record.active != running => Err(InstallError::RestartPending),
        Some(_) | None => Ok(()),
    }
}
