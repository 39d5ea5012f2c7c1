//! Images the ESP8266's ROM loads: magic 0xE9, segments, and a checksum.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | magic, 0xE9 |
//! | 1 | 1 | number of segments |
//! | 2 | 1 | how the flash chip is read ([`RomMode`]) |
//! | 3 | 1 | size of the chip ([`RomSize`], upper half) and its clock ([`RomFreq`], lower half) |
//! | 4 | 4 | address of the first instruction |
//! | 8 | | segments: address, length, data; all multiples of 4 |
//! | | | zeros, so that the file ends on 16 bytes with the checksum |
//! | end | 1 | checksum: exclusive or of all segment data and 0xEF |
//!
//! As the tool esptool (Espressif) writes and describes it.

use crate::elf::Program;
use crate::error::PackError;
use spore_image::memory::{BOOTLOADER_DRAM, BOOTLOADER_IRAM};

pub(crate) const MAGIC: u8 = 0xE9;
const CHECKSUM_SEED: u8 = 0xEF;
/// Bytes before the first slot.
const ROOM: usize = 0x2000;

/// How the flash chip is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RomMode {
    /// Four lines for address and data.
    Qio,
    /// Four lines for data.
    Qout,
    /// Two lines for address and data.
    Dio,
    /// Two lines for data: what every chip and every module can do.
    #[default]
    Dout,
}

/// Size of the flash chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RomSize {
    /// 1 MB.
    #[default]
    M1,
    /// 2 MB.
    M2,
    /// 4 MB.
    M4,
}

impl RomSize {
    /// The size of so many bytes, if it is one of these.
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        Some(match bytes >> 20 {
            1 if bytes.is_power_of_two() => Self::M1,
            2 if bytes.is_power_of_two() => Self::M2,
            4 if bytes.is_power_of_two() => Self::M4,
            _ => return None,
        })
    }

    pub(crate) const fn nibble(self) -> u8 {
        match self {
            Self::M1 => 2,
            Self::M2 => 3,
            Self::M4 => 4,
        }
    }
}

/// Clock of the flash chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RomFreq {
    /// 40 MHz.
    #[default]
    Mhz40,
    /// 26.7 MHz.
    Mhz26,
    /// 20 MHz.
    Mhz20,
    /// 80 MHz.
    Mhz80,
}

/// The image of a bootloader: its sections, in the RAM that is the bootloader's.
///
/// Errors: [`PackError::Misplaced`], [`PackError::RomTooLarge`] over 8192 bytes, [`PackError::NotElf`].
pub fn rom_image(elf: &[u8], mode: RomMode, size: RomSize, freq: RomFreq) -> Result<Vec<u8>, PackError> {
    let program = Program::parse(elf)?;
    for section in program.loaded.iter().chain(&program.blank) {
        if section.inside(BOOTLOADER_IRAM, "").is_err() {
            section.inside(BOOTLOADER_DRAM, "the RAM of the bootloader")?;
        }
    }
    let segments: Vec<_> =
        program.loaded.iter().map(|section| (section.address, section.words_of_data())).collect();
    let segments: Vec<_> = segments.iter().map(|(address, data)| (*address, data.as_slice())).collect();
    rom_image_of(program.entry, &segments, mode, size, freq)
}

/// The image of segments: address and data each, data in whole words.
///
/// Errors: [`PackError::RomTooLarge`] over 8192 bytes; [`PackError::Misplaced`] for a segment that is not whole words.
pub fn rom_image_of(
    entry: u32,
    segments: &[(u32, &[u8])],
    mode: RomMode,
    size: RomSize,
    freq: RomFreq,
) -> Result<Vec<u8>, PackError> {
    let mode = match mode {
        RomMode::Qio => 0,
        RomMode::Qout => 1,
        RomMode::Dio => 2,
        RomMode::Dout => 3,
    };
    let freq = match freq {
        RomFreq::Mhz40 => 0,
        RomFreq::Mhz26 => 1,
        RomFreq::Mhz20 => 2,
        RomFreq::Mhz80 => 15,
    };
    let too_large = |bytes| PackError::RomTooLarge { bytes, room: ROOM };
    let count = u8::try_from(segments.len()).map_err(|_| too_large(segments.len() * 8))?;
    let mut out = vec![MAGIC, count, mode, size.nibble() << 4 | freq];
    out.extend(entry.to_le_bytes());
    let mut checksum = CHECKSUM_SEED;
    for (address, data) in segments {
        let bytes = u32::try_from(data.len()).map_err(|_| too_large(data.len()))?;
        if !address.is_multiple_of(4) || !bytes.is_multiple_of(4) {
            let place = "whole words";
            return Err(PackError::Misplaced {
                section: "of the ROM".into(),
                address: *address,
                bytes,
                place,
            });
        }
        out.extend(address.to_le_bytes());
        out.extend(bytes.to_le_bytes());
        out.extend_from_slice(data);
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
    }
    out.resize((out.len() + 1).next_multiple_of(16) - 1, 0);
    out.push(checksum);
    if out.len() > ROOM { Err(too_large(out.len())) } else { Ok(out) }
}
