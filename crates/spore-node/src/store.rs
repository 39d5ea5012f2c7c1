//! Settings on the flash: one record in a `sequential-storage` map, so that a change is seen whole or not at all.

use core::ops::Range;
use embassy_embedded_hal::adapter::BlockingAsync;
use embassy_futures::block_on;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use spore_core::config::{Config, Stored, StoredRef};

/// Key of the settings record. Other keys are free for services to come.
const SETTINGS: u8 = 1;
/// Largest settings record in bytes, storage overhead included.
const RECORD: usize = 768;

/// Why settings could not be stored. What was stored before is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreError {
    /// The flash refused.
    Flash,
    /// The record is larger than its buffer: a limit of this module is wrong.
    TooLarge,
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Flash => {
                "the flash refused to store the settings; they are in force until the next restart"
            }
            Self::TooLarge => "the settings are too large to be stored",
        })
    }
}

/// The configuration area in bytes, and how much of it holds the current settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Size of the area.
    pub total: u32,
    /// Size of the settings record.
    pub used: u32,
}

/// Reads the settings; `None` when there are none yet, or none that can be read.
pub fn load<F: NorFlash>(flash: &mut F, area: Range<u32>) -> Option<Config> {
    let mut buffer = [0u8; RECORD];
    let mut map = storage(flash, area)?;
    let record: &[u8] = block_on(map.fetch_item(&mut buffer, &SETTINGS)).ok()??;
    let stored: Stored = postcard::from_bytes(record).ok()?;
    Some(stored.into_config())
}

/// Stores the settings.
///
/// # Errors
/// [`StoreError`].
pub fn save<F: NorFlash>(flash: &mut F, area: Range<u32>, config: &Config) -> Result<(), StoreError> {
    save_in(flash, area, config, &mut [0; ROOM])
}

/// Room that [`save_in`] works in, in bytes.
pub const ROOM: usize = RECORD / 2 + RECORD;

/// [`save`] where the stack is small: works in `room`, of at least [`ROOM`] bytes.
pub(crate) fn save_in<F: NorFlash>(
    flash: &mut F,
    area: Range<u32>,
    config: &Config,
    room: &mut [u8],
) -> Result<(), StoreError> {
    let (record, rest) = room.split_at_mut_checked(RECORD / 2).ok_or(StoreError::TooLarge)?;
    let record = postcard::to_slice(&StoredRef::V1(config), record).map_err(|_| StoreError::TooLarge)?;
    let buffer = rest.get_mut(..RECORD).ok_or(StoreError::TooLarge)?;
    let mut map = storage(flash, area).ok_or(StoreError::Flash)?;
    let record: &[u8] = record;
    block_on(map.store_item(buffer, &SETTINGS, &record)).map_err(|_| StoreError::Flash)
}

/// Size of the area and of the record that these settings make; works in `room`.
pub fn usage(area: &Range<u32>, config: &Config, room: &mut [u8]) -> Usage {
    let used = postcard::to_slice(&StoredRef::V1(config), room).map_or(0, |record| record.len());
    Usage { total: area.end.saturating_sub(area.start), used: u32::try_from(used).unwrap_or(0) }
}

/// A flash that is read by whole words of what it is written in.
///
/// sequential-storage 8.0.2 looks at one unit of *reading* of the mark at a page's end. If the power went in the middle of
/// that mark, a smaller unit than the mark may look blank: the mark is written again, and a flash that takes each word
/// once refuses that, for ever.
struct Words<'f, F>(&'f mut F);

impl<F: NorFlash> ErrorType for Words<'_, F> {
    type Error = F::Error;
}

impl<F: NorFlash> ReadNorFlash for Words<'_, F> {
    const READ_SIZE: usize = F::WRITE_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for Words<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(offset, bytes)
    }
}

type Storage<'f, F> = MapStorage<u8, BlockingAsync<Words<'f, F>>, Cache<Uncached, Uncached, Uncached, u8>>;

/// The flash is blocking, so every future of the storage is ready at once and `block_on` never spins.
fn storage<F: NorFlash>(flash: &mut F, area: Range<u32>) -> Option<Storage<'_, F>> {
    let config = MapConfig::try_new(area).ok()?;
    Some(MapStorage::new(BlockingAsync::new(Words(flash)), config, Cache::new_uncached()))
}
