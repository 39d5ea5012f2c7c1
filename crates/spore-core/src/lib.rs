//! Every decision a SPORE node takes, free of I/O.
//!
//! Nothing here reads a clock, a socket, flash or a random source: time comes in as [`time::Instant`], randomness
//! as a seed for [`rng::Rng`], what was heard as plain values. What is to be done comes out as plain values. All
//! tables have the capacities of [`limits`]; when one is full the caller gets a typed refusal, never a panic.
//!
//! | module | decides |
//! |---|---|
//! | [`members`] | who is in the cluster and how alive |
//! | [`catalogue`] | what this node and the others offer |
//! | [`events`] | who hears of what, here and on the cluster |
//! | [`tasks`] | which periodic task runs next |
//! | [`discovery`] | what to answer to a datagram |
//! | [`wifi`] | station or access point, and when to try again |
//! | [`leases`] | which address a guest of the own access point gets |
//! | [`trial`] | whether a new image is good |
//! | [`config`] | which settings are acceptable |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod catalogue;
pub mod config;
pub mod cpu;
pub mod discovery;
pub mod events;
pub mod hostname;
pub mod intern;
mod labels;
pub mod leases;
pub mod limits;
pub mod members;
pub mod rng;
pub mod sntp;
pub mod tasks;
pub mod time;
pub mod trial;
pub mod wifi;
