//! The check of an image while its bytes stream by, in pieces of any size.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::error::ImageError;
use crate::header::{BOARD_BYTES, HEADER_BYTES, Header, MAGIC};
use crate::memory::{SEGMENT_BYTES, Segment};
use crate::relocation::{TABLE_BYTES, TableCheck};
use heapless::{String, Vec};
use sha2::{Digest, Sha256};

/// How far an image has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes received so far, header included.
    pub received: u32,
    /// Bytes of the whole image, once the header is known.
    pub total: Option<u32>,
}

/// An image that was whole, with the right checksum, for this board, and small enough for the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says about itself.
    pub header: Header,
}

/// Judges the tables of a payload as they stream by.
#[derive(Debug, Clone)]
struct Tables {
    relocations: TableCheck,
    /// The segment entry under way.
    segment: Vec<u8, SEGMENT_BYTES>,
}

impl Tables {
    const fn new(header: &Header) -> Self {
        Self { relocations: TableCheck::new(header.relocations.count), segment: Vec::new() }
    }

    /// Takes the payload's bytes from `start` on.
    fn take(&mut self, header: &Header, start: u32, bytes: &[u8]) -> Result<(), ImageError> {
        let table = if header.relocations.count > 0 { TABLE_BYTES } else { 0 };
        for (at, byte) in part(start, bytes, 0, table) {
            if !self.relocations.take(at, byte, header.payload_length) {
                return Err(ImageError::BadRelocations);
            }
        }
        let segments = header.segments;
        for (_, byte) in part(start, bytes, segments.offset, segments.end(SEGMENT_BYTES as u32)) {
            // Cannot fail: it is emptied when it is full.
            self.segment.push(byte).unwrap_or_default();
            if let Some(entry) = self.segment.as_slice().first_chunk() {
                if !Segment::parse(entry).is_loadable(header.payload_length) {
                    return Err(ImageError::NotLoadable);
                }
                self.segment.clear();
            }
        }
        Ok(())
    }
}

/// The bytes from offset `from` up to `to`, with their offsets, out of those that begin at `start`.
fn part(start: u32, bytes: &[u8], from: u32, to: u32) -> impl Iterator<Item = (u32, u8)> {
    let first = from.max(start);
    let length = to.saturating_sub(first);
    let skip = first.saturating_sub(start);
    let behind = bytes.get(skip as usize..).unwrap_or_default();
    (first..).zip(behind.iter().copied()).take(length as usize)
}

/// Checks an image as it comes: the header as soon as it is there, the tables as they pass, the payload at the end.
///
/// Every error is found as early as the bytes allow, and stays: once wrong, every further call says so again.
#[derive(Debug, Clone)]
pub struct Verifier {
    board: String<BOARD_BYTES>,
    slot_bytes: u32,
    head: Vec<u8, HEADER_BYTES>,
    header: Option<Header>,
    tables: Option<Tables>,
    payload_received: u32,
    hash: Sha256,
    error: Option<ImageError>,
}

impl Verifier {
    /// Expects an image for the board, in a slot of so many bytes. A board name of more than 16 bytes is cut off, and
    /// fits no image.
    pub fn new(board: &str, slot_bytes: u32) -> Self {
        Self {
            board: if board.len() > BOARD_BYTES {
                String::new()
            } else {
                board.chars().filter(char::is_ascii).collect()
            },
            slot_bytes,
            head: Vec::new(),
            header: None,
            tables: None,
            payload_received: 0,
            hash: Sha256::new(),
            error: None,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, chunk: &[u8]) -> Result<Progress, ImageError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        self.take(chunk).inspect_err(|error| self.error = Some(error.clone()))?;
        Ok(self.progress())
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), ImageError> {
        let missing = HEADER_BYTES.saturating_sub(self.head.len());
        let (head, payload) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
        // Cannot fail: no more than what is missing.
        self.head.extend_from_slice(head).unwrap_or_default();
        if self.header.is_none() {
            if !self.head.iter().zip(MAGIC.iter()).all(|(byte, magic)| byte == magic) {
                return Err(ImageError::WrongMagic);
            }
            if self.head.is_full() {
                let header = Header::parse(&self.head)?;
                header.accept(&self.board, self.slot_bytes)?;
                self.tables = Some(Tables::new(&header));
                self.header = Some(header);
            }
        }
        let (Some(header), Some(tables)) = (&self.header, &mut self.tables) else { return Ok(()) };
        let missing = header.payload_length.saturating_sub(self.payload_received);
        // What is wrong inside comes before what follows, however the stream is cut.
        let (inside, behind) = payload.split_at_checked(missing as usize).unwrap_or((payload, &[]));
        tables.take(header, self.payload_received, inside)?;
        self.hash.update(inside);
        let length = u32::try_from(inside.len()).unwrap_or(missing);
        self.payload_received = self.payload_received.saturating_add(length);
        if behind.is_empty() { Ok(()) } else { Err(ImageError::TrailingBytes) }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let head = u32::try_from(self.head.len()).unwrap_or(u32::MAX);
        Progress {
            received: head.saturating_add(self.payload_received),
            total: self.header.as_ref().map(Header::image_length),
        }
    }

    /// The header, once it is there and acceptable.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The verdict, when all bytes were handed in.
    pub fn finish(&self) -> Result<Verified, ImageError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let Progress { received, total } = self.progress();
        let Some(header) = &self.header else {
            let expected = u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX);
            return Err(ImageError::Truncated { expected, received });
        };
        if let Some(expected) = total
            && received < expected
        {
            return Err(ImageError::Truncated { expected, received });
        }
        if self.hash.clone().finalize()[..] != header.sha256 {
            return Err(ImageError::WrongChecksum);
        }
        Ok(Verified { header: header.clone() })
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
    use crate::build::build_into;
    use proptest::prelude::*;

    fn image(payload: &[u8]) -> std::vec::Vec<u8> {
        let header = Header::new("virtual", "hello", "1.0.0".parse().unwrap()).unwrap();
        let mut out = vec![0; HEADER_BYTES + payload.len()];
        let length = build_into(header, payload, &mut out).unwrap();
        assert_eq!(length, out.len());
        out
    }

    fn verdict(bytes: &[u8], chunk: usize, slot: u32) -> Result<Verified, ImageError> {
        let mut verifier = Verifier::new("virtual", slot);
        for piece in bytes.chunks(chunk) {
            verifier.update(piece)?;
        }
        verifier.finish()
    }

    #[test]
    fn good_in_any_pieces() {
        let image = image(&[7; 1001]);
        for chunk in [1, 3, 255, 256, 257, 4096] {
            assert_eq!(verdict(&image, chunk, 4096).unwrap().header.payload_length, 1001);
        }
    }

    #[test]
    fn progress_is_told() {
        let image = image(&[7; 1001]);
        let mut verifier = Verifier::new("virtual", 4096);
        assert_eq!(verifier.update(&image[..255]).unwrap(), Progress { received: 255, total: None });
        assert!(verifier.header().is_none());
        assert_eq!(verifier.update(&image[255..300]).unwrap(), Progress { received: 300, total: Some(1257) });
        assert_eq!(verifier.header().unwrap().name, "hello");
    }

    #[test]
    fn every_truncation() {
        let image = image(&[7; 40]);
        for length in 0..image.len() {
            let expected = if length < 256 { 256 } else { 296 };
            let received = u32::try_from(length).unwrap();
            assert_eq!(
                verdict(&image[..length], 64, 4096),
                Err(ImageError::Truncated { expected, received })
            );
        }
    }

    #[test]
    fn what_else_is_wrong() {
        let good = image(&[7; 1001]);
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(verdict(&longer, 100, 4096), Err(ImageError::TrailingBytes));
        assert_eq!(verdict(&good, 100, 1256), Err(ImageError::TooLarge { image: 1257, slot: 1256 }));
        let mut damaged = good.clone();
        damaged[700] ^= 1;
        assert_eq!(verdict(&damaged, 100, 4096), Err(ImageError::WrongChecksum));
        assert_eq!(verdict(b"<html>", 1, 4096), Err(ImageError::WrongMagic));
        let mut other = Verifier::new("esp8266", 4096);
        assert!(matches!(other.update(&good), Err(ImageError::ForeignBoard { .. })));
        // The error stays, whatever follows.
        assert!(matches!(other.update(&[]), Err(ImageError::ForeignBoard { .. })));
        assert!(matches!(other.finish(), Err(ImageError::ForeignBoard { .. })));
        let mut unnamed = Verifier::new("a-board-name-that-is-too-long", 4096);
        assert!(matches!(unnamed.update(&good), Err(ImageError::ForeignBoard { .. })));
    }

    #[test]
    fn small_enough_for_a_node() {
        assert!(size_of::<Verifier>() <= 800, "{}", size_of::<Verifier>());
    }

    proptest! {
        #[test]
        fn a_damaged_image_never_passes(at in 0usize..556, flip in 1u8..) {
            let mut image = image(&[7; 300]);
            image[at] ^= flip;
            prop_assert!(verdict(&image, 64, 4096).is_err());
        }
    }
}
