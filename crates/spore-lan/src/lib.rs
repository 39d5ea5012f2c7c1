//! A virtual LAN on one thread: time, tasks, an Ethernet switch with faults, access points, DHCP, and ways out
//! of it to the host (TCP bridge, TAP interface, QEMU).
//!
//! Nothing in here knows what a SPORE node is, save for the words of its radio (`spore_core::wifi`). Everything
//! belongs to the thread that made it; a process runs as many LANs as it has threads. Linking this crate supplies
//! the process with its [`embassy_time`] driver ([`clock`]).
#![deny(unsafe_code)]

pub mod air;
pub mod bridge;
pub mod clock;
pub mod clock_server;
pub mod dhcp;
pub mod executor;
pub mod faults;
pub mod flash;
pub mod gateway;
pub mod host;
pub mod http;
pub mod pcap;
pub mod switch;
#[cfg(target_os = "linux")]
pub mod tap;
#[cfg(unix)]
pub mod uplink;
pub mod visitor;

/// A hardware address.
pub type Mac = [u8; 6];
