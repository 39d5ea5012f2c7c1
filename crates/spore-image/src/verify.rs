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
use crate::payload::{Facts, Flaw, PayloadCheck};
use heapless::{String, Vec};

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

/// Checks an image as it comes: the header as soon as it is there, the tables as they pass, the payload at the end.
///
/// Every error is found as early as the bytes allow, and stays: once wrong, every further call says so again.
#[derive(Debug, Clone)]
pub struct Verifier {
    board: String<BOARD_BYTES>,
    slot_bytes: u32,
    stage: Stage,
    error: Option<ImageError>,
}

/// What comes next.
#[derive(Debug, Clone)]
enum Stage {
    Head(Vec<u8, HEADER_BYTES>),
    Payload(Header, PayloadCheck),
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
            stage: Stage::Head(Vec::new()),
            error: None,
        }
    }

    /// Begins anew, with an image for the same board and slot.
    pub fn restart(&mut self) {
        self.stage = Stage::Head(Vec::new());
        self.error = None;
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
        let mut payload = chunk;
        if let Stage::Head(bytes) = &mut self.stage {
            let missing = HEADER_BYTES.saturating_sub(bytes.len());
            let (head, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
            payload = rest;
            // Cannot fail: no more than what is missing.
            bytes.extend_from_slice(head).unwrap_or_default();
            if !bytes.iter().zip(MAGIC.iter()).all(|(byte, magic)| byte == magic) {
                return Err(ImageError::WrongMagic);
            }
            if bytes.is_full() {
                let header = Header::parse(bytes)?;
                header.accept(&self.board, self.slot_bytes)?;
                let check = PayloadCheck::new(Facts::from(&header));
                self.stage = Stage::Payload(header, check);
            }
        }
        let Stage::Payload(_, check) = &mut self.stage else { return Ok(()) };
        // What is wrong inside comes before what follows, however the stream is cut.
        let (inside, behind) = payload.split_at_checked(check.missing() as usize).unwrap_or((payload, &[]));
        check.take(inside).map_err(told)?;
        if behind.is_empty() { Ok(()) } else { Err(ImageError::TrailingBytes) }
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        let bytes = |count| u32::try_from(count).unwrap_or(u32::MAX);
        match &self.stage {
            Stage::Head(head) => Progress { received: bytes(head.len()), total: None },
            Stage::Payload(header, check) => Progress {
                received: bytes(HEADER_BYTES).saturating_add(check.received()),
                total: Some(header.image_length()),
            },
        }
    }

    /// The header, once it is there and acceptable.
    pub fn header(&self) -> Option<&Header> {
        match &self.stage {
            Stage::Head(_) => None,
            Stage::Payload(header, _) => Some(header),
        }
    }

    /// The verdict, when all bytes were handed in.
    pub fn finish(&self) -> Result<Verified, ImageError> {
        Ok(Verified { header: self.judge()?.clone() })
    }

    /// [`Verifier::finish`] without a copy: the header of an image that is as it says.
    pub fn judge(&self) -> Result<&Header, ImageError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let Progress { received, total } = self.progress();
        let Stage::Payload(header, payload) = &self.stage else {
            let expected = u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX);
            return Err(ImageError::Truncated { expected, received });
        };
        if let Some(expected) = total
            && received < expected
        {
            return Err(ImageError::Truncated { expected, received });
        }
        payload.clone().finish(&header.sha256).map_err(told)?;
        Ok(header)
    }
}

/// What is wrong with a payload, as it is told; the header is known to be good.
const fn told(flaw: Flaw) -> ImageError {
    match flaw {
        Flaw::Relocations => ImageError::BadRelocations,
        Flaw::Memory => ImageError::NotLoadable,
        _ => ImageError::WrongChecksum,
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
        assert!(size_of::<Verifier>() <= 850, "{}", size_of::<Verifier>());
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
