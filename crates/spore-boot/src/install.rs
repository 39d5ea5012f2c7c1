//! The way of a new image into the free slot, in pieces of any size.
//!
//! The order is what makes it safe: nothing is erased before the header is known to be acceptable; the payload is
//! written first and the header last, so that an interrupted installation never looks like an image; the slot is read
//! back whole before the boot record names it. An installation is given up by dropping it.

use crate::check::{SlotCheck, SlotFault};
use crate::record::{self, LastUpdate, Outcome, Reason, Record, RecordError, State};
use crate::{PAGE, Page, erase, program};
use core::fmt;
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind, ReadNorFlash};
use spore_image::verify::Progress;
use spore_image::{Fault, FlashMap, HEADER_BYTES, Header, ImageError, SECTOR, Slot, Verifier};

/// Why an installation is refused or ended. The running image is untouched in every case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallError {
    /// The running image is itself on trial; the other slot is what the node would go back to.
    TrialOpen,
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
            Self::TrialOpen | Self::Over => InstallFault::Conflict,
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
            Self::TrialOpen => f.write_str(
                "the running image is on trial; wait until it is confirmed or reverted (nothing was changed)",
            ),
            Self::Image(error) => error.fmt(f),
            Self::ReadBack(_) => f.write_str(
                "the flash chip did not keep the image; try again (the running image is untouched)",
            ),
            Self::Flash(kind) => write!(f, "the flash chip failed: {kind} (the running image is untouched)"),
            Self::Record(error) => write!(f, "{error} (the running image is untouched)"),
            Self::Over => f.write_str("this installation is over; begin another (nothing was changed)"),
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

#[derive(Debug, Clone)]
enum Phase {
    Receiving,
    Checking(SlotCheck),
    Failed(InstallError),
    Done,
}

/// An installation under way. It borrows nothing, so that it can live across awaits and the flash can be shared: every
/// call is handed the flash. Dropping it gives the installation up.
#[derive(Debug, Clone)]
pub struct Installer {
    map: FlashMap,
    slot: Slot,
    verifier: Verifier,
    page: Page,
    phase: Phase,
}

impl Installer {
    /// Begins an installation into the slot that is not `running` (which is [`crate::Boot::slot`]). Writes nothing.
    ///
    /// Errors: [`InstallError::TrialOpen`], [`InstallError::Record`].
    pub fn begin<F: ReadNorFlash>(
        flash: &mut F,
        map: &FlashMap,
        board: &str,
        running: Slot,
    ) -> Result<Self, InstallError> {
        refuse_during_trial(record::read(flash, map)?.as_ref())?;
        Ok(Self {
            map: *map,
            slot: running.other(),
            verifier: Verifier::new(board, map.slot_bytes()),
            page: Page([0xFF; PAGE]),
            phase: Phase::Receiving,
        })
    }

    /// The slot that is written.
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// The largest image in bytes, header included.
    pub const fn capacity(&self) -> u32 {
        self.map.slot_bytes()
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.verifier.progress()
    }

    /// What the image says about itself, once that is known and acceptable.
    pub fn header(&self) -> Option<&Header> {
        self.verifier.header()
    }

    /// Takes bytes from the start of `chunk` and returns how many: at least one unless it is empty, and never more than
    /// one erasure and 16 program orders' worth (4096 bytes). Call again with the rest; do other things between.
    ///
    /// Once it has failed, every further call fails alike.
    pub fn write<F: NorFlash>(&mut self, flash: &mut F, chunk: &[u8]) -> Result<usize, InstallError> {
        match &self.phase {
            Phase::Receiving => {}
            Phase::Failed(error) => return Err(error.clone()),
            Phase::Checking(_) | Phase::Done => return Err(InstallError::Over),
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

    fn take<F: NorFlash>(&mut self, flash: &mut F, chunk: &[u8]) -> Result<usize, InstallError> {
        let header = HEADER_BYTES as u32;
        let position = self.verifier.progress().received;
        // The header alone first, because nothing may be erased before it is accepted; then never past a sector.
        let room = if position < header { header - position } else { SECTOR - position % SECTOR };
        let chunk = &chunk[..chunk.len().min(room as usize)];
        self.verifier.update(chunk)?;
        if position < header || chunk.is_empty() {
            return Ok(chunk.len());
        }
        if position == header || position.is_multiple_of(SECTOR) {
            let sector = position - position % SECTOR;
            erase(flash, self.map.slot(self.slot).offset + sector)?;
        }
        let mut at = position;
        let mut rest = chunk;
        while !rest.is_empty() {
            let filled = at as usize % PAGE;
            let (piece, behind) = rest.split_at(rest.len().min(PAGE - filled));
            self.page.0[filled..filled + piece.len()].copy_from_slice(piece);
            at += piece.len() as u32;
            rest = behind;
            if at as usize % PAGE == 0 {
                program(flash, self.map.slot(self.slot).offset + at - PAGE as u32, &self.page.0)?;
            }
        }
        Ok(chunk.len())
    }

    /// Ends the installation, a little at a time: judges the image and writes its header, then reads the slot back
    /// (4096 bytes a call), then has the boot record name it. `Ok(None)`: not through yet, call again.
    ///
    /// Until it returns `Ok(Some(_))` the node as it is now comes back after a power cut, or the new image on trial if
    /// the cut came at the very last write.
    pub fn finish_step<F: NorFlash>(&mut self, flash: &mut F) -> Result<Option<Installed>, InstallError> {
        let result = match &mut self.phase {
            Phase::Receiving => self.seal(flash).map(|()| None),
            Phase::Checking(check) => match check.step(flash) {
                Ok(None) => Ok(None),
                Ok(Some(verified)) => self.switch(flash, verified.header).map(Some),
                Err(fault) => Err(InstallError::ReadBack(fault)),
            },
            Phase::Failed(error) => Err(error.clone()),
            Phase::Done => Err(InstallError::Over),
        };
        result.inspect_err(|error| self.phase = Phase::Failed(error.clone()))
    }

    /// [`Installer::finish_step`] until it is through.
    pub fn finish<F: NorFlash>(mut self, flash: &mut F) -> Result<Installed, InstallError> {
        loop {
            if let Some(installed) = self.finish_step(flash)? {
                return Ok(installed);
            }
        }
    }

    /// Judges the image, writes what is left of the payload, then the header.
    fn seal<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), InstallError> {
        let header = self.verifier.finish()?.header;
        let start = self.map.slot(self.slot).offset;
        let end = header.image_length();
        let filled = end as usize % PAGE;
        if filled > 0 {
            let words = filled.next_multiple_of(4);
            // Behind the end nothing is said, so that it stays as erased.
            self.page.0[filled..words].fill(0xFF);
            program(flash, start + end - filled as u32, &self.page.0[..words])?;
        }
        self.page.0 = header.emit()?;
        program(flash, start, &self.page.0)?;
        self.phase = Phase::Checking(SlotCheck::new(&self.map, self.slot, &header.board));
        Ok(())
    }

    /// Has the boot record name the image.
    fn switch<F: NorFlash>(&mut self, flash: &mut F, header: Header) -> Result<Installed, InstallError> {
        let before = record::read(flash, &self.map)?;
        refuse_during_trial(before.as_ref())?;
        let record = Record {
            boot_count: before.map_or(0, |record| record.boot_count),
            active: self.slot,
            state: State::Trial { starts: 0, crashes: 0 },
            last_update: Some(LastUpdate {
                version: Some(header.version.clone()),
                outcome: Outcome::Pending,
                reason: Reason::None,
            }),
        };
        record::write(flash, &self.map, &record)?;
        self.phase = Phase::Done;
        Ok(Installed { slot: self.slot, header })
    }
}

fn refuse_during_trial(record: Option<&Record>) -> Result<(), InstallError> {
    match record.map(|record| record.state) {
        Some(State::Trial { .. }) => Err(InstallError::TrialOpen),
        Some(State::Confirmed) | None => Ok(()),
    }
}
