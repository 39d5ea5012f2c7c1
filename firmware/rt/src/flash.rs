//! The flash chip through the SDK, which switches the cache off around every operation and feeds the watchdog.

use crate::sdk;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a sector.
const SECTOR: u32 = 4096;
/// Bytes carried at once where a buffer does not lie on a word.
const BOUNCE: usize = 256;

/// Where buffers may lie that flash operations use.
const DRAM: core::ops::Range<usize> = 0x3FFE_8000..0x4000_0000;

/// The whole chip.
pub struct Flash {
    bytes: u32,
}

impl Flash {
    /// The chip of so many bytes.
    pub const fn new(bytes: u32) -> Self {
        Self { bytes }
    }

    fn check(&self, offset: u32, length: usize, align: u32) -> Result<(), FlashError> {
        let end = u32::try_from(length).ok().and_then(|length| offset.checked_add(length));
        match end {
            Some(end) if end > self.bytes => Err(FlashError(NorFlashErrorKind::OutOfBounds)),
            Some(end) if offset.is_multiple_of(align) && end.is_multiple_of(align) => Ok(()),
            Some(_) => Err(FlashError(NorFlashErrorKind::NotAligned)),
            None => Err(FlashError(NorFlashErrorKind::OutOfBounds)),
        }
    }
}

/// An operation on flash failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlashError(NorFlashErrorKind);

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        self.0
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

#[repr(align(4))]
struct Words([u8; BOUNCE]);

fn outcome(code: i32) -> Result<(), FlashError> {
    if code == 0 { Ok(()) } else { Err(FlashError(NorFlashErrorKind::Other)) }
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, mut offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        self.check(offset, bytes.len(), 4)?;
        if bytes.as_ptr().addr().is_multiple_of(4) {
            // SAFETY: address, pointer and length are multiples of 4 and inside chip and buffer.
            return outcome(unsafe {
                sdk::spi_flash_read(offset, bytes.as_mut_ptr().cast(), bytes.len() as u32)
            });
        }
        let mut words = Words([0; BOUNCE]);
        for part in bytes.chunks_mut(BOUNCE) {
            // SAFETY: as above; the part is not longer than the words.
            outcome(unsafe { sdk::spi_flash_read(offset, words.0.as_mut_ptr().cast(), part.len() as u32) })?;
            part.copy_from_slice(&words.0[..part.len()]);
            offset += BOUNCE as u32;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        self.check(from, to.saturating_sub(from) as usize, SECTOR)?;
        for sector in from / SECTOR..to / SECTOR {
            // SAFETY: a sector inside the chip.
            outcome(unsafe { sdk::spi_flash_erase_sector(sector as u16) })?;
        }
        Ok(())
    }

    fn write(&mut self, mut offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        self.check(offset, bytes.len(), 4)?;
        let from = bytes.as_ptr().addr();
        if from.is_multiple_of(4) && DRAM.contains(&from) {
            let from = bytes.as_ptr().cast_mut().cast();
            // SAFETY: address, pointer and length are multiples of 4 and inside chip and buffer; the SDK only reads it.
            return outcome(unsafe { sdk::spi_flash_write(offset, from, bytes.len() as u32) });
        }
        // The source may lie unaligned, or in flash, which cannot be read meanwhile.
        let mut words = Words([0; BOUNCE]);
        for part in bytes.chunks(BOUNCE) {
            words.0[..part.len()].copy_from_slice(part);
            // SAFETY: address, pointer and length are multiples of 4 and inside chip and words.
            outcome(unsafe { sdk::spi_flash_write(offset, words.0.as_mut_ptr().cast(), part.len() as u32) })?;
            offset += BOUNCE as u32;
        }
        Ok(())
    }
}
