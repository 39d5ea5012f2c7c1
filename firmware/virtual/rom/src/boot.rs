//! What the ROM does after a reset: it says so, loads the image at offset 0 of the flash into RAM, and starts it.

use crate::{
    chip::{Cell, violation},
    flash, host, print, reset,
};
use spore_hidden::exit_code;

unsafe extern "C" {
    fn start_image(entry: u32, stack: u32) -> !;
}

/// First byte of an image.
const MAGIC: u8 = 0xE9;
/// Seed of the checksum.
const SEED: u8 = 0xEF;
/// Where the stack of what is started begins.
const STACK: u32 = 0x3FFF_FFD0;

static BUFFER: Cell<[u32; 2]> = Cell::new([0; 2]);

/// Two words of the flash.
fn words(offset: u32) -> [u32; 2] {
    let buffer = BUFFER.get();
    // SAFETY: the buffer has two words.
    unsafe { flash::show(offset, buffer.as_mut_ptr() as u32, 8) };
    *buffer
}

/// What cannot be started: the chip would wait for its watchdog, for ever.
fn refuse(why: &str) -> ! {
    print::line(format_args!("{why}"));
    host::exit(exit_code::BAD_BOARD)
}

/// Loads the image: where it begins to run.
fn load() -> u32 {
    let [head, entry] = words(0);
    let [magic, segments, ..] = head.to_le_bytes();
    if magic != MAGIC || segments == 0 || segments > 16 {
        refuse("no image at offset 0 of the flash");
    }
    let mut offset = 8;
    let mut checksum = SEED;
    for _ in 0..segments {
        let [address, length] = words(offset);
        let fits = |from: u32, to: u32| address >= from && address <= to && length <= to - address;
        let in_ram = fits(0x3FFE_8000, 0x3FFF_C000) || fits(0x4010_0000, 0x4011_0000);
        if !in_ram
            || !address.is_multiple_of(4)
            || !length.is_multiple_of(4)
            || offset + 8 + length + 16 > flash::size()
        {
            refuse("bad segment");
        }
        print::line(format_args!("load {address:#010x}, len {length}, room 16 "));
        // SAFETY: RAM of the chip, which nobody uses now.
        let bytes = unsafe {
            flash::show(offset + 8, address, length);
            core::slice::from_raw_parts(address as *const u8, length as usize)
        };
        checksum = bytes.iter().fold(checksum, |sum, byte| sum ^ byte);
        offset += 8 + length;
    }
    let [_, last] = words((offset | 15) - 7);
    let [.., written] = last.to_le_bytes();
    print::line(format_args!("tail {}\nchksum {written:#04x}\ncsum {checksum:#04x}", offset % 16));
    if written != checksum {
        refuse("csum err");
    }
    entry
}

/// After a reset, on the hidden stack, interrupts masked.
#[unsafe(no_mangle)]
extern "C" fn rom_boot() -> ! {
    let reason = reset::begin();
    print::line(format_args!("\n ets Jan  8 2013,rst cause:{reason}, boot mode:(3,7)\n"));
    let entry = load();
    if !(0x4010_0000..0x4011_0000).contains(&entry) {
        violation!("entry {entry:#x} is not in IRAM");
    }
    // SAFETY: the image begins there.
    unsafe { start_image(entry, STACK) }
}
