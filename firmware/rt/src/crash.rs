//! What a crash leaves behind for the next start.
//!
//! A panic is one trapping instruction (`panic = "immediate-abort"`: LLVM emits `break 1, 15`), which raises the debug exception.
//! Its vector is pointed at a handler here, which records the address and the task in RTC memory and restarts. Other
//! exceptions are the SDK's, which records them in its reset information; the task is known all the same, because it is
//! marked in RTC memory before every poll.

use crate::{rom, sdk};
use core::arch::global_asm;

/// No task of ours: the SDK runs.
pub const NO_TASK: u32 = 0;

/// Word of RTC user memory at this index.
const fn word(index: usize) -> *mut u32 {
    core::ptr::with_exposed_provenance_mut(crate::rtcshim::ADDRESS as usize + 4 * index)
}

/// RTC user memory, which takes whole words only.
pub struct RtcMemory;

impl RtcMemory {
    /// Reads all words that `crate::rtcshim` knows.
    pub fn read() -> [u32; crate::rtcshim::WORDS] {
        let mut words = [0; crate::rtcshim::WORDS];
        for (index, to) in words.iter_mut().enumerate() {
            // SAFETY: RTC user memory.
            *to = unsafe { word(index).read_volatile() };
        }
        words
    }

    /// Writes words from an index on.
    pub fn write(from: usize, words: &[u32]) {
        for (index, value) in words.iter().enumerate() {
            // SAFETY: RTC user memory; `crate::rtcshim` keeps its parts inside.
            unsafe { word(from + index).write_volatile(*value) };
        }
    }
}

/// Marks the task that is about to run.
#[inline(always)]
pub fn set_task(task: u32) {
    // SAFETY: RTC user memory.
    unsafe { word(crate::rtcshim::TASK).write_volatile(task) };
}

/// The task marked last, which after a start is the one that ran when the chip went down.
pub fn task() -> u32 {
    // SAFETY: RTC user memory.
    unsafe { word(crate::rtcshim::TASK).read_volatile() }
}

// The vector is reached with a level of 2 and an unknown stack, perhaps an overrun one: begin a new one at its top, nobody returns.
global_asm!(
    ".section .iram.debug_exception, \"ax\"",
    ".balign 4",
    ".Lspore_stack: .4byte 0x3FFFFFF0",
    ".Lspore_panicked: .4byte spore_panicked",
    ".global spore_debug_exception",
    ".balign 4",
    "spore_debug_exception:",
    "l32r a1, .Lspore_stack",
    "l32r a4, .Lspore_panicked",
    "rsr a2, epc2",
    "jx a4",
);

unsafe extern "C" {
    fn spore_debug_exception();
}

/// Where the SDK's start code has put the vectors.
const DEBUG_VECTOR: usize = 0x4010_0010;

/// Points the debug vector at the handler. Call once, early.
pub fn install() {
    let target = spore_debug_exception as *const () as usize;
    // `j target`: opcode 6 in the low six bits, an offset of 18 bits from the instruction's address + 4 above them.
    let offset = target.wrapping_sub(DEBUG_VECTOR + 4) as u32;
    let jump = 0x06 | offset << 6 & 0x00FF_FFFF;
    // SAFETY: the vector has sixteen bytes of IRAM of its own; the handler is in IRAM, too, hence within a jump's reach.
    unsafe { core::ptr::with_exposed_provenance_mut::<u32>(DEBUG_VECTOR).write_volatile(jump) };
}

/// Records a panic and restarts.
#[unsafe(no_mangle)]
extern "C" fn spore_panicked(epc: u32) -> ! {
    let record = crate::rtcshim::Crash::panic(epc, task());
    RtcMemory::write(crate::rtcshim::CRASH, &record.encode());
    // SAFETY: resets the chip.
    unsafe { rom::software_reset() }
}

/// What the SDK knows of the last start's end.
pub fn reset_info() -> sdk::ResetInfo {
    // SAFETY: the SDK's structure, alive for ever.
    unsafe { *sdk::system_get_rst_info() }
}

/// Never called: with `immediate-abort` a panic does not come here.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
