//! The SPORE node for the ESP8266.
//!
//! The SDK calls [`user_init`]; once it is up, [`started`] puts the node together and spawns its tasks. `contract` is the IP
//! stack that the SDK's libraries expect, `device` gives its frames to embassy-net, `radio` carries the node's orders to
//! the SDK, `system` is the rest of the board.
#![no_std]
#![feature(linkage, type_alias_impl_trait)]
#![deny(missing_docs)]

mod board;
mod contract;
mod device;
mod handoff;
mod launch;
mod radio;
mod system;
