//! SPORE images out of linked firmwares.

use crate::elf::{Program, Section};
use crate::error::PackError;
use core::convert::Infallible;
use spore_image::build::build_image;
use spore_image::header::Table;
use spore_image::memory::{BOOTLOADER_DRAM, DRAM, IRAM};
use spore_image::relocation::{TABLE_BYTES, encode};
use spore_image::{FLASH_WINDOW, FlashMap, HEADER_BYTES, Header, ImageError, Relocator, Segment, Slot};
use spore_image::{Verifier, Version};
use std::collections::BTreeSet;

/// The map all chips share in their first megabyte.
const MAP: FlashMap = match FlashMap::for_size(1 << 20) {
    Ok(map) => map,
    Err(_) => panic!("there is a map for 1 MB"),
};

/// Address `.irom` is linked at: slot A behind header and relocation table.
pub const IROM: u32 = FLASH_WINDOW + MAP.slot(Slot::A).offset + HEADER_BYTES as u32 + TABLE_BYTES;

/// Addresses of slot A.
const WINDOW: core::ops::Range<u32> =
    FLASH_WINDOW + MAP.slot(Slot::A).offset..FLASH_WINDOW + MAP.slot(Slot::A).end();

/// An image and its bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The image: header and payload.
    pub image: Vec<u8>,
    /// Words that change with the slot.
    pub relocations: usize,
    /// Bytes the relocation table takes up of its 3840.
    pub table: usize,
    /// Bytes in instruction RAM.
    pub iram: u32,
    /// Bytes in data RAM that are loaded: variables with a value, and constants.
    pub dram_data: u32,
    /// Bytes in data RAM that begin as zero or as anything.
    pub dram_bss: u32,
    /// Bytes executed in place.
    pub flash: u32,
}

/// Makes the image of a firmware that was linked with its relocations kept (`ld -q`).
///
/// Errors: what [`PackError`] says; among it a name or board that no header takes, and an image that fits no slot.
pub fn pack(elf: &[u8], board: &str, name: &str, version: Version) -> Result<Packed, PackError> {
    let program = Program::parse(elf)?;
    let find = |name: &str| program.loaded.iter().find(|section| section.name == name);
    if let Some(other) =
        program.loaded.iter().find(|section| ![".irom", ".iram", ".data"].contains(&section.name.as_str()))
    {
        return Err(PackError::UnknownSection(other.name.clone()));
    }
    let irom = find(".irom").ok_or(PackError::Missing(".irom"))?;
    irom.inside(IROM..WINDOW.end, "slot a from 0x40203000 on")?;
    if irom.address != IROM {
        let Section { name, address, bytes, .. } = irom;
        let place = "slot a from 0x40203000 on, at its very beginning";
        return Err(PackError::Misplaced { section: name.clone(), address: *address, bytes: *bytes, place });
    }
    let iram = find(".iram").ok_or(PackError::Missing(".iram"))?;
    iram.inside(IRAM, "instruction RAM")?;
    if let Some(data) = find(".data") {
        data.inside(DRAM.start..BOOTLOADER_DRAM.start, "the data RAM that can be loaded")?;
    }
    for section in &program.blank {
        section.inside(DRAM, "data RAM")?;
    }

    let mut payload = vec![0xFF; TABLE_BYTES as usize];
    let mut words = BTreeSet::new();
    let mut segments = Vec::new();
    for section in [Some(irom), Some(iram), find(".data")].into_iter().flatten() {
        let offset = narrow(payload.len())?;
        for word in slot_words(section)? {
            words.insert(offset + (word - section.address));
        }
        let data = section.words_of_data();
        if section.address != IROM {
            segments.push(Segment { address: section.address, offset, length: narrow(data.len())? });
        }
        payload.extend(data);
    }
    let mut header = Header::new(board, name, version)?;
    (header.entry, header.link) = (program.entry, IROM);
    header.segments = Table { offset: narrow(payload.len())?, count: narrow(segments.len())? };
    header.relocations = Table { offset: 0, count: narrow(words.len())? };
    payload.extend(segments.iter().flat_map(Segment::emit));
    let words: Vec<u32> = words.into_iter().collect();
    let table = payload.first_chunk_mut().ok_or(ImageError::Empty)?;
    let table = encode(&words, table)?;
    let image = build_image(header, &payload)?;
    // Nothing leaves here that a node would refuse.
    let mut verifier = Verifier::new(board, MAP.slot_bytes());
    verifier.update(&image)?;
    verifier.finish()?;
    Ok(Packed {
        image,
        relocations: words.len(),
        table,
        iram: iram.bytes,
        dram_data: find(".data").map_or(0, |section| section.bytes),
        dram_bss: program.blank.iter().map(|section| section.bytes).sum(),
        flash: irom.bytes,
    })
}

fn narrow(value: usize) -> Result<u32, PackError> {
    u32::try_from(value)
        .map_err(|_| ImageError::TooLarge { image: u32::MAX, slot: MAP.slot_bytes() })
        .map_err(PackError::Image)
}

/// Addresses of the words of a section that name a place in the slot.
fn slot_words(section: &Section) -> Result<Vec<u32>, PackError> {
    let in_slot = section.address == IROM;
    let mut words = Vec::new();
    for word in &section.words {
        let unmovable = PackError::Unmovable(word.address);
        let names_slot = WINDOW.contains(&word.symbol);
        if word.relative {
            if names_slot != in_slot {
                return Err(unmovable);
            }
            continue;
        }
        let bytes = word
            .address
            .checked_sub(section.address)
            .and_then(|offset| section.data.get(offset as usize..))
            .and_then(|rest| rest.first_chunk())
            .ok_or(unmovable.clone())?;
        let movable = WINDOW.contains(&u32::from_le_bytes(*bytes));
        if movable && word.address.is_multiple_of(4) {
            words.push(word.address);
        } else if movable || names_slot {
            return Err(unmovable);
        }
    }
    Ok(words)
}

/// The bytes an image has when it lies in slot B: equal to what linking for B gives.
///
/// Errors: what a node would say to the image.
pub fn relocated_to_b(image: &[u8]) -> Result<Vec<u8>, ImageError> {
    let header = Header::parse(image)?;
    let mut verifier = Verifier::new(&header.board, MAP.slot_bytes());
    verifier.update(image)?;
    verifier.finish()?;
    let mut moved = image.to_vec();
    let (_, payload) = moved.split_at_mut(HEADER_BYTES);
    let mut relocator = Relocator::new(&MAP, header.relocations.count);
    let read = |offset: u32, bytes: &mut [u8]| -> Result<(), Infallible> {
        let start = HEADER_BYTES + offset as usize;
        bytes.copy_from_slice(&image[start..start + bytes.len()]);
        Ok(())
    };
    match relocator.piece(payload, read) {
        Ok(()) => Ok(moved),
        Err(never) => match never {},
    }
}
