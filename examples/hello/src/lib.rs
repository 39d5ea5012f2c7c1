//! The smallest SPORE service
#![no_std]
#![forbid(unsafe_code)]
