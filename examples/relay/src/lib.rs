//! A SPORE service that switches a relay
#![no_std]
#![forbid(unsafe_code)]
