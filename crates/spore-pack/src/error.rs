//! Every way packing can fail.

use core::fmt;
use spore_image::relocation::EncodeError;
use spore_image::{ImageError, layout::LayoutError};

/// Why something cannot be packed. [`Display`](fmt::Display) says what and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackError {
    /// The program is no ELF file for this machine; what the reader says.
    NotElf(String),
    /// The program has no section of this name, or an empty one.
    Missing(&'static str),
    /// A section that is loaded has a name nobody knows what to do with.
    UnknownSection(String),
    /// A section is not where it must be.
    Misplaced {
        /// Its name.
        section: String,
        /// Where it is.
        address: u32,
        /// Its bytes.
        bytes: u32,
        /// Where it must be.
        place: &'static str,
    },
    /// A word at this address depends on where the code in flash lies in a way that moving the image cannot follow: it
    /// is misaligned, or an offset instead of an address, or a distance between flash and RAM.
    Unmovable(u32),
    /// The relocation table cannot be made.
    Relocations(EncodeError),
    /// The image is not acceptable.
    Image(ImageError),
    /// The image for the ROM is too large.
    RomTooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes there are.
        room: usize,
    },
    /// There is no flash map for such a chip.
    Chip(LayoutError),
    /// The bootloader is no image for the ROM.
    NoRomImage,
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf(why) => write!(f, "this is not a program for the ESP8266: {why}"),
            Self::Missing(section) => write!(f, "the program has no section {section}"),
            Self::UnknownSection(section) => {
                write!(f, "the program has a section {section}, which has no place in an image")
            }
            Self::Misplaced { section, address, bytes, place } => {
                write!(f, "section {section} ({bytes} bytes at {address:#010x}) is not inside {place}")
            }
            Self::Unmovable(address) => write!(
                f,
                "the word at {address:#010x} depends on the slot, but cannot be moved to the other one (it is misaligned, \
                 an offset, or a distance between flash and RAM)"
            ),
            Self::Relocations(error) => error.fmt(f),
            Self::Image(error) => error.fmt(f),
            Self::RomTooLarge { bytes, room } => {
                write!(f, "the bootloader has {bytes} bytes and there is room for {room}")
            }
            Self::Chip(error) => error.fmt(f),
            Self::NoRomImage => f.write_str("the bootloader is not an image the ESP8266's ROM loads"),
        }
    }
}

impl core::error::Error for PackError {}

impl From<EncodeError> for PackError {
    fn from(error: EncodeError) -> Self {
        Self::Relocations(error)
    }
}

impl From<ImageError> for PackError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<LayoutError> for PackError {
    fn from(error: LayoutError) -> Self {
        Self::Chip(error)
    }
}
