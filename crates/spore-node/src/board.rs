//! What a node needs from the thing it runs on. A board is wiring: it holds no rule of the protocol.

use core::cell::RefCell;
use core::net::Ipv4Addr;
use embassy_net::driver::Driver;
use embedded_storage::nor_flash::NorFlash;
use spore_core::wifi::{RadioCommand, RadioEvent, Signal};

/// A WiFi radio (or what stands in for one).
#[allow(async_fn_in_trait, reason = "nodes are single-threaded; nothing is sent between threads")]
pub trait Radio {
    /// Starts an order and returns at once.
    fn command(&mut self, command: &RadioCommand);
    /// Waits for the next report. Must be cancel-safe: a dropped call loses no report.
    async fn event(&mut self) -> RadioEvent;
    /// The station's link, if there is one.
    fn signal(&self) -> Option<Signal>;
    /// The radio's own number for why the station last lost its link or got none: reason codes of IEEE 802.11-2020, table 9-49, and
    /// of Espressif from 200. 0 when that never happened.
    fn disconnect_code(&self) -> u8;
    /// How many clients the own access point has.
    fn access_point_clients(&self) -> u8;
    /// The station has this address, mask and router now, or none any more. Some vendors' code wants to know.
    fn address(&mut self, _address: Option<[Ipv4Addr; 3]>) {}
}

/// Facts and services of the hardware.
pub trait System {
    /// Name of the board as image headers carry it, for instance `virtual` or `esp8266`.
    fn board(&self) -> &'static str;
    /// Identity of the chip: the low three bytes of its hardware address on an ESP8266.
    fn chip_id(&self) -> u32;
    /// Version of the vendor's SDK, or of what stands in for it.
    fn sdk_version(&self) -> &'static str;
    /// CPU clock in MHz.
    fn cpu_mhz(&self) -> u8;
    /// Size of the flash chip in bytes.
    fn flash_bytes(&self) -> u32;
    /// Free heap in bytes. SPORE itself uses none; the SDK does.
    fn free_heap(&self) -> u32;
    /// Total heap in bytes.
    fn total_heap(&self) -> u32;
    /// Why the node last started, in words: `power on`, `restart`, `watchdog`, `exception: …`.
    fn reset_reason(&self) -> &str;
    /// Time the CPU has spent on this node since boot, in microseconds; wraps never.
    fn busy_micros(&self) -> u64;
    /// Random bits for sequence numbers, jitter and boot numbers.
    fn entropy(&mut self) -> u64;
    /// How the node treats its processor and stack, where that is measured.
    fn measured(&self) -> Option<Measured> {
        None
    }
    /// The node has run for so long that a crash from now on is no quick one, see [`spore_boot::crashes`]. Called once a start.
    fn settled(&mut self) {}
    /// One line of the node's log (the serial port of a real board). No newline at the end.
    fn log(&mut self, line: &str);
}

/// What a board measures of its executor since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Size of the stack in bytes.
    pub stack_bytes: u32,
    /// The deepest use of the stack in bytes.
    pub stack_used: u32,
    /// The longest poll of a task in microseconds.
    pub longest_poll_micros: u32,
    /// Polls that took longer than the board's radio likes.
    pub long_polls: u32,
}

/// The parts of a board, handed to [`crate::assemble`].
pub struct Parts<'a, B: Board + ?Sized> {
    /// Network device: Ethernet frames in and out.
    pub device: B::Device,
    /// WiFi radio under it.
    pub radio: B::Radio,
    /// The whole flash chip; offset 0 is its first byte. Several tasks use it: whoever else does must not hold a borrow over
    /// an `.await`.
    pub flash: &'a RefCell<B::Flash>,
    /// The rest.
    pub system: &'a mut B::System,
}

/// A kind of hardware, as a bundle of types.
pub trait Board {
    /// Network device.
    type Device: Driver;
    /// WiFi radio.
    type Radio: Radio;
    /// Flash chip.
    type Flash: NorFlash;
    /// Facts and services.
    type System: System;
}

/// Why [`crate::Node::run`] ended. A board acts on it: resets the chip, or (in the lab) drops the node and boots it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Somebody asked for a restart, or a new image waits for its trial.
    Restart,
    /// The trial of this image ran out of time: restart without confirming.
    TrialFailed,
    /// A service wants deep sleep: everything off for so many milliseconds, then a start.
    Sleep(u32),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::System;
    use spore_boot::Boot;
    use spore_image::{Header, Slot};

    /// Hardware that is nothing but its name.
    #[derive(Default)]
    pub(crate) struct FakeSystem {
        log: Vec<String>,
    }

    impl System for FakeSystem {
        fn board(&self) -> &'static str {
            "virtual"
        }
        fn chip_id(&self) -> u32 {
            0x3f_9ec1
        }
        fn sdk_version(&self) -> &'static str {
            "test"
        }
        fn cpu_mhz(&self) -> u8 {
            80
        }
        fn flash_bytes(&self) -> u32 {
            1024 * 1024
        }
        fn free_heap(&self) -> u32 {
            1000
        }
        fn total_heap(&self) -> u32 {
            2000
        }
        fn reset_reason(&self) -> &str {
            "power on"
        }
        fn busy_micros(&self) -> u64 {
            0
        }
        fn entropy(&mut self) -> u64 {
            1
        }
        fn log(&mut self, line: &str) {
            self.log.push(line.to_owned());
        }
    }

    /// A first start of a confirmed image.
    pub(crate) fn boot() -> Boot {
        let header = Header::new("virtual", "spore", "1.0.0".parse().unwrap()).unwrap();
        Boot { slot: Slot::A, header, trial: false, boot_count: 1, last_update: None, update_ended: false }
    }
}
