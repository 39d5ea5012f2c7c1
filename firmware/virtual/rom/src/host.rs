//! The host, through QEMU's semihosting (`simcall`; numbers of Tensilica's simulator, and QEMU's own from 1000 on).

unsafe extern "C" {
    fn simcall(number: u32, a: u32, b: u32, c: u32) -> i32;
}

const EXIT: u32 = 1;
const READ: u32 = 3;
const WRITE: u32 = 4;
const OPEN: u32 = 5;
const CLOSE: u32 = 6;
const SEEK: u32 = 19;
const FILL: u32 = 1004;

/// Ends QEMU with this exit code.
pub(crate) fn exit(code: u32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { simcall(EXIT, code, 0, 0) };
    }
}

/// How a file is opened; values of Linux.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Only to read.
    Read = 0,
    /// To read and write in place.
    Update = 2,
    /// Made empty, to write.
    Create = 0o1 | 0o100 | 0o1000,
    /// Made if need be, to write at its end.
    Append = 0o1 | 0o100 | 0o2000,
}

/// An open file of the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct File(u32);

impl File {
    /// Opens a file by its name, which ends with a NUL.
    pub(crate) fn open(name: &core::ffi::CStr, mode: Mode) -> Option<File> {
        // SAFETY: the host reads the name only.
        let handle = unsafe { simcall(OPEN, name.as_ptr() as u32, mode as u32, 0o644) };
        u32::try_from(handle).ok().map(File)
    }

    /// Closes it.
    pub(crate) fn close(self) {
        // SAFETY: touches no memory.
        unsafe { simcall(CLOSE, self.0, 0, 0) };
    }

    /// Where reading and writing go on; the length if `offset` is `None`.
    pub(crate) fn seek(self, offset: Option<u32>) -> u32 {
        let (offset, whence) = offset.map_or((0, 2), |offset| (offset, 0));
        // SAFETY: touches no memory.
        u32::try_from(unsafe { simcall(SEEK, self.0, offset, whence) }).unwrap_or(0)
    }

    /// Reads to any place in memory: the number of bytes, 0 at the end and after errors.
    ///
    /// # Safety
    /// `to` points at `length` bytes that may be overwritten.
    pub(crate) unsafe fn read_to(self, to: u32, length: u32) -> u32 {
        // SAFETY: by the caller.
        u32::try_from(unsafe { simcall(READ, self.0, to, length) }).unwrap_or(0)
    }

    /// Reads: the number of bytes, 0 at the end and after errors.
    pub(crate) fn read(self, into: &mut [u8]) -> u32 {
        // SAFETY: `into` may be overwritten.
        unsafe { self.read_to(into.as_mut_ptr() as u32, into.len() as u32) }
    }

    /// Writes from any place in memory: whether all of it was written.
    ///
    /// # Safety
    /// `from` points at `length` readable bytes.
    pub(crate) unsafe fn write_from(self, from: u32, length: u32) -> bool {
        // SAFETY: by the caller.
        (unsafe { simcall(WRITE, self.0, from, length) }) == length as i32
    }

    /// Writes: whether all was written.
    pub(crate) fn write(self, bytes: &[u8]) -> bool {
        // SAFETY: `bytes` is readable.
        unsafe { self.write_from(bytes.as_ptr() as u32, bytes.len() as u32) }
    }
}

/// Fills memory; QEMU forgets what it had translated there.
///
/// # Safety
/// `to` points at `length` bytes that may be overwritten.
pub(crate) unsafe fn fill(to: u32, length: u32, byte: u8) {
    // SAFETY: by the caller.
    unsafe { simcall(FILL, to, u32::from(byte), length) };
}

/// A name with a NUL behind it: `None` if it has one inside or no room.
pub(crate) fn name<'a>(name: &[u8], room: &'a mut [u8; 64]) -> Option<&'a core::ffi::CStr> {
    let place = room.get_mut(..name.len())?;
    place.copy_from_slice(name);
    *room.get_mut(name.len())? = 0;
    core::ffi::CStr::from_bytes_with_nul(room.get(..=name.len())?).ok()
}
