//! The way of an image over the serial line, for a node with no image to start.
//!
//! The sender cuts the image into blocks of 1024 bytes, fills the last one up with 0xFF, and sends each in a frame:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | `SP` |
//! | 2 | 2 | number of the block, from 0 |
//! | 4 | 1024 | block |
//! | 1028 | 4 | CRC-32 (ISO-HDLC) of bytes 0 to 1027 |
//!
//! All numbers are little endian. The node answers every frame with three bytes: one of [`ACK`], [`NAK`] and [`CANCEL`],
//! then the number of the block it waits for. The sender sends that block next, or the last one again when no answer
//! came in two seconds. After `CANCEL` the image will not do (or flash is broken), and the node begins anew at block 0.
//! The last block is acknowledged with the number of blocks.
//!
//! Blocks go to slot A as they come. Nothing is judged here but the header: at the next start, the whole image is.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::check::SlotFlaw;
use crate::{PAGE, erase, program};
use embedded_storage::nor_flash::NorFlash;
use spore_image::header::{BOARD_BYTES, View};
use spore_image::payload::Facts;
use spore_image::{FlashMap, HEADER_BYTES, SECTOR, Slot, crc32};

/// Bytes of a block.
pub const BLOCK_BYTES: usize = 1024;
/// Bytes of a frame.
pub const FRAME_BYTES: usize = 2 + 2 + BLOCK_BYTES + 4;
/// The frame was good, or came before.
pub const ACK: u8 = 0x06;
/// The frame was damaged, or not the one that is waited for.
pub const NAK: u8 = 0x15;
/// The image is refused.
pub const CANCEL: u8 = 0x18;

const MAGIC: [u8; 2] = *b"SP";
const DATA: usize = 4;
const CRC: usize = DATA + BLOCK_BYTES;

/// The frame of a block of an image; `None` behind its end.
pub fn frame(image: &[u8], number: u16) -> Option<[u8; FRAME_BYTES]> {
    let start = usize::from(number).saturating_mul(BLOCK_BYTES);
    let block = image.get(start..).filter(|rest| !rest.is_empty())?;
    let mut out = [0xFF; FRAME_BYTES];
    let [low, high] = number.to_le_bytes();
    let content = [MAGIC[0], MAGIC[1], low, high].into_iter().chain(block.iter().copied());
    for (to, from) in out.iter_mut().zip(content).take(CRC) {
        *to = from;
    }
    let (covered, crc) = out.split_last_chunk_mut::<4>()?;
    *crc = crc32(covered).to_le_bytes();
    Some(out)
}

/// What came of a byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// Send this.
    Answer([u8; 3]),
    /// Send this, and start again: the image is in slot A.
    Done([u8; 3]),
    /// Send this, and say why.
    Refused([u8; 3], SlotFlaw),
}

/// A frame on a word boundary.
#[derive(Debug)]
#[repr(align(4))]
struct Frame([u8; FRAME_BYTES]);

/// Receives an image.
#[derive(Debug)]
pub struct Receiver {
    frame: Frame,
    filled: usize,
    next: u16,
    /// Blocks of the image, once its header was seen.
    blocks: u16,
}

impl Receiver {
    /// Waits for block 0.
    pub const fn new() -> Self {
        Self { frame: Frame([0; FRAME_BYTES]), filled: 0, next: 0, blocks: 0 }
    }

    /// Takes a byte from the line, for a board whose name is padded with zeros.
    pub fn byte<F: NorFlash>(
        &mut self,
        flash: &mut F,
        map: &FlashMap,
        board: &[u8; BOARD_BYTES],
        byte: u8,
    ) -> Step {
        if let Some(to) = self.frame.0.get_mut(self.filled) {
            *to = byte;
        }
        self.filled = match (self.filled, byte) {
            (0, b'S') => 1,
            (0, _) => return Step::Wait,
            (1, b'P') => 2,
            (1, b'S') => return Step::Wait,
            (1, _) => {
                self.filled = 0;
                return Step::Wait;
            }
            (filled, _) => filled.saturating_add(1),
        };
        if self.filled < FRAME_BYTES {
            return Step::Wait;
        }
        self.filled = 0;
        self.block(flash, map, board)
    }

    /// Nothing came for a second. What is left of a frame is forgotten, and the answer to send says so.
    pub fn silence(&mut self) -> Step {
        if self.filled == 0 {
            return Step::Wait;
        }
        self.filled = 0;
        Step::Answer(self.answer(NAK))
    }

    const fn answer(&self, verdict: u8) -> [u8; 3] {
        let [low, high] = self.next.to_le_bytes();
        [verdict, low, high]
    }

    /// A whole frame is there.
    fn block<F: NorFlash>(&mut self, flash: &mut F, map: &FlashMap, board: &[u8; BOARD_BYTES]) -> Step {
        let good = self
            .frame
            .0
            .split_last_chunk::<4>()
            .is_some_and(|(covered, crc)| u32::from_le_bytes(*crc) == crc32(covered));
        let number = match self.frame.0 {
            [_, _, low, high, ..] if good => u16::from_le_bytes([low, high]),
            _ => return Step::Answer(self.answer(NAK)),
        };
        if number != self.next {
            return Step::Answer(self.answer(if number < self.next { ACK } else { NAK }));
        }
        if let Err(fault) = self.store(flash, map, board) {
            self.next = 0;
            return Step::Refused(self.answer(CANCEL), fault);
        }
        self.next = self.next.saturating_add(1);
        let answer = self.answer(ACK);
        if self.next < self.blocks {
            return Step::Answer(answer);
        }
        self.next = 0;
        Step::Done(answer)
    }

    /// Puts the block that is waited for where it belongs.
    fn store<F: NorFlash>(
        &mut self,
        flash: &mut F,
        map: &FlashMap,
        board: &[u8; BOARD_BYTES],
    ) -> Result<(), SlotFlaw> {
        let block = self.frame.0.get(DATA..CRC).unwrap_or_default();
        if self.next == 0 {
            let facts = Facts::read(&View::new(block).ok_or(SlotFlaw::Flash)?, board, map.slot_bytes())?;
            let image = facts.payload_length.saturating_add(HEADER_BYTES as u32);
            let blocks = image.div_ceil(BLOCK_BYTES as u32);
            // A slot is smaller than 64 MB.
            self.blocks = u16::try_from(blocks).unwrap_or(u16::MAX);
        }
        let offset = u32::from(self.next).saturating_mul(BLOCK_BYTES as u32);
        let start = map.slot(Slot::A).offset.saturating_add(offset);
        if offset.is_multiple_of(SECTOR) {
            erase(flash, start)?;
        }
        for (at, page) in (start..).step_by(PAGE).zip(block.chunks(PAGE)) {
            program(flash, at, page)?;
        }
        Ok(())
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, feature = "testkit"))]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failing test may panic"
)]
mod tests {
    use super::*;
    use crate::testkit::{StrictFlash, small_map};
    use crate::{ResetCause, select};
    use proptest::prelude::*;
    use spore_image::Header;
    use spore_image::build::build_image;
    use spore_image::payload::Flaw;
    use std::vec::Vec;

    const BOARD: &str = "esp8266";
    const PADDED: &[u8; 16] = b"esp8266\0\0\0\0\0\0\0\0\0";

    fn image(bytes: usize) -> Vec<u8> {
        let mut header = Header::new(BOARD, "new", "2.0.0".parse().unwrap()).unwrap();
        header.entry = 0x4010_0004;
        let payload: Vec<u8> = (0..bytes as u32 - 256).map(|byte| (byte * 7 >> 3) as u8).collect();
        build_image(header, &payload).unwrap()
    }

    /// What a whole frame is answered with.
    fn send(receiver: &mut Receiver, flash: &mut StrictFlash, frame: &[u8]) -> Step {
        let map = small_map(4);
        let mut last = Step::Wait;
        for byte in frame {
            assert_eq!(last, Step::Wait, "an answer within a frame");
            last = receiver.byte(flash, &map, PADDED, *byte);
        }
        last
    }

    #[test]
    fn a_frame_is_laid_out_as_the_table_says() {
        let image: Vec<u8> = (0..1500u32).map(|byte| byte as u8).collect();
        let first = frame(&image, 0).unwrap();
        assert_eq!((&first[..4], &first[4..1028]), (&b"SP\0\0"[..], &image[..1024]));
        assert_eq!(first[1028..], crc32(&first[..1028]).to_le_bytes());
        let second = frame(&image, 1).unwrap();
        assert_eq!((&second[..4], &second[4..480]), (&b"SP\x01\0"[..], &image[1024..]));
        assert!(second[480..1028].iter().all(|byte| *byte == 0xFF));
        assert_eq!(frame(&image, 2), None);
        assert_eq!(frame(&image[..1024], 1), None);
    }

    #[test]
    fn an_image_arrives_and_starts() {
        let map = small_map(4);
        for bytes in [300, 1024, 4096, 4097, 16384] {
            let image = image(bytes);
            let mut flash = StrictFlash::new(&map);
            let mut receiver = Receiver::new();
            let blocks = u16::try_from(bytes.div_ceil(1024)).unwrap();
            for number in 0..blocks {
                let answer = send(&mut receiver, &mut flash, &frame(&image, number).unwrap());
                let [low, high] = (number + 1).to_le_bytes();
                let expected = [ACK, low, high];
                let last = number + 1 == blocks;
                assert_eq!(answer, if last { Step::Done(expected) } else { Step::Answer(expected) });
            }
            let boot = select(&mut flash, &map, BOARD, ResetCause::Restart).unwrap();
            assert_eq!((boot.slot, boot.header.image_length() as usize), (Slot::A, bytes));
        }
    }

    #[test]
    fn what_will_not_do_is_refused_before_anything_is_erased() {
        let map = small_map(4);
        let mut damaged = image(2000);
        damaged[30] ^= 1;
        for (bytes, expected) in
            [(&damaged[..], Flaw::Header), (b"no image", Flaw::NoImage), (&image(16385), Flaw::Size)]
        {
            let mut flash = StrictFlash::new(&map);
            let mut receiver = Receiver::new();
            let answer = send(&mut receiver, &mut flash, &frame(bytes, 0).unwrap());
            assert_eq!(answer, Step::Refused([CANCEL, 0, 0], SlotFlaw::Image(expected)));
            assert_eq!(flash.operations(), 0);
        }
    }

    #[test]
    fn frames_out_of_turn() {
        let map = small_map(4);
        let image = image(3000);
        let mut flash = StrictFlash::new(&map);
        let mut receiver = Receiver::new();
        let frames: Vec<_> = (0..3).map(|number| frame(&image, number).unwrap()).collect();
        assert_eq!(send(&mut receiver, &mut flash, &frames[1]), Step::Answer([NAK, 0, 0]));
        assert_eq!(send(&mut receiver, &mut flash, &frames[0]), Step::Answer([ACK, 1, 0]));
        assert_eq!(
            send(&mut receiver, &mut flash, &frames[0]),
            Step::Answer([ACK, 1, 0]),
            "not written twice"
        );
        let mut damaged = frames[1];
        damaged[500] ^= 1;
        assert_eq!(send(&mut receiver, &mut flash, &damaged), Step::Answer([NAK, 1, 0]));
        assert_eq!(receiver.silence(), Step::Wait);
        assert_eq!(send(&mut receiver, &mut flash, &frames[1][..700]), Step::Wait);
        assert_eq!(receiver.silence(), Step::Answer([NAK, 1, 0]));
        assert_eq!(send(&mut receiver, &mut flash, b"noise SSS"), Step::Wait);
        assert_eq!(receiver.silence(), Step::Answer([NAK, 1, 0]));
        assert_eq!(send(&mut receiver, &mut flash, &frames[1]), Step::Answer([ACK, 2, 0]));
        assert_eq!(send(&mut receiver, &mut flash, &frames[2]), Step::Done([ACK, 3, 0]));
    }

    #[test]
    fn broken_flash_is_told() {
        let mut flash = StrictFlash::new(&small_map(4));
        flash.cut_at(1, crate::testkit::Cut::Nothing);
        let answer = send(&mut Receiver::new(), &mut flash, &frame(&image(2000), 0).unwrap());
        assert!(matches!(answer, Step::Refused([CANCEL, 0, 0], SlotFlaw::Flash)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A sender as the protocol says, on a line that loses, damages and repeats frames and loses answers.
        #[test]
        fn a_bad_line_delays_and_does_no_harm(
            bytes in 257usize..16384, faults in proptest::collection::vec((0u8..6, 0usize..FRAME_BYTES), 0..20),
        ) {
            let map = small_map(4);
            let image = image(bytes);
            let mut flash = StrictFlash::new(&map);
            let mut receiver = Receiver::new();
            let mut faults = faults.into_iter();
            let mut number = 0;
            let done = loop {
                let mut sent = frame(&image, number).unwrap().to_vec();
                let (fault, at) = faults.next().unwrap_or((5, 0));
                match fault {
                    0 => sent.clear(),
                    1 => sent[at] ^= 0x40,
                    2 => drop(sent.remove(at)),
                    3 => sent.extend(sent.clone()),
                    _ => {}
                }
                let mut answers = Vec::new();
                for byte in sent {
                    answers.push(receiver.byte(&mut flash, &map, PADDED, byte));
                }
                answers.push(receiver.silence());
                let answer = answers.into_iter().rfind(|step| *step != Step::Wait);
                match answer {
                    Some(Step::Done(_)) => break true,
                    Some(Step::Answer([_, low, high])) if fault != 4 => number = u16::from_le_bytes([low, high]),
                    Some(Step::Refused(..)) => break false,
                    _ => {}
                }
            };
            prop_assert!(done);
            prop_assert!(select(&mut flash, &map, BOARD, ResetCause::Restart).is_ok());
        }
    }
}
