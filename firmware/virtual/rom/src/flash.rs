//! The flash: file `flash.bin`, and the ROM's functions for it.
//!
//! Strict: addresses, lengths and buffers are multiples of 4; buffers lie in RAM; nothing reaches past the end; the cache is off;
//! a word is programmed once between two erasures (some makers' chips lose bits otherwise). Whoever breaks that ends QEMU.
//! Every operation is in the file when the function returns, so that killing QEMU is a power cut. Erasing and programming take
//! no time here.
//!
//! `board.txt`: `cut=N` lets the power fail in the Nth operation: the first half of it is done, then QEMU ends. Operations are
//! calls that erase or program, counted from 1 at power on (and not anew at a reset); `SPIEraseArea` is one for each sector.
//! `journal=name` appends each operation that was done whole to a file: three little-endian words (0 erased or 1 programmed,
//! offset, length), and for 1 the bytes.

use crate::{
    board, cache,
    chip::{Cell, store, violation},
    clock,
    host::{self, File, Mode},
    print,
};
use core::ops::Range;
use spore_hidden::exit_code;

/// Bytes in a sector, the smallest piece that can be erased.
const SECTOR: u32 = 4096;
/// Bytes in a block.
const BLOCK: u32 = 65536;
/// The largest flash.
const LARGEST: u32 = 4 << 20;
/// Where the ROM keeps the address of its description of the flash.
const DESCRIPTION: u32 = 0x3FFF_C714;

struct Flash {
    file: Option<File>,
    journal: Option<File>,
    size: u32,
    /// Operations since power on.
    operations: u32,
    /// The one in which the power fails; 0 is none.
    cut: u32,
    /// What was erased or programmed since `changed` was asked.
    changed: Range<u32>,
}

static FLASH: Cell<Flash> =
    Cell::new(Flash { file: None, journal: None, size: 0, operations: 0, cut: 0, changed: 0..0 });
/// A bit for each word that was programmed since its erasure. Words that are not 0xFFFFFFFF count as well.
static PROGRAMMED: Cell<[u32; (LARGEST / 128) as usize]> = Cell::new([0; _]);
static BUFFER: Cell<[u32; (SECTOR / 4) as usize]> = Cell::new([0; _]);

/// At power on: false if there is no `flash.bin` of 1, 2 or 4 MB, or a name in `board.txt` is too long.
pub(crate) fn power_on() -> bool {
    let flash = FLASH.get();
    flash.file = File::open(c"flash.bin", Mode::Update);
    flash.size = flash.file.map_or(0, |file| file.seek(None));
    flash.cut = board::number("cut").unwrap_or(0);
    if let Some(name) = board::value("journal") {
        let mut room = [0; 64];
        let Some(name) = host::name(name.as_bytes(), &mut room) else { return false };
        flash.journal = File::open(name, Mode::Append);
    }
    matches!(flash.size, 0x10_0000 | 0x20_0000 | 0x40_0000)
}

/// Back to the state at reset: what the ROM knows about the chip.
pub(crate) fn reset() {
    let size = size();
    let device = 0x0014_40EF + (size.trailing_zeros() - 20) * 0x1_0000;
    let words = [DESCRIPTION + 4, device, size, BLOCK, SECTOR, 256, 0xFFFF];
    for (place, word) in (DESCRIPTION..).step_by(4).zip(words) {
        // SAFETY: data of the ROM.
        unsafe { store(place, word) };
    }
}

/// Bytes of flash.
pub(crate) fn size() -> u32 {
    FLASH.get().size
}

/// A range that holds all bytes erased or programmed since the last call.
pub(crate) fn changed() -> Range<u32> {
    core::mem::take(&mut FLASH.get().changed)
}

fn file_at(offset: u32) -> File {
    match FLASH.get().file {
        Some(file) => {
            file.seek(Some(offset));
            file
        }
        None => lost(),
    }
}

/// The host has lost the file.
fn lost() -> ! {
    print::say("\nSPORE: flash.bin cannot be used any more\n");
    host::exit(exit_code::BAD_BOARD)
}

/// Copies from flash to anywhere, without the rules.
///
/// # Safety
/// `to` points at `length` bytes that may be overwritten.
pub(crate) unsafe fn show(offset: u32, to: u32, length: u32) {
    // SAFETY: by the caller.
    if unsafe { file_at(offset).read_to(to, length) } != length {
        lost();
    }
}

/// The rules for all operations.
fn check(what: &str, offset: u32, length: u32) {
    if cache::enabled() {
        violation!("{what} at {offset:#x} while the cache is on");
    }
    if !offset.is_multiple_of(4) || !length.is_multiple_of(4) {
        violation!("{what} of {length} bytes at {offset:#x}: not multiples of 4");
    }
    if offset > size() || length > size() - offset {
        violation!("{what} of {length} bytes at {offset:#x}: past the end of the flash");
    }
}

/// The rules for buffers: DRAM (with the stack) or IRAM.
fn check_buffer(what: &str, address: u32, length: u32) {
    let inside = |from: u32, to: u32| address >= from && address <= to && length <= to - address;
    if !address.is_multiple_of(4) || !(inside(0x3FFE_8000, 0x4000_0000) || inside(0x4010_0000, 0x4011_0000)) {
        violation!(
            "{what} with a buffer of {length} bytes at {address:#x}: not in RAM, or not a multiple of 4"
        );
    }
}

/// Counts an operation: how many of its bytes are done, and whether the power fails then.
fn operation(length: u32) -> (u32, bool) {
    let flash = FLASH.get();
    flash.operations += 1;
    if flash.operations == flash.cut { (length / 8 * 4, true) } else { (length, false) }
}

/// Ends an operation.
fn done(programmed: bool, offset: u32, length: u32, from: u32, cut: bool) -> i32 {
    if cut {
        print::line(format_args!("\nSPORE: the power fails in flash operation {}", FLASH.get().operations));
        host::exit(exit_code::POWER_CUT);
    }
    let changed = &mut FLASH.get().changed;
    *changed = if changed.start == changed.end {
        offset..offset + length
    } else {
        changed.start.min(offset)..changed.end.max(offset + length)
    };
    if let Some(journal) = FLASH.get().journal {
        let mut head = [0; 12];
        for (place, word) in
            head.as_chunks_mut::<4>().0.iter_mut().zip([u32::from(programmed), offset, length])
        {
            *place = word.to_le_bytes();
        }
        // SAFETY: `from` was checked to be readable.
        let whole = journal.write(&head) && (!programmed || unsafe { journal.write_from(from, length) });
        if !whole {
            lost();
        }
    }
    0
}

/// The word of the map of programmed words that has this offset, and its bit.
fn programmed(offset: u32) -> (&'static mut u32, u32) {
    let place = &mut PROGRAMMED.get()[(offset / 128 % (LARGEST / 128)) as usize];
    (place, 1 << (offset / 4 % 32))
}

fn erase(what: &str, number: u32, unit: u32) -> i32 {
    if number >= size() / unit {
        violation!("{what} {number}: past the end of the flash");
    }
    let offset = number * unit;
    check(what, offset, unit);
    let (length, cut) = operation(unit);
    let blank = BUFFER.get();
    blank.fill(u32::MAX);
    let file = file_at(offset);
    for at in (0..length).step_by(SECTOR as usize) {
        // SAFETY: the buffer has a sector's bytes.
        if !unsafe { file.write_from(blank.as_ptr() as u32, (length - at).min(SECTOR)) } {
            lost();
        }
    }
    for at in (offset..offset + length).step_by(128) {
        *programmed(at).0 = 0;
    }
    done(false, offset, unit, 0, cut)
}

/// `SPIEraseSector(number)`: 0.
#[unsafe(no_mangle)]
extern "C" fn rom_spi_erase_sector(number: u32) -> i32 {
    let _counted = clock::InFlash::begin();
    erase("SPIEraseSector", number, SECTOR)
}

/// `SPIEraseBlock(number)`: 0.
#[unsafe(no_mangle)]
extern "C" fn rom_spi_erase_block(number: u32) -> i32 {
    let _counted = clock::InFlash::begin();
    erase("SPIEraseBlock", number, BLOCK)
}

/// `SPIEraseArea(offset, length)`: 0. Whole sectors.
#[unsafe(no_mangle)]
extern "C" fn rom_spi_erase_area(offset: u32, length: u32) -> i32 {
    let _counted = clock::InFlash::begin();
    if !offset.is_multiple_of(SECTOR) || !length.is_multiple_of(SECTOR) {
        violation!("SPIEraseArea of {length} bytes at {offset:#x}: not whole sectors");
    }
    for number in 0..length / SECTOR {
        erase("SPIEraseArea", offset / SECTOR + number, SECTOR);
    }
    0
}

/// `SPIEraseChip()`: nothing here has a reason to.
#[unsafe(no_mangle)]
extern "C" fn rom_spi_erase_chip() -> i32 {
    violation!("SPIEraseChip")
}

/// `SPIWrite(offset, from, length)`: 0.
///
/// # Safety
/// `from` is readable.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_spi_write(offset: u32, from: u32, length: u32) -> i32 {
    let _counted = clock::InFlash::begin();
    check("SPIWrite", offset, length);
    check_buffer("SPIWrite", from, length);
    let buffer = BUFFER.get();
    for part in (0..length).step_by(SECTOR as usize) {
        let count = (length - part).min(SECTOR);
        // SAFETY: the buffer has a sector's bytes.
        unsafe { show(offset + part, buffer.as_mut_ptr() as u32, count) };
        for (at, &old) in (offset + part..).step_by(4).zip(buffer.iter()).take((count / 4) as usize) {
            let (map, bit) = programmed(at);
            if old != u32::MAX || *map & bit != 0 {
                violation!("SPIWrite to {at:#x}: already programmed since its erasure (it is {old:#010x})");
            }
        }
    }
    let (half, cut) = operation(length);
    // SAFETY: checked to lie in RAM.
    if !unsafe { file_at(offset).write_from(from, half) } {
        lost();
    }
    for at in (offset..offset + half).step_by(4) {
        let (map, bit) = programmed(at);
        *map |= bit;
    }
    done(true, offset, length, from, cut)
}

/// `SPIRead(offset, to, length)`: 0.
///
/// # Safety
/// `to` may be overwritten.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_spi_read(offset: u32, to: u32, length: u32) -> i32 {
    let _counted = clock::InFlash::begin();
    check("SPIRead", offset, length);
    check_buffer("SPIRead", to, length);
    // SAFETY: checked to lie in RAM; it is the caller's.
    unsafe { show(offset, to, length) };
    0
}

/// `SPI_read_status(description, to)`: 0; the chip is never busy.
///
/// # Safety
/// `to` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn rom_spi_read_status(_description: u32, to: *mut u32) -> i32 {
    // SAFETY: by the caller.
    unsafe { *to = 0 };
    0
}

/// `SPIParamCfg(device, size, block, sector, page, mask)`: 0; a size that is not the flash's is refused.
#[unsafe(no_mangle)]
extern "C" fn rom_spi_param_cfg(_device: u32, bytes: u32) -> i32 {
    if bytes != size() {
        violation!("SPIParamCfg for {bytes} bytes, but the flash has {}", size());
    }
    0
}
