//! No image to start: says why, and waits for help.

use crate::{BOARD, rom, serial};
use spore_boot::SlotFlaw;
use spore_image::payload::Flaw;

/// How long the line is looked at between two bytes, in µs.
const LOOK: u32 = 1000;
/// Looks after which everything is tried again: what could not be read may have been the cold, or the supply.
const PATIENCE: u32 = 60_000_000 / LOOK;

/// Says what is wrong with slot A and slot B, and starts again when a byte comes or a minute has passed.
///
/// An image cannot be taken here: there are 8 KB. The ROM takes one when the chip starts with GPIO0 low, which no
/// software can do for it.
pub fn wait([a, b]: [SlotFlaw; 2]) -> ! {
    for part in [
        "\nspore: no image to start\n slot a: ",
        flaw(a),
        "\n slot b: ",
        flaw(b),
        "\nFlash ",
        BOARD,
        " with GPIO0 low. Any key: try again.\n",
    ] {
        serial::text(part);
    }
    rom::listen();
    for _ in 0..PATIENCE {
        rom::feed_watchdog();
        if rom::receive() {
            break;
        }
        rom::wait(LOOK);
    }
    rom::restart()
}

/// What is wrong, in few words: sentences have no room here.
const fn flaw(flaw: SlotFlaw) -> &'static str {
    match flaw {
        SlotFlaw::Flash => "flash error",
        SlotFlaw::Image(Flaw::NoImage) => "no image",
        SlotFlaw::Image(Flaw::Format) => "bad format",
        SlotFlaw::Image(Flaw::Header) => "bad header",
        SlotFlaw::Image(Flaw::Board) => "other board",
        SlotFlaw::Image(Flaw::Size) => "too large",
        SlotFlaw::Image(Flaw::Relocations | Flaw::Memory) => "bad tables",
        SlotFlaw::Image(Flaw::Checksum) => "wrong SHA-256",
    }
}
