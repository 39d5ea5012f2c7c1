//! The heap for copies of Espressif's SDK that come without one, as those in the Arduino core do: between the firmware's variables
//! (`_heap_start`) and 0x3FFFC000. The heap itself is spore-heap.
//!
//! The link puts all of this into instruction RAM, and `spore build` checks it: the SDK allocates and frees in interrupt handlers,
//! and while the flash cache is off. Interrupts are masked meanwhile, to level 3 as by the ROM's `ets_intr_lock`: a call within its section does not lower the level.
//!
//! Arguments: SDK 2.x calls with (size, file, line), 3.x with a fourth that tells whether instruction RAM would do. What a function does
//! not use need not be there.
//!
//! Whoever damages the heap, or frees what is no block, gets a trap at that place, which is recorded as any crash.

#![no_std]
#![feature(asm_experimental_arch)]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;
use spore_heap::{Fault, Heap, Memory};

/// The first address that is not data RAM for programs.
const END: u32 = 0x3FFF_C000;

unsafe extern "C" {
    /// The linker's: the first address behind all variables.
    static _heap_start: u8;
    /// The ROM's.
    fn ets_memset(to: *mut c_void, byte: i32, length: u32) -> *mut c_void;
    /// The ROM's.
    fn ets_memcpy(to: *mut c_void, from: *const c_void, length: u32) -> *mut c_void;
}

/// Data RAM.
struct Ram;

impl Memory for Ram {
    #[inline(always)]
    fn word(&self, address: u32) -> u32 {
        // SAFETY: the heap asks for words of the memory it was given, which is nobody else's.
        unsafe { ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() }
    }

    #[inline(always)]
    fn set_word(&mut self, address: u32, value: u32) {
        // SAFETY: as above.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(address as usize).write_volatile(value) };
    }
}

struct Shared(UnsafeCell<Heap>);

// SAFETY: used in `with` only, with interrupts masked; there is one core.
unsafe impl Sync for Shared {}

static HEAP: Shared = Shared(UnsafeCell::new(Heap::new()));

/// Works on the heap with interrupts masked; traps on a fault.
#[inline(always)]
fn with<T>(work: impl FnOnce(&mut Heap, &mut Ram) -> Result<T, Fault>) -> T {
    let before: u32;
    // SAFETY: changes the interrupt level only.
    unsafe { asm!("rsil {0}, 3", out(reg) before, options(nostack)) };
    // SAFETY: nobody else is at work, and `work` does not come back here.
    let heap = unsafe { &mut *HEAP.0.get() };
    if !heap.has_begun() {
        heap.begin(&mut Ram, (&raw const _heap_start).addr() as u32, END);
    }
    let result = work(heap, &mut Ram);
    // SAFETY: sets back what was read.
    unsafe { asm!("wsr {0}, ps", "rsync", in(reg) before, options(nostack)) };
    match result {
        Ok(result) => result,
        Err(_) => panic!(),
    }
}

fn pointer(address: u32) -> *mut c_void {
    ptr::with_exposed_provenance_mut(address as usize)
}

#[inline(never)]
fn allocate(bytes: u32) -> *mut c_void {
    pointer(with(|heap, memory| Ok(heap.allocate(memory, bytes, 0)?.map_or(0, |block| block.content()))))
}

#[inline(never)]
fn zeroed(bytes: u32) -> *mut c_void {
    let content = allocate(bytes);
    if !content.is_null() {
        // SAFETY: a block of that length.
        unsafe { ets_memset(content, 0, bytes) };
    }
    content
}

/// A block; null when there is no room.
#[unsafe(no_mangle)]
pub extern "C" fn pvPortMalloc(bytes: u32) -> *mut c_void {
    allocate(bytes)
}

/// The same, by the name that it has for the Arduino core's copy of SDK 3.
#[unsafe(no_mangle)]
pub extern "C" fn sdk3_pvPortMalloc(bytes: u32) -> *mut c_void {
    allocate(bytes)
}

/// A block of zeros.
#[unsafe(no_mangle)]
pub extern "C" fn pvPortZalloc(bytes: u32) -> *mut c_void {
    zeroed(bytes)
}

/// A block of zeros: for us there is no heap in instruction RAM.
#[unsafe(no_mangle)]
pub extern "C" fn pvPortZallocIram(bytes: u32) -> *mut c_void {
    zeroed(bytes)
}

/// An array of zeros.
#[unsafe(no_mangle)]
pub extern "C" fn pvPortCalloc(count: u32, bytes: u32) -> *mut c_void {
    count.checked_mul(bytes).map_or(ptr::null_mut(), zeroed)
}

/// An array of zeros.
#[unsafe(no_mangle)]
pub extern "C" fn pvPortCallocIram(count: u32, bytes: u32) -> *mut c_void {
    pvPortCalloc(count, bytes)
}

/// Frees a block; null is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn vPortFree(content: *mut c_void) {
    if !content.is_null() {
        with(|heap, memory| heap.free(memory, content.addr() as u32).map(|_| ()));
    }
}

/// Moves to a block of another length; the old one stays when there is no room.
///
/// # Safety
/// `content` is a block in use, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvPortRealloc(content: *mut c_void, bytes: u32) -> *mut c_void {
    if content.is_null() {
        return allocate(bytes);
    }
    let block = with(|heap, memory| heap.used(memory, content.addr() as u32));
    if bytes == 0 {
        vPortFree(content);
        return ptr::null_mut();
    }
    let new = allocate(bytes);
    if !new.is_null() {
        // SAFETY: two blocks in use, each at least that long.
        unsafe { ets_memcpy(new, content, block.asked.unwrap_or(0).min(bytes)) };
        vPortFree(content);
    }
    new
}

/// Bytes that are free.
#[unsafe(no_mangle)]
pub extern "C" fn xPortGetFreeHeapSize() -> u32 {
    with(|heap, _| Ok(heap.free_bytes()))
}

/// The SDK shows it, and nothing depends on it: what is free now.
#[unsafe(no_mangle)]
pub extern "C" fn xPortGetMinimumEverFreeHeapSize() -> u32 {
    xPortGetFreeHeapSize()
}

/// What a block for so many bytes takes, with its header.
#[unsafe(no_mangle)]
pub extern "C" fn xPortWantedSizeAlign(bytes: u32) -> u32 {
    bytes.wrapping_add(spore_heap::HEADER + 7) & !7
}

/// Never called: with `immediate-abort` a panic does not come here.
#[cfg(target_arch = "xtensa")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
