//! The virtual board: the parts of a node on the virtual LAN, and the services that run on it.

use crate::node::FLASH_BYTES;
use crate::view::View;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use spore_boot::crashes::Streak;
use spore_core::wifi::{RadioCommand, RadioEvent, Signal};
use spore_lan::air;
use spore_lan::flash::{Flash, FlashError};
use spore_node::Board;
use spore_node::board::{Radio, System};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Name of the board in image headers.
pub const BOARD: &str = spore_image::VIRTUAL_BOARD;
/// What stands in for the vendor's SDK.
pub const SDK: &str = concat!("spore-virtual ", env!("CARGO_PKG_VERSION"));
/// Data memory of the virtual board in bytes. More than the ESP8266's 80 KB, because pointers have 64 bits here.
const DRAM: u32 = 192 * 1024;
/// Lines of its log that a node keeps.
const LOG_LINES: usize = 400;

/// The virtual board as a bundle of types.
pub struct VirtualBoard;

impl Board for VirtualBoard {
    type Device = air::Device;
    type Radio = VirtualRadio;
    type Flash = VirtualFlash;
    type System = VirtualSystem;
}

/// A radio; `deaf` to every network when the image's script says so.
pub struct VirtualRadio {
    /// The radio on the air.
    pub radio: air::Radio,
    /// Whether orders to join reach it.
    pub deaf: bool,
}

impl Radio for VirtualRadio {
    fn command(&mut self, command: &RadioCommand) {
        if !(self.deaf && matches!(command, RadioCommand::Join { .. })) {
            self.radio.command(command);
        }
    }

    async fn event(&mut self) -> RadioEvent {
        self.radio.event().await
    }

    fn signal(&self) -> Option<Signal> {
        self.radio.signal()
    }

    fn disconnect_code(&self) -> u8 {
        self.radio.disconnect_code()
    }

    fn access_point_clients(&self) -> u8 {
        self.radio.access_point_clients()
    }
}

/// What a node's task unwinds with when its power goes in the middle of a flash operation.
pub struct PowerCut;

/// A node's view of its flash chip: where the chip only fails, this ends the node, as a power cut does.
pub struct VirtualFlash(pub Flash);

impl VirtualFlash {
    fn survive<T>(result: Result<T, FlashError>) -> Result<T, FlashError> {
        if matches!(result, Err(FlashError::PowerLost)) {
            // Not a panic: nothing is reported, nothing after this happens.
            std::panic::resume_unwind(Box::new(PowerCut));
        }
        result
    }
}

impl ErrorType for VirtualFlash {
    type Error = FlashError;
}

impl ReadNorFlash for VirtualFlash {
    const READ_SIZE: usize = Flash::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        Self::survive(self.0.read(offset, bytes))
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for VirtualFlash {
    const WRITE_SIZE: usize = Flash::WRITE_SIZE;
    const ERASE_SIZE: usize = Flash::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        Self::survive(self.0.erase(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        Self::survive(self.0.write(offset, bytes))
    }
}

/// The log of a node, which outlives its restarts.
#[derive(Debug, Clone, Default)]
pub struct Log(Rc<RefCell<VecDeque<String>>>);

impl Log {
    /// Adds a line, stamped with the time since the lab started.
    pub fn line(&self, text: &str) {
        let micros = embassy_time::Instant::now().as_micros();
        let mut lines = self.0.borrow_mut();
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(format!("{:>8}.{:03} {text}", micros / 1_000_000, micros / 1_000 % 1_000));
    }

    /// The last lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.0.borrow();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// Facts of a virtual node for one start.
pub struct VirtualSystem {
    /// Low three bytes of the hardware address.
    pub chip_id: u32,
    /// Why it starts.
    pub reset_reason: String,
    /// Time spent on it before this start, in microseconds.
    pub busy_before: u64,
    /// Random numbers.
    pub random: fastrand::Rng,
    /// What outlives the start.
    pub view: Rc<View>,
}

impl VirtualSystem {
    /// Time spent on a node in all its starts, in microseconds.
    pub fn busy(view: &View) -> u64 {
        u64::try_from(view.usage.busy().as_micros()).unwrap_or(u64::MAX)
    }
}

impl System for VirtualSystem {
    fn board(&self) -> &'static str {
        BOARD
    }

    fn chip_id(&self) -> u32 {
        self.chip_id
    }

    fn sdk_version(&self) -> &'static str {
        SDK
    }

    fn cpu_mhz(&self) -> u8 {
        80
    }

    fn flash_bytes(&self) -> u32 {
        FLASH_BYTES
    }

    fn free_heap(&self) -> u32 {
        DRAM.saturating_sub(u32::try_from(self.view.bytes.get()).unwrap_or(u32::MAX))
    }

    fn total_heap(&self) -> u32 {
        DRAM
    }

    fn reset_reason(&self) -> &str {
        &self.reset_reason
    }

    fn busy_micros(&self) -> u64 {
        Self::busy(&self.view).saturating_sub(self.busy_before)
    }

    fn entropy(&mut self) -> u64 {
        self.random.u64(..)
    }

    fn settled(&mut self) {
        self.view.streak.set(Some(Streak::Settled));
    }

    fn log(&mut self, line: &str) {
        self.view.log.line(line);
    }
}
