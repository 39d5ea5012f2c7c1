//! A flash chip for tests: stricter than a real one, and its power fails on demand.
//!
//! It panics, because a test has found a bug, when a word is programmed twice without an erasure between (real chips
//! allow clearing more bits; PUYA's then flip others), on anything misaligned, and outside of the chip.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use spore_image::layout::Regions;
use spore_image::{FlashMap, Region, SECTOR};
use std::vec::Vec;

/// A map for tests with so many sectors a slot, and one for all the rest that two are not needed for.
///
/// # Panics
///
/// If `sectors` is 0 or absurdly large.
pub fn small_map(sectors: u32) -> FlashMap {
    let mut end = 0;
    let mut region = |sectors: u32| {
        let region = Region::new(end, sectors * SECTOR);
        end = region.end();
        region
    };
    let regions = Regions {
        bootloader: region(1),
        a: region(sectors),
        b: region(sectors),
        record: region(2),
        config: region(1),
        sdk: region(1),
    };
    FlashMap::new(end, regions).expect("a map of consecutive regions")
}

/// What a power cut leaves of the operation it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing happened yet.
    Nothing,
    /// The first half is done.
    Half,
    /// All but the last byte is done.
    AllButOne,
    /// All is done, but nobody was told.
    All,
    /// Every byte is something between before and after (written), or anything (erased).
    Garbage,
}

impl Cut {
    /// All modes.
    pub const ALL: [Self; 5] = [Self::Nothing, Self::Half, Self::AllButOne, Self::All, Self::Garbage];
}

/// The power is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerLost;

impl NorFlashError for PowerLost {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// The chip.
#[derive(Debug, Clone)]
pub struct StrictFlash {
    bytes: Vec<u8>,
    /// Per word: programmed since the last erasure, or the erasure was not completed.
    used: Vec<bool>,
    /// Per word: reads as erased, whatever is programmed.
    stuck: Vec<bool>,
    wear: Vec<u32>,
    operations: u32,
    erasures: u32,
    cut: Option<(u32, Cut)>,
    powered: bool,
    noise: u32,
}

const WORD: usize = 4;

impl StrictFlash {
    /// A blank chip of the map's size.
    pub fn new(map: &FlashMap) -> Self {
        let bytes = map.bytes() as usize;
        Self {
            bytes: std::vec![0xFF; bytes],
            used: std::vec![false; bytes / WORD],
            stuck: std::vec![false; bytes / WORD],
            wear: std::vec![0; bytes / SECTOR as usize],
            operations: 0,
            erasures: 0,
            cut: None,
            powered: true,
            noise: 0x2545_F491,
        }
    }

    /// Puts bytes there as a serial flasher would: sectors erased, not counted.
    ///
    /// # Panics
    ///
    /// If they do not begin on a sector or do not fit the chip.
    pub fn flash_serially(&mut self, offset: u32, bytes: &[u8]) {
        assert!(offset.is_multiple_of(SECTOR), "flashing begins on a sector");
        let start = offset as usize;
        let end = (start + bytes.len()).next_multiple_of(SECTOR as usize);
        self.bytes[start..end].fill(0xFF);
        self.used[start / WORD..end / WORD].fill(false);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.used[start / WORD..(start + bytes.len()).div_ceil(WORD)].fill(true);
    }

    /// All bytes of the chip.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Program and erase operations so far; an erasure counts once per sector.
    pub fn operations(&self) -> u32 {
        self.operations
    }

    /// Erased sectors so far.
    pub fn erasures(&self) -> u32 {
        self.erasures
    }

    /// How often the sector at `offset` was erased.
    pub fn wear(&self, offset: u32) -> u32 {
        self.wear[(offset / SECTOR) as usize]
    }

    /// Cuts the power in the `operation`-th operation from now (1 is the next).
    pub fn cut_at(&mut self, operation: u32, cut: Cut) {
        self.cut = Some((self.operations + operation, cut));
    }

    /// Gives the power back, and takes back a cut that has not come yet.
    pub fn power_on(&mut self) {
        self.cut = None;
        self.powered = true;
    }

    /// Whether there is power.
    pub fn powered(&self) -> bool {
        self.powered
    }

    /// Flips bits of a byte, as age or radiation does.
    pub fn corrupt(&mut self, offset: u32, flip: u8) {
        self.bytes[offset as usize] ^= flip;
    }

    /// Has the word at `offset` read as erased from now on, whatever is programmed: a worn cell.
    pub fn stuck(&mut self, offset: u32) {
        self.stuck[offset as usize / WORD] = true;
    }

    fn random(&mut self) -> u8 {
        // xorshift32: repeatable noise.
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        (self.noise >> 16) as u8
    }

    /// Counts an operation on `length` bytes: how much of it happens, and the cut if it is hit.
    fn begin(&mut self, length: usize) -> Result<(usize, Option<Cut>), PowerLost> {
        if !self.powered {
            return Err(PowerLost);
        }
        self.operations += 1;
        let Some((_, cut)) = self.cut.filter(|(at, _)| *at == self.operations) else {
            return Ok((length, None));
        };
        self.powered = false;
        let done = match cut {
            Cut::Nothing => 0,
            Cut::Half => length / 2,
            Cut::AllButOne => length - 1,
            Cut::All | Cut::Garbage => length,
        };
        Ok((done, Some(cut)))
    }

    fn check(&self, what: &str, offset: u32, length: usize, unit: usize) {
        let aligned = (offset as usize).is_multiple_of(unit) && length.is_multiple_of(unit);
        assert!(aligned, "{what} of {length} bytes at {offset:#x} is misaligned");
        assert!(
            offset as usize + length <= self.bytes.len(),
            "{what} at {offset:#x} ends outside of the chip"
        );
    }
}

impl ErrorType for StrictFlash {
    type Error = PowerLost;
}

impl ReadNorFlash for StrictFlash {
    const READ_SIZE: usize = WORD;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerLost> {
        self.check("a read", offset, bytes.len(), WORD);
        if !self.powered {
            return Err(PowerLost);
        }
        let start = offset as usize;
        bytes.copy_from_slice(&self.bytes[start..start + bytes.len()]);
        for (word, stuck) in bytes.chunks_mut(WORD).zip(&self.stuck[start / WORD..]) {
            if *stuck {
                word.fill(0xFF);
            }
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for StrictFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerLost> {
        self.check("an erasure", from, (to - from) as usize, SECTOR as usize);
        for start in (from as usize..to as usize).step_by(SECTOR as usize) {
            let (done, cut) = self.begin(SECTOR as usize)?;
            self.erasures += 1;
            self.wear[start / SECTOR as usize] += 1;
            self.bytes[start..start + done].fill(0xFF);
            if cut == Some(Cut::Garbage) {
                for at in start..start + done {
                    self.bytes[at] = self.random();
                }
            }
            // A sector whose erasure was not completed must be erased again, however blank it looks; before the
            // erasure began, its words stay as they were.
            let whole = matches!(cut, None | Some(Cut::All));
            if cut != Some(Cut::Nothing) {
                self.used[start / WORD..(start + SECTOR as usize) / WORD].fill(!whole);
            }
            if cut.is_some() {
                return Err(PowerLost);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerLost> {
        self.check("a write", offset, bytes.len(), WORD);
        let (done, cut) = self.begin(bytes.len())?;
        let start = offset as usize;
        for (at, byte) in (start..start + done).zip(bytes) {
            let word = at / WORD;
            assert!(at % WORD != 0 || !self.used[word], "the word at {at:#x} is programmed twice");
            self.used[word] = true;
            let kept = if cut == Some(Cut::Garbage) { self.random() } else { 0 };
            self.bytes[at] &= *byte | kept;
        }
        if cut.is_some() { Err(PowerLost) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash() -> StrictFlash {
        StrictFlash::new(&small_map(1))
    }

    #[test]
    #[should_panic(expected = "programmed twice")]
    fn no_word_twice() {
        let mut flash = flash();
        flash.write(8, &[0xFF; 4]).unwrap();
        let _ = flash.write(4, &[0xFF; 8]);
    }

    #[test]
    #[should_panic(expected = "misaligned")]
    fn whole_words_only() {
        let _ = flash().write(2, &[0; 4]);
    }

    #[test]
    #[should_panic(expected = "outside")]
    fn inside_only() {
        let end = flash().bytes.len() as u32;
        let _ = flash().write(end - 4, &[0; 8]);
    }

    #[test]
    #[should_panic(expected = "programmed twice")]
    fn a_torn_erasure_is_no_erasure() {
        let mut flash = flash();
        flash.cut_at(1, Cut::AllButOne);
        assert_eq!(flash.erase(0, SECTOR), Err(PowerLost));
        flash.power_on();
        let _ = flash.write(0, &[0; 4]);
    }

    #[test]
    fn every_cut_of_a_write() {
        for (cut, expected) in [
            (Cut::Nothing, [0xFF; 8]),
            (Cut::Half, [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]),
            (Cut::AllButOne, [0, 0, 0, 0, 0, 0, 0, 0xFF]),
            (Cut::All, [0; 8]),
        ] {
            let mut flash = flash();
            flash.cut_at(2, cut);
            flash.write(0, &[1; 4]).unwrap();
            assert_eq!(flash.write(8, &[0; 8]), Err(PowerLost));
            assert_eq!(flash.read(0, &mut [0; 4]), Err(PowerLost));
            assert!(!flash.powered());
            flash.power_on();
            assert_eq!(flash.bytes()[8..16], expected);
            assert_eq!(flash.operations(), 2);
        }
    }

    #[test]
    fn erasing_a_range_counts_every_sector() {
        let mut flash = flash();
        flash.write(SECTOR, &[0; 4]).unwrap();
        flash.erase(0, 2 * SECTOR).unwrap();
        assert_eq!((flash.operations(), flash.erasures(), flash.wear(SECTOR)), (3, 2, 1));
        flash.write(SECTOR, &[0; 4]).unwrap();
    }
}
