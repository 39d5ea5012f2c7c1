//! Every capacity of a node, with its unit, its cost in RAM and the reason for its size.
//!
//! RAM figures are for the ESP8266 (32-bit) unless said otherwise. Where the ESP8266 cannot afford what other boards can, the
//! feature `esp8266` chooses.

pub use size::*;

/// Bytes of a hostname, as [`spore_wire::Hostname`]. `esp_3f9ec1` needs 10; 24 lets a person write `kitchen-relay-left`.
pub const HOSTNAME: usize = spore_wire::Hostname::MAX;
/// Different SDK versions remembered among members, 34 bytes each.
pub const SDKS: usize = 4;
/// Bytes of an SDK version: `2.2.2-dev(38a443e)` needs 18.
pub const SDK: usize = 32;
/// Different firmware versions remembered among members, 26 bytes each. A roll-out has two or three at a time.
pub const VERSIONS: usize = 8;
/// Bytes of a firmware version.
pub const VERSION: usize = 24;
/// Different boards remembered among members, 18 bytes each.
pub const BOARDS: usize = 4;
/// Bytes of a board's name.
pub const BOARD: usize = 16;
/// Bytes of one member's set of labels as `key=value` lines. What does not fit is left out, whole labels at a time.
pub const LABEL_SET: usize = 128;
/// Different catalogue hashes remembered among members, 5 bytes each.
pub const CATALOGUE_HASHES: usize = 16;

/// Endpoints of this node, 4 bytes each: twenty built in, the rest for services.
pub const ENDPOINTS: usize = 48;

/// Bytes of an event's name (docs/api.md).
pub const EVENT_NAME: usize = 32;
/// Bytes of an event's data, and of name and data together for user events (docs/api.md).
pub const EVENT_DATA: usize = 512;
/// How deep callbacks may fire from within callbacks. Each level costs stack.
pub const EVENT_DEPTH: u8 = 4;
/// Cluster events a node may fire per second in the long run.
pub const EVENTS_PER_SECOND: u32 = 10;
/// Cluster events a node may fire at once.
pub const EVENTS_AT_ONCE: u32 = 5;

/// Bytes of a task's name: `service.task`.
pub const TASK_NAME: usize = 24;
/// Shortest interval of a task in milliseconds (docs/api.md).
pub const TASK_INTERVAL_MIN_MS: u32 = 10;
/// Longest interval of a task in milliseconds (docs/api.md).
pub const TASK_INTERVAL_MAX_MS: u32 = 3_600_000;

/// Boards with 200 KB of RAM and more.
#[cfg(not(feature = "esp8266"))]
mod size {
    /// Members one node knows, itself not counted. 32 bytes and a name each.
    /// A /24 has 254 addresses; an access point of this class serves far fewer.
    pub const MEMBERS: usize = 254;
    /// Room for each member's name in bytes, of all names together: one more than the average name has. A member whose name finds
    /// no room is refused as if the table were full.
    pub const NAME_SHARE: usize = 24;
    /// Different sets of labels remembered among members, 130 bytes each. Nodes of one role share one.
    pub const LABEL_SETS: usize = 8;
    /// Foreign catalogues stored. One per set of endpoints in the cluster: the roles of its nodes.
    pub const CATALOGUES: usize = 6;
    /// Bytes of one stored foreign catalogue: one for an endpoint every node has, some 25 for others.
    pub const CATALOGUE_BYTES: usize = 768;
    /// Callbacks on one node's bus, 20 bytes each.
    pub const SUBSCRIBERS: usize = 16;
    /// Origins whose cluster events are told apart from repetitions, 32 bytes each. Least recently heard makes room.
    pub const EVENT_ORIGINS: usize = 64;
    /// Own cluster events being sent and repeated, 16 bytes each.
    pub const OUTGOING: usize = 8;
    /// Bytes of the names and data of these: at least one largest event ([`spore_wire::native::EVENT_MAX`]).
    pub const OUTGOING_BYTES: usize = 8 * spore_wire::native::EVENT_MAX;
    /// Periodic tasks: six built in, the others for services. 56 bytes each.
    pub const TASKS: usize = 16;
}

/// The ESP8266: 80 KB, of which 35 are ours.
#[cfg(feature = "esp8266")]
mod size {
    /// Members one node knows, itself not counted. 32 bytes and a name each. A /24 has 254 addresses.
    pub const MEMBERS: usize = 254;
    /// Room for each member's name in bytes, of all names together: one more than the average name has. `esp_3f9ec1` has 10, so
    /// that 254 nodes may be called that, or 111 `kitchen-relay-left-above`.
    pub const NAME_SHARE: usize = 11;
    /// Different sets of labels remembered among members, 130 bytes each. Nodes of one role share one.
    pub const LABEL_SETS: usize = 3;
    /// Foreign catalogues stored. One per set of endpoints in the cluster: the roles of its nodes.
    pub const CATALOGUES: usize = 4;
    /// Bytes of one stored foreign catalogue: one for an endpoint every node has, some 25 for others.
    pub const CATALOGUE_BYTES: usize = 256;
    /// Callbacks on one node's bus, 20 bytes each.
    pub const SUBSCRIBERS: usize = 8;
    /// Origins whose cluster events are told apart from repetitions, 32 bytes each. Least recently heard makes room.
    pub const EVENT_ORIGINS: usize = 12;
    /// Own cluster events being sent and repeated, 16 bytes each.
    pub const OUTGOING: usize = 5;
    /// Bytes of the names and data of these: at least one largest event ([`spore_wire::native::EVENT_MAX`]).
    pub const OUTGOING_BYTES: usize = 512;
    /// Periodic tasks: six built in, the others for services. 56 bytes each.
    pub const TASKS: usize = 12;
}
