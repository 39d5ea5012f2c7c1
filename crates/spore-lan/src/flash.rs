//! Flash chips: strict about what NOR flash can do, and able to lose power in the middle of an operation.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// Smallest unit that can be erased, in bytes.
pub const SECTOR: u32 = 4_096;
/// Smallest unit that can be written, in bytes.
pub const WORD: u32 = 4;
/// What erased bytes read as.
const ERASED: u8 = 0xff;

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlashError {
    /// Beyond the end of the chip.
    OutOfBounds,
    /// Offset or length is not a multiple of the unit.
    NotAligned,
    /// A write to bytes that were not erased.
    NotErased,
    /// The power is gone; see [`Flash::cut_at`].
    PowerLost,
    /// The host's file failed.
    Host(io::ErrorKind),
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::NotErased | Self::PowerLost | Self::Host(_) => NorFlashErrorKind::Other,
        }
    }
}

impl std::fmt::Display for FlashError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfBounds => f.write_str("beyond the end of the flash"),
            Self::NotAligned => f.write_str("not a multiple of the flash's unit"),
            Self::NotErased => f.write_str("written without erasing first"),
            Self::PowerLost => f.write_str("power lost"),
            Self::Host(kind) => write!(f, "file of the flash: {kind}"),
        }
    }
}

impl std::error::Error for FlashError {}

struct Chip {
    /// All of it; the file, if there is one, holds the same.
    bytes: Vec<u8>,
    file: Option<File>,
    operations: u64,
    /// Number of the operation in which the power goes.
    cut: Option<u64>,
    dark: bool,
}

impl Chip {
    fn change(
        &mut self,
        offset: usize,
        len: usize,
        change: impl Fn(usize, u8) -> u8,
    ) -> Result<(), FlashError> {
        if self.dark {
            return Err(FlashError::PowerLost);
        }
        self.operations += 1;
        self.dark = self.cut == Some(self.operations);
        // Half of the operation has taken hold when the power goes.
        let done = if self.dark { len / 2 } else { len };
        let area = &mut self.bytes[offset..offset + done];
        for (n, byte) in area.iter_mut().enumerate() {
            *byte = change(n, *byte);
        }
        if let Some(file) = &self.file {
            write_at(file, area, offset as u64).map_err(|error| FlashError::Host(error.kind()))?;
        }
        if self.dark { Err(FlashError::PowerLost) } else { Ok(()) }
    }

    fn area(&self, offset: u32, len: usize, unit: u32) -> Result<usize, FlashError> {
        let start = offset as usize;
        if start.checked_add(len).is_none_or(|end| end > self.bytes.len()) {
            return Err(FlashError::OutOfBounds);
        }
        if !offset.is_multiple_of(unit) || !len.is_multiple_of(unit as usize) {
            return Err(FlashError::NotAligned);
        }
        Ok(start)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// A flash chip. Clones are handles to the same chip: one for the node, one for whoever holds its plug.
#[derive(Clone)]
pub struct Flash(Rc<RefCell<Chip>>);

impl Flash {
    /// An erased chip in memory. The size is rounded up to whole sectors.
    pub fn ram(size: u32) -> Self {
        Self::of(vec![ERASED; round_up(size)], None)
    }

    /// A chip whose contents are a file's; a new file is an erased chip. Every change goes to the file at once. A
    /// shorter file is lengthened, the rest erased; a longer one keeps its size, rounded up to whole sectors.
    ///
    /// # Errors
    /// When the file cannot be opened, read or lengthened.
    pub fn file(path: &Path, size: u32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &file, &mut bytes)?;
        let kept = bytes.len();
        let whole = bytes.len().next_multiple_of(SECTOR as usize).max(round_up(size));
        bytes.resize(whole, ERASED);
        write_at(&file, &bytes[kept..], kept as u64)?;
        Ok(Self::of(bytes, Some(file)))
    }

    fn of(bytes: Vec<u8>, file: Option<File>) -> Self {
        Self(Rc::new(RefCell::new(Chip { bytes, file, operations: 0, cut: None, dark: false })))
    }

    /// How many operations (a call to erase or write that changes something) there have been.
    pub fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Lets the power go in the middle of the n-th operation from now, counted from 1: its first half takes hold, it
    /// fails, and so does everything after it, until [`Self::restore_power`]. Zero takes the power away now.
    pub fn cut_at(&self, n: u64) {
        let mut chip = self.0.borrow_mut();
        if n == 0 {
            chip.dark = true;
        } else {
            chip.cut = Some(chip.operations.saturating_add(n));
        }
    }

    /// Whether the power is gone.
    pub fn is_dark(&self) -> bool {
        self.0.borrow().dark
    }

    /// Gives the power back and forgets a cut that has not come.
    pub fn restore_power(&self) {
        let mut chip = self.0.borrow_mut();
        (chip.dark, chip.cut) = (false, None);
    }

    /// Overwrites a part of the chip as a programmer does that erases first. Counts as no operation.
    ///
    /// # Errors
    /// [`FlashError::OutOfBounds`], or what the file reports.
    pub fn burn(&self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut chip = self.0.borrow_mut();
        let start = chip.area(offset, bytes.len(), 1)?;
        chip.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        if let Some(file) = &chip.file {
            write_at(file, bytes, u64::from(offset)).map_err(|error| FlashError::Host(error.kind()))?;
        }
        Ok(())
    }

    /// A copy of the whole chip.
    pub fn contents(&self) -> Vec<u8> {
        self.0.borrow().bytes.clone()
    }
}

fn round_up(size: u32) -> usize {
    (size as usize).next_multiple_of(SECTOR as usize)
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        let chip = self.0.borrow();
        if chip.dark {
            return Err(FlashError::PowerLost);
        }
        let start = chip.area(offset, bytes.len(), 1)?;
        bytes.copy_from_slice(&chip.bytes[start..start + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD as usize;
    const ERASE_SIZE: usize = SECTOR as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        let len = to.checked_sub(from).ok_or(FlashError::OutOfBounds)? as usize;
        let mut chip = self.0.borrow_mut();
        let start = chip.area(from, len, SECTOR)?;
        if len == 0 {
            return Ok(());
        }
        chip.change(start, len, |_, _| ERASED)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        let mut chip = self.0.borrow_mut();
        let start = chip.area(offset, bytes.len(), WORD)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let area = &chip.bytes[start..start + bytes.len()];
        // A word may be written once between erasures; writing what it holds already is no change.
        let words = area.chunks(WORD as usize).zip(bytes.chunks(WORD as usize));
        if words.into_iter().any(|(old, new)| old != new && old.iter().any(|byte| *byte != ERASED)) {
            return Err(FlashError::NotErased);
        }
        chip.change(start, bytes.len(), |n, old| old & bytes[n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_strict_as_a_chip() {
        let mut flash = Flash::ram(10_000);
        assert_eq!(flash.capacity(), 3 * 4_096);
        assert_eq!(flash.write(2, &[0; 4]), Err(FlashError::NotAligned));
        assert_eq!(flash.write(0, &[0; 3]), Err(FlashError::NotAligned));
        assert_eq!(flash.write(3 * 4_096, &[0; 4]), Err(FlashError::OutOfBounds));
        assert_eq!(flash.write(u32::MAX - 3, &[0; 8]), Err(FlashError::OutOfBounds));
        assert_eq!(flash.erase(0, 100), Err(FlashError::NotAligned));
        assert_eq!(flash.erase(4_096, 0), Err(FlashError::OutOfBounds));
        assert_eq!(flash.operations(), 0);
        flash.write(4, &[1, 2, 3, 4]).unwrap();
        assert_eq!(flash.write(4, &[1, 2, 3, 0]), Err(FlashError::NotErased));
        flash.write(4, &[1, 2, 3, 4]).unwrap();
        let mut read = [0; 6];
        flash.read(3, &mut read).unwrap();
        assert_eq!(read, [0xff, 1, 2, 3, 4, 0xff]);
        flash.erase(0, 4_096).unwrap();
        flash.read(3, &mut read).unwrap();
        assert_eq!(read, [0xff; 6]);
        assert_eq!(flash.operations(), 3);
    }

    proptest::proptest! {
        /// Against the simplest thing that could be a chip: bytes that writes clear bits of.
        #[test]
        fn it_behaves_like_bytes(steps in proptest::collection::vec((0u32..3, 0u32..1_024, 0u8.., 1usize..8), 0..60)) {
            let mut flash = Flash::ram(2 * SECTOR);
            let mut model = vec![ERASED; 2 * SECTOR as usize];
            for (kind, at, value, words) in steps {
                if kind == 0 {
                    let from = (at % 2) * SECTOR;
                    flash.erase(from, from + SECTOR).unwrap();
                    model[from as usize..(from + SECTOR) as usize].fill(ERASED);
                } else {
                    let (offset, bytes) = (at * WORD, vec![value; words * 4]);
                    let area = &mut model[offset as usize..][..bytes.len()];
                    let fresh = area.chunks(4).all(|old| old == [ERASED; 4] || old == [value; 4]);
                    let expected = if fresh { Ok(()) } else { Err(FlashError::NotErased) };
                    proptest::prop_assert_eq!(flash.write(offset, &bytes), expected);
                    if fresh {
                        area.copy_from_slice(&bytes);
                    }
                }
            }
            proptest::prop_assert_eq!(flash.contents(), model);
        }
    }

    #[test]
    fn a_power_cut_tears_an_operation() {
        let mut flash = Flash::ram(8_192);
        let plug = flash.clone();
        plug.cut_at(2);
        flash.write(0, &[0; 8]).unwrap();
        assert_eq!(flash.write(8, &[0; 8]), Err(FlashError::PowerLost));
        assert!(plug.is_dark());
        assert_eq!(flash.read(0, &mut [0; 1]), Err(FlashError::PowerLost));
        assert_eq!(flash.erase(0, 4_096), Err(FlashError::PowerLost));
        plug.restore_power();
        assert_eq!(flash.contents()[..17], [[0; 12].as_slice(), &[0xff; 5]].concat());
        plug.cut_at(1);
        assert_eq!(flash.erase(0, 8_192), Err(FlashError::PowerLost));
        plug.restore_power();
        assert!(flash.contents().iter().all(|byte| *byte == 0xff));
        plug.cut_at(0);
        assert_eq!(flash.read(0, &mut [0; 1]), Err(FlashError::PowerLost));
    }

    #[test]
    fn a_file_keeps_what_was_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flash.bin");
        {
            let mut flash = Flash::file(&path, 8_192).unwrap();
            flash.write(4_096, b"spor").unwrap();
            flash.burn(4_100, b"e!").unwrap();
            flash.cut_at(1);
            assert_eq!(flash.write(0, b"tornhalf"), Err(FlashError::PowerLost));
        }
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 8_192);
        let flash = Flash::file(&path, 4_096).unwrap();
        assert_eq!(&flash.contents()[..8], b"torn\xff\xff\xff\xff");
        assert_eq!(&flash.contents()[4_096..4_103], b"spore!\xff");
        assert_eq!(flash.capacity(), 8_192);
    }
}
