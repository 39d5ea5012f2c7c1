//! The ways in which a datagram can be wrong.

use core::fmt;
use spore_sentence::{say, sentence};

/// The output buffer is too small; what was written to it so far is meaningless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say!(f, "output buffer too small")
    }
}

impl core::error::Error for BufferFull {}

/// Why a datagram was not understood. Nothing of a datagram that fails may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// No bytes, or nothing but padding.
    Empty,
    /// Neither a known text keyword nor the native family's magic byte: another program's datagram.
    Unknown,
    /// The datagram ends before its fields do, or its length field does not fit its length.
    Length,
    /// Text that is not UTF-8 where a cut would change the meaning.
    Utf8,
    /// A character outside the field's alphabet, for example a `RAW:` payload that is not hexadecimal.
    Character,
    /// A field outside its limits: an empty or over-long name, data over 512 bytes.
    Range,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                DecodeError::Empty => sentence!("empty datagram"),
                DecodeError::Unknown => sentence!("not a SPORE datagram"),
                DecodeError::Length => sentence!("length does not fit"),
                DecodeError::Utf8 => sentence!("not UTF-8"),
                DecodeError::Character => sentence!("character not allowed"),
                DecodeError::Range => sentence!("field out of range"),
            },
            f,
        )
    }
}

impl core::error::Error for DecodeError {}
