//! A heap over the words of a piece of memory: first fit, neighbours that are free are joined.
//!
//! SPORE uses no heap; Espressif's SDK does, and copies of it in the Arduino core come without one. So this is the heap of a
//! firmware that is linked with such a copy (`firmware/heap`), and that of the SDK's stand-in, which looks at more.
//!
//! A block is a header of two words, and its content, which begins on a multiple of 8:
//!
//! | word | |
//! |---|---|
//! | 0 | length in bytes with the header, a multiple of 8, at least 16 |
//! | 1 | upper half: `F4EE` free, `A110` in use; lower half: the length that was asked for |
//!
//! Freeing marks a block, in a few instructions; blocks are joined by whoever looks for room. Nothing is locked: callers see to it
//! that nobody else is at work.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

/// Bytes before the content of a block.
pub const HEADER: u32 = 8;
/// The largest length that can be asked for.
pub const LARGEST: u32 = 0xFFFF;

const FREE: u32 = 0xF4EE_0000;
const USED: u32 = 0xA110_0000;
const MARK: u32 = 0xFFFF_0000;
/// The smallest block.
const SMALLEST: u32 = 16;

/// Memory by words; addresses are multiples of 4 in the range that the heap was given.
pub trait Memory {
    /// The word at an address.
    fn word(&self, address: u32) -> u32;
    /// Changes the word at an address.
    fn set_word(&mut self, address: u32, value: u32);
}

/// What is wrong with the heap, or with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is no header at this address, where one must be: somebody wrote over it.
    Damaged(u32),
    /// At this address no block in use begins: it was freed twice, or never came from here.
    NotInUse(u32),
}

/// A block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Address of the header.
    pub at: u32,
    /// Bytes, with the header.
    pub length: u32,
    /// Bytes that were asked for; `None` of a free block.
    pub asked: Option<u32>,
}

impl Block {
    /// Address of the content.
    pub const fn content(&self) -> u32 {
        self.at.wrapping_add(HEADER)
    }

    /// The first address behind it.
    pub const fn end(&self) -> u32 {
        self.at.wrapping_add(self.length)
    }
}

/// A heap. It knows where it lies and how much is free; all else is in the memory.
#[derive(Debug)]
pub struct Heap {
    start: u32,
    end: u32,
    free: u32,
}

impl Heap {
    /// No memory at all: [`Heap::begin`] gives it some.
    pub const fn new() -> Self {
        Self { start: 0, end: 0, free: 0 }
    }

    /// Whether it has memory.
    #[inline(always)]
    pub const fn has_begun(&self) -> bool {
        self.end != 0
    }

    /// Takes the memory from `start` to `end`, both cut to multiples of 8.
    pub fn begin(&mut self, memory: &mut impl Memory, start: u32, end: u32) {
        self.start = start.wrapping_add(7) & !7;
        self.end = end & !7;
        self.free = self.end.saturating_sub(self.start);
        if self.free < SMALLEST {
            (self.end, self.free) = (self.start, 0);
            return;
        }
        memory.set_word(self.start, self.free);
        memory.set_word(self.start.wrapping_add(4), FREE);
    }

    /// Bytes in free blocks, their headers included.
    #[inline(always)]
    pub const fn free_bytes(&self) -> u32 {
        self.free
    }

    /// The addresses of the heap.
    pub const fn range(&self) -> core::ops::Range<u32> {
        self.start..self.end
    }

    /// The first block; `None` without memory.
    ///
    /// # Errors
    /// [`Fault::Damaged`]
    pub fn first(&self, memory: &impl Memory) -> Result<Option<Block>, Fault> {
        self.block_from(memory, self.start)
    }

    /// The block behind this one; `None` at the end.
    ///
    /// # Errors
    /// [`Fault::Damaged`]
    pub fn next(&self, memory: &impl Memory, block: &Block) -> Result<Option<Block>, Fault> {
        self.block_from(memory, block.end())
    }

    #[inline(always)]
    fn block_from(&self, memory: &impl Memory, at: u32) -> Result<Option<Block>, Fault> {
        if at < self.end { self.block(memory, at).map(Some) } else { Ok(None) }
    }

    /// The block whose header lies at an address of the heap.
    #[inline(always)]
    fn block(&self, memory: &impl Memory, at: u32) -> Result<Block, Fault> {
        let (length, mark) = (memory.word(at), memory.word(at.wrapping_add(4)));
        let asked = match mark & MARK {
            FREE => None,
            USED => Some(mark & !MARK),
            _ => return Err(Fault::Damaged(at)),
        };
        let room = self.end.wrapping_sub(at);
        if !length.is_multiple_of(8) || !(SMALLEST..=room).contains(&length) {
            return Err(Fault::Damaged(at));
        }
        Ok(Block { at, length, asked })
    }

    /// Room for `asked` bytes and `guard` more: the block, or `None` when there is none (or nothing is asked for, or
    /// more than [`LARGEST`]).
    ///
    /// # Errors
    /// [`Fault::Damaged`]
    pub fn allocate(
        &mut self,
        memory: &mut impl Memory,
        asked: u32,
        guard: u32,
    ) -> Result<Option<Block>, Fault> {
        if asked == 0 || asked > LARGEST {
            return Ok(None);
        }
        let wanted = asked.wrapping_add(guard).wrapping_add(HEADER + 7) & !7;
        let mut at = self.start;
        while at < self.end {
            let mut block = self.block(memory, at)?;
            if block.asked.is_none() {
                // Those behind it that are free, too, become part of it.
                while block.end() < self.end {
                    let next = self.block(memory, block.end())?;
                    if next.asked.is_some() {
                        break;
                    }
                    block.length = block.length.wrapping_add(next.length);
                    memory.set_word(at, block.length);
                }
                if block.length >= wanted {
                    let rest = block.length.wrapping_sub(wanted);
                    if rest >= SMALLEST {
                        block.length = wanted;
                        memory.set_word(block.end(), rest);
                        memory.set_word(block.end().wrapping_add(4), FREE);
                    }
                    memory.set_word(at, block.length);
                    memory.set_word(at.wrapping_add(4), USED | asked);
                    self.free = self.free.wrapping_sub(block.length);
                    block.asked = Some(asked);
                    return Ok(Some(block));
                }
            }
            at = block.end();
        }
        Ok(None)
    }

    /// The block in use with this content.
    ///
    /// # Errors
    /// [`Fault::NotInUse`]
    #[inline(always)]
    pub fn used(&self, memory: &impl Memory, content: u32) -> Result<Block, Fault> {
        let at = content.wrapping_sub(HEADER);
        if !content.is_multiple_of(8) || at < self.start || at >= self.end {
            return Err(Fault::NotInUse(content));
        }
        match self.block(memory, at) {
            Ok(block @ Block { asked: Some(_), .. }) => Ok(block),
            _ => Err(Fault::NotInUse(content)),
        }
    }

    /// Frees the block with this content; gives what it was.
    ///
    /// # Errors
    /// [`Fault::NotInUse`]; nothing changes then.
    pub fn free(&mut self, memory: &mut impl Memory, content: u32) -> Result<Block, Fault> {
        let block = self.used(memory, content)?;
        memory.set_word(block.at.wrapping_add(4), FREE);
        self.free = self.free.wrapping_add(block.length);
        Ok(block)
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failing test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const BASE: u32 = 0x3FFF_2000;

    struct Words(Vec<u32>);

    impl Words {
        fn bytes(length: u32) -> Self {
            Self(std::vec![0xDEAD_BEEF; length as usize / 4])
        }
    }

    impl Memory for Words {
        fn word(&self, address: u32) -> u32 {
            assert_eq!(address % 4, 0);
            self.0[(address - BASE) as usize / 4]
        }
        fn set_word(&mut self, address: u32, value: u32) {
            assert_eq!(address % 4, 0);
            self.0[(address - BASE) as usize / 4] = value;
        }
    }

    fn heap(length: u32) -> (Heap, Words) {
        let (mut heap, mut memory) = (Heap::new(), Words::bytes(length));
        heap.begin(&mut memory, BASE, BASE + length);
        (heap, memory)
    }

    #[test]
    fn first_fit_and_joined_neighbours() {
        let (mut heap, mut memory) = heap(1024);
        let mut take = |heap: &mut Heap, bytes| {
            heap.allocate(&mut memory, bytes, 0).unwrap().map(|block| block.content())
        };
        let [a, b, c] = [100, 60, 24].map(|bytes| take(&mut heap, bytes).unwrap());
        assert_eq!((a, b, c), (BASE + 8, BASE + 8 + 112, BASE + 8 + 112 + 72));
        assert_eq!(heap.free_bytes(), 1024 - 112 - 72 - 32);
        heap.free(&mut memory, a).unwrap();
        heap.free(&mut memory, b).unwrap();
        let mut take = |heap: &mut Heap, bytes| {
            heap.allocate(&mut memory, bytes, 0).unwrap().map(|block| block.content())
        };
        // Both together.
        assert_eq!(take(&mut heap, 170), Some(a));
        // What is left of a block that is too small for one of its own goes with it.
        heap.free(&mut memory, c).unwrap();
        assert_eq!(heap.allocate(&mut memory, 840 - 8 - 4, 0).unwrap().unwrap().end(), BASE + 1024);
        assert_eq!(heap.free_bytes(), 0);
    }

    #[test]
    fn what_cannot_be() {
        let (mut heap, mut memory) = heap(256);
        for asked in [0, 257, 249, LARGEST + 1, u32::MAX] {
            assert_eq!(heap.allocate(&mut memory, asked, 0), Ok(None), "{asked}");
        }
        let block = heap.allocate(&mut memory, 248, 0).unwrap().unwrap();
        assert_eq!((block.length, heap.free_bytes()), (256, 0));
        assert_eq!(heap.allocate(&mut memory, 1, 0), Ok(None));
        for content in [0, BASE, BASE + 16, BASE + 12, BASE + 256, BASE + 264, u32::MAX] {
            assert_eq!(heap.free(&mut memory, content), Err(Fault::NotInUse(content)));
        }
        assert_eq!(heap.free(&mut memory, BASE + 8).unwrap(), block);
        assert_eq!(heap.free(&mut memory, BASE + 8), Err(Fault::NotInUse(BASE + 8)), "twice");
        memory.set_word(BASE + 4, 1);
        assert_eq!(heap.allocate(&mut memory, 1, 0), Err(Fault::Damaged(BASE)));
        for length in [0, 8, 12, 264] {
            memory.set_word(BASE, length);
            memory.set_word(BASE + 4, FREE);
            assert_eq!(heap.first(&memory), Err(Fault::Damaged(BASE)), "{length}");
        }
        let (mut none, mut memory) = (Heap::new(), Words::bytes(64));
        assert_eq!((none.allocate(&mut memory, 1, 0), none.has_begun()), (Ok(None), false));
        none.begin(&mut memory, BASE + 4, BASE + 16);
        assert_eq!((none.allocate(&mut memory, 1, 0), none.first(&memory)), (Ok(None), Ok(None)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate(u32, u32),
        Free(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = prop_oneof![4 => 1u32..100, 1 => 100u32..2000];
        prop_oneof![
            (bytes, 0u32..9).prop_map(|(bytes, guard)| Step::Allocate(bytes, guard)),
            any::<usize>().prop_map(Step::Free)
        ]
    }

    proptest! {
        /// Contents are aligned, inside, apart, and nobody's but the owner's; what is free is counted; nothing is lost.
        #[test]
        fn blocks_are_their_owners_alone(lead in 0u32..9, length in 64u32..4096, steps in prop::collection::vec(step(), 1..150)) {
            let (mut heap, mut memory) = (Heap::new(), Words::bytes(8192));
            let (start, end) = (BASE + 4 * lead, BASE + 4 * lead + length);
            heap.begin(&mut memory, start, end);
            let all = heap.free_bytes();
            prop_assert!(all <= length && all + 14 >= length);
            let mut used: Vec<(u32, u32, u32)> = Vec::new();
            for (number, step) in (1u32..).zip(steps) {
                match step {
                    Step::Allocate(bytes, guard) => {
                        let Some(block) = heap.allocate(&mut memory, bytes, guard).unwrap() else { continue };
                        prop_assert_eq!(block.asked, Some(bytes));
                        let content = block.content();
                        prop_assert!(content % 8 == 0 && content >= start + HEADER && content + bytes + guard <= block.end());
                        prop_assert!(block.end() <= end);
                        prop_assert!(used.iter().all(|(other, size, _)| content >= other + size || block.end() <= *other));
                        for word in (content..block.end()).step_by(4) {
                            memory.set_word(word, number);
                        }
                        used.push((content, block.length - HEADER, number));
                    }
                    Step::Free(which) if !used.is_empty() => {
                        let (content, size, number) = used.swap_remove(which % used.len());
                        for word in (content..content + size).step_by(4) {
                            prop_assert_eq!(memory.word(word), number);
                        }
                        prop_assert_eq!(heap.free(&mut memory, content).unwrap().length, size + HEADER);
                    }
                    Step::Free(_) => {}
                }
                let taken: u32 = used.iter().map(|(_, size, _)| size + HEADER).sum();
                prop_assert_eq!(heap.free_bytes(), all - taken);
                let (mut at, mut seen) = (heap.first(&memory).unwrap(), 0);
                while let Some(block) = at {
                    seen += block.length;
                    at = heap.next(&memory, &block).unwrap();
                }
                prop_assert_eq!(seen, all);
            }
            for (content, ..) in used {
                heap.free(&mut memory, content).unwrap();
            }
            let whole = heap.allocate(&mut memory, all - HEADER, 0).unwrap();
            prop_assert_eq!(whole.map(|block| block.length), Some(all));
        }
    }
}
