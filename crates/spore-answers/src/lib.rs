//! Known answers for everything the node leans on. The compiler's back end for the ESP8266's core is young, so the same cases
//! run on the host (`cargo test`) and, as machine code of that core, in QEMU (`firmware/answers`).
//!
//! A case folds whatever it computes into one number, which is compared with the one written here. Cases of cryptography check the
//! vectors of their specification as well.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod arithmetic;
mod crypto;
mod formats;

/// One question with a known answer.
pub struct Case {
    /// What is asked, in a word or two.
    pub name: &'static str,
    /// Computes the answer.
    pub run: fn() -> u32,
    /// The right answer.
    pub expected: u32,
}

impl Case {
    /// Whether this machine knows the answer.
    pub fn holds(&self) -> bool {
        (self.run)() == self.expected
    }
}

/// All cases.
pub const CASES: &[Case] = &[
    Case { name: "u32 arithmetic", run: arithmetic::u32s, expected: 0xB0FE_1319 },
    Case { name: "i32 arithmetic", run: arithmetic::i32s, expected: 0x748D_83B1 },
    Case { name: "u64 arithmetic", run: arithmetic::u64s, expected: 0x7CCE_3BF9 },
    Case { name: "i64 arithmetic", run: arithmetic::i64s, expected: 0xE303_0C36 },
    Case { name: "shifts and rotations", run: arithmetic::shifts, expected: 0x8748_5A55 },
    Case { name: "bytes and halves", run: arithmetic::narrow, expected: 0x6095_401C },
    Case { name: "bit counting", run: arithmetic::bits, expected: 0x0F6F_1BCE },
    Case { name: "f32 arithmetic", run: arithmetic::floats, expected: 0xB637_8CFC },
    Case { name: "memory moves", run: arithmetic::moves, expected: 0xFB8E_E3C2 },
    Case { name: "sorting", run: arithmetic::sorting, expected: 0x94A6_C921 },
    Case { name: "matching", run: arithmetic::matching, expected: 0x2A2A_9C59 },
    Case { name: "number formatting", run: formats::numbers, expected: 0x361F_C602 },
    Case { name: "CRC-32", run: formats::crc, expected: 0xCBF4_3926 },
    Case { name: "JSON", run: formats::json, expected: 0xC431_9D28 },
    Case { name: "postcard", run: formats::postcard, expected: 0xBBDB_9C09 },
    Case { name: "image header", run: formats::header, expected: 0xA98D_03B2 },
    Case { name: "SHA-256", run: crypto::sha256, expected: 0xA7B6_63EE },
    Case { name: "Ed25519", run: crypto::ed25519, expected: 0 },
    Case { name: "ChaCha20-Poly1305", run: crypto::chacha20poly1305, expected: 0x760C_53EC },
];

/// Folds numbers into one; no arithmetic that could itself be in question beyond xor, rotate and multiply of 32 bits.
pub(crate) struct Fold(u32);

impl Fold {
    pub(crate) const fn new() -> Self {
        Self(0x811C_9DC5)
    }

    /// FNV-1a, a byte at a time.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) const fn end(self) -> u32 {
        self.0
    }
}

/// Numbers that no compiler foresees: xorshift32 (Marsaglia 2003), spiced with extremes.
pub(crate) struct Numbers(u32);

impl Numbers {
    pub(crate) fn new(seed: u32) -> Self {
        Self(core::hint::black_box(seed))
    }

    pub(crate) fn u32(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        match self.0 >> 28 {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << (self.0 & 31),
            3 => self.0 & 0xFF,
            _ => self.0,
        }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from(self.u32()) << 32 | u64::from(self.u32())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_host_knows_the_answers() {
        let wrong: Vec<String> = super::CASES
            .iter()
            .filter(|case| !case.holds())
            .map(|case| format!("{}: 0x{:08X}", case.name, (case.run)()))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
