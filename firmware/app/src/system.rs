//! Facts and services of the chip.

use core::fmt::Write as _;
use heapless::String;
use spore_boot::crashes::{self, Streak};
use spore_node::board::{Measured, System};
use spore_rt::{crash, executor, rom, sdk, stack};
use static_cell::StaticCell;

static SDK_VERSION: StaticCell<String<32>> = StaticCell::new();

/// The chip.
pub struct ChipSystem {
    board: &'static str,
    flash_bytes: u32,
    /// Free heap when the node began.
    heap_at_start: u32,
    sdk_version: &'static str,
    reset_reason: &'static str,
}

impl ChipSystem {
    /// Reads what does not change.
    pub fn new(board: &'static str, flash_bytes: u32, reset_reason: &'static str) -> Self {
        // SAFETY: no preconditions.
        let heap_at_start = unsafe { sdk::system_get_free_heap_size() };
        Self {
            board,
            flash_bytes,
            heap_at_start,
            sdk_version: SDK_VERSION.init_with(sdk_version),
            reset_reason,
        }
    }
}

/// The SDK's version. The text may lie in flash, where only whole words can be read.
fn sdk_version() -> String<32> {
    let mut text = String::new();
    // SAFETY: no preconditions.
    let mut at = unsafe { sdk::system_get_sdk_version() }.addr();
    while text.len() < text.capacity() {
        // SAFETY: a C string; its last word is mapped whole.
        let word = unsafe { core::ptr::with_exposed_provenance::<u32>(at & !3).read_volatile() };
        let byte = (word >> (8 * (at & 3))) as u8;
        if byte == 0 || text.push(byte as char).is_err() {
            break;
        }
        at += 1;
    }
    text
}

impl System for ChipSystem {
    fn board(&self) -> &'static str {
        self.board
    }

    fn chip_id(&self) -> u32 {
        // SAFETY: no preconditions.
        unsafe { sdk::system_get_chip_id() }
    }

    fn sdk_version(&self) -> &'static str {
        self.sdk_version
    }

    fn cpu_mhz(&self) -> u8 {
        // SAFETY: no preconditions.
        unsafe { sdk::system_get_cpu_freq() }
    }

    fn flash_bytes(&self) -> u32 {
        self.flash_bytes
    }

    fn free_heap(&self) -> u32 {
        // SAFETY: no preconditions.
        unsafe { sdk::system_get_free_heap_size() }
    }

    fn total_heap(&self) -> u32 {
        self.heap_at_start
    }

    fn reset_reason(&self) -> &str {
        self.reset_reason
    }

    fn busy_micros(&self) -> u64 {
        executor::figures().busy
    }

    fn entropy(&mut self) -> u64 {
        // SAFETY: no preconditions.
        unsafe { u64::from(sdk::os_random()) << 32 | u64::from(sdk::os_random()) }
    }

    fn measured(&self) -> Option<Measured> {
        let figures = executor::figures();
        Some(Measured {
            stack_bytes: stack::SIZE,
            stack_used: stack::deepest(),
            longest_poll_micros: figures.longest,
            long_polls: figures.long,
        })
    }

    fn settled(&mut self) {
        crash::rtc_write(crashes::WORD, &Streak::Settled.emit());
    }

    fn log(&mut self, line: &str) {
        let mut time = String::<16>::new();
        let micros = spore_rt::time::micros();
        let _ = write!(time, "{:>6}.{:03} ", micros / 1_000_000, micros / 1000 % 1000);
        for byte in time.bytes().chain(line.bytes()).chain(*b"\r\n") {
            // SAFETY: no preconditions.
            unsafe { rom::uart_tx_one_char(byte) };
        }
    }
}

/// Bytes of the flash chip, by the header that the ROM reads at flash 0: the high half of its fourth byte.
pub fn flash_bytes() -> u32 {
    let mut word = 0u32;
    // SAFETY: one aligned word of flash into one of RAM.
    unsafe { sdk::spi_flash_read(0, &mut word, 4) };
    match word >> 28 {
        3 => 2 << 20,
        4 => 4 << 20,
        _ => 1 << 20,
    }
}
