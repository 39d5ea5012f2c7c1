//! What the bootloader left for the node.

use core::fmt::Write as _;
use embedded_storage::nor_flash::ReadNorFlash as _;
use heapless::String;
use spore_boot::crashes::{self, Streak};
use spore_boot::rtc::{self, Handoff, Reset, TaskName};
use spore_boot::{Boot, record};
use spore_image::{FlashMap, HEADER_BYTES, Header};
use spore_rt::crash;
use spore_rt::flash::Flash;

/// How the node begins.
pub struct Begin {
    /// Which image runs, and how.
    pub boot: Boot,
    /// Quick crashes in a row before this start.
    pub quick_crashes: u8,
    /// Why the chip started, in words.
    pub reset_reason: String<96>,
}

/// A header on a word boundary, as flash reads want it.
#[repr(align(4))]
struct Bytes([u8; HEADER_BYTES]);

/// Puts together what the bootloader said and what lies in flash. `None` when one of them makes no sense.
#[inline(never)]
pub fn read(flash: &mut Flash, flash_bytes: u32) -> Option<Begin> {
    let handoff = Handoff::parse(&crash::rtc_read(rtc::HANDOFF))?;
    let map = FlashMap::for_size(flash_bytes).ok()?;
    let mut bytes = Bytes([0; HEADER_BYTES]);
    flash.read(map.slot(handoff.slot).offset, &mut bytes.0).ok()?;
    let header = Header::parse(&bytes.0).ok()?;
    let last_update = record::read(flash, &map).ok().flatten().and_then(|record| record.last_update);
    let mut reset_reason = String::new();
    // The longest reason fits.
    let _ = write!(reset_reason, "{}", named(handoff.reset));
    let quick_crashes = count_crashes(&handoff);
    let Handoff { slot, trial, boot_count, update_ended, .. } = handoff;
    Some(Begin {
        boot: Boot { slot, header, trial, boot_count, last_update, update_ended },
        quick_crashes,
        reset_reason,
    })
}

/// Counts this start, for the next one.
#[inline(never)]
fn count_crashes(handoff: &Handoff) -> u8 {
    let before = Streak::parse(&crash::rtc_read(crashes::WORD));
    let count = crashes::quick_crashes(before, handoff.reset.cause(), handoff.update_ended);
    crash::rtc_write(crashes::WORD, &Streak::Quick(count).emit());
    count
}

/// Adds the task to a crash that the SDK recorded, which does not know our tasks.
fn named(reset: Reset) -> Reset {
    match reset {
        Reset::Crash(mut crash) if crash.task == TaskName::default() => {
            crash.task = TaskName::new(crate::launch::spore_task_name(crash::task()));
            Reset::Crash(crash)
        }
        other => other,
    }
}
