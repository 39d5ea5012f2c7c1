//! How deep the stack was: the free part is painted at start, and what lost its paint was used.
//!
//! The one stack of the SDK grows down from 0x40000000 to 0x3FFFEB30. What lies below is the ROM's.

/// Size of the stack in bytes.
pub const SIZE: u32 = TOP - LOW;

const TOP: u32 = 0x4000_0000;
const LOW: u32 = 0x3FFF_EB30;
const PAINT: u32 = 0x5AC0_FFEE;
/// Left unpainted below the frame that paints.
const MARGIN: u32 = 256;

/// Paints what is free. Call once, early.
#[inline(never)]
pub fn paint() {
    let mut here = 0u32;
    let end = (&raw mut here as u32 - MARGIN) & !3;
    let mut at = LOW;
    while at < end {
        // SAFETY: the free part of the stack.
        unsafe { (at as *mut u32).write_volatile(PAINT) };
        at += 4;
    }
}

/// The deepest use of the stack since [`paint`], in bytes.
pub fn deepest() -> u32 {
    let mut at = LOW;
    // SAFETY: reads RAM.
    while at < TOP && unsafe { (at as *const u32).read_volatile() } == PAINT {
        at += 4;
    }
    TOP - at
}
