//! The heap: first fit between `_heap_start` and 0x3FFFC000, with guards that are looked at.
//!
//! A block is a header of two words (its length with header and guard, a multiple of 8; a mark combined with the length asked for),
//! the content, and at least 4 bytes of guard. The vendor's heap takes 8 bytes a block; this one up to 8 more for the guard.

use core::ffi::c_void;

use crate::{cell::Locked, guard, rom};

const END: u32 = 0x3FFF_C000;
const HEADER: u32 = 8;
const GUARD: u32 = 4;
/// Marks; the low 16 bits of a used one hold the length asked for.
const FREE: u32 = 0xF4EE_0000;
const USED: u32 = 0xA110_0000;
const GUARD_BYTE: u8 = 0xA5;

struct Heap {
    start: u32,
    free: u32,
}

static HEAP: Locked<Heap> = Locked::new(Heap { start: END, free: 0 });

fn word(address: u32) -> u32 {
    // SAFETY: addresses are those of block headers inside the heap.
    unsafe { (address as *const u32).read_volatile() }
}

fn set(address: u32, value: u32) {
    // SAFETY: as in `word`.
    unsafe { (address as *mut u32).write_volatile(value) };
}

impl Heap {
    /// Length of the block at an address; complains when its header is not one.
    fn length(&self, block: u32) -> u32 {
        let length = word(block);
        let mark = word(block + 4) & 0xFFFF_0000;
        if (mark != FREE && mark != USED)
            || length < HEADER
            || !length.is_multiple_of(8)
            || length > END - block
        {
            guard::violation(
                c"the heap is damaged at 0x%08x: somebody wrote over the header of a block",
                &[block],
            );
        }
        length
    }

    fn is_free(block: u32) -> bool {
        word(block + 4) & 0xFFFF_0000 == FREE
    }

    /// Looks at the guard of a used block.
    fn check(&self, block: u32) {
        let asked = word(block + 4) & 0xFFFF;
        let content = block + HEADER;
        for address in content + asked..block + word(block) {
            // SAFETY: inside the block.
            if unsafe { (address as *const u8).read_volatile() } != GUARD_BYTE {
                guard::violation(
                    c"the heap block at 0x%08x of %u bytes was written over its end, at 0x%08x",
                    &[content, asked, address],
                );
            }
        }
    }

    /// Joins the free block with those free behind it; returns its length.
    fn join(&self, block: u32) -> u32 {
        let mut length = self.length(block);
        while block + length < END && Self::is_free(block + length) {
            length += self.length(block + length);
            set(block, length);
        }
        length
    }

    fn allocate(&mut self, asked: u32) -> u32 {
        if asked == 0 || asked > 0xFFFF {
            return 0;
        }
        let wanted = (asked + HEADER + GUARD + 7) & !7;
        let mut block = self.start;
        while block < END {
            if !Self::is_free(block) {
                self.check(block);
                block += self.length(block);
                continue;
            }
            let length = self.join(block);
            if length >= wanted {
                let rest = length - wanted;
                let taken = if rest >= 16 {
                    set(block + wanted, rest);
                    set(block + wanted + 4, FREE);
                    wanted
                } else {
                    length
                };
                set(block, taken);
                set(block + 4, USED | asked);
                for address in block + HEADER + asked..block + taken {
                    // SAFETY: inside the block.
                    unsafe { (address as *mut u8).write_volatile(GUARD_BYTE) };
                }
                self.free -= taken;
                return block + HEADER;
            }
            block += length;
        }
        0
    }

    /// The used block that an address lies in.
    fn find(&self, address: u32) -> Option<u32> {
        let mut block = self.start;
        while block < END {
            let length = self.length(block);
            if address < block + length {
                return (address >= block && !Self::is_free(block)).then_some(block);
            }
            block += length;
        }
        None
    }

    fn free(&mut self, content: u32) {
        let block = content.wrapping_sub(HEADER);
        if self.find(content) != Some(block) {
            guard::violation(c"vPortFree of 0x%08x, which is no block in use (freed twice?)", &[content]);
        }
        self.check(block);
        let length = self.length(block);
        set(block + 4, FREE);
        // Whoever reads it still finds this.
        for address in (content..block + length).step_by(4) {
            set(address, 0xFEEE_FEEE);
        }
        self.free += length;
        self.join(block);
    }
}

/// Makes the heap of what the firmware's variables leave.
pub fn begin(start: u32) {
    HEAP.with(|heap| {
        heap.start = (start + 7) & !7;
        heap.free = END - heap.start;
        set(heap.start, heap.free);
        set(heap.start + 4, FREE);
    });
}

/// If the address lies in the heap: the start of the content and the end of what was asked for of the block in use there.
#[must_use]
pub fn block_of(address: u32) -> Option<Result<(u32, u32), ()>> {
    HEAP.with(|heap| {
        (heap.start..END).contains(&address).then(|| {
            let block = heap.find(address).ok_or(())?;
            Ok((block + HEADER, block + HEADER + (word(block + 4) & 0xFFFF)))
        })
    })
}

/// A block for the SDK itself; 0 if there is no room.
#[must_use]
pub fn take(length: u32) -> u32 {
    let at = HEAP.with(|heap| heap.allocate(length));
    if at != 0 {
        // SAFETY: a block of that length.
        unsafe { rom::ets_memset(at as *mut c_void, 0, length) };
    }
    at
}

/// Gives back a block of [`take`].
pub fn give(content: u32) {
    HEAP.with(|heap| heap.free(content));
}

/// Bytes free, in all.
#[unsafe(no_mangle)]
pub extern "C" fn system_get_free_heap_size() -> u32 {
    HEAP.with(|heap| heap.free)
}

/// Allocates. SDK 2.x has the arguments (size, file, line), 3.x a fourth (whether IRAM will do); what is not used need not be there.
#[unsafe(no_mangle)]
pub extern "C" fn pvPortMalloc(size: u32) -> *mut c_void {
    guard::task_only(c"pvPortMalloc");
    HEAP.with(|heap| heap.allocate(size)) as *mut c_void
}

/// Allocates zeroed memory; (size, file, line).
#[unsafe(no_mangle)]
pub extern "C" fn pvPortZalloc(size: u32) -> *mut c_void {
    guard::task_only(c"pvPortZalloc");
    take(size) as *mut c_void
}

/// Allocates a zeroed array; (count, size, file, line).
#[unsafe(no_mangle)]
pub extern "C" fn pvPortCalloc(count: u32, size: u32) -> *mut c_void {
    guard::task_only(c"pvPortCalloc");
    count.checked_mul(size).map_or(0, take) as *mut c_void
}

/// Frees; (pointer, file, line). A null pointer is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn vPortFree(content: *mut c_void) {
    guard::task_only(c"vPortFree");
    if !content.is_null() {
        give(content as u32);
    }
}

/// Moves to a block of another size; (pointer, size, file, line).
#[unsafe(no_mangle)]
pub extern "C" fn pvPortRealloc(content: *mut c_void, size: u32) -> *mut c_void {
    guard::task_only(c"pvPortRealloc");
    if content.is_null() {
        return pvPortMalloc(size);
    }
    let Some(Ok((start, end))) = block_of(content as u32) else {
        guard::violation(c"pvPortRealloc of 0x%08x, which is no block in use", &[content as u32])
    };
    let new = pvPortMalloc(size);
    if !new.is_null() {
        let length = (end - start).min(size) as usize;
        // SAFETY: two blocks in use of at least that length.
        unsafe { core::ptr::copy_nonoverlapping(content.cast::<u8>(), new.cast::<u8>(), length) };
        give(content as u32);
    }
    new
}

/// Bytes free, under the name of the heap inside.
#[unsafe(no_mangle)]
pub extern "C" fn xPortGetFreeHeapSize() -> u32 {
    system_get_free_heap_size()
}
