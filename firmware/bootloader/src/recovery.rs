//! No image to start: says why, and takes one over the serial line (`spore_boot::recovery`).

use crate::flash::Flash;
use crate::{BOARD, rom, serial};
use core::cell::UnsafeCell;
use spore_boot::recovery::{Receiver, Step};
use spore_boot::{NoBootableSlot, SlotFault};
use spore_image::{FlashMap, ImageError};

/// How long the line is looked at between two bytes, in µs. At 74880 baud a byte takes 134.
const LOOK: u32 = 100;
const SECOND: u32 = 1_000_000 / LOOK;
/// Silence after which everything is tried again: what could not be read may have been the cold, or the supply.
const PATIENCE: u32 = 60 * SECOND;

/// The receiver, a kilobyte that is not put on the stack.
struct Place(UnsafeCell<Receiver>);

// SAFETY: there is one core, and no interrupt of this program.
unsafe impl Sync for Place {}

static RECEIVER: Place = Place(UnsafeCell::new(Receiver::new()));

/// Receives until there is an image or nobody sends one; then starts again.
pub fn run(map: &FlashMap, none: &NoBootableSlot) -> ! {
    serial::text("\nspore: no image to start\n slot a: ");
    serial::text(fault(&none.a));
    serial::text("\n slot b: ");
    serial::text(fault(&none.b));
    serial::text("\nSend one for board ");
    serial::text(BOARD);
    serial::text(" over this line. Restarts after a minute of silence.\n");
    // SAFETY: this function runs once, and nobody else uses it.
    let receiver = unsafe { &mut *RECEIVER.0.get() };
    rom::listen();
    let mut silence = 0;
    while silence < PATIENCE {
        rom::feed_watchdog();
        let step = match rom::receive() {
            Some(byte) => {
                silence = 0;
                receiver.byte(&mut Flash, map, BOARD, byte)
            }
            None => {
                rom::wait(LOOK);
                silence += 1;
                if silence.is_multiple_of(SECOND) { receiver.silence() } else { Step::Wait }
            }
        };
        match step {
            Step::Wait => {}
            Step::Answer(bytes) => answer(bytes),
            Step::Done(bytes) => {
                answer(bytes);
                serial::text("\nspore: received\n");
                break;
            }
            Step::Refused(bytes, why) => {
                answer(bytes);
                serial::text("\nspore: refused: ");
                serial::text(fault(&why));
                serial::text("\n");
            }
        }
    }
    rom::restart()
}

fn answer(bytes: [u8; 3]) {
    for byte in bytes {
        rom::send(byte);
    }
}

/// What is wrong, in few words: sentences have no room here.
const fn fault(fault: &SlotFault) -> &'static str {
    match fault {
        SlotFault::Flash(_) => "flash error",
        SlotFault::Image(error) => match error {
            ImageError::WrongMagic => "no image",
            ImageError::UnknownFormat(_) | ImageError::WrongHeaderLength(_) => "unknown format",
            ImageError::ForeignBoard { .. } => "for another board",
            ImageError::TooLarge { .. } => "too large",
            ImageError::WrongChecksum => "wrong SHA-256",
            ImageError::BadRelocations | ImageError::NotLoadable | ImageError::TableOutside(_) => "bad tables",
            _ => "bad header",
        },
    }
}
