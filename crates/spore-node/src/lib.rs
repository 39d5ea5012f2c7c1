//! The SPORE node: core, sockets, HTTP, storage, services
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod board;
pub mod page;
