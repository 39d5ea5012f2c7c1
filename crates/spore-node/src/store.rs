//! Settings on the flash: one record in a `sequential-storage` map, so that a change is seen whole or not at all.

use core::ops::Range;
use embassy_embedded_hal::adapter::BlockingAsync;
use embassy_futures::block_on;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage, SerializationError, Value};
use serde::Deserialize;
use spore_core::config::{Config, StoredRef};
use spore_sentence::sentence;
use spore_wire::Labels;

/// Key of the settings record. Other keys are free for services to come.
const SETTINGS: u8 = 1;
/// Largest settings record in bytes: all names, labels and times at their longest take 545.
const LARGEST: usize = 560;
/// The same with what the storage adds.
const RECORD: usize = LARGEST + 16;

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
        core::fmt::Display::fmt(
            &match self {
                Self::Flash => {
                    sentence!(
                        "the flash refused to store the settings; they are in force until the next restart"
                    )
                }
                Self::TooLarge => sentence!("the settings are too large to be stored"),
            },
            f,
        )
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

/// Reads the settings into `config`. False, and `config` is unchanged, when there are none yet, or none that can be read.
#[inline(never)]
pub fn load<F: NorFlash>(flash: &mut F, area: Range<u32>, config: &mut Config) -> bool {
    let mut buffer = [0u8; RECORD];
    let Some(record) = fetch(flash, area, &mut buffer) else { return false };
    if read(record, None).is_none() {
        return false;
    }
    read(record, Some(config));
    config.repair();
    true
}

#[inline(never)]
fn fetch<'b, F: NorFlash>(flash: &mut F, area: Range<u32>, buffer: &'b mut [u8; RECORD]) -> Option<&'b [u8]> {
    block_on(storage(flash, area)?.fetch_item(buffer, &SETTINGS)).ok()?
}

/// Reads [`spore_core::config::Stored`] field by field into a configuration, or, without one, only looks whether that is
/// possible: as one value it would take 2.8 KB of stack.
#[inline(never)]
fn read(record: &[u8], mut config: Option<&mut Config>) -> Option<()> {
    let mut version = 0u32;
    let mut rest = record;
    field(&mut rest, Some(&mut version))?;
    if version != 0 {
        return None;
    }
    macro_rules! fields {
        ($($name:ident)*) => {
            $(field(&mut rest, config.as_mut().map(|config| &mut config.$name))?;)*
        };
    }
    fields!(
        hostname wifi_ssid wifi_passphrase wifi_connect_timeout_ms wifi_retry_delay_ms discovery_interval_ms
        listen_interval_ms heartbeat_interval_ms status_interval_ms member_info_interval_ms debug_interval_ms
        inactive_after_ms dead_after_ms
    );
    labels(&mut rest, config.as_mut().map(|config| &mut config.labels))?;
    // What came later: records from before end here.
    if let Some(config) = config.filter(|_| !rest.is_empty()) {
        field(&mut rest, Some(&mut config.ntp_server))?;
    }
    Some(())
}

/// Reads the labels, a map, pair by pair.
#[inline(never)]
fn labels(rest: &mut &[u8], mut labels: Option<&mut Labels>) -> Option<()> {
    let mut count = 0u32;
    field(rest, Some(&mut count))?;
    if let Some(labels) = &mut labels {
        labels.clear();
    }
    for _ in 0..count {
        let (mut key, mut value) = ("", "");
        field(rest, Some(&mut key))?;
        field(rest, Some(&mut value))?;
        if let Some(labels) = &mut labels {
            // One that is out of today's limits is left out.
            let _ = labels.set(key, value);
        }
    }
    Some(())
}

#[inline(never)]
fn field<'r, T: Deserialize<'r>>(rest: &mut &'r [u8], place: Option<&mut T>) -> Option<()> {
    let (value, behind) = postcard::take_from_bytes(rest).ok()?;
    *rest = behind;
    if let Some(place) = place {
        *place = value;
    }
    Some(())
}

/// Stores the settings.
///
/// # Errors
/// [`StoreError`].
pub fn save<F: NorFlash>(flash: &mut F, area: Range<u32>, config: &Config) -> Result<(), StoreError> {
    save_in(flash, area, config, &mut [0; ROOM])
}

/// Room that [`save_in`] works in, in bytes.
pub const ROOM: usize = RECORD;

/// [`save`] where the stack is small: works in `room`, of at least [`ROOM`] bytes.
#[inline(never)]
pub(crate) fn save_in<F: NorFlash>(
    flash: &mut F,
    area: Range<u32>,
    config: &Config,
    room: &mut [u8],
) -> Result<(), StoreError> {
    if postcard::to_slice(&StoredRef::V1(config), room).map_or(true, |record| record.len() > LARGEST) {
        return Err(StoreError::TooLarge);
    }
    let mut map = storage(flash, area).ok_or(StoreError::Flash)?;
    let record = Record(config);
    let stored = match block_on(map.store_item(room, &SETTINGS, &record)) {
        // Foreign bytes, of what was on the chip before: there is nothing to keep, for nothing can be read.
        Err(sequential_storage::Error::Corrupted { .. }) => {
            block_on(map.erase_all()).and_then(|()| block_on(map.store_item(room, &SETTINGS, &record)))
        }
        stored => stored,
    };
    stored.map_err(|_| StoreError::Flash)
}

/// Size of the area and of the record that these settings make; works in `room`.
pub fn usage(area: &Range<u32>, config: &Config, room: &mut [u8]) -> Usage {
    let used = postcard::to_slice(&StoredRef::V1(config), room).map_or(0, |record| record.len());
    Usage { total: area.end.saturating_sub(area.start), used: u32::try_from(used).unwrap_or(0) }
}

/// Settings on their way into the storage's buffer; never read from it.
struct Record<'c>(&'c Config);

impl<'b> Value<'b> for Record<'_> {
    fn serialize_into(&self, buffer: &mut [u8]) -> Result<usize, SerializationError> {
        match postcard::to_slice(&StoredRef::V1(self.0), buffer) {
            Ok(record) => Ok(record.len()),
            Err(_) => Err(SerializationError::BufferTooSmall),
        }
    }

    fn deserialize_from(_: &'b [u8]) -> Result<(Self, usize), SerializationError> {
        Err(SerializationError::InvalidFormat)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use spore_core::config::Stored;
    use spore_core::wifi::{Passphrase, Ssid};
    use spore_lan::flash::Flash;
    use spore_wire::Hostname;

    fn largest() -> Config {
        let mut config = Config::new();
        config.hostname = Hostname::new(&"h".repeat(24)).ok();
        config.wifi_ssid = Ssid::try_from("s".repeat(32).as_str()).unwrap();
        config.wifi_passphrase = Passphrase::try_from("p".repeat(63).as_str()).unwrap();
        for key in 0..8 {
            config.labels.set(&format!("{key:k>16}"), &"v".repeat(24)).unwrap();
        }
        config.set("deadAfterMs", "1800000").unwrap();
        config
    }

    #[test]
    fn the_largest_settings_come_back() {
        let mut flash = Flash::ram(64 * 1024);
        let area = 0..8192;
        let mut read = Config::new();
        assert!(!load(&mut flash, area.clone(), &mut read));
        assert_eq!(read, Config::new(), "nothing is stored yet");
        for settings in [largest(), Config::new(), largest()] {
            save(&mut flash, area.clone(), &settings).unwrap();
            assert!(load(&mut flash, area.clone(), &mut read));
            assert_eq!(read, settings);
        }
        let used = usage(&area, &largest(), &mut [0; ROOM]).used as usize;
        println!("{used} bytes");
        // The times of this one are not all at their longest: ten times five bytes at most.
        assert!(used + 30 <= LARGEST, "{used}");
    }

    #[test]
    fn what_another_firmware_left_in_the_area_is_erased() {
        for byte in [0x00, 0x55, 0xA5] {
            let mut flash = Flash::ram(64 * 1024);
            let area = 0..12_288;
            flash.burn(0, &[byte; 12_288]).unwrap();
            let mut read = Config::new();
            assert!(!load(&mut flash, area.clone(), &mut read));
            save(&mut flash, area.clone(), &largest()).unwrap();
            assert!(load(&mut flash, area.clone(), &mut read));
            assert_eq!(read, largest(), "{byte:#x}");
        }
    }

    #[test]
    fn records_from_before_the_time_server_are_read() {
        let mut config = largest();
        config.set("ntpServer", "10.0.0.1").unwrap();
        let mut buffer = [0u8; 600];
        let record = postcard::to_slice(&StoredRef::V1(&config), &mut buffer).unwrap();
        let mut found = Config::new();
        read(record, Some(&mut found)).unwrap();
        assert_eq!(found, config);
        let mut found = Config::new();
        read(&record[..record.len() - 4], Some(&mut found)).unwrap();
        config.set("ntpServer", "").unwrap();
        assert_eq!(found, config);
        assert!(read(&record[..record.len() - 5], None).is_none(), "a label is cut");
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut buffers = ([0u8; 600], [0u8; 600]);
        let owned = postcard::to_slice(&Stored::from(largest()), &mut buffers.0).unwrap();
        let borrowed = postcard::to_slice(&StoredRef::V1(&largest()), &mut buffers.1).unwrap();
        assert_eq!(owned, borrowed);
    }
}
