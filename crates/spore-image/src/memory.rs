//! Where in the ESP8266's RAM an image may be loaded: the RAM segment table.
//!
//! An entry has 12 bytes, little endian: address, offset in the payload, length in bytes. The bootloader copies the
//! segments to their addresses before it jumps to the image's entry.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::ops::Range;

/// Bytes of an entry of the RAM segment table.
pub const SEGMENT_BYTES: usize = 12;
/// Instruction RAM that no cache ever takes.
pub const IRAM: Range<u32> = 0x4010_0000..0x4010_8000;
/// Data RAM of a firmware.
pub const DRAM: Range<u32> = 0x3FFE_8000..0x3FFF_C000;
/// Data RAM that the bootloader lives in while it loads segments. A firmware has it for data that is not loaded.
pub const BOOTLOADER_DRAM: Range<u32> = 0x3FFF_8000..0x3FFF_C000;
/// Instruction RAM that the bootloader lives in, before the cache takes it.
pub const BOOTLOADER_IRAM: Range<u32> = 0x4010_8000..0x4011_0000;

/// A part of the payload that runs from RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes.
    pub address: u32,
    /// Where it lies, counted from the start of the payload.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

impl Segment {
    /// Reads an entry; judges nothing.
    pub fn parse(entry: &[u8; SEGMENT_BYTES]) -> Self {
        let word = |skip: usize| {
            let bytes = entry.get(skip..).and_then(|rest| rest.first_chunk()).copied();
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        Self { address: word(0), offset: word(4), length: word(8) }
    }

    /// Writes the entry.
    pub fn emit(&self) -> [u8; SEGMENT_BYTES] {
        let mut out = [0; SEGMENT_BYTES];
        let words = [self.address, self.offset, self.length].map(u32::to_le_bytes);
        for (to, from) in out.iter_mut().zip(words.as_flattened()) {
            *to = *from;
        }
        out
    }

    /// Whether the bootloader can load it out of a payload of so many bytes: whole words, into IRAM or into data RAM
    /// below the bootloader's own.
    pub fn is_loadable(&self, payload: u32) -> bool {
        let words = [self.address, self.offset, self.length].iter().all(|value| value.is_multiple_of(4));
        let inside = |range: Range<u32>| {
            self.address >= range.start
                && range.end.checked_sub(self.address).is_some_and(|room| self.length <= room)
        };
        words
            && self.length > 0
            && self.offset <= payload
            && payload.checked_sub(self.offset).is_some_and(|rest| self.length <= rest)
            && (inside(IRAM) || inside(DRAM.start..BOOTLOADER_DRAM.start))
    }
}

/// Whether an image may begin there: in IRAM, because the cache is off at its start.
pub fn is_entry(address: u32) -> bool {
    IRAM.contains(&address)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loadable(address: u32, offset: u32, length: u32) -> bool {
        Segment { address, offset, length }.is_loadable(1000)
    }

    #[test]
    fn where_segments_may_go() {
        assert!(loadable(0x4010_0000, 0, 1000));
        assert!(loadable(0x4010_7FFC, 996, 4));
        assert!(loadable(0x3FFE_8000, 4, 996));
        assert!(loadable(0x3FFF_7FFC, 4, 4));
        for (address, offset, length, why) in [
            (0x400F_FFFC, 0, 8, "begins before IRAM"),
            (0x4010_7FFC, 0, 8, "reaches into the bootloader's IRAM"),
            (0x4010_8000, 0, 4, "in the bootloader's IRAM"),
            (0x3FFE_7FFC, 0, 8, "begins before DRAM"),
            (0x3FFF_7FFC, 0, 8, "reaches into the bootloader's data"),
            (0x3FFF_8000, 0, 4, "in the bootloader's data"),
            (0x3FFF_FF00, 0, 4, "the stack"),
            (0x4020_2000, 0, 4, "flash"),
            (0xFFFF_FFFC, 0, 8, "the end of everything"),
            (0x4010_0002, 0, 4, "misaligned address"),
            (0x4010_0000, 2, 4, "misaligned offset"),
            (0x4010_0000, 0, 6, "misaligned length"),
            (0x4010_0000, 0, 0, "empty"),
            (0x4010_0000, 1000, 4, "behind the payload"),
            (0x4010_0000, 0, 1004, "longer than the payload"),
            (0x4010_0000, 0xFFFF_FFFC, 8, "wraps"),
        ] {
            assert!(!loadable(address, offset, length), "{why}");
        }
        assert!(is_entry(0x4010_0004) && !is_entry(0) && !is_entry(0x4010_8000));
    }

    proptest! {
        #[test]
        fn entries_are_written_as_they_are_read(bytes: [u8; SEGMENT_BYTES], payload: u32) {
            let segment = Segment::parse(&bytes);
            prop_assert_eq!(segment.emit(), bytes);
            if segment.is_loadable(payload) {
                let end = u64::from(segment.address) + u64::from(segment.length);
                prop_assert!(end <= 0x4010_8000 && !(0x3FFF_8001..=0x4010_0000).contains(&end));
                prop_assert!(u64::from(segment.offset) + u64::from(segment.length) <= u64::from(payload));
            }
        }
    }
}
