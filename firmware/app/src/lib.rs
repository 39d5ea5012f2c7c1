//! spore-firmware.
#![no_std]
