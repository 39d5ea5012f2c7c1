//! What lies in flash: SPORE's image format
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
