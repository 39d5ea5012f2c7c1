//! Hashes, signatures, ciphers, each also by the vectors of its specification.

use crate::{Fold, Numbers};
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use core::hint::black_box;
use ed25519_compact::{PublicKey, Signature};
use sha2::{Digest, Sha256};

/// FIPS 180-4's examples (as NIST publishes them), and lengths around the block's.
pub(crate) fn sha256() -> u32 {
    const ABC: [u8; 32] = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0,
        0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    ];
    if Sha256::digest(black_box(b"abc")).as_slice() != ABC {
        return 1;
    }
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(14));
    let mut bytes = [0u8; 200];
    for byte in &mut bytes {
        *byte = numbers.u32() as u8;
    }
    for length in [0, 1, 55, 56, 63, 64, 65, 119, 128, 200] {
        let mut hash = Sha256::new();
        for part in bytes.get(..length).unwrap_or_default().chunks(7) {
            hash.update(part);
        }
        fold.bytes(&hash.finalize());
    }
    fold.end()
}

/// RFC 8032, 7.1, test 3; and that a changed message, key or signature does not pass.
pub(crate) fn ed25519() -> u32 {
    const PUBLIC: [u8; 32] = [
        0xfc, 0x51, 0xcd, 0x8e, 0x62, 0x18, 0xa1, 0xa3, 0x8d, 0xa4, 0x7e, 0xd0, 0x02, 0x30, 0xf0, 0x58, 0x08,
        0x16, 0xed, 0x13, 0xba, 0x33, 0x03, 0xac, 0x5d, 0xeb, 0x91, 0x15, 0x48, 0x90, 0x80, 0x25,
    ];
    const SIGNATURE: [u8; 64] = [
        0x62, 0x91, 0xd6, 0x57, 0xde, 0xec, 0x24, 0x02, 0x48, 0x27, 0xe6, 0x9c, 0x3a, 0xbe, 0x01, 0xa3, 0x0c,
        0xe5, 0x48, 0xa2, 0x84, 0x74, 0x3a, 0x44, 0x5e, 0x36, 0x80, 0xd7, 0xdb, 0x5a, 0xc3, 0xac, 0x18, 0xff,
        0x9b, 0x53, 0x8d, 0x16, 0xf2, 0x90, 0xae, 0x67, 0xf7, 0x60, 0x98, 0x4d, 0xc6, 0x59, 0x4a, 0x7c, 0x15,
        0xe9, 0x71, 0x6e, 0xd2, 0x8d, 0xc0, 0x27, 0xbe, 0xce, 0xea, 0x1e, 0xc4, 0x0a,
    ];
    let key = PublicKey::new(black_box(PUBLIC));
    let signature = Signature::new(SIGNATURE);
    if key.verify([0xaf, 0x82], &signature).is_err() {
        return 1;
    }
    if key.verify([0xaf, 0x83], &signature).is_ok() {
        return 2;
    }
    let mut changed = SIGNATURE;
    if let Some(byte) = changed.get_mut(40) {
        *byte ^= 1;
    }
    if key.verify([0xaf, 0x82], &Signature::new(changed)).is_ok() {
        return 3;
    }
    0
}

/// RFC 8439, 2.8.2.
pub(crate) fn chacha20poly1305() -> u32 {
    const TAG: [u8; 16] =
        [0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91];
    let mut key = [0u8; 32];
    for (byte, value) in key.iter_mut().zip(0x80..) {
        *byte = value;
    }
    let nonce = [0x07, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
    let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
    let plain = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let mut text = black_box(plain);
    let cipher = ChaCha20Poly1305::new(&key.into());
    let Ok(tag) = cipher.encrypt_in_place_detached(&nonce.into(), &associated, &mut text) else { return 1 };
    if tag.as_slice() != TAG {
        return 2;
    }
    let mut fold = Fold::new();
    fold.bytes(&text);
    if cipher.decrypt_in_place_detached(&nonce.into(), &associated, &mut text, &tag).is_err() || text != plain
    {
        return 3;
    }
    if let Some(byte) = text.first_mut() {
        *byte ^= 1;
    }
    if cipher.decrypt_in_place_detached(&nonce.into(), &associated, &mut text, &tag).is_ok() {
        return 4;
    }
    fold.end()
}
