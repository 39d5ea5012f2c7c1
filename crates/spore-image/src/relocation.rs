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
use spore_sentence::say;

/// Bytes at the start of the payload that belong to the table. With the header they fill the slot's first sector, so
/// that code begins on the second.
pub const TABLE_BYTES: u32 = 3840;
/// The longest entry in bytes: three times seven bits of words are 8 MB.
pub const ENTRY_BYTES: u8 = 3;
/// Bytes of the table that are read at a time.
const WINDOW: usize = 16;

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
                say!(
                    f,
                    "the relocation table of ",
                    TABLE_BYTES,
                    " bytes is full, ",
                    left,
                    " words are left over"
                )
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
        self.delta |= u32::from(byte & 0x7F) << 7u8.wrapping_mul(self.bytes);
        self.bytes = self.bytes.wrapping_add(1);
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        // A last byte of zero: the same word again, or a longer form than needed.
        if byte == 0 {
            return Err(Malformed);
        }
        // No overflow in a table that is judged; elsewhere it does no harm.
        self.word = self.word.wrapping_add(self.delta.wrapping_mul(4));
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
    /// `table` fills its buffer with the payload's bytes from an offset on, both multiples of 16 and inside the first
    /// [`TABLE_BYTES`]. It is asked for pieces behind the table only, and only if there are relocations.
    ///
    /// Errors: what `table` says.
    pub fn piece<E>(
        &mut self,
        piece: &mut [u8],
        mut table: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.position;
        let end = start.wrapping_add(piece.len() as u32);
        self.position = end;
        if end <= TABLE_BYTES {
            return Ok(());
        }
        while let Some(word) = self.upcoming(&mut table)? {
            if word >= end {
                break;
            }
            self.next = None;
            // A word that lies before wraps to far behind the piece.
            let bytes = piece.get_mut(word.wrapping_sub(start) as usize..);
            let bytes = bytes.and_then(|rest| rest.first_chunk_mut::<4>());
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
            self.cursor = self.cursor.wrapping_add(1);
            match self.window.0.get(at).map(|byte| self.decoder.take(*byte)) {
                Some(Ok(Some(word))) => {
                    self.left = self.left.wrapping_sub(1);
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

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failing test may panic"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const TABLE: usize = TABLE_BYTES as usize;
    const MAP: FlashMap = match FlashMap::for_size(1 << 20) {
        Ok(map) => map,
        Err(_) => panic!("a map for 1 MB"),
    };
    /// The distance of the slots.
    const DISTANCE: u32 = 0x7A000;

    fn table(offsets: &[u32]) -> Result<Vec<u8>, EncodeError> {
        let mut out = [0; TABLE];
        encode(offsets, &mut out).map(|used| out[..used].to_vec())
    }

    /// The payload moved in pieces of the given sizes, in turn.
    fn moved(payload: &[u8], entries: u32, pieces: &[usize]) -> Vec<u8> {
        let mut out = payload.to_vec();
        let mut relocator = Relocator::new(&MAP, entries);
        let read = |offset: u32, bytes: &mut [u8]| {
            assert!(offset.is_multiple_of(16) && bytes.len() == 16, "whole windows");
            let offset = offset as usize;
            bytes.copy_from_slice(&payload[..TABLE][offset..offset + 16]);
            Ok::<(), ()>(())
        };
        let mut at = 0;
        for size in pieces.iter().cycle() {
            let end = (at + size * 4).min(out.len());
            relocator.piece(&mut out[at..end], read).unwrap();
            at = end;
            if at == out.len() {
                return out;
            }
        }
        unreachable!("a size is not zero")
    }

    /// What moving means, without a table and a stream.
    fn reference(payload: &[u8], offsets: &[u32]) -> Vec<u8> {
        let mut out = payload.to_vec();
        for offset in offsets {
            let word = &mut out[*offset as usize..][..4];
            let value = u32::from_le_bytes(word.try_into().unwrap());
            let value = match value {
                0x4020_2000..0x4027_C000 => value + DISTANCE,
                0x4027_C000..0x402F_6000 => value - DISTANCE,
                other => other,
            };
            word.copy_from_slice(&value.to_le_bytes());
        }
        out
    }

    /// Words that lie in a window, at its edges, or anywhere.
    fn word() -> impl Strategy<Value = u32> {
        prop_oneof![
            4 => 0x4020_2000u32..0x4027_C000,
            1 => 0x4027_C000u32..0x402F_6000,
            1 => proptest::sample::select(&[0x4020_1FFFu32, 0x4020_2000, 0x4027_BFFF, 0x4027_C000, 0x402F_6000][..]),
            1 => any::<u32>(),
        ]
    }

    /// A payload and the words its table names.
    fn payload() -> impl Strategy<Value = (Vec<u8>, Vec<u32>)> {
        (proptest::collection::vec((word(), any::<bool>(), 0u8..40), 1..120), 0usize..4).prop_map(
            |(words, tail)| {
                let mut out = vec![0; TABLE];
                let mut offsets = Vec::new();
                for (word, named, gap) in words {
                    out.resize(out.len() + usize::from(gap) * 4, 0x5A);
                    if named {
                        offsets.push(u32::try_from(out.len()).unwrap());
                    }
                    out.extend(word.to_le_bytes());
                }
                out.resize(out.len() + tail, 0xA5);
                encode(&offsets, out.first_chunk_mut().unwrap()).unwrap();
                (out, offsets)
            },
        )
    }

    #[test]
    fn bytes_are_where_the_page_says() {
        // 3840 bytes are 960 words: 0b111_1000000.
        assert_eq!(table(&[3840, 3844, 3844 + 127 * 4]), Ok(vec![0xC0, 0x07, 0x01, 0x7F]));
        assert_eq!(table(&[3840 + 0x8_0000]), Ok(vec![0xC0, 0x87, 0x08]));
        assert_eq!(table(&[]), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_named() {
        for wrong in [3836, 3841, 0, 4 << 21] {
            assert_eq!(table(&[wrong]), Err(EncodeError::Order(wrong)));
        }
        assert_eq!(table(&[4000, 4000]), Err(EncodeError::Order(4000)));
        assert_eq!(table(&[4000, 3996]), Err(EncodeError::Order(3996)));
        let many: Vec<u32> = (0..4000).map(|word| 3840 + 4 * word).collect();
        assert_eq!(table(&many[..3839]).unwrap().len(), 3840);
        assert_eq!(table(&many), Err(EncodeError::Full(161)));
    }

    #[test]
    fn three_thousand_words_fit() {
        // One word in 25, as measured on real firmware, some far apart.
        let mut at = 3840;
        let offsets: Vec<u32> = (0..3000)
            .map(|index| {
                at += if index % 10 == 0 { 4 * 200 } else { 4 * 6 };
                at
            })
            .collect();
        assert!(table(&offsets).unwrap().len() < 3400);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error() {
        let mut relocator = Relocator::new(&MAP, 1);
        assert_eq!(relocator.piece(&mut [0; TABLE], |_, _| Err("not yet")), Ok(()));
        assert_eq!(relocator.piece(&mut [0; 4], |_, _| Err("broken")), Err("broken"));
    }

    proptest! {
        #[test]
        fn moving_is_as_said_and_its_own_inverse(
            (payload, offsets) in payload(),
            pieces in proptest::collection::vec(0usize..300, 0..6), last in 1usize..2000,
        ) {
            let pieces: Vec<usize> = pieces.into_iter().chain([last]).collect();
            let entries = u32::try_from(offsets.len()).unwrap();
            let there = moved(&payload, entries, &pieces);
            prop_assert_eq!(&there, &reference(&payload, &offsets));
            prop_assert_eq!(moved(&there, entries, &[64]), payload);
        }

        #[test]
        fn no_table_does_harm(
            mut payload in proptest::collection::vec(any::<u8>(), TABLE + 4..TABLE + 400), entries: u32,
        ) {
            let there = moved(&payload, entries, &[64]);
            prop_assert_eq!(&there[..TABLE], &payload[..TABLE]);
            prop_assert_eq!(&moved(&there, entries, &[1, 7]), &payload);
            payload[..TABLE].fill(0xFF);
            prop_assert_eq!(&moved(&payload, entries, &[64]), &payload);
        }

        #[test]
        fn a_table_is_good_if_and_only_if_it_is_written_so(
            (payload, offsets) in payload(), at in 0usize..TABLE, flip: u8, more in -1i32..2,
        ) {
            let mut changed: [u8; TABLE] = *payload.first_chunk().unwrap();
            changed[at] ^= flip;
            let entries = u32::try_from(i32::try_from(offsets.len()).unwrap() + more).unwrap_or(0);
            let bytes = u32::try_from(payload.len()).unwrap();
            let mut check = TableCheck::new(entries);
            let good = (0..).zip(&changed).all(|(at, byte)| check.take(at, *byte, bytes));
            // The words it names, read the slow way.
            let mut words = vec![];
            let mut decoder = Decoder::default();
            for byte in changed {
                if words.len() < entries as usize {
                    match decoder.take(byte) {
                        Ok(Some(word)) => words.push(word),
                        Ok(None) => {}
                        Err(Malformed) => break,
                    }
                }
            }
            let mut again = [0; TABLE];
            let canonical = words.len() == entries as usize
                && words.iter().all(|word| word + 4 <= bytes)
                && encode(&words, &mut again).is_ok()
                && again == changed;
            prop_assert_eq!(good, canonical);
            if flip == 0 {
                prop_assert_eq!(good, more == 0 || (offsets.is_empty() && more < 0));
            }
        }
    }
}
