//! Every way an image can be wrong, with a sentence for the person who uploaded it.

use crate::header::{BOARD_BYTES, FORMAT};
use core::fmt;
use heapless::String;
use spore_sentence::say;

/// A text of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The board's name.
    Board,
    /// The image's name.
    Name,
    /// The version.
    Version,
}

/// A table of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableName {
    /// What is loaded into RAM before the start.
    Segments,
    /// The words that change with the slot.
    Relocations,
}

/// The kind of refusal, for who has to answer with a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are not a whole image: HTTP 400.
    Malformed,
    /// It does not fit: HTTP 413.
    TooLarge,
    /// It is whole, but not for this node: HTTP 422.
    Unacceptable,
}

/// Why an image is refused. [`Display`](fmt::Display) says what is wrong, what to do, and that nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageError {
    /// It does not begin with the magic number.
    WrongMagic,
    /// It has a format version that is not known here.
    UnknownFormat(u16),
    /// Its header says it has another length than the format's.
    WrongHeaderLength(u16),
    /// The header's CRC-32 does not fit the header.
    WrongHeaderChecksum,
    /// A text of the header is empty, holds other bytes than letters, digits and `-_.+`, or is no version.
    BadText(Text),
    /// Bytes of the header that must be zero are not.
    ReservedNotZero,
    /// It is for another board.
    ForeignBoard {
        /// The board of this node.
        expected: String<BOARD_BYTES>,
        /// The board in the header.
        found: String<BOARD_BYTES>,
    },
    /// It has no payload.
    Empty,
    /// A table does not lie inside the payload, where tables may lie.
    TableOutside(TableName),
    /// The relocation table names a word twice or outside of the payload, or is no table.
    BadRelocations,
    /// The entry or a RAM segment lies outside of the memory that an image may use, or there is no entry.
    NotLoadable,
    /// It does not fit the slot.
    TooLarge {
        /// Bytes of the image, header included.
        image: u32,
        /// Bytes of a slot.
        slot: u32,
    },
    /// It ends too early.
    Truncated {
        /// Bytes that should have come: of the header, or of all if the header is known.
        expected: u32,
        /// Bytes that came.
        received: u32,
    },
    /// Bytes follow its end.
    TrailingBytes,
    /// The payload's SHA-256 is not the header's.
    WrongChecksum,
}

impl ImageError {
    /// The kind of refusal.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Truncated { .. } | Self::TrailingBytes => Fault::Malformed,
            Self::TooLarge { .. } => Fault::TooLarge,
            Self::WrongMagic
            | Self::UnknownFormat(_)
            | Self::WrongHeaderLength(_)
            | Self::WrongHeaderChecksum
            | Self::BadText(_)
            | Self::ReservedNotZero
            | Self::ForeignBoard { .. }
            | Self::Empty
            | Self::TableOutside(_)
            | Self::BadRelocations
            | Self::NotLoadable
            | Self::WrongChecksum => Fault::Unacceptable,
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongMagic => {
                say!(f, "this is not a SPORE image; choose a file built with `spore build`")
            }
            Self::UnknownFormat(found) => {
                say!(
                    f,
                    "the image has format ",
                    found,
                    " and this node reads format ",
                    FORMAT,
                    "; build it with a matching `spore`"
                )
            }
            Self::WrongHeaderLength(found) => {
                say!(
                    f,
                    "the image's header claims ",
                    found,
                    " bytes, which format ",
                    FORMAT,
                    " does not have; build it again"
                )
            }
            Self::WrongHeaderChecksum => {
                say!(f, "the image's header is damaged (wrong CRC-32); upload it again")
            }
            Self::BadText(Text::Board) => say!(f, "the image's board name is not valid; build it again"),
            Self::BadText(Text::Name) => say!(f, "the image's name is not valid; build it again"),
            Self::BadText(Text::Version) => say!(f, "the image's version is not valid; build it again"),
            Self::ReservedNotZero => say!(
                f,
                "the image's header uses bytes this node does not know; build it with a matching `spore`"
            ),
            Self::ForeignBoard { expected, found } => {
                say!(
                    f,
                    "the image is for board ",
                    found,
                    " and this node is a ",
                    expected,
                    "; build it for ",
                    expected
                )
            }
            Self::Empty => say!(f, "the image has no payload; build it again"),
            Self::TableOutside(TableName::Segments) => {
                say!(f, "the image's segment table lies outside its payload; build it again")
            }
            Self::TableOutside(TableName::Relocations) => {
                say!(f, "the image's relocation table lies outside its payload; build it again")
            }
            Self::BadRelocations => say!(f, "the image's relocation table is not valid; build it again"),
            Self::NotLoadable => {
                say!(f, "the image wants memory that is not a firmware's; build it again")
            }
            Self::TooLarge { image, slot } => {
                say!(f, "the image has ", image, " bytes and a slot holds ", slot, "; make it smaller")
            }
            Self::Truncated { expected, received } => {
                say!(f, "the image ended after ", received, " of ", expected, " bytes; upload it again")
            }
            Self::TrailingBytes => {
                say!(f, "bytes follow the end of the image; upload the file as it was built")
            }
            Self::WrongChecksum => {
                say!(f, "the image's content does not match its SHA-256; upload it again")
            }
        }?;
        say!(f, " (nothing was changed)")
    }
}

impl core::error::Error for ImageError {}
