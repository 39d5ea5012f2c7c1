//! A cluster of SPORE nodes on one machine: real nodes ([`spore_node`]) on virtual boards, and the ESP8266 firmware in
//! emulators, on a virtual LAN ([`spore_lan`]).
//!
//! [`Cluster`] lives on one thread, in real or virtual time; [`Lab`] is a cluster in real time on a thread of its own.
#![forbid(unsafe_code)]

pub mod board;
pub mod cluster;
pub mod control;
mod emulated;
pub mod lab;
pub mod member;
pub mod node;
mod observer;
pub mod pins;
pub mod view;

pub use cluster::{Cluster, Options};
pub use emulated::Emulator;
pub use lab::Lab;
pub use member::Node;
