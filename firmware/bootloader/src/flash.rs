//! The flash chip, by the ROM's functions.

use crate::rom;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use spore_image::{FlashMap, SECTOR};

/// The chip. What the map names is inside it.
pub struct Flash;

/// The ROM reports an error.
#[derive(Debug)]
pub struct Failed;

impl NorFlashError for Failed {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

const MEGABYTE: u32 = 1 << 20;

const fn map_of(bytes: u32) -> FlashMap {
    match FlashMap::for_size(bytes) {
        Ok(map) => map,
        Err(_) => panic!("there is a map for this size"),
    }
}

/// The map of the chip: all that a bootloader touches lies in the first megabyte, the same on every chip.
pub fn map() -> &'static FlashMap {
    static MAP: FlashMap = map_of(MEGABYTE);
    &MAP
}

fn done(good: bool) -> Result<(), Failed> {
    rom::feed_watchdog();
    if good { Ok(()) } else { Err(Failed) }
}

impl ErrorType for Flash {
    type Error = Failed;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Failed> {
        let to = bytes.as_mut_ptr();
        if !to.addr().is_multiple_of(4) {
            return Err(Failed);
        }
        // SAFETY: the slice may be overwritten and begins on a word.
        done(unsafe { rom::read_flash(offset, to.cast(), bytes.len() as u32) })
    }

    fn capacity(&self) -> usize {
        MEGABYTE as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Failed> {
        for sector in from / SECTOR..to / SECTOR {
            rom::feed_watchdog();
            done(rom::erase_sector(sector))?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Failed> {
        let from = bytes.as_ptr();
        if !from.addr().is_multiple_of(4) {
            return Err(Failed);
        }
        // SAFETY: the slice is readable and begins on a word.
        done(unsafe { rom::write_flash(offset, from.cast(), bytes.len() as u32) })
    }
}
