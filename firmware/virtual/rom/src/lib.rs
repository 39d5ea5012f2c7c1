//! spore-rom.
#![no_std]
