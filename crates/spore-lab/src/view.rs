//! What the outside knows of a node and does to it, whatever world the node runs in.

use crate::board::Log;
use crate::observer::Seen;
use crate::pins::Pins;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use spore_boot::crashes::Streak;
use spore_lan::Mac;
use spore_lan::executor::Usage;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// What a node is doing, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No power.
    Off,
    /// Power, no image running yet.
    Booting,
    /// The image runs.
    Running,
    /// In deep sleep.
    Asleep,
    /// The image does nothing; the watchdog will bite.
    Hanging,
    /// Its emulator ended and will be started again after a pause.
    Crashed,
    /// The boot stage found nothing to run.
    Bricked,
    /// Its emulator stopped it for good: the firmware broke a rule of the chip, or its files cannot be used.
    Broken,
}

impl Phase {
    /// The word of the control socket.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Booting => "booting",
            Self::Running => "running",
            Self::Asleep => "asleep",
            Self::Hanging => "hanging",
            Self::Crashed => "crashed",
            Self::Bricked => "bricked",
            Self::Broken => "broken",
        }
    }
}

/// Something done to a node from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Pull the plug.
    PowerOff,
    /// Pull the plug and put it back at once.
    PowerCut,
    /// The same, and pull it again in the middle of this flash operation, counted from 1 at the start that follows.
    /// For emulated nodes, whose flash the lab does not see.
    PowerCutAt(u32),
    /// Have the image of a virtual node crash, as by an exception.
    Crash,
    /// Plug in, or press reset.
    Restart,
}

/// Orders on their way to a node.
pub(crate) type Orders = Rc<Channel<NoopRawMutex, Order, 4>>;

/// What the outside knows of a node.
#[derive(Debug)]
pub struct View {
    /// What it is doing.
    pub phase: Cell<Phase>,
    /// Version of the image it runs.
    pub version: RefCell<String>,
    /// Why it last started; of a broken node what is wrong.
    pub reset_reason: RefCell<String>,
    /// Starts since it was added.
    pub boots: Cell<u32>,
    /// What a virtual node has in RTC memory about quick crashes.
    pub streak: Cell<Option<Streak>>,
    /// Members it holds for ACTIVE.
    pub seen: Seen,
    /// Its log.
    pub log: Log,
    /// Pins and analogue input of a virtual node.
    pub pins: Pins,
    /// Host CPU time spent on a virtual node.
    pub usage: Usage,
    /// Host CPU time that emulators spent on an emulated node.
    pub emulator_usage: Cell<Duration>,
    /// Bytes of memory a virtual node takes: buffers, state and futures.
    pub bytes: Cell<usize>,
}

impl View {
    /// A node that was just given power.
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Booting),
            version: RefCell::default(),
            reset_reason: RefCell::default(),
            boots: Cell::new(0),
            streak: Cell::new(None),
            seen: Seen::default(),
            log: Log::default(),
            pins: Pins::default(),
            usage: Usage::new(),
            emulator_usage: Cell::default(),
            bytes: Cell::new(0),
        }
    }

    /// Host CPU time spent on the node since it was added.
    pub fn cpu(&self) -> Duration {
        self.usage.busy().saturating_add(self.emulator_usage.get())
    }

    /// Notes a start for this reason.
    pub(crate) fn start(&self, reason: &str) {
        self.restarted(reason);
        self.log.line(&format!("-- {reason} --"));
    }

    /// Notes a start that the node has told of itself.
    pub(crate) fn restarted(&self, reason: &str) {
        self.stop(Phase::Booting);
        self.boots.set(self.boots.get().saturating_add(1));
        self.reset_reason.replace(reason.to_owned());
    }

    /// Notes that no image runs.
    pub(crate) fn stop(&self, phase: Phase) {
        self.phase.set(phase);
        self.seen.borrow_mut().clear();
        self.version.borrow_mut().clear();
        self.pins.reset();
    }
}

/// The chip id: the low three bytes of the hardware address.
pub(crate) fn chip_id(mac: Mac) -> u32 {
    u32::from_be_bytes([0, mac[3], mac[4], mac[5]])
}
