//! The two sectors: where the newest entry lies and where the next one goes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::{ENTRIES, ENTRY_BYTES, Entry, Record, RecordError};
use crate::{PAGE, Page, erase, program, read as read_flash};
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind, ReadNorFlash};
use spore_image::{FlashMap, SECTOR};

/// Where a look through both sectors finds the newest valid entry.
#[derive(Clone, Copy)]
struct Place {
    /// Its sector, 0 or 1; [`NO_SECTOR`] if there is none.
    sector: u32,
    /// Index behind the last entry of that sector that is not blank.
    next: u32,
}

const NO_SECTOR: u32 = 2;
/// Entries of a page.
const PER_PAGE: usize = PAGE / ENTRY_BYTES;

pub(super) fn offset(map: &FlashMap, sector: u32, entry: u32) -> u32 {
    let bytes = entry.wrapping_mul(SECTOR / ENTRIES);
    map.record().offset.wrapping_add(sector.wrapping_mul(SECTOR)).wrapping_add(bytes)
}

/// Looks for the newest valid entry; `newest` becomes it if there is one.
fn scan<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    newest: &mut Entry,
) -> Result<Place, NorFlashErrorKind> {
    let mut place = Place { sector: NO_SECTOR, next: 0 };
    // A page at a time: each call of a chip's driver switches the flash cache off and on.
    let mut page = Page([0; PAGE]);
    for sector in 0..2 {
        let mut behind = 0;
        // From the end, because sequence numbers only grow within a sector: the first valid entry is its newest.
        'sector: for first in (0..ENTRIES).step_by(PER_PAGE).rev() {
            read_flash(flash, offset(map, sector, first), &mut page.0)?;
            let mut index = first.wrapping_add(PER_PAGE as u32);
            for bytes in page.0.as_chunks().0.iter().rev() {
                index = index.wrapping_sub(1);
                let entry = Entry(*bytes);
                if entry.is_blank() {
                    continue;
                }
                behind = behind.max(index.wrapping_add(1));
                if entry.is_valid() {
                    if place.sector == NO_SECTOR || entry.sequence() > newest.sequence() {
                        *newest = entry;
                        place.sector = sector;
                    }
                    break 'sector;
                }
            }
        }
        if place.sector == sector {
            place.next = behind;
        }
    }
    Ok(place)
}

/// Whether there is a valid entry; `entry` becomes the newest.
pub(crate) fn newest<F: ReadNorFlash>(
    flash: &mut F,
    map: &FlashMap,
    entry: &mut Entry,
) -> Result<bool, RecordError> {
    Ok(scan(flash, map, entry)?.sector != NO_SECTOR)
}

/// The newest valid entry; `None` on a new chip, or when both sectors are damaged.
pub fn read<F: ReadNorFlash>(flash: &mut F, map: &FlashMap) -> Result<Option<Record>, RecordError> {
    let mut entry = Entry::first();
    Ok(newest(flash, map, &mut entry)?.then(|| entry.record()))
}

/// Makes `record` the newest entry. Until this returns, a reader finds either the entry before or this one.
///
/// Costs a look through both sectors, one program order of 64 bytes, and in one of 64 calls an erasure. An entry that
/// does not read back is tried once more in the other sector.
pub fn write<F: NorFlash>(flash: &mut F, map: &FlashMap, record: &Record) -> Result<(), RecordError> {
    append(flash, map, &mut Entry::emit(record))
}

/// [`write`] of an entry, which gets its sequence number and checksum.
pub(crate) fn append<F: NorFlash>(
    flash: &mut F,
    map: &FlashMap,
    entry: &mut Entry,
) -> Result<(), RecordError> {
    // Sequence number 0, in case there is none.
    let mut newest = Entry::first();
    let Place { sector, next } = scan(flash, map, &mut newest)?;
    let known = sector != NO_SECTOR;
    entry.seal(newest.sequence().wrapping_add(1));
    if known && next < ENTRIES && place(flash, offset(map, sector, next), entry)? {
        return Ok(());
    }
    // The sector that does not hold the newest; without one nothing is known about either, so try both.
    for fresh in 0..2 {
        if fresh == sector {
            continue;
        }
        erase(flash, offset(map, fresh, 0))?;
        if place(flash, offset(map, fresh, 0), entry)? {
            return Ok(());
        }
    }
    Err(RecordError::Worn)
}

/// Programs an entry and says whether it reads back.
fn place<F: NorFlash>(flash: &mut F, offset: u32, entry: &Entry) -> Result<bool, RecordError> {
    program(flash, offset, &entry.0)?;
    let mut back = Entry::first();
    read_flash(flash, offset, &mut back.0)?;
    Ok(back == *entry)
}
