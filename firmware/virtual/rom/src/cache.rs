//! The window 0x40200000-0x402FFFFF, through which a megabyte of flash is seen while the cache is on.
//!
//! While it is off, the window holds poison: 0xEE is no instruction of this core and stands out when read. Likewise the IRAM that
//! the cache takes for itself (its upper half, or the upper quarter with the small cache) is poisoned when it is switched on.

use crate::{
    chip::{Cell, violation},
    flash, host,
};

/// The window.
const WINDOW: u32 = 0x4020_0000;
/// Its length.
const LENGTH: u32 = 0x10_0000;
/// End of IRAM, where the cache lives when it is on.
const IRAM_END: u32 = 0x4011_0000;
/// No instruction begins with this byte (op0 = 14 is reserved).
pub(crate) const POISON: u8 = 0xEE;

static ON: Cell<bool> = Cell::new(false);

/// Whether flash is to be seen in the window.
pub(crate) fn enabled() -> bool {
    *ON.get()
}

/// Whether code at this address cannot run now, because it lies in flash and the cache is off.
pub(crate) fn hides(address: u32) -> bool {
    !enabled() && (WINDOW..WINDOW + LENGTH).contains(&address)
}

fn poison() {
    *ON.get() = false;
    // SAFETY: the window belongs to the cache.
    unsafe { host::fill(WINDOW, LENGTH, POISON) };
}

/// Off, and nothing to be seen, from whatever state.
pub(crate) fn reset() {
    poison();
}

/// `Cache_Read_Enable(odd, pair, size)`: shows megabyte 2 · pair + odd; `size` 0 is 16 KB of cache, 1 is 32 KB.
#[unsafe(no_mangle)]
extern "C" fn rom_cache_enable(odd: u8, pair: u8, size: u8) {
    if odd > 1 || pair > 7 || size > 1 {
        violation!("Cache_Read_Enable({odd}, {pair}, {size})");
    }
    let from = (u32::from(pair) * 2 + u32::from(odd)) * LENGTH;
    if from >= flash::size() {
        violation!("Cache_Read_Enable for megabyte {} of a flash with {}", from / LENGTH, flash::size() / LENGTH);
    }
    let taken = if size == 0 { 0x4000 } else { 0x8000 };
    // SAFETY: the window and that part of IRAM belong to the cache from now on.
    unsafe {
        host::fill(IRAM_END - taken, taken, POISON);
        flash::show(from, WINDOW, LENGTH);
    }
    *ON.get() = true;
}

/// `Cache_Read_Disable()`.
#[unsafe(no_mangle)]
extern "C" fn rom_cache_disable() {
    if enabled() {
        poison();
    }
}
