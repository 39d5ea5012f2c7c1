//! What a crash leaves behind for the next start.
//!
//! A panic is one trapping instruction (`panic = "immediate-abort"`: LLVM emits `break 1, 15`), which raises the debug exception.
//! Its vector is pointed at a handler here, which records the address and the task in RTC memory and restarts. Other
//! exceptions are the SDK's, which records them in its reset information; the task is known all the same, because it is
//! marked in RTC memory before every poll.

use crate::rom;
use core::arch::global_asm;
use spore_boot::rtc::{self, Crash, CrashKind, Request, TaskName};

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

unsafe extern "Rust" {
    /// The name of a task by its number; defined by the firmware.
    safe fn spore_task_name(task: u32) -> &'static str;
}

/// Records a panic and restarts.
#[unsafe(no_mangle)]
extern "C" fn spore_panicked(epc: u32) -> ! {
    let task = TaskName::new(spore_task_name(task()));
    rtc_write(rtc::CRASH, &Crash { kind: CrashKind::Panic, cause: 0, epc, address: 0, task }.emit());
    // SAFETY: resets the chip.
    unsafe { rom::software_reset() }
}

/// Never called: with `immediate-abort` a panic does not come here.
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
