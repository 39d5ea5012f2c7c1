//! The heap between `_heap_start` and 0x3FFFC000: spore-heap, with guards behind the contents that are looked at.
//!
//! The vendor's heap takes 8 bytes a block; this one up to 8 more for the guard.

use core::ffi::c_void;

use spore_heap::{Block, Fault, Memory};

use crate::{cell::Locked, guard, rom};

const END: u32 = 0x3FFF_C000;
const GUARD: u32 = 4;
const GUARD_BYTE: u8 = 0xA5;

static HEAP: Locked<Heap> = Locked::new(Heap(spore_heap::Heap::new()));

/// Data RAM.
struct Ram;

impl Memory for Ram {
    fn word(&self, address: u32) -> u32 {
        // SAFETY: the heap asks for words of its own.
        unsafe { (address as *const u32).read_volatile() }
    }

    fn set_word(&mut self, address: u32, value: u32) {
        // SAFETY: as above.
        unsafe { (address as *mut u32).write_volatile(value) };
    }
}

/// What is right, or a complaint.
fn right<T>(result: Result<T, Fault>) -> T {
    match result {
        Ok(result) => result,
        Err(Fault::Damaged(at)) => guard::violation(
            c"the heap is damaged at 0x%08x: somebody wrote over the header of a block",
            &[at],
        ),
        Err(Fault::NotInUse(content)) => {
            guard::violation(c"vPortFree of 0x%08x, which is no block in use (freed twice?)", &[content])
        }
    }
}

/// Looks at the guard of a used block.
fn check(block: &Block) {
    let Some(asked) = block.asked else { return };
    for address in block.content() + asked..block.end() {
        // SAFETY: inside the block.
        if unsafe { (address as *const u8).read_volatile() } != GUARD_BYTE {
            guard::violation(
                c"the heap block at 0x%08x of %u bytes was written over its end, at 0x%08x",
                &[block.content(), asked, address],
            );
        }
    }
}

struct Heap(spore_heap::Heap);

impl Heap {
    /// The first block for which `wanted`; complains about damaged ones before it.
    fn look(&self, mut wanted: impl FnMut(&Block) -> bool) -> Option<Block> {
        let mut at = right(self.0.first(&Ram));
        while let Some(block) = at {
            if wanted(&block) {
                return at;
            }
            at = right(self.0.next(&Ram, &block));
        }
        None
    }

    fn allocate(&mut self, asked: u32) -> u32 {
        self.look(|block| {
            check(block);
            false
        });
        let Some(block) = right(self.0.allocate(&mut Ram, asked, GUARD)) else { return 0 };
        for address in block.content() + asked..block.end() {
            // SAFETY: inside the block.
            unsafe { (address as *mut u8).write_volatile(GUARD_BYTE) };
        }
        block.content()
    }

    /// The used block that an address lies in.
    fn find(&self, address: u32) -> Option<Block> {
        self.look(|block| address < block.end()).filter(|block| address >= block.at && block.asked.is_some())
    }

    fn free(&mut self, content: u32) {
        // The block by a walk: words inside of another's content may look like a header.
        let Some(block) = self.find(content).filter(|block| block.content() == content) else {
            right(Err(Fault::NotInUse(content)))
        };
        check(&block);
        right(self.0.free(&mut Ram, content));
        // Whoever reads it still finds this.
        for address in (content..block.end()).step_by(4) {
            Ram.set_word(address, 0xFEEE_FEEE);
        }
    }
}

/// Makes the heap of what the firmware's variables leave.
pub fn begin(start: u32) {
    HEAP.with(|heap| heap.0.begin(&mut Ram, start, END));
}

/// If the address lies in the heap: the start of the content and the end of what was asked for of the block in use there.
#[must_use]
pub fn block_of(address: u32) -> Option<Result<(u32, u32), ()>> {
    HEAP.with(|heap| {
        heap.0.range().contains(&address).then(|| {
            let block = heap.find(address).ok_or(())?;
            Ok((block.content(), block.content() + block.asked.unwrap_or(0)))
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
    HEAP.with(|heap| heap.0.free_bytes())
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
