//! WiFi: the policy that keeps a node reachable, and the words it shares with a radio.

mod policy;
mod radio;

pub use policy::{
    ACCESS_POINT_TIMEOUT, Addressing, LOST_ATTEMPTS, LOST_PATIENCE, Output, Policy, RETRY_MAX, Settings,
    State,
};
pub use radio::{LinkError, Network, Passphrase, RadioCommand, RadioEvent, Signal, Ssid};
