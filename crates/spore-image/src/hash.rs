//! SHA-256 (FIPS 180-4) of what comes in whole pages, in less code than a general one: the compression is the `sha2`
//! crate's, only the padding is done here. For the bootloader.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use sha2::block_api::compress256;

/// Bytes of a page: four blocks.
pub const PAGE_BYTES: usize = 256;
const BLOCK_BYTES: usize = 64;

/// The hash of the pages so far.
#[derive(Debug, Clone)]
pub struct PageHash([u32; 8]);

impl PageHash {
    /// Of nothing. The numbers are those of FIPS 180-4, section 5.3.3.
    pub const fn new() -> Self {
        Self([
            0x6A09_E667,
            0xBB67_AE85,
            0x3C6E_F372,
            0xA54F_F53A,
            0x510E_527F,
            0x9B05_688C,
            0x1F83_D9AB,
            0x5BE0_CD19,
        ])
    }

    /// Takes a page.
    pub fn page(&mut self, page: &[u8; PAGE_BYTES]) {
        compress256(&mut self.0, page.as_chunks().0);
    }

    /// Takes the last `length % 256` bytes out of a page whose other bytes do not matter, and compares the hash of all
    /// `length` bytes, of less than 512 MB.
    pub fn matches(mut self, page: &mut [u8; PAGE_BYTES], length: u32, expected: &[u8; 32]) -> bool {
        let used = length as usize % PAGE_BYTES;
        let (_, rest) = page.split_at_mut(used);
        rest.fill(0);
        if let Some(first) = rest.first_mut() {
            *first = 0x80;
        }
        // The length takes up the last 8 bytes of a block; its upper half is zero.
        let end = used.wrapping_add(9).next_multiple_of(BLOCK_BYTES);
        if end > PAGE_BYTES {
            self.page(page);
            page.fill(0);
        }
        let last = end.wrapping_sub(1) % PAGE_BYTES / BLOCK_BYTES;
        let blocks = page.as_chunks_mut::<BLOCK_BYTES>().0;
        if let Some(bytes) = blocks.get_mut(last).and_then(|block| block.last_chunk_mut()) {
            *bytes = length.wrapping_mul(8).to_be_bytes();
        }
        compress256(&mut self.0, blocks.get(..=last).unwrap_or_default());
        self.0.iter().zip(expected.as_chunks().0).all(|(word, bytes)| *word == u32::from_be_bytes(*bytes))
    }
}

impl Default for PageHash {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn as_the_general_one_for_every_length() {
        let bytes: std::vec::Vec<u8> = (0..1100u32).map(|byte| ((byte * 31) >> 2) as u8).collect();
        for length in 0..bytes.len() {
            let expected: [u8; 32] = Sha256::digest(&bytes[..length]).into();
            let mut hash = PageHash::new();
            let (pages, rest) = bytes[..length].as_chunks();
            for page in pages {
                hash.page(page);
            }
            let mut last = [0xEE; PAGE_BYTES];
            last[..rest.len()].copy_from_slice(rest);
            let mut wrong = expected;
            wrong[length % 32] ^= 1;
            assert!(!hash.clone().matches(&mut last.clone(), length as u32, &wrong));
            assert!(hash.matches(&mut last, length as u32, &expected), "{length}");
        }
    }
}
