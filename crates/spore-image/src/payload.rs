//! What a bootloader must know of a header ([`Facts`]), and the check of a payload while it streams by: tables and SHA-256.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::header::{BOARD_BYTES, FORMAT, HEADER_BYTES, Header, MAGIC, Table, View};
use crate::memory::{SEGMENT_BYTES, Segment, is_entry};
use crate::relocation::{TABLE_BYTES, TableCheck};
use sha2::{Digest, Sha256};

/// What is wrong with an image, without particulars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It does not begin with the magic number.
    NoImage,
    /// Its header has a format or length that is not known here.
    Format,
    /// Its header is damaged, or contradicts itself.
    Header,
    /// It is for another board.
    Board,
    /// It does not fit the slot.
    Size,
    /// The relocation table is none.
    Relocations,
    /// Its entry or a RAM segment lies outside of the memory an image may use.
    Memory,
    /// The payload's SHA-256 is not the header's.
    Checksum,
}

/// What a header says about the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Bytes of the payload.
    pub payload_length: u32,
    /// Address of the first instruction.
    pub entry: u32,
    /// The RAM segment table.
    pub segments: Table,
    /// Entries of the relocation table.
    pub relocations: u32,
}

impl From<&Header> for Facts {
    fn from(header: &Header) -> Self {
        Self {
            payload_length: header.payload_length,
            entry: header.entry,
            segments: header.segments,
            relocations: header.relocations.count,
        }
    }
}

impl Facts {
    /// Reads the header of an image that is executed on this board (its name padded with zeros), in a slot of so many
    /// bytes. Judges everything but name, version, reserved bytes and signature, which the checksum covers.
    pub fn read(view: &View<'_>, board: &[u8; BOARD_BYTES], slot_bytes: u32) -> Result<Self, Flaw> {
        if view.magic() != MAGIC {
            return Err(Flaw::NoImage);
        }
        if view.format() != FORMAT || usize::from(view.header_length()) != HEADER_BYTES {
            return Err(Flaw::Format);
        }
        let relocations = view.relocations();
        let facts = Self {
            payload_length: view.payload_length(),
            entry: view.entry(),
            segments: view.segments(),
            relocations: relocations.count,
        };
        if view.checksum() != view.computed_checksum()
            || facts.payload_length == 0
            || !relocations.holds_relocations(facts.payload_length)
            || !facts.segments.holds_segments(facts.relocations, facts.payload_length)
        {
            return Err(Flaw::Header);
        }
        if view.board() != *board {
            return Err(Flaw::Board);
        }
        if facts.payload_length > slot_bytes.saturating_sub(HEADER_BYTES as u32) {
            return Err(Flaw::Size);
        }
        if !is_entry(facts.entry) {
            return Err(Flaw::Memory);
        }
        Ok(facts)
    }
}

/// A payload as it streams by.
#[derive(Debug, Clone)]
pub(crate) struct PayloadCheck {
    facts: Facts,
    received: u32,
    relocations: TableCheck,
    /// The segment entry under way, and how much of it is there.
    segment: [u8; SEGMENT_BYTES],
    filled: u8,
    hash: Sha256,
}

impl PayloadCheck {
    /// Expects the payload of such a header.
    pub(crate) fn new(facts: Facts) -> Self {
        Self {
            relocations: TableCheck::new(facts.relocations),
            facts,
            received: 0,
            segment: [0; SEGMENT_BYTES],
            filled: 0,
            hash: Sha256::new(),
        }
    }

    /// Bytes that were taken.
    pub(crate) const fn received(&self) -> u32 {
        self.received
    }

    /// Bytes that are still to come.
    pub(crate) const fn missing(&self) -> u32 {
        self.facts.payload_length.saturating_sub(self.received)
    }

    /// Takes the next bytes, no more than are missing.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        let start = self.received;
        self.received = start.saturating_add(bytes.len() as u32);
        self.hash.update(bytes);
        let table = if self.facts.relocations > 0 { TABLE_BYTES } else { 0 };
        let (first, behind) = (self.facts.segments.offset, self.facts.segments.end(SEGMENT_BYTES as u32));
        // Nearly all pieces are code, and need no second look.
        if start >= table && (start >= behind || self.received <= first) {
            return Ok(());
        }
        for (at, byte) in (start..).zip(bytes) {
            if at < table {
                if !self.relocations.take(at, *byte, self.facts.payload_length) {
                    return Err(Flaw::Relocations);
                }
            } else if at >= first && at < behind {
                self.segment_byte(*byte)?;
            }
        }
        Ok(())
    }

    /// Takes a byte of the segment table.
    fn segment_byte(&mut self, byte: u8) -> Result<(), Flaw> {
        if let Some(to) = self.segment.get_mut(usize::from(self.filled)) {
            *to = byte;
        }
        self.filled = self.filled.saturating_add(1);
        if usize::from(self.filled) == SEGMENT_BYTES {
            self.filled = 0;
            if !Segment::parse(&self.segment).is_loadable(self.facts.payload_length) {
                return Err(Flaw::Memory);
            }
        }
        Ok(())
    }

    /// Whether the SHA-256 is this, when nothing is missing.
    pub(crate) fn finish(self, sha256: &[u8; 32]) -> Result<(), Flaw> {
        if self.hash.finalize()[..] == *sha256 { Ok(()) } else { Err(Flaw::Checksum) }
    }
}
