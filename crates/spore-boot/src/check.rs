//! The check of an image that lies in a slot.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::{PAGE, Page, read};
use core::fmt;
use embedded_storage::nor_flash::{NorFlashErrorKind, ReadNorFlash};
use spore_image::hash::PageHash;
use spore_image::header::{BOARD_BYTES, View};
use spore_image::memory::SEGMENT_BYTES;
use spore_image::payload::{Facts, Flaw};
use spore_image::{FlashMap, HEADER_BYTES, Header, ImageError, Relocator, Segment, Slot, Verified, Verifier};
use spore_sentence::say;

/// Why a slot cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotFault {
    /// It holds no whole image for this board.
    Image(ImageError),
    /// It cannot be read.
    Flash(NorFlashErrorKind),
}

impl fmt::Display for SlotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => error.fmt(f),
            Self::Flash(kind) => say!(f, "the flash chip reports an error: ", kind),
        }
    }
}

impl core::error::Error for SlotFault {}

impl From<NorFlashErrorKind> for SlotFault {
    fn from(kind: NorFlashErrorKind) -> Self {
        Self::Flash(kind)
    }
}

/// Bytes read back in a step.
const STEP: usize = 2048;

/// Reads an image back and checks header and SHA-256, a little a step, so that a node can do other things between.
///
/// The SHA-256 is that of the image as it was built, for slot A; what was moved to slot B is moved back for it.
#[derive(Debug, Clone)]
pub struct SlotCheck {
    pub(crate) map: FlashMap,
    pub(crate) slot: Slot,
    /// What has been seen of the image; fed by an installation too, before anything lies in flash.
    pub(crate) verifier: Verifier,
    /// From the first page of the payload on, if the slot is B and the image has relocations.
    relocator: Option<Relocator>,
}

impl SlotCheck {
    /// A check of what lies in `slot`, for the board named.
    pub fn new(map: &FlashMap, slot: Slot, board: &str) -> Self {
        Self { map: *map, slot, verifier: Verifier::new(board, map.slot_bytes()), relocator: None }
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) {
        self.verifier.restart();
        self.relocator = None;
    }

    /// Where the slot begins.
    pub(crate) const fn start(&self) -> u32 {
        self.map.slot(self.slot).offset
    }

    /// Moves the next page of the payload between slot A, which the image is built for, and this slot. The header must
    /// have been seen; the relocation table is read from flash, and lies there before the first page it matters for.
    pub(crate) fn relocate<F: ReadNorFlash>(
        &mut self,
        flash: &mut F,
        page: &mut [u8],
    ) -> Result<(), NorFlashErrorKind> {
        let entries = self.verifier.header().map_or(0, |header| header.relocations.count);
        if self.slot == Slot::A || entries == 0 {
            return Ok(());
        }
        let payload = self.start().saturating_add(HEADER_BYTES as u32);
        self.relocator
            .get_or_insert_with(|| Relocator::new(&self.map, entries))
            .piece(page, |offset, bytes| read(flash, payload.saturating_add(offset), bytes))
    }

    /// What the image says about itself, once that is known and acceptable.
    pub fn header(&self) -> Option<&Header> {
        self.verifier.header()
    }

    /// Reads up to 2048 bytes more, a few milliseconds on a chip. True: it is a whole image, of that [header](Self::header). False: not through yet, call again.
    #[inline(never)]
    pub fn step<F: ReadNorFlash>(&mut self, flash: &mut F) -> Result<bool, SlotFault> {
        let mut page = Page([0; PAGE]);
        for _ in 0..STEP / PAGE {
            let progress = self.verifier.progress();
            let total = progress.total.unwrap_or(HEADER_BYTES as u32);
            let missing = total.saturating_sub(progress.received);
            if missing == 0 {
                return self.verifier.judge().map(|_| true).map_err(SlotFault::Image);
            }
            let wanted = missing.min(PAGE as u32);
            // Whole words are read; the slot ends on a sector, so that these are always there.
            let words = page.0.get_mut(..wanted.next_multiple_of(4) as usize).unwrap_or_default();
            read(flash, self.start().saturating_add(progress.received), words)?;
            self.relocate(flash, words)?;
            let bytes = words.get(..wanted as usize).unwrap_or_default();
            self.verifier.update(bytes).map_err(SlotFault::Image)?;
        }
        Ok(false)
    }

    /// All steps at once.
    pub fn run<F: ReadNorFlash>(mut self, flash: &mut F) -> Result<Verified, SlotFault> {
        while !self.step(flash)? {}
        self.verifier.finish().map_err(SlotFault::Image)
    }
}

/// Why a slot cannot be run, without particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotFlaw {
    /// It holds no whole image for this board.
    Image(Flaw),
    /// It cannot be read.
    Flash,
}

impl From<NorFlashErrorKind> for SlotFlaw {
    fn from(_: NorFlashErrorKind) -> Self {
        Self::Flash
    }
}

impl From<Flaw> for SlotFlaw {
    fn from(flaw: Flaw) -> Self {
        Self::Image(flaw)
    }
}

/// [`SlotCheck`] at once and in little code, for a bootloader: what an image that is executed on this board (its name padded
/// with zeros) says about its payload, if it is whole. Name, signature and relocation table are not looked at: the SHA-256
/// is that of an image that was judged when it was built and when it was installed.
pub fn whole<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    slot: Slot,
    board: &[u8; BOARD_BYTES],
) -> Result<Facts, SlotFlaw> {
    let mut head = Page([0; PAGE]);
    let mut page = Page([0; PAGE]);
    let start = map.slot(slot).offset;
    read(flash, start, &mut head.0)?;
    let view = View::new(&head.0).ok_or(SlotFlaw::Flash)?;
    let facts = Facts::read(&view, board, map.slot_bytes())?;
    let payload = start.wrapping_add(PAGE as u32);
    let end = payload.wrapping_add(facts.payload_length);
    let mut hash = PageHash::new();
    let mut relocator = Relocator::new(map, facts.relocations);
    let mut at = payload;
    loop {
        // Whole pages are read; the slot ends on a sector, so that what is hashed is always there. What is behind a
        // slot is another or the record.
        read(flash, at, &mut page.0)?;
        if slot == Slot::B && facts.relocations > 0 {
            relocator.piece(&mut page.0, |offset, bytes| read(flash, payload.wrapping_add(offset), bytes))?;
        }
        let next = at.wrapping_add(PAGE as u32);
        if next > end {
            break;
        }
        hash.page(&page.0);
        at = next;
    }
    if !hash.matches(&mut page.0, facts.payload_length, &view.sha256()) {
        return Err(SlotFlaw::Image(Flaw::Checksum));
    }
    // Who has flashed this image serially has judged nothing.
    for index in 0..facts.segments.count {
        if !segment(flash, payload, &facts, index)?.is_loadable(facts.payload_length) {
            return Err(SlotFlaw::Image(Flaw::Memory));
        }
    }
    Ok(facts)
}

/// The RAM segment with this index, of the payload at this offset of the flash.
pub fn segment<F: ReadNorFlash>(
    flash: &mut F,
    payload: u32,
    facts: &Facts,
    index: u32,
) -> Result<Segment, SlotFlaw> {
    let mut entry = Entry([0; SEGMENT_BYTES]);
    let offset = facts.segments.offset.wrapping_add(index.wrapping_mul(SEGMENT_BYTES as u32));
    read(flash, payload.wrapping_add(offset), &mut entry.0)?;
    Ok(Segment::parse(&entry.0))
}

/// An entry of the segment table on a word boundary.
#[repr(align(4))]
struct Entry([u8; SEGMENT_BYTES]);

/// The header in a slot, its payload unchecked.
pub(crate) fn header<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    slot: Slot,
) -> Result<Header, SlotFault> {
    let mut page = Page([0; PAGE]);
    read(flash, map.slot(slot).offset, &mut page.0)?;
    Header::parse(&page.0).map_err(SlotFault::Image)
}
