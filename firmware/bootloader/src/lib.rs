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
mod nothing;
mod rom;
mod serial;

use core::arch::{asm, global_asm};
use flash::Flash;
use spore_boot::rtc::{Handoff, Request, Reset};
use spore_boot::{Choice, Entry, check, choose};
use spore_image::header::BOARD_BYTES;
use spore_image::payload::Facts;
use spore_image::{FlashMap, HEADER_BYTES};

/// The board whose images are started, fixed when this is built.
const BOARD: &str = match option_env!("SPORE_BOARD") {
    Some(board) => board,
    None => "esp8266",
};

/// [`BOARD`] as a header has it.
static PADDED: [u8; BOARD_BYTES] = {
    let mut out = [0; BOARD_BYTES];
    let mut index = 0;
    while index < BOARD.len() {
        out[index] = BOARD.as_bytes()[index];
        index += 1;
    }
    out
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
    rom::enable_watchdog();
    rom::feed_watchdog();
    let reset = why();
    let map = flash::map();
    rom::unlock_flash();
    let check = |flash: &mut Flash, slot| check::whole(flash, map, slot, &PADDED);
    let mut entry = Entry::first();
    match choose(&mut Flash, map, reset.cause(), &mut entry, check) {
        Ok(choice) => start(map, &choice, entry.boot_count(), reset),
        Err(flaws) => nothing::wait(flaws),
    }
}

/// Why the chip starts.
fn why() -> Reset {
    let request = Request::parse(&memory::rtc(spore_boot::rtc::REQUEST));
    Reset::derive(rom::reset_reason(), &memory::reset_info(), request)
}

/// Loads the image and jumps to it.
fn start(map: &FlashMap, choice: &Choice<Facts>, boot_count: u32, reset: Reset) -> ! {
    let offset = map.slot(choice.slot).offset;
    serial::text("\nspore: slot ");
    serial::text(choice.slot.as_str());
    serial::text(if choice.trial { ", on trial\n" } else { "\n" });
    load(offset + HEADER_BYTES as u32, &choice.image);
    // Without its magic number it is no record.
    memory::set_rtc(spore_boot::rtc::REQUEST, &[0]);
    let handoff = Handoff {
        slot: choice.slot,
        trial: choice.trial,
        update_ended: choice.update_ended,
        boot_count,
        reset,
    };
    memory::set_rtc(spore_boot::rtc::HANDOFF, &handoff.emit());
    rom::feed_watchdog();
    // SAFETY: the image is whole, for this board, and loaded; a header's entry lies in IRAM. Nothing here is used again.
    unsafe {
        asm!("mov a1, {stack}", "jx {entry}", stack = in(reg) 0x3FFF_FFF0u32, entry = in(reg) choice.image.entry,
            options(noreturn));
    }
}

/// Copies the RAM segments of the payload at this offset of the flash. They were checked with the image.
fn load(payload: u32, facts: &Facts) {
    for index in 0..facts.segments.count {
        let Ok(segment) = check::segment(&mut Flash, payload, facts, index) else { rom::restart() };
        let to = core::ptr::with_exposed_provenance_mut(segment.address as usize);
        // SAFETY: `check::whole` says that all segments go to RAM nobody uses yet, on a word boundary.
        if !unsafe { rom::read_flash(payload + segment.offset, to, segment.length) } {
            rom::restart();
        }
        rom::feed_watchdog();
    }
}

/// Nothing here panics, by the rules of `spore_boot`; the profile makes of a panic one trapping instruction.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    rom::restart()
}
