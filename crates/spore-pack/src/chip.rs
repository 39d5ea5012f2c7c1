//! All bytes of a new flash chip.

use crate::error::PackError;
use crate::rom::{MAGIC, RomSize};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use spore_boot::{Record, State, record};
use spore_image::{FlashMap, Header, ImageError, SECTOR, Slot, Verifier};

/// A chip of so many bytes as it leaves the factory: the bootloader (its header changed to this size), the image in slot
/// A, and a boot record that says it is confirmed and was never started. Configuration and the SDK's part are blank.
///
/// Errors: [`PackError::Chip`] for sizes without a map, [`PackError::NoRomImage`], [`PackError::RomTooLarge`], and what
/// a node would say to the image.
pub fn chip(bootloader: &[u8], image: &[u8], bytes: u32) -> Result<Vec<u8>, PackError> {
    let map = FlashMap::for_size(bytes)?;
    let header = Header::parse(image)?;
    let mut verifier = Verifier::new(&header.board, map.slot_bytes());
    verifier.update(image)?;
    verifier.finish()?;
    let room = map.bootloader().length as usize;
    if bootloader.len() > room {
        return Err(PackError::RomTooLarge { bytes: bootloader.len(), room });
    }
    let mut chip = Chip(vec![0xFF; bytes as usize]);
    chip.put(0, bootloader)?;
    chip.put(map.slot(Slot::A).offset, image)?;
    let size = RomSize::from_bytes(bytes).ok_or(PackError::NoRomImage)?;
    match chip.0.first_chunk_mut() {
        // Magic, segments, mode, size and clock: the checksum covers none of these.
        Some([MAGIC, _, _, settings]) => *settings = size.nibble() << 4 | *settings & 0xF,
        _ => return Err(PackError::NoRomImage),
    }
    let first = Record { boot_count: 0, active: Slot::A, state: State::Confirmed, last_update: None };
    // A chip in memory neither fails nor wears out.
    record::write(&mut chip, &map, &first).map_err(|_| PackError::Image(ImageError::Empty))?;
    Ok(chip.0)
}

/// A chip in memory.
struct Chip(Vec<u8>);

/// An order reaches past the chip's end.
#[derive(Debug)]
struct Outside;

impl NorFlashError for Outside {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl Chip {
    fn range(&mut self, offset: u32, length: usize) -> Result<&mut [u8], Outside> {
        self.0.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..length)).ok_or(Outside)
    }

    fn put(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PackError> {
        let room = self.0.len();
        let to = self.range(offset, bytes.len());
        to.map_err(|_| PackError::RomTooLarge { bytes: bytes.len(), room })?.copy_from_slice(bytes);
        Ok(())
    }
}

impl ErrorType for Chip {
    type Error = Outside;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Outside> {
        bytes.copy_from_slice(self.range(offset, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Outside> {
        self.range(from, to.saturating_sub(from) as usize)?.fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Outside> {
        for (to, from) in self.range(offset, bytes.len())?.iter_mut().zip(bytes) {
            *to &= *from;
        }
        Ok(())
    }
}
