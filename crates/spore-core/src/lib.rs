//! Every decision a SPORE node takes, free of I/O.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod wifi;
