//! WiFi: the policy that keeps a node reachable, and the words it shares with a radio.

mod radio;

pub use radio::{LinkError, Network, Passphrase, RadioCommand, RadioEvent, Signal, Ssid};
