//! Cases of flash and cache.

use super::{fail, require};
use crate::rom;
use core::{mem::transmute, ptr::read_volatile};

/// A sector where nothing else lies, and its offset.
const SECTOR: u32 = 0x20;
const OFFSET: u32 = SECTOR * 4096;
/// The window of the cache.
const WINDOW: u32 = 0x4020_0000;

pub(super) unsafe fn cache() {
    let mut words = [0; 4];
    // SAFETY: memory of the chip.
    unsafe {
        rom::SPIRead(0x1_1000, words.as_mut_ptr(), 16);
        let code = WINDOW + 0x1_1000;
        require!("poison at first", read_volatile(code as *const u32) == 0xEEEE_EEEE);
        rom::Cache_Read_Enable(0, 0, 1);
        require!("flash to be seen", read_volatile(code as *const u32) == words[0]);
        require!("the cache took its RAM", read_volatile(0x4010_8000 as *const u32) == 0xEEEE_EEEE);
        let code: extern "C" fn(u32) -> u32 = transmute(code as usize);
        require!("code in flash", code(41) == 42);
        rom::Cache_Read_Disable();
        require!("poison", read_volatile((WINDOW + 0x1_1000) as *const u32) == 0xEEEE_EEEE);
        rom::Cache_Read_Enable(0, 0, 0);
        require!("code in flash again", code(41) == 42);
    }
}

pub(super) unsafe fn cache_cost() {
    const ROUNDS: u32 = 1000;
    // SAFETY: a function made of instructions at 0x11000, 128 KB of them.
    unsafe {
        let code: extern "C" fn(u32) -> u32 = transmute((WINDOW + 0x1_1000) as usize);
        for (name, run) in [(c"poison and refill", false), (c"with 64 KB of code translated anew", true)] {
            let before = spore_hidden::micros();
            for _ in 0..ROUNDS {
                rom::Cache_Read_Enable(0, 0, 1);
                if run {
                    for page in 0..16 {
                        let code: extern "C" fn(u32) -> u32 = transmute(code as usize + 4096 * page);
                        code(1);
                    }
                }
                rom::Cache_Read_Disable();
            }
            let passed = (spore_hidden::micros() - before) as u32;
            rom::ets_printf(c"%s: %u us\n".as_ptr(), name.as_ptr(), passed / ROUNDS);
        }
    }
}

/// What the window holds after flash has changed, whether it was poisoned or not meanwhile.
pub(super) unsafe fn kept_window() {
    let mut last = 0;
    // SAFETY: memory of the chip.
    unsafe {
        for round in 0..70_u32 {
            rom::SPIEraseSector(SECTOR);
            rom::SPIWrite(OFFSET + 4 * round, &round, 4);
            rom::Cache_Read_Enable(0, 0, 1);
            let window = (WINDOW + OFFSET) as *const u32;
            require!("programmed", read_volatile(window.add(round as usize)) == round);
            require!("erased", read_volatile(window.add(last as usize)) == u32::MAX || round == last);
            require!("the rest", read_volatile((WINDOW + 0x1_0000) as *const u32) == 15);
            rom::Cache_Read_Disable();
            last = round;
        }
    }
}

/// Erases a sector, programs its first words and reads them.
pub(super) unsafe fn flash() {
    let words = [1, 2, 3, 0x8000_0000];
    let mut read = [0; 5];
    // SAFETY: buffers of these lengths.
    unsafe {
        require!("erase", rom::SPIEraseSector(SECTOR) == 0);
        require!("write", rom::SPIWrite(OFFSET, words.as_ptr(), 16) == 0);
        require!("read", rom::SPIRead(OFFSET, read.as_mut_ptr(), 20) == 0);
        require!("the same", read[..4] == words && read[4] == u32::MAX);
        require!("erase again", rom::SPIEraseSector(SECTOR) == 0);
        require!("write again", rom::SPIWrite(OFFSET, words.as_ptr(), 16) == 0);
    }
}

pub(super) unsafe fn twice() {
    // SAFETY: buffers of these lengths.
    unsafe {
        rom::SPIEraseSector(SECTOR);
        rom::SPIWrite(OFFSET, [u32::MAX, 0xF0].as_ptr(), 8);
        rom::SPIWrite(OFFSET, [0].as_ptr(), 4);
    }
}

/// Without erasing: the last power on left something there.
pub(super) unsafe fn again() {
    // SAFETY: a buffer of this length.
    unsafe { rom::SPIWrite(OFFSET, [0].as_ptr(), 4) };
}

pub(super) unsafe fn misaligned() {
    // SAFETY: refused.
    unsafe { rom::SPIRead(OFFSET + 2, [0; 2].as_mut_ptr(), 4) };
}

pub(super) unsafe fn past_the_end() {
    // SAFETY: refused.
    unsafe { rom::SPIRead((1 << 20) - 4, [0; 2].as_mut_ptr(), 8) };
}

pub(super) unsafe fn while_cached() {
    // SAFETY: refused.
    unsafe {
        rom::Cache_Read_Enable(0, 0, 1);
        rom::SPIEraseSector(SECTOR);
    }
}

pub(super) unsafe fn from_flash() {
    // SAFETY: refused.
    unsafe { rom::SPIWrite(OFFSET, WINDOW as *const u32, 4) };
}

pub(super) unsafe fn hidden_code() {
    // SAFETY: traps.
    unsafe {
        let code: extern "C" fn(u32) -> u32 = transmute((WINDOW + 0x1_1000) as usize);
        code(1);
    }
}
