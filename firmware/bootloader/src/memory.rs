//! RTC memory, and the variables of this program.

use core::ptr;
use spore_boot::rtc;

unsafe extern "C" {
    static mut _bss_start: u32;
    static mut _bss_end: u32;
}

/// Sets the variables to zero. First of all, because the ROM only loads what is stored.
pub fn clear_bss() {
    let (mut word, end) = (&raw mut _bss_start, &raw const _bss_end);
    while word.cast_const() < end {
        // SAFETY: between the linker's two symbols lie the variables, which nobody uses yet; whole words.
        unsafe {
            word.write_volatile(0);
            word = word.add(1);
        }
    }
}

/// Words of RTC memory at an address.
fn words<const N: usize>(address: u32) -> [u32; N] {
    let base = ptr::with_exposed_provenance::<u32>(address as usize);
    // SAFETY: the callers name RTC memory: 1 KB from 0x60001000, read by whole words.
    core::array::from_fn(|index| unsafe { base.add(index).read_volatile() })
}

/// A record in the user part of RTC memory, from the given word on.
pub fn rtc<const N: usize>(word: usize) -> [u32; N] {
    words(rtc::ADDRESS + 4 * word as u32)
}

/// The SDK's reset information.
pub fn reset_info() -> [u32; 7] {
    words(rtc::RESET_INFO_ADDRESS)
}

/// Writes a record to the user part of RTC memory, from the given word on.
pub fn set_rtc(word: usize, record: &[u32]) {
    let base = ptr::with_exposed_provenance_mut::<u32>(rtc::ADDRESS as usize + 4 * word);
    for (index, value) in record.iter().enumerate() {
        // SAFETY: the callers name records inside the 512 bytes of the user part.
        unsafe { base.add(index).write_volatile(*value) }
    }
}
