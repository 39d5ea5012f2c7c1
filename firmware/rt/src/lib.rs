//! spore-rt.
#![no_std]
