//! What a lab is told and what it answers: the words of the control socket (one JSON object a line, both ways).

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// An order to a running lab. Nodes are named by hostname, by address, or by number (1 is the first).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Tell what is there.
    Status,
    /// Start more nodes.
    Add {
        /// How many.
        count: u16,
        /// Whether they are emulated.
        #[serde(default)]
        emulated: bool,
    },
    /// Pull the plug of a node: it stays dark until it is restarted.
    Kill {
        /// Which node.
        node: String,
    },
    /// Start a dark node, or press the reset button of a running one.
    Restart {
        /// Which node.
        node: String,
    },
    /// Have the image of a virtual node crash.
    Crash {
        /// Which node.
        node: String,
    },
    /// Cut the power and give it back at once; with `at_flash_op`, in the middle of the n-th flash operation: of a virtual
    /// node from now; an emulated node loses its power now, too, and operations count from the start that follows.
    PowerCut {
        /// Which node.
        node: String,
        /// Flash operation (erase or write) to be torn, counted from 1.
        at_flash_op: Option<u32>,
    },
    /// Separate these nodes from all others, host included or not.
    Cut {
        /// The island.
        nodes: Vec<String>,
    },
    /// End every fault: islands, loss, delay, duplication; access points come back.
    Heal,
    /// Lose frames at random.
    Loss {
        /// Percent, 0 to 100.
        percent: f64,
        /// Only broadcasts.
        broadcast_only: bool,
        /// Only to and from this node.
        node: Option<String>,
    },
    /// Delay every frame.
    Delay {
        /// Milliseconds.
        millis: u32,
        /// Up to so many milliseconds more, at random (which reorders).
        jitter_millis: u32,
    },
    /// Deliver frames twice at random.
    Duplicate {
        /// Percent, 0 to 100.
        percent: f64,
    },
    /// Switch the lab's WiFi access point.
    AccessPoint {
        /// Whether it sends.
        on: bool,
        /// A new pass phrase, which shuts out nodes that know only the old one.
        passphrase: Option<String>,
    },
    /// Read a node's log.
    Log {
        /// Which node.
        node: String,
        /// At most so many of the last lines.
        lines: u32,
    },
    /// Look at a node's pins and analogue input.
    Pins {
        /// Which node.
        node: String,
    },
    /// Give a pin that the node does not drive a level from outside.
    Pin {
        /// Which node.
        node: String,
        /// Number of the GPIO.
        pin: u8,
        /// The level.
        high: bool,
    },
    /// Set what a node's analogue input measures.
    Adc {
        /// Which node.
        node: String,
        /// 0 to 1023.
        value: u16,
    },
    /// Stop the lab.
    Stop,
}

/// The answer to a [`Command`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// What is there.
    Status(Status),
    /// Lines of a log, oldest first.
    Log {
        /// The lines.
        lines: Vec<String>,
    },
    /// Pins of a node.
    Pins {
        /// Its hostname.
        node: String,
        /// The pins a service can have.
        pins: Vec<PinStatus>,
        /// What the analogue input measures, 0 to 1023.
        adc: u16,
    },
    /// Done; the names of the nodes concerned.
    Done {
        /// Hostnames.
        nodes: Vec<String>,
    },
    /// Refused; nothing changed.
    Error {
        /// Why, and what to do.
        error: String,
    },
}

/// A pin of a node, as one sees it with a meter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinStatus {
    /// `GPIO0` and so on.
    pub name: String,
    /// What the node uses it for: `output`, `open-drain`, `input` or `unused`.
    pub direction: String,
    /// `high` or `low`.
    pub level: String,
    /// Percent of the time it is high, of a pin driven by PWM.
    pub duty: Option<u16>,
}

impl PinStatus {
    pub(crate) fn new(pin: u8, direction: &str, high: bool, duty: Option<u16>) -> Self {
        let level = if high { "high" } else { "low" };
        Self { name: format!("GPIO{pin}"), direction: direction.to_owned(), level: level.to_owned(), duty }
    }
}

/// A lab at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Process that runs it.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Network name of the lab's access point.
    pub ssid: String,
    /// Whether every running node sees every other running node ACTIVE.
    pub converged: bool,
    /// Frames delivered since the start: a broadcast counts once for each receiver.
    pub frames: u64,
    /// Bytes delivered since the start, Ethernet headers included.
    pub bytes: u64,
    /// Frames sent since the start: a broadcast counts once.
    #[serde(default)]
    pub sent_frames: u64,
    /// Bytes sent since the start, Ethernet headers included.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes of memory a node takes: buffers, state and futures. 0 until the first one runs.
    #[serde(default)]
    pub node_bytes: u64,
    /// Faults in force, in words; empty when healed.
    pub faults: Vec<String>,
    /// Interface of the host on the LAN, if any.
    pub tap: Option<String>,
    /// The nodes, in the order they were added.
    pub nodes: Vec<NodeStatus>,
}

/// A node as the lab sees it from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Hostname, from the chip id.
    pub hostname: String,
    /// Address on the virtual LAN, once it has one.
    pub ip: Option<Ipv4Addr>,
    /// Address on the host's loopback that leads to the node's port 80.
    pub local: SocketAddr,
    /// The same as a URL for a browser.
    pub url: String,
    /// World the node runs in: `virtual` or `emulated`.
    pub kind: String,
    /// Board that images for it must be made for.
    #[serde(default)]
    pub board: String,
    /// Version of the image it runs, empty while dark.
    pub version: String,
    /// `running`, `booting`, `hanging`, `crashed` (its emulator is started again soon), `off`, `bricked` (no bootable
    /// slot), `asleep` (in deep sleep) or `broken` (its emulator stopped it for good; the reset reason says why).
    pub state: String,
    /// How many other running nodes it sees ACTIVE.
    pub sees: u16,
    /// Boots since it was added.
    pub boots: u32,
    /// Why it last started, or why it is broken.
    pub reset_reason: String,
    /// Host CPU time spent on it since it was added, in milliseconds.
    #[serde(default)]
    pub cpu_millis: u64,
    /// File that is its flash.
    pub flash: String,
}
