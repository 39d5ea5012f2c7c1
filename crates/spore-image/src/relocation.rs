//! Moving an image from one slot to the other.
//!
//! An image is linked for slot A. Code for execution in place names places in flash by absolute words, and these words
//! are all that differs when it is linked for slot B. The relocation table lists them. It lies in the first
//! [`TABLE_BYTES`] bytes of the payload, so that it is known when the code streams in:
//!
//! - for each word, in ascending order, the distance from the word before (the first: from the start of the payload), in
//!   words of 4 bytes, as LEB128 (seven bits a byte, lowest first, the top bit set in all but the last), in as few bytes
//!   as possible and at most [`ENTRY_BYTES`];
//! - then 0xFF up to [`TABLE_BYTES`].
//!
//! So words are aligned and sorted by construction; none may lie in the table or reach past the payload. Without
//! relocations there is no table, and the payload begins with what it likes.
//!
//! A word that is named changes by the distance of the slots if its value lies in a slot's window of addresses. What lies
//! in A's window goes to B's *and the other way round*, which makes moving its own inverse for every image, whatever the
//! words hold: [`Relocator`] needs no direction.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::layout::{FLASH_WINDOW, FlashMap, Slot};

/// Bytes at the start of the payload that belong to the table. With the header they fill the slot's first sector, so
/// that code begins on the second.
pub const TABLE_BYTES: u32 = 3840;
/// The longest entry in bytes: three times seven bits of words are 8 MB.
pub const ENTRY_BYTES: u8 = 3;
/// Bytes of the table that are read at a time.
const WINDOW: usize = 64;

/// Why a table cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodeError {
    /// The word at this offset is misaligned, inside the table, not behind the one before, or too far from it.
    Order(u32),
    /// The table has no room for this many more words.
    Full(usize),
}

impl core::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Order(offset) => write!(f, "the word at payload offset {offset:#x} cannot be relocated"),
            Self::Full(left) => {
                write!(f, "the relocation table of {TABLE_BYTES} bytes is full, {left} words are left over")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Writes the table of the words at these offsets in the payload, ascending, and returns how many bytes it has before
/// the padding. For none, the table is all padding.
pub fn encode(offsets: &[u32], out: &mut [u8; TABLE_BYTES as usize]) -> Result<usize, EncodeError> {
    out.fill(0xFF);
    let mut to = out.iter_mut();
    let mut before = 0u32;
    let mut used = 0usize;
    for (index, &offset) in offsets.iter().enumerate() {
        let delta = offset.checked_sub(before).map_or(0, |bytes| bytes / 4);
        if !offset.is_multiple_of(4)
            || offset < TABLE_BYTES
            || delta == 0
            || delta >> (7 * u32::from(ENTRY_BYTES)) != 0
        {
            return Err(EncodeError::Order(offset));
        }
        before = offset;
        let mut rest = delta;
        loop {
            let more = rest >> 7 != 0;
            let byte = to.next().ok_or(EncodeError::Full(offsets.len().saturating_sub(index)))?;
            *byte = u8::try_from(rest & 0x7F).unwrap_or_default() | if more { 0x80 } else { 0 };
            used = used.saturating_add(1);
            rest >>= 7;
            if !more {
                break;
            }
        }
    }
    Ok(used)
}

/// An entry that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Malformed;

/// The words of a table, decoded a byte at a time.
#[derive(Debug, Clone, Copy, Default)]
struct Decoder {
    /// Offset of the last word in bytes.
    word: u32,
    delta: u32,
    bytes: u8,
}

impl Decoder {
    /// Takes a byte; the offset of a word in bytes when one is complete.
    fn take(&mut self, byte: u8) -> Result<Option<u32>, Malformed> {
        if self.bytes >= ENTRY_BYTES {
            return Err(Malformed);
        }
        self.delta |= u32::from(byte & 0x7F) << 7u8.saturating_mul(self.bytes);
        self.bytes = self.bytes.saturating_add(1);
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        // A last byte of zero: the same word again, or a longer form than needed.
        if byte == 0 {
            return Err(Malformed);
        }
        self.word = self.word.saturating_add(self.delta.saturating_mul(4));
        (self.delta, self.bytes) = (0, 0);
        Ok(Some(self.word))
    }
}

/// Judges a table as it streams by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableCheck {
    left: u32,
    decoder: Decoder,
}

impl TableCheck {
    /// Expects so many entries; 0: there is no table.
    pub(crate) const fn new(entries: u32) -> Self {
        Self { left: entries, decoder: Decoder { word: 0, delta: 0, bytes: 0 } }
    }

    /// Takes the byte of the table region at payload offset `at`, below [`TABLE_BYTES`]. Whether it may be there, in
    /// a payload of so many bytes.
    pub(crate) fn take(&mut self, at: u32, byte: u8, payload: u32) -> bool {
        if self.left == 0 {
            return byte == 0xFF;
        }
        match self.decoder.take(byte) {
            Err(Malformed) => return false,
            Ok(None) => {}
            Ok(Some(word)) => {
                if word < TABLE_BYTES || word.saturating_add(4) > payload {
                    return false;
                }
                self.left = self.left.saturating_sub(1);
            }
        }
        // The last byte of the region must have ended the last entry.
        self.left == 0 || at.saturating_add(1) < TABLE_BYTES
    }
}

/// A few bytes of the table, on a word boundary.
#[derive(Debug, Clone)]
#[repr(align(4))]
struct Window([u8; WINDOW]);

/// Moves an image between the slots while it streams by, payload byte 0 first, in pieces of whole words.
///
/// It believes the table as far as nothing can go wrong by it: what a damaged one names is moved or not, and an SHA-256
/// finds out. Tables of images are judged by [`crate::Verifier`].
#[derive(Debug, Clone)]
pub struct Relocator {
    a: u32,
    b: u32,
    bytes: u32,
    /// Payload offset of the next piece.
    position: u32,
    /// Entries that were not decoded yet.
    left: u32,
    /// Table byte that is decoded next.
    cursor: u32,
    decoder: Decoder,
    /// Word that comes next, if one is decoded.
    next: Option<u32>,
    window: Window,
}

impl Relocator {
    /// For an image with so many relocations between the slots of the map.
    pub const fn new(map: &FlashMap, relocations: u32) -> Self {
        Self {
            a: FLASH_WINDOW.saturating_add(map.slot(Slot::A).offset),
            b: FLASH_WINDOW.saturating_add(map.slot(Slot::B).offset),
            bytes: map.slot_bytes(),
            position: 0,
            left: relocations,
            cursor: 0,
            decoder: Decoder { word: 0, delta: 0, bytes: 0 },
            next: None,
            window: Window([0; WINDOW]),
        }
    }

    /// Moves what the next piece of the payload holds. Every piece but the last is a multiple of 4 bytes long, 0 too.
    ///
    /// `table` fills its buffer with the payload's bytes from an offset on, both multiples of 64 and inside the first
    /// [`TABLE_BYTES`]. It is asked for pieces behind the table only, and only if there are relocations.
    ///
    /// Errors: what `table` says.
    pub fn piece<E>(
        &mut self,
        piece: &mut [u8],
        mut table: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.position;
        let end = start.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        self.position = end;
        if end <= TABLE_BYTES {
            return Ok(());
        }
        while let Some(word) = self.upcoming(&mut table)? {
            if word >= end {
                break;
            }
            self.next = None;
            let bytes = word
                .checked_sub(start)
                .and_then(|from| piece.get_mut(from as usize..))
                .and_then(|rest| rest.first_chunk_mut::<4>());
            if let Some(bytes) = bytes {
                *bytes = self.moved(u32::from_le_bytes(*bytes)).to_le_bytes();
            }
        }
        Ok(())
    }

    /// The next word that is named.
    fn upcoming<E>(
        &mut self,
        table: &mut impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<Option<u32>, E> {
        while self.next.is_none() && self.left > 0 && self.cursor < TABLE_BYTES {
            let at = self.cursor as usize % WINDOW;
            if at == 0 {
                table(self.cursor, &mut self.window.0)?;
            }
            self.cursor = self.cursor.saturating_add(1);
            match self.window.0.get(at).map(|byte| self.decoder.take(*byte)) {
                Some(Ok(Some(word))) => {
                    self.left = self.left.saturating_sub(1);
                    self.next = Some(word);
                }
                Some(Ok(None)) => {}
                // Not a table.
                Some(Err(Malformed)) | None => self.left = 0,
            }
        }
        Ok(self.next)
    }

    /// An address of one slot as one of the other.
    const fn moved(&self, value: u32) -> u32 {
        let (in_a, in_b) = (value.wrapping_sub(self.a), value.wrapping_sub(self.b));
        if in_a < self.bytes {
            self.b.wrapping_add(in_a)
        } else if in_b < self.bytes {
            self.a.wrapping_add(in_b)
        } else {
            value
        }
    }
}
