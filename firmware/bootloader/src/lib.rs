//! The second stage bootloader: the ROM loads it from flash 0, it chooses a slot, checks the image in it, loads its RAM
//! segments and jumps to it.
//!
//! All decisions are `spore_boot`'s; here is only what touches the chip. It lives in the IRAM that becomes the flash
//! cache (0x40108000 on) and in the last 16 KB of data RAM, where no firmware loads anything (0x3FFF8000 on: constants, then
//! variables; its stack grows down from 0x3FFFC000). Code is never read, and data never lies in IRAM, because IRAM knows only
//! whole words. The cache stays off.
//!
//! The serial line stays at the speed the ROM chose, 74880 baud with the usual crystal of 26 MHz: so one setting of a
//! terminal shows what the ROM says and what is said here.
#![no_std]
#![feature(asm_experimental_arch)]

mod flash;
mod memory;
mod recovery;
mod rom;
mod serial;

use core::arch::{asm, global_asm};
use flash::Flash;
use spore_boot::rtc::{Crash, Handoff, Request, Reset};
use spore_boot::{Boot, select};
use spore_image::memory::SEGMENT_BYTES;
use spore_image::{FlashMap, HEADER_BYTES, Segment, Slot};

/// The board whose images are started, fixed when this is built.
const BOARD: &str = match option_env!("SPORE_BOARD") {
    Some(board) => board,
    None => "esp8266",
};

// The stack is changed from the ROM's 5 KB to 0x3FFFC000 = 0x40000000 - 0x4000.
global_asm!(
    ".section .bootloader.start, \"ax\"",
    ".balign 4",
    ".global bootloader_start",
    "bootloader_start:",
    "movi a1, 1",
    "slli a1, a1, 30",
    "addmi a1, a1, -16384",
    "j bootloader_main",
    options(raw)
);

/// Everything, from the ROM's jump on.
#[unsafe(no_mangle)]
extern "C" fn bootloader_main() -> ! {
    memory::clear_bss();
    rom::feed_watchdog();
    let reset = why();
    let map = flash::map();
    rom::unlock_flash();
    match select(&mut Flash, &map, BOARD, reset.cause()) {
        Ok(boot) => start(&map, &boot, reset),
        Err(none) => recovery::run(&map, &none),
    }
}

/// Why the chip starts.
fn why() -> Reset {
    let crash = Crash::parse(&memory::rtc(spore_boot::rtc::CRASH));
    let request = Request::parse(&memory::rtc(spore_boot::rtc::REQUEST));
    Reset::derive(rom::reset_reason(), &memory::reset_info(), crash, request)
}

/// Loads the image and jumps to it.
fn start(map: &FlashMap, boot: &Boot, reset: Reset) -> ! {
    serial::text("\nspore: slot ");
    serial::text(boot.slot.as_str());
    serial::text(", ");
    serial::text(boot.header.version.as_str());
    serial::text(", start ");
    serial::number(boot.boot_count);
    serial::text(if boot.trial { ", on trial\n" } else { "\n" });
    load(map, boot.slot, boot);
    memory::set_rtc(spore_boot::rtc::CRASH, &[0; spore_boot::rtc::CRASH_WORDS]);
    memory::set_rtc(spore_boot::rtc::REQUEST, &[0; spore_boot::rtc::REQUEST_WORDS]);
    let handoff = Handoff {
        slot: boot.slot,
        trial: boot.trial,
        update_ended: boot.update_ended,
        boot_count: boot.boot_count,
        reset,
    };
    memory::set_rtc(spore_boot::rtc::HANDOFF, &handoff.emit());
    rom::feed_watchdog();
    // SAFETY: the image is whole, for this board, and loaded; a header's entry lies in IRAM. Nothing here is used again.
    unsafe {
        asm!("mov a1, {stack}", "jx {entry}", stack = in(reg) 0x3FFF_FFF0u32, entry = in(reg) boot.header.entry,
            options(noreturn));
    }
}

/// Copies the RAM segments. They were checked with the image.
fn load(map: &FlashMap, slot: Slot, boot: &Boot) {
    let payload = map.slot(slot).offset + HEADER_BYTES as u32;
    let table = boot.header.segments;
    for index in 0..table.count {
        rom::feed_watchdog();
        let mut entry = [0u32; SEGMENT_BYTES / 4];
        let at = payload + table.offset + index * SEGMENT_BYTES as u32;
        // SAFETY: an array of three words; the next line reads them as bytes.
        let good = unsafe { rom::read_flash(at, entry.as_mut_ptr(), SEGMENT_BYTES as u32) };
        let [address, offset, length] = entry;
        let segment = Segment { address, offset, length };
        // What was read a moment ago may have been read wrongly; the watchdog's reset tries again.
        if !good || !segment.is_loadable(boot.header.payload_length) {
            rom::restart();
        }
        // SAFETY: `is_loadable` says that it is RAM nobody uses yet, on a word boundary.
        if !unsafe { rom::read_flash(payload + offset, address as *mut u32, length) } {
            rom::restart();
        }
    }
}

/// Nothing here panics, by the rules of `spore_boot`; the profile makes of a panic one trapping instruction.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    rom::restart()
}
