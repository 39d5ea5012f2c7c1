//! Flash: the ROM's functions with interrupts masked and the cache off, as the SDK wraps them.

use crate::{dog, guard, rom};

// spore_sdk_uncached(function, a, b, c): calls a ROM function while flash is not in the window. All in IRAM and by hand: not one
// instruction may lie elsewhere.
core::arch::global_asm!(
    ".section .text.spore_sdk_uncached,\"ax\"",
    ".p2align 2",
    ".Ldisable: .long Cache_Read_Disable",
    ".Lenable: .long Cache_Read_Enable",
    ".global spore_sdk_uncached",
    "spore_sdk_uncached:",
    "addi a1, a1, -32",
    "s32i a0, a1, 0",
    "s32i a12, a1, 4",
    "s32i a13, a1, 8",
    "s32i a2, a1, 12",
    "s32i a3, a1, 16",
    "s32i a4, a1, 20",
    "s32i a5, a1, 24",
    "rsil a12, 1",
    "l32r a0, .Ldisable",
    "callx0 a0",
    "l32i a2, a1, 16",
    "l32i a3, a1, 20",
    "l32i a4, a1, 24",
    "l32i a0, a1, 12",
    "callx0 a0",
    "mov a13, a2",
    "movi a2, 0",
    "movi a3, 0",
    "movi a4, 1",
    "l32r a0, .Lenable",
    "callx0 a0",
    "wsr a12, ps",
    "rsync",
    "mov a2, a13",
    "l32i a0, a1, 0",
    "l32i a12, a1, 4",
    "l32i a13, a1, 8",
    "addi a1, a1, 32",
    "ret",
);

unsafe extern "C" {
    fn spore_sdk_uncached(function: usize, a: u32, b: u32, c: u32) -> i32;
}

/// Looks at what a chip would not forgive.
fn check(name: &core::ffi::CStr, address: u32, memory: u32, length: u32, reading: bool) -> bool {
    guard::task_only(name);
    let who = name.as_ptr() as u32;
    if (address | memory | length) & 3 != 0 {
        guard::violation(
            c"%s(0x%08x, 0x%08x, %u): address, pointer and length must be multiples of 4",
            &[who, address, memory, length],
        );
    }
    let in_iram = (0x4010_0000..0x4010_8000).contains(&memory);
    let in_ram = (0x3FFE_8000..0x4000_0000).contains(&memory);
    if !in_ram && !in_iram || memory.checked_add(length).is_none() {
        guard::violation(
            if reading {
                c"%s into 0x%08x, which is not RAM"
            } else {
                c"%s from 0x%08x, which is not RAM (nothing can be read from flash while it is written)"
            },
            &[who, memory],
        );
    }
    let size = spore_hidden::flash_size();
    length <= size && address <= size - length
}

/// Reads flash; everything a multiple of 4. 0 is success, 1 failure.
#[unsafe(no_mangle)]
pub extern "C" fn spi_flash_read(address: u32, to: *mut u32, length: u32) -> i32 {
    if !check(c"spi_flash_read", address, to as u32, length, true) {
        return 1;
    }
    dog::feed();
    // SAFETY: the range was looked at; the ROM function has this signature.
    let result =
        unsafe { spore_sdk_uncached(rom::spi_read as *const () as usize, address, to as u32, length) };
    dog::feed();
    result
}

/// Programs flash; everything a multiple of 4. 0 is success, 1 failure.
#[unsafe(no_mangle)]
pub extern "C" fn spi_flash_write(address: u32, from: *const u32, length: u32) -> i32 {
    if !check(c"spi_flash_write", address, from as u32, length, false) {
        return 1;
    }
    dog::feed();
    // SAFETY: as in `spi_flash_read`.
    let result =
        unsafe { spore_sdk_uncached(rom::spi_write as *const () as usize, address, from as u32, length) };
    dog::feed();
    result
}

/// Erases a sector of 4096 bytes by number. 0 is success, 1 failure.
#[unsafe(no_mangle)]
pub extern "C" fn spi_flash_erase_sector(sector: u16) -> i32 {
    guard::task_only(c"spi_flash_erase_sector");
    if u32::from(sector) >= spore_hidden::flash_size() / 4096 {
        return 1;
    }
    dog::feed();
    // SAFETY: as in `spi_flash_read`.
    let result =
        unsafe { spore_sdk_uncached(rom::spi_erase_sector as *const () as usize, u32::from(sector), 0, 0) };
    dog::feed();
    result
}

/// The chip's identity (JEDEC), low 24 bits: manufacturer, type, capacity. From what the ROM found.
#[unsafe(no_mangle)]
pub extern "C" fn spi_flash_get_id() -> u32 {
    guard::task_only(c"spi_flash_get_id");
    // SAFETY: the ROM keeps a pointer to the description of the chip here; its first word is the identity.
    unsafe { *(*(0x3FFF_C714 as *const *const u32)) }
}
