//! The proof of a WebSocket's handshake: `Sec-WebSocket-Accept` (RFC 6455, 4.2.2).
//!
//! The SHA-1 here is small rather than fast: it hashes 60 bytes per connection, and libraries' unrolled ones take 7 KB of
//! an ESP8266's flash.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

/// Bytes of a key: 16 random ones in base64.
const KEY: usize = 24;
/// What the server adds to it.
const SUFFIX: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bits that are hashed.
const BITS: u64 = (KEY + SUFFIX.len()) as u64 * 8;
/// Bytes of the proof.
pub const PROOF: usize = 28;

/// The proof for a client's key; `None` when the key has not 24 bytes.
pub fn proof(key: &str) -> Option<[u8; PROOF]> {
    let key: &[u8; KEY] = key.as_bytes().try_into().ok()?;
    // 60 bytes, the bit after them, and the length in bits make two blocks.
    let mut blocks = [0u8; 128];
    let message = key.iter().chain(SUFFIX).chain(&[0x80]);
    blocks.iter_mut().zip(message).for_each(|(place, byte)| *place = *byte);
    let bits = BITS.to_be_bytes();
    blocks.iter_mut().rev().zip(bits.iter().rev()).for_each(|(place, byte)| *place = *byte);
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in blocks.chunks_exact(64) {
        compress(&mut state, block);
    }
    let mut digest = [0u8; 20];
    digest
        .chunks_exact_mut(4)
        .zip(state)
        .for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
    Some(base64(&digest))
}

/// One block of SHA-1 (RFC 3174, 6.2).
fn compress(state: &mut [u32; 5], block: &[u8]) {
    let mut words = [0u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for step in 0..80u8 {
        let word = words[0];
        // The word 16 steps on, from those 3, 8, 14 and 16 before it.
        let next = (words[13] ^ words[8] ^ words[2] ^ word).rotate_left(1);
        words.rotate_left(1);
        words[15] = next;
        let (mix, constant) = match step {
            0..20 => (b & c | !b & d, 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6),
        };
        let sum =
            a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
        (a, b, c, d, e) = (sum, a, b.rotate_left(30), c, d);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

/// RFC 4648, 4, of twenty bytes.
fn base64(bytes: &[u8; 20]) -> [u8; PROOF] {
    let mut text = [b'='; PROOF];
    for (out, group) in text.chunks_exact_mut(4).zip(bytes.chunks(3)) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        // The last group has two bytes: its 16 bits are filled up to 18, and its last place stays.
        let (bits, digits) = if group.len() == 3 { (bits, 4) } else { (bits << 8, 3) };
        for (place, shift) in out.iter_mut().take(digits).zip([18u32, 12, 6, 0]) {
            *place = match (bits >> shift & 63) as u8 {
                digit @ 0..26 => b'A'.wrapping_add(digit),
                digit @ 26..52 => b'a'.wrapping_add(digit.wrapping_sub(26)),
                digit @ 52..62 => b'0'.wrapping_add(digit.wrapping_sub(52)),
                62 => b'+',
                _ => b'/',
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standard() {
        // RFC 6455, 1.3.
        assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ==").as_ref(), Some(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(proof("short"), None);
    }

    #[test]
    fn blocks_are_hashed_as_the_standard_has_it() {
        // RFC 3174, 7.3: "abc".
        let mut block = [0u8; 64];
        block[..4].copy_from_slice(b"abc\x80");
        block[63] = 24;
        let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        compress(&mut state, &block);
        assert_eq!(state, [0xa999_3e36, 0x4706_816a, 0xba3e_2571, 0x7850_c26c, 0x9cd0_d89d]);
    }
}
