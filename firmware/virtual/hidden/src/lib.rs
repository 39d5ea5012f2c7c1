//! spore-hidden.
#![no_std]
