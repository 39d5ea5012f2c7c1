//! Which image runs: boot record, trial, choice of slot
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
