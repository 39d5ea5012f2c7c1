//! spore-bootloader.
#![no_std]
