//! A cluster of virtual SPORE nodes on one machine: real nodes ([`spore_node`]) on virtual boards, on a virtual LAN
//! ([`spore_lan`]).
//!
//! [`Cluster`] lives on one thread, in real or virtual time; [`Lab`] is a cluster in real time on a thread of its own.
#![forbid(unsafe_code)]

pub mod board;
pub mod cluster;
pub mod control;
pub mod lab;
pub mod node;
mod observer;

pub use cluster::{Cluster, Options};
pub use lab::Lab;
