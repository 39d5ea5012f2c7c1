//! What a crash leaves behind for the next start.
//!
//! A panic is one instruction that traps (`panic = "immediate-abort"`, which LLVM makes an illegal instruction of). Like every
//! exception it is the SDK's, which records it in its reset information and restarts; the task is known all the same, because it
//! is marked in RTC memory before every poll.

use spore_boot::rtc::{self, Request};

/// No task of ours: the SDK runs.
pub const NO_TASK: u32 = 0;

/// Word of RTC user memory that names the task that runs, beyond what `spore_boot::rtc` knows.
const TASK: usize = 48;

/// Word of RTC user memory at this index.
const fn word(index: usize) -> *mut u32 {
    core::ptr::with_exposed_provenance_mut(rtc::ADDRESS as usize + 4 * index)
}

/// Reads words of RTC user memory, which takes whole words only.
pub fn rtc_read<const N: usize>(from: usize) -> [u32; N] {
    let mut words = [0; N];
    for (index, to) in words.iter_mut().enumerate() {
        // SAFETY: RTC user memory; the layout keeps its parts inside.
        *to = unsafe { word(from + index).read_volatile() };
    }
    words
}

/// Writes words of RTC user memory.
pub fn rtc_write(from: usize, words: &[u32]) {
    for (index, value) in words.iter().enumerate() {
        // SAFETY: RTC user memory; the layout keeps its parts inside.
        unsafe { word(from + index).write_volatile(*value) };
    }
}

/// Marks the task that is about to run.
#[inline(always)]
pub fn set_task(task: u32) {
    // SAFETY: RTC user memory.
    unsafe { word(TASK).write_volatile(task) };
}

/// The task marked last, which after a start is the one that ran when the chip went down; after power on it is anything.
pub fn task() -> u32 {
    // SAFETY: RTC user memory.
    unsafe { word(TASK).read_volatile() }
}

/// Has the bootloader know why the chip is about to restart.
pub fn request(request: Request) {
    rtc_write(rtc::REQUEST, &request.emit());
}

/// Never called: with `immediate-abort` a panic does not come here.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
