//! What lies in flash: the map of the chip ([`layout`]), the header every image begins with ([`header`]), the check of
//! an image while it streams in ([`verify`]), how it moves between slots ([`relocation`]) and where it may be loaded
//! ([`memory`]), and how an image is made ([`build`]).
//!
//! Nothing here touches a flash chip or a socket: bytes go in, verdicts come out. The byte table of the format is in
//! [`header`] and in `docs/image.md`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

pub mod behaviour;
pub mod build;
pub mod error;
pub mod hash;
pub mod header;
pub mod layout;
pub mod memory;
pub mod payload;
pub mod relocation;
pub mod verify;
pub mod version;

pub use behaviour::{Act, Behaviour};
pub use error::{Fault, ImageError};
pub use header::{HEADER_BYTES, Header};
pub use layout::{FLASH_WINDOW, FlashMap, Region, SECTOR, Slot};
pub use memory::Segment;
pub use relocation::Relocator;
pub use verify::{Verified, Verifier};
pub use version::Version;

/// Name of the board the lab's virtual nodes have.
pub const VIRTUAL_BOARD: &str = "virtual";

/// The CRC-32 of Ethernet and zlib (CRC-32/ISO-HDLC), of a few bytes: slow and without a table, which would cost a
/// kilobyte of flash.
pub fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32, crc::NoTable> = crc::Crc::<u32, crc::NoTable>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn crc_of_the_catalogue() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}
