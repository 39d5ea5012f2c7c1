//! The window 0x40200000-0x402FFFFF, through which a megabyte of flash is seen while the cache is on.
//!
//! While it is off, the window holds poison: 0xEE is no instruction of this core and stands out when read. Likewise the IRAM that
//! the cache takes for itself (its upper half, or the upper quarter with the small cache) is poisoned when it is switched on.
//!
//! Poison costs: QEMU has to translate anew what ran from the window, some milliseconds for what a busy node runs. Whoever leaves
//! code in flash that runs with the cache off does so each time, so by default the window is poisoned the first 32 times after
//! a reset, then each 32nd time. `strict=1` in `board.txt` poisons always, `strict=0` never (what remains then: interrupts and
//! tasks whose functions lie in flash are refused while the cache is off).

use crate::{
    board,
    chip::{Cell, violation},
    clock, flash, host,
};

/// The window.
const WINDOW: u32 = 0x4020_0000;
/// Its length.
const LENGTH: u32 = 0x10_0000;
/// End of IRAM, where the cache lives when it is on.
const IRAM_END: u32 = 0x4011_0000;
/// No instruction begins with this byte (op0 = 14 is reserved).
pub(crate) const POISON: u8 = 0xEE;

/// How many times after a reset the window is poisoned each time, and then how seldom (`OFTEN` is a power of two).
const OFTEN: u32 = 32;

struct Cache {
    on: bool,
    /// Offset in flash of what the window holds, but for what `flash::changed` tells; none if that is poison.
    holds: Option<u32>,
    /// How often it was switched off since reset.
    offs: u32,
    /// Whether `board.txt` wants poison always or never.
    strict: Option<u32>,
}

static CACHE: Cell<Cache> = Cell::new(Cache { on: false, holds: None, offs: 0, strict: None });

/// Whether flash is to be seen in the window.
pub(crate) fn enabled() -> bool {
    CACHE.get().on
}

/// Whether code at this address cannot run now, because it lies in flash and the cache is off.
pub(crate) fn hides(address: u32) -> bool {
    !enabled() && (WINDOW..WINDOW + LENGTH).contains(&address)
}

fn poison() {
    CACHE.get().holds = None;
    // SAFETY: the window belongs to the cache.
    unsafe { host::fill(WINDOW, LENGTH, POISON) };
}

/// Off, and nothing to be seen, from whatever state.
pub(crate) fn reset() {
    *CACHE.get() = Cache { on: false, holds: None, offs: 0, strict: board::number("strict") };
    poison();
}

/// `Cache_Read_Enable(odd, pair, size)`: shows megabyte 2 · pair + odd; `size` 0 is 16 KB of cache, 1 is 32 KB.
#[unsafe(no_mangle)]
extern "C" fn rom_cache_enable(odd: u8, pair: u8, size: u8) {
    let _counted = clock::InFlash::begin();
    if odd > 1 || pair > 7 || size > 1 {
        violation!("Cache_Read_Enable({odd}, {pair}, {size})");
    }
    let from = (u32::from(pair) * 2 + u32::from(odd)) * LENGTH;
    if from >= flash::size() {
        violation!(
            "Cache_Read_Enable for megabyte {} of a flash with {}",
            from / LENGTH,
            flash::size() / LENGTH
        );
    }
    let cache = CACHE.get();
    let changed = flash::changed();
    let (first, end) = if cache.holds == Some(from) {
        (changed.start.clamp(from, from + LENGTH), changed.end.clamp(from, from + LENGTH))
    } else {
        (from, from + LENGTH)
    };
    let taken = if size == 0 { 0x4000 } else { 0x8000 };
    // SAFETY: the window and that part of IRAM belong to the cache from now on.
    unsafe {
        host::fill(IRAM_END - taken, taken, POISON);
        if first < end {
            flash::show(first, WINDOW + (first - from), end - first);
        }
    }
    cache.holds = Some(from);
    cache.on = true;
}

/// `Cache_Read_Disable()`.
#[unsafe(no_mangle)]
extern "C" fn rom_cache_disable() {
    let _counted = clock::InFlash::begin();
    let cache = CACHE.get();
    if cache.on {
        cache.on = false;
        cache.offs = cache.offs.wrapping_add(1);
        if cache.strict.map_or(cache.offs <= OFTEN || cache.offs.is_multiple_of(OFTEN), |strict| strict != 0)
        {
            poison();
        }
    }
}
