//! The map of a flash chip.
//!
//! | offset | 1 MB chip | bytes |
//! |---|---|---|
//! | 0x00000 | bootloader | 8 K |
//! | 0x02000 | slot A | 488 K |
//! | 0x7C000 | slot B | 488 K |
//! | 0xF6000 | boot record, two sectors | 8 K |
//! | 0xF8000 | configuration, three sectors | 12 K |
//! | 0xFB000 | the SDK's (RF calibration, PHY data, system parameters) | 20 K |
//!
//! Chips of 2 and 4 MB keep all of this where it is, except that the SDK's part is the last 20 KB of the chip, because
//! the SDK insists on that; the space between lies idle. One bootloader and one image then fit every chip, the code
//! stays inside the first megabyte, which is what the cache maps, and a configuration survives a swap of the chip.

use core::fmt;
use spore_sentence::{Sentence, say, sentence};

/// Bytes that are erased together.
pub const SECTOR: u32 = 4096;
/// Address at which the ESP8266's cache shows the first byte of flash, for 1 MB.
pub const FLASH_WINDOW: u32 = 0x4020_0000;

/// One of the two places an image can run from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The lower one.
    A,
    /// The upper one.
    B,
}

impl Slot {
    /// Both, lower first.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The one that is not this.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `"a"` or `"b"`, as the API shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stretch of flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First byte, counted from the start of the chip.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

impl Region {
    /// A stretch of so many bytes.
    pub const fn new(offset: u32, length: u32) -> Self {
        Self { offset, length }
    }

    /// The first byte behind it; stops at the end of the address space.
    pub const fn end(self) -> u32 {
        self.offset.saturating_add(self.length)
    }

    /// How many sectors it has.
    pub const fn sectors(self) -> u32 {
        self.length / SECTOR
    }

    const fn overlaps(self, other: Self) -> bool {
        self.offset < other.end() && other.offset < self.end()
    }
}

/// What is wrong with a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayoutError {
    /// There is no map for a chip of so many bytes.
    UnsupportedSize(u32),
    /// The named region does not begin and end on a sector, or is empty.
    Misaligned(Sentence),
    /// The named region does not end inside the chip.
    Outside(Sentence),
    /// The two named regions share bytes.
    Overlap(Sentence, Sentence),
    /// The slots differ in size, so that an image could fit one and not the other.
    UnequalSlots,
    /// The boot record has not exactly two sectors.
    RecordSectors,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnsupportedSize(bytes) => {
                say!(f, "no flash map for a chip of ", bytes, " bytes; SPORE knows chips of 1, 2 and 4 MB")
            }
            Self::Misaligned(name) => {
                say!(f, name, " is empty or not a whole number of ", SECTOR, "-byte sectors")
            }
            Self::Outside(name) => say!(f, name, " reaches past the end of the chip"),
            Self::Overlap(one, two) => write!(f, "{one} and {two} overlap"),
            Self::UnequalSlots => say!(f, "slot a and slot b must have the same size"),
            Self::RecordSectors => say!(f, "the boot record must have exactly two sectors"),
        }
    }
}

impl core::error::Error for LayoutError {}

/// The regions of a chip, to be checked by [`FlashMap::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Regions {
    /// Second stage bootloader.
    pub bootloader: Region,
    /// Slot A.
    pub a: Region,
    /// Slot B.
    pub b: Region,
    /// Boot record.
    pub record: Region,
    /// Configuration of the node.
    pub config: Region,
    /// What the vendor's SDK writes to.
    pub sdk: Region,
}

/// A checked map of a chip: every region is whole sectors, inside the chip, and shares no byte with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashMap {
    bytes: u32,
    regions: Regions,
}

const MEGABYTE: u32 = 1 << 20;
const SDK_BYTES: u32 = 5 * SECTOR;

impl FlashMap {
    /// The map for a chip of so many bytes: 1, 2 or 4 MB.
    pub const fn for_size(bytes: u32) -> Result<Self, LayoutError> {
        if bytes != MEGABYTE && bytes != 2 * MEGABYTE && bytes != 4 * MEGABYTE {
            return Err(LayoutError::UnsupportedSize(bytes));
        }
        let regions = Regions {
            bootloader: Region::new(0, 0x2000),
            a: Region::new(0x2000, 0x7A000),
            b: Region::new(0x7C000, 0x7A000),
            record: Region::new(0xF6000, 2 * SECTOR),
            config: Region::new(0xF8000, 3 * SECTOR),
            sdk: Region::new(bytes - SDK_BYTES, SDK_BYTES),
        };
        Self::new(bytes, regions)
    }

    /// Checks a map of one's own (other boards, tests).
    pub const fn new(bytes: u32, regions: Regions) -> Result<Self, LayoutError> {
        let all = [
            (sentence!("the bootloader"), regions.bootloader),
            (sentence!("slot a"), regions.a),
            (sentence!("slot b"), regions.b),
            (sentence!("the boot record"), regions.record),
            (sentence!("the configuration"), regions.config),
            (sentence!("the SDK's area"), regions.sdk),
        ];
        // Loops by index, because iterators are not const.
        let mut i = 0;
        while i < all.len() {
            let (name, region) = all[i];
            if region.length == 0
                || !region.offset.is_multiple_of(SECTOR)
                || !region.length.is_multiple_of(SECTOR)
            {
                return Err(LayoutError::Misaligned(name));
            }
            if region.offset > bytes || region.length > bytes - region.offset {
                return Err(LayoutError::Outside(name));
            }
            let mut k = 0;
            while k < i {
                if region.overlaps(all[k].1) {
                    return Err(LayoutError::Overlap(all[k].0, name));
                }
                k += 1;
            }
            i += 1;
        }
        if regions.a.length != regions.b.length {
            return Err(LayoutError::UnequalSlots);
        }
        if regions.record.length != 2 * SECTOR {
            return Err(LayoutError::RecordSectors);
        }
        Ok(Self { bytes, regions })
    }

    /// Size of the chip in bytes.
    pub const fn bytes(&self) -> u32 {
        self.bytes
    }

    /// The bootloader's region.
    pub const fn bootloader(&self) -> Region {
        self.regions.bootloader
    }

    /// A slot's region.
    pub const fn slot(&self, slot: Slot) -> Region {
        match slot {
            Slot::A => self.regions.a,
            Slot::B => self.regions.b,
        }
    }

    /// Bytes of either slot: the largest image, header included.
    pub const fn slot_bytes(&self) -> u32 {
        self.regions.a.length
    }

    /// The boot record's region: two sectors.
    pub const fn record(&self) -> Region {
        self.regions.record
    }

    /// The configuration's region.
    pub const fn config(&self) -> Region {
        self.regions.config
    }

    /// What belongs to the vendor's SDK.
    pub const fn sdk(&self) -> Region {
        self.regions.sdk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Regions = Regions {
        bootloader: Region::new(0, 0x2000),
        a: Region::new(0x2000, 0x7A000),
        b: Region::new(0x7C000, 0x7A000),
        record: Region::new(0xF6000, 0x2000),
        config: Region::new(0xF8000, 0x3000),
        sdk: Region::new(0xFB000, 0x5000),
    };

    #[test]
    fn one_megabyte_has_no_gap() {
        let map = FlashMap::for_size(MEGABYTE).unwrap();
        let ends =
            [map.bootloader(), map.slot(Slot::A), map.slot(Slot::B), map.record(), map.config(), map.sdk()];
        for pair in ends.windows(2) {
            assert_eq!(pair[0].end(), pair[1].offset);
        }
        assert_eq!(map.sdk().end(), MEGABYTE);
        assert_eq!(map.slot_bytes(), 488 * 1024);
        assert_eq!(map.config().sectors(), 3);
    }

    #[test]
    fn larger_chips_keep_the_first_megabyte() {
        let small = FlashMap::for_size(MEGABYTE).unwrap();
        for bytes in [2 * MEGABYTE, 4 * MEGABYTE] {
            let map = FlashMap::for_size(bytes).unwrap();
            for slot in Slot::BOTH {
                assert_eq!(map.slot(slot), small.slot(slot));
            }
            assert_eq!((map.record(), map.config()), (small.record(), small.config()));
            assert_eq!(map.sdk().end(), bytes);
        }
    }

    #[test]
    fn unknown_sizes_are_refused() {
        for bytes in [0, 512 * 1024, MEGABYTE + 1, 3 * MEGABYTE, 8 * MEGABYTE, u32::MAX] {
            assert_eq!(FlashMap::for_size(bytes), Err(LayoutError::UnsupportedSize(bytes)));
        }
    }

    #[test]
    fn broken_maps_are_refused() {
        let check = |change: fn(&mut Regions)| {
            let mut regions = BROKEN;
            change(&mut regions);
            FlashMap::new(MEGABYTE, regions).unwrap_err()
        };
        assert!(FlashMap::new(MEGABYTE, BROKEN).is_ok());
        assert_eq!(check(|r| r.a.offset += 4), LayoutError::Misaligned(sentence!("slot a")));
        assert_eq!(check(|r| r.config.length = 0), LayoutError::Misaligned(sentence!("the configuration")));
        assert_eq!(check(|r| r.sdk.length += SECTOR), LayoutError::Outside(sentence!("the SDK's area")));
        assert_eq!(check(|r| r.sdk.offset = 0xFFFF_F000), LayoutError::Outside(sentence!("the SDK's area")));
        assert_eq!(
            check(|r| r.a.length += SECTOR),
            LayoutError::Overlap(sentence!("slot a"), sentence!("slot b"))
        );
        assert_eq!(check(|r| r.a.length -= SECTOR), LayoutError::UnequalSlots);
        assert_eq!(check(|r| r.record.length = SECTOR), LayoutError::RecordSectors);
    }

    #[test]
    fn slots() {
        assert_eq!((Slot::A.other(), Slot::B.other()), (Slot::B, Slot::A));
        assert_eq!(std::format!("{}{}", Slot::A, Slot::B), "ab");
    }
}
