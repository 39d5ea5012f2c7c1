//! The header every image begins with: 256 bytes, little endian, then the payload.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic, `SPOR` |
//! | 4 | 2 | format version, 1 |
//! | 6 | 2 | length of this header, 256 |
//! | 8 | 16 | board, zero-padded text |
//! | 24 | 32 | name, zero-padded text |
//! | 56 | 24 | version, zero-padded text (Semantic Versioning) |
//! | 80 | 4 | security counter |
//! | 84 | 4 | payload length in bytes, at least 1 |
//! | 88 | 4 | address of the first instruction, in IRAM; 0 where nothing is executed |
//! | 92 | 4 | address the payload is linked for; 0 where nothing is executed |
//! | 96 | 4 | RAM segment table: offset in the payload |
//! | 100 | 4 | RAM segment table: entries of 12 bytes (address, offset in the payload, length) |
//! | 104 | 4 | relocation table: offset in the payload, 0 |
//! | 108 | 4 | relocation table: entries; they take up the first 3840 bytes of the payload ([`crate::relocation`]) |
//! | 112 | 32 | SHA-256 of the payload |
//! | 144 | 8 | id of the signing key; zero: unsigned |
//! | 152 | 64 | Ed25519 signature of bytes 0 to 151; zero: unsigned |
//! | 216 | 36 | reserved, zero |
//! | 252 | 4 | CRC-32 (ISO-HDLC) of bytes 0 to 251 |
//!
//! Texts consist of ASCII letters, digits and `-_.+`, at least one. A table without entries has offset 0. Beside a
//! relocation table, the segment table lies behind byte 3840 of the payload, and there is something it can name. The
//! signature covers the SHA-256, and through it the payload.
//!
//! [`View`] reads single fields of any 256 bytes and judges nothing; [`Header`] holds only what is valid. Neither
//! panics, whatever the bytes. For every header, `parse(emit(header)) == header`, and for all bytes that parse,
//! `emit(parse(bytes)) == bytes`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::error::{ImageError, TableName, Text};
use crate::memory::{SEGMENT_BYTES, is_entry};
use crate::relocation::TABLE_BYTES;
use crate::version::{VERSION_BYTES, Version};
use crate::{VIRTUAL_BOARD, crc32};
use heapless::String;

/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 256;
/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"SPOR";
/// The format version described here.
pub const FORMAT: u16 = 1;
/// The longest name of a board in bytes.
pub const BOARD_BYTES: usize = 16;
/// The longest name of an image in bytes.
pub const NAME_BYTES: usize = 32;
/// Bytes a signature covers: everything before it.
pub const SIGNED_BYTES: usize = 152;

/// Offset of the version, for who reads nothing else.
pub const VERSION_AT: usize = at::VERSION;

/// Offsets of the fields.
mod at {
    pub const MAGIC: usize = 0;
    pub const FORMAT: usize = 4;
    pub const LENGTH: usize = 6;
    pub const BOARD: usize = 8;
    pub const NAME: usize = 24;
    pub const VERSION: usize = 56;
    pub const SECURITY: usize = 80;
    pub const PAYLOAD: usize = 84;
    pub const ENTRY: usize = 88;
    pub const LINK: usize = 92;
    pub const SEGMENTS: usize = 96;
    pub const RELOCATIONS: usize = 104;
    pub const SHA256: usize = 112;
    pub const KEY: usize = 144;
    pub const SIGNATURE: usize = 152;
    pub const RESERVED: usize = 216;
    pub const CRC: usize = 252;
}
const RESERVED_BYTES: usize = 36;

/// The fields of a header as they lie in memory; judges nothing, never panics.
#[derive(Debug, Clone, Copy)]
pub struct View<'a>(&'a [u8; HEADER_BYTES]);

impl<'a> View<'a> {
    /// Looks at the first 256 bytes. `None` if there are fewer.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    /// `N` bytes at a constant offset of this module, which is always inside.
    fn field<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.field(offset))
    }

    // Many fields are read, and the bootloader has 8 KB.
    #[inline(never)]
    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.field(offset))
    }

    /// The first four bytes.
    pub fn magic(&self) -> [u8; 4] {
        self.field(at::MAGIC)
    }

    /// The format version.
    pub fn format(&self) -> u16 {
        self.u16(at::FORMAT)
    }

    /// The length the header claims to have.
    pub fn header_length(&self) -> u16 {
        self.u16(at::LENGTH)
    }

    /// Bytes of the payload.
    pub fn payload_length(&self) -> u32 {
        self.u32(at::PAYLOAD)
    }

    /// Name of the board, padded with zeros.
    pub fn board(&self) -> [u8; BOARD_BYTES] {
        self.field(at::BOARD)
    }

    /// Address of the first instruction.
    pub fn entry(&self) -> u32 {
        self.u32(at::ENTRY)
    }

    /// The RAM segment table.
    pub fn segments(&self) -> Table {
        self.table(at::SEGMENTS)
    }

    /// The relocation table.
    pub fn relocations(&self) -> Table {
        self.table(at::RELOCATIONS)
    }

    fn table(&self, offset: usize) -> Table {
        Table { offset: self.u32(offset), count: self.u32(offset.saturating_add(4)) }
    }

    /// SHA-256 of the payload.
    pub fn sha256(&self) -> [u8; 32] {
        self.field(at::SHA256)
    }

    /// The CRC-32 that the header carries.
    pub fn checksum(&self) -> u32 {
        self.u32(at::CRC)
    }

    /// The CRC-32 that the header should carry.
    pub fn computed_checksum(&self) -> u32 {
        crc32(&self.field::<{ at::CRC }>(0))
    }
}

/// A table inside the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Table {
    /// Where it begins, counted from the start of the payload; a multiple of 4.
    pub offset: u32,
    /// How many entries it has.
    pub count: u32,
}

impl Table {
    /// The first byte behind a table with entries of so many bytes; stops at the end of the address space.
    pub const fn end(self, entry_bytes: u32) -> u32 {
        self.offset.saturating_add(self.count.saturating_mul(entry_bytes))
    }

    /// Whether a segment table may lie here, in a payload of so many bytes with so many relocations.
    pub(crate) fn holds_segments(self, relocations: u32, payload: u32) -> bool {
        if self.count == 0 {
            return self.offset == 0;
        }
        let taken = if relocations > 0 { TABLE_BYTES } else { 0 };
        // An image is smaller than the address space, so that an end that stopped there is outside.
        let end = self.end(SEGMENT_BYTES as u32);
        self.offset.is_multiple_of(4) && self.offset >= taken && end <= payload && end < u32::MAX
    }

    /// Whether a relocation table may lie here. An entry has at least a byte, and names a word behind the table.
    pub(crate) const fn holds_relocations(self, payload: u32) -> bool {
        let room = self.count <= TABLE_BYTES && payload >= TABLE_BYTES.saturating_add(4);
        self.offset == 0 && (self.count == 0 || room)
    }
}

/// Who signed an image. Carried, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Id of the key; not all zero.
    pub key: [u8; 8],
    /// Ed25519 signature of the first [`SIGNED_BYTES`] bytes of the header.
    pub bytes: [u8; 64],
}

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Board it runs on.
    pub board: String<BOARD_BYTES>,
    /// Its name, for instance that of the firmware's crate.
    pub name: String<NAME_BYTES>,
    /// Its version.
    pub version: Version,
    /// Grows when older images must no longer be installed.
    pub security: u32,
    /// Bytes of the payload.
    pub payload_length: u32,
    /// Address of the first instruction, in IRAM; 0 where nothing is executed.
    pub entry: u32,
    /// Address the payload is linked for, 0 where nothing is executed.
    pub link: u32,
    /// What is loaded into RAM before the start.
    pub segments: Table,
    /// The words that change with the slot.
    pub relocations: Table,
    /// SHA-256 of the payload.
    pub sha256: [u8; 32],
    /// Who signed it, if anyone.
    pub signature: Option<Signature>,
}

impl Header {
    /// A header without payload, tables and signature, to be completed by [`crate::build::seal`].
    pub fn new(board: &str, name: &str, version: Version) -> Result<Self, ImageError> {
        Ok(Self {
            board: checked(board.as_bytes()).ok_or(ImageError::BadText(Text::Board))?,
            name: checked(name.as_bytes()).ok_or(ImageError::BadText(Text::Name))?,
            version,
            security: 0,
            payload_length: 0,
            entry: 0,
            link: 0,
            segments: Table::default(),
            relocations: Table::default(),
            sha256: [0; 32],
            signature: None,
        })
    }

    /// Reads the header at the start of `bytes`. Checks all that the header alone tells: not the board, not the slot's
    /// size, not the payload. Fewer than 256 bytes are [`ImageError::Truncated`], unless they already show that this is
    /// no image.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        if !bytes.iter().zip(MAGIC.iter()).all(|(byte, magic)| byte == magic) {
            return Err(ImageError::WrongMagic);
        }
        let view = View::new(bytes).ok_or(ImageError::Truncated {
            expected: u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX),
            received: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        })?;
        // Format first: another format may keep its checksum elsewhere.
        if view.format() != FORMAT {
            return Err(ImageError::UnknownFormat(view.format()));
        }
        if view.checksum() != view.computed_checksum() {
            return Err(ImageError::WrongHeaderChecksum);
        }
        if usize::from(view.header_length()) != HEADER_BYTES {
            return Err(ImageError::WrongHeaderLength(view.header_length()));
        }
        let board = padded(&view.field::<BOARD_BYTES>(at::BOARD)).ok_or(ImageError::BadText(Text::Board))?;
        let name = padded(&view.field::<NAME_BYTES>(at::NAME)).ok_or(ImageError::BadText(Text::Name))?;
        let version: String<VERSION_BYTES> =
            padded(&view.field::<VERSION_BYTES>(at::VERSION)).ok_or(ImageError::BadText(Text::Version))?;
        let version = Version::parse(&version).map_err(|_| ImageError::BadText(Text::Version))?;
        if view.field::<RESERVED_BYTES>(at::RESERVED) != [0; RESERVED_BYTES] {
            return Err(ImageError::ReservedNotZero);
        }
        let payload_length = view.payload_length();
        if payload_length == 0 {
            return Err(ImageError::Empty);
        }
        let relocations = view.relocations();
        if !relocations.holds_relocations(payload_length) {
            return Err(ImageError::TableOutside(TableName::Relocations));
        }
        let segments = view.segments();
        if !segments.holds_segments(relocations.count, payload_length) {
            return Err(ImageError::TableOutside(TableName::Segments));
        }
        let entry = view.entry();
        if entry != 0 && !is_entry(entry) {
            return Err(ImageError::NotLoadable);
        }
        let signature = Signature { key: view.field(at::KEY), bytes: view.field(at::SIGNATURE) };
        // A signature without a key could not be checked, and would be dropped by emit.
        if signature.key == [0; 8] && signature.bytes != [0; 64] {
            return Err(ImageError::ReservedNotZero);
        }
        Ok(Self {
            board,
            name,
            version,
            security: view.u32(at::SECURITY),
            payload_length,
            entry,
            link: view.u32(at::LINK),
            segments,
            relocations,
            sha256: view.sha256(),
            signature: (signature.key != [0; 8]).then_some(signature),
        })
    }

    /// Writes the header. Fails as [`Header::parse`] would on the result, so that no invalid header leaves this crate.
    pub fn emit(&self) -> Result<[u8; HEADER_BYTES], ImageError> {
        let mut out = [0; HEADER_BYTES];
        let mut put = |offset: usize, bytes: &[u8]| {
            for (to, from) in out.iter_mut().skip(offset).zip(bytes) {
                *to = *from;
            }
        };
        put(at::MAGIC, &MAGIC);
        put(at::FORMAT, &FORMAT.to_le_bytes());
        put(at::LENGTH, &u16::try_from(HEADER_BYTES).unwrap_or(u16::MAX).to_le_bytes());
        put(at::BOARD, self.board.as_bytes());
        put(at::NAME, self.name.as_bytes());
        put(at::VERSION, self.version.as_str().as_bytes());
        put(at::SECURITY, &self.security.to_le_bytes());
        put(at::PAYLOAD, &self.payload_length.to_le_bytes());
        put(at::ENTRY, &self.entry.to_le_bytes());
        put(at::LINK, &self.link.to_le_bytes());
        for (offset, table) in [(at::SEGMENTS, self.segments), (at::RELOCATIONS, self.relocations)] {
            put(offset, &table.offset.to_le_bytes());
            put(offset.saturating_add(4), &table.count.to_le_bytes());
        }
        put(at::SHA256, &self.sha256);
        if let Some(signature) = &self.signature {
            put(at::KEY, &signature.key);
            put(at::SIGNATURE, &signature.bytes);
        }
        let crc = crc32(out.first_chunk::<{ at::CRC }>().map_or(&[], |covered| covered));
        if let Some(end) = out.last_chunk_mut() {
            *end = crc.to_le_bytes();
        }
        Self::parse(&out)?;
        Ok(out)
    }

    /// Bytes of the whole image, header included.
    pub fn image_length(&self) -> u32 {
        self.payload_length.saturating_add(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX))
    }

    /// Whether the image may stand in a slot of so many bytes on this board. Only the lab's board has images that are
    /// not executed.
    pub fn accept(&self, board: &str, slot_bytes: u32) -> Result<(), ImageError> {
        if self.board != board {
            return Err(ImageError::ForeignBoard {
                expected: board.chars().take(BOARD_BYTES).filter(char::is_ascii).collect(),
                found: self.board.clone(),
            });
        }
        // The sum may pass the range of u32, and image_length stops at its end.
        if self.image_length() > slot_bytes {
            return Err(ImageError::TooLarge { image: self.image_length(), slot: slot_bytes });
        }
        if self.entry == 0 && board != VIRTUAL_BOARD {
            return Err(ImageError::NotLoadable);
        }
        Ok(())
    }
}

/// A text of at least one of the allowed bytes, if it fits.
fn checked<const N: usize>(bytes: &[u8]) -> Option<String<N>> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte);
    if bytes.is_empty() || !bytes.iter().all(allowed) {
        return None;
    }
    String::try_from(core::str::from_utf8(bytes).ok()?).ok()
}

/// A text followed by nothing but zeros.
fn padded<const N: usize>(bytes: &[u8; N]) -> Option<String<N>> {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(N);
    let (text, padding) = bytes.split_at_checked(length)?;
    if padding.iter().any(|byte| *byte != 0) {
        return None;
    }
    checked(text)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failing test may panic"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        let mut header = Header::new("virtual", "hello", "1.2.3-rc.1".parse().unwrap()).unwrap();
        header.payload_length = 1000;
        header.security = 7;
        header.sha256 = [0xAB; 32];
        header
    }

    /// The header with some bytes changed and the checksum made right again.
    fn changed(offset: usize, bytes: &[u8]) -> [u8; HEADER_BYTES] {
        let mut out = header().emit().unwrap();
        out[offset..offset + bytes.len()].copy_from_slice(bytes);
        let crc = crc32(&out[..at::CRC]);
        out[at::CRC..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    #[test]
    fn bytes_are_where_the_table_says() {
        let bytes = header().emit().unwrap();
        assert_eq!(&bytes[..8], b"SPOR\x01\x00\x00\x01");
        assert_eq!(&bytes[8..24], b"virtual\0\0\0\0\0\0\0\0\0");
        assert_eq!(&bytes[24..30], b"hello\0");
        assert_eq!(&bytes[56..67], b"1.2.3-rc.1\0");
        assert_eq!(bytes[80..84], 7u32.to_le_bytes());
        assert_eq!(bytes[84..88], 1000u32.to_le_bytes());
        assert_eq!(bytes[112..144], [0xAB; 32]);
        assert_eq!(bytes[144..252], [0; 108]);
        assert_eq!(bytes[252..], crc32(&bytes[..252]).to_le_bytes());
    }

    #[test]
    fn every_way_of_being_wrong() {
        let check = |bytes: &[u8]| Header::parse(bytes).unwrap_err();
        let good = header().emit().unwrap();
        assert_eq!(check(b""), ImageError::Truncated { expected: 256, received: 0 });
        assert_eq!(check(&good[..255]), ImageError::Truncated { expected: 256, received: 255 });
        assert_eq!(check(b"SPOX"), ImageError::WrongMagic);
        assert_eq!(check(&[0xFF; 256]), ImageError::WrongMagic);
        assert_eq!(check(&changed(4, &[2])), ImageError::UnknownFormat(2));
        assert_eq!(check(&changed(6, &[0, 2])), ImageError::WrongHeaderLength(512));
        assert_eq!(check(&changed(8, &[0])), ImageError::BadText(Text::Board));
        assert_eq!(check(&changed(30, b"x")), ImageError::BadText(Text::Name));
        assert_eq!(check(&changed(24, b"a b")), ImageError::BadText(Text::Name));
        assert_eq!(check(&changed(56, b"x")), ImageError::BadText(Text::Version));
        assert_eq!(check(&changed(84, &[0, 0])), ImageError::Empty);
        assert_eq!(check(&changed(96, &[4])), ImageError::TableOutside(TableName::Segments));
        assert_eq!(check(&changed(100, &[84])), ImageError::TableOutside(TableName::Segments));
        assert_eq!(check(&changed(104, &[4])), ImageError::TableOutside(TableName::Relocations));
        assert_eq!(check(&changed(108, &[1])), ImageError::TableOutside(TableName::Relocations), "no room");
        assert_eq!(check(&changed(88, &[4, 0, 0x20, 0x40])), ImageError::NotLoadable, "an entry in flash");
        assert_eq!(check(&changed(108, &[0xFF; 4])), ImageError::TableOutside(TableName::Relocations));
        assert_eq!(check(&changed(200, &[1])), ImageError::ReservedNotZero);
        assert_eq!(check(&changed(216, &[1])), ImageError::ReservedNotZero);
        assert!(Header::parse(&changed(100, &[83])).is_ok(), "83 segments fill 996 of 1000 bytes");
        // Relocations: 3844 bytes of payload are the least, 3840 entries the most, and segments lie behind the table.
        let relocations = |payload: u16, segments: u16, count: u16| {
            let mut patch = [0; 28];
            patch[..2].copy_from_slice(&payload.to_le_bytes());
            patch[12..14].copy_from_slice(&segments.to_le_bytes());
            patch[16] = u8::from(segments > 0);
            patch[24..26].copy_from_slice(&count.to_le_bytes());
            Header::parse(&changed(84, &patch)).map(drop)
        };
        let outside = |name| Err(ImageError::TableOutside(name));
        assert_eq!(relocations(3844, 0, 3840), Ok(()));
        assert_eq!(relocations(3844, 0, 3841), outside(TableName::Relocations));
        assert_eq!(relocations(3843, 0, 1), outside(TableName::Relocations));
        assert_eq!(relocations(3856, 3844, 1), Ok(()));
        assert_eq!(relocations(3856, 3836, 1), outside(TableName::Segments));
        assert_eq!(relocations(3856, 3836, 0), Ok(()));
    }

    #[test]
    fn a_single_flipped_bit_is_noticed() {
        let good = header().emit().unwrap();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn board_and_size() {
        let header = header();
        assert!(header.accept("virtual", 1256).is_ok());
        assert_eq!(header.accept("virtual", 1255), Err(ImageError::TooLarge { image: 1256, slot: 1255 }));
        let foreign = header.accept("esp8266", 4096).unwrap_err();
        assert_eq!(
            foreign.to_string(),
            "the image is for board virtual and this node is a esp8266; build it for esp8266 (nothing was changed)"
        );
        let mut executed = Header::new("esp8266", "hello", "1.0.0".parse().unwrap()).unwrap();
        assert_eq!(executed.accept("esp8266", 4096), Err(ImageError::NotLoadable), "no entry");
        executed.entry = 0x4010_0004;
        assert_eq!(executed.accept("esp8266", 4096), Ok(()));
        let mut huge = header;
        huge.payload_length = u32::MAX;
        assert!(matches!(huge.accept("virtual", 1 << 20), Err(ImageError::TooLarge { .. })));
    }

    #[test]
    fn names_that_cannot_be_written() {
        let version = || "1.0.0".parse().unwrap();
        assert_eq!(Header::new("", "x", version()), Err(ImageError::BadText(Text::Board)));
        assert_eq!(Header::new("seventeen-letters", "x", version()), Err(ImageError::BadText(Text::Board)));
        assert_eq!(Header::new("x", "ü", version()), Err(ImageError::BadText(Text::Name)));
        let mut header = header();
        header.name.clear();
        assert_eq!(header.emit(), Err(ImageError::BadText(Text::Name)));
    }

    proptest! {
        #[test]
        fn what_is_emitted_is_parsed(
            board in "[a-z0-9-]{1,16}", name in "[A-Za-z0-9_.+-]{1,32}",
            version in (0u32.., 0u32..10, 0u32..10), security: u32, payload in 4096u32..u32::MAX, link: u32, entry in 0x4010_0000u32..0x4010_8000,
            segments in 0u32..9, relocations in 0u32..3000, sha256: [u8; 32], signed: bool,
        ) {
            let version = format!("{}.{}.{}", version.0, version.1, version.2).parse().unwrap();
            let mut header = Header::new(&board, &name, version).unwrap();
            header.security = security;
            header.payload_length = payload;
            (header.link, header.entry, header.sha256) = (link, entry, sha256);
            header.segments = Table { offset: if segments == 0 { 0 } else { 3840 }, count: segments };
            header.relocations = Table { offset: 0, count: relocations };
            header.signature = signed.then_some(Signature { key: [1; 8], bytes: [2; 64] });
            let bytes = header.emit().unwrap();
            prop_assert_eq!(Header::parse(&bytes), Ok(header));
        }

        #[test]
        fn what_parses_is_emitted_alike(offset in 0usize..252, patch in proptest::collection::vec(any::<u8>(), 0..40)) {
            let patch = &patch[..patch.len().min(252 - offset)];
            let bytes = changed(offset, patch);
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(header.emit(), Ok(bytes));
            }
        }

        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Header::parse(&bytes).is_err());
        }
    }
}
