//! JSON without allocation: a push scanner, a writer, and a view of small objects.
//!
//! * [`Scanner`] reads documents of any length in pieces of any size, in constant memory.
//! * [`Members`] walks over the members of an object that lies in memory as a whole, borrowing from it.
//! * [`JsonWriter`] writes, setting commas and escapes by itself.
//!
//! # Panics
//! Nothing here panics on any input. [`Scanner`]'s result does not depend on how the bytes are cut into pieces.

mod scan;
mod view;
mod write;

pub use scan::{MAX_DEPTH, Scalar, Scanner, Token};
/// Makes a constant [`Key`].
pub use spore_sentence::sentence as key;
pub use view::{Members, RawStr, Value};
pub use write::{JsonWriter, Key, SliceWriter};

use core::fmt;
use spore_sentence::sentence;

/// Why a document was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON.
    Syntax,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
    /// The document ended too early.
    Truncated,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                JsonError::Syntax => sentence!("not JSON"),
                JsonError::Depth => sentence!("nested too deeply"),
                JsonError::Truncated => sentence!("JSON ends too early"),
            },
            f,
        )
    }
}

impl core::error::Error for JsonError {}
