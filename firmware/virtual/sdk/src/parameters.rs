//! What the SDK stores in its sectors of the flash: mode and configurations, in the third sector from the end. Written only when it changes.

use core::ffi::c_void;

use crate::{
    cell::Locked,
    flash,
    wifi::config::{SoftApConfig, StationConfig},
};

const MAGIC: u32 = 0x5644_5350;

/// What is stored.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Parameters {
    magic: u32,
    /// Station (1) and access point (2).
    pub mode: u8,
    /// Whether the station joins at start.
    pub auto_connect: u8,
    reserved: [u8; 2],
    /// The station's network.
    pub station: StationConfig,
    /// The access point.
    pub access_point: SoftApConfig,
    sum: u32,
}

const WORDS: usize = size_of::<Parameters>() / 4;
const _: () = assert!(size_of::<Parameters>() == 236);

impl Parameters {
    /// What a chip has from the factory: an access point.
    const DEFAULT: Self = Self {
        magic: MAGIC,
        mode: 2,
        auto_connect: 1,
        reserved: [0; 2],
        station: StationConfig::EMPTY,
        access_point: SoftApConfig::EMPTY,
        sum: 0,
    };

    fn words(&self) -> [u32; WORDS] {
        let mut words = [0_u32; WORDS];
        // SAFETY: a structure of that size; its few padding bytes are never looked at and zero where it was copied from words.
        unsafe {
            core::ptr::copy_nonoverlapping((&raw const *self).cast::<u32>(), words.as_mut_ptr(), WORDS)
        };
        words
    }

    fn checksum(&self) -> u32 {
        self.words().iter().take(WORDS - 1).fold(MAGIC, |sum, word| sum.rotate_left(5) ^ word)
    }
}

static STORED: Locked<Parameters> = Locked::new(Parameters::DEFAULT);

fn sector() -> u32 {
    spore_hidden::flash_size() / 4096 - 3
}

/// Reads what is stored; what is not valid counts as nothing.
pub fn begin() {
    let mut words = [0_u32; WORDS];
    if flash::spi_flash_read(sector() * 4096, words.as_mut_ptr(), WORDS as u32 * 4) != 0 {
        return;
    }
    let mut stored = Parameters::DEFAULT;
    // SAFETY: integers and arrays of them: any words are a valid value.
    unsafe {
        core::ptr::copy_nonoverlapping(
            words.as_ptr().cast::<c_void>(),
            (&raw mut stored).cast::<c_void>(),
            WORDS * 4,
        )
    };
    if stored.magic == MAGIC && stored.sum == stored.checksum() {
        STORED.set(stored);
    }
}

/// What is stored.
#[must_use]
pub fn get() -> Parameters {
    STORED.get()
}

/// Changes what is stored; writes it if it is another then. Whether it is in flash.
pub fn change(edit: impl FnOnce(&mut Parameters)) -> bool {
    let mut new = get();
    edit(&mut new);
    store(&mut new)
}

#[inline(never)]
fn store(new: &mut Parameters) -> bool {
    new.sum = new.checksum();
    let words = new.words();
    if get().words().iter().zip(&words).take(WORDS - 1).all(|(old, new)| old == new) {
        return true;
    }
    let written = flash::spi_flash_erase_sector(sector() as u16) == 0
        && flash::spi_flash_write(sector() * 4096, words.as_ptr(), WORDS as u32 * 4) == 0;
    if written {
        STORED.set(*new);
    }
    written
}
