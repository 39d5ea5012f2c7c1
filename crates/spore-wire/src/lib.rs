//! What crosses a wire: SPORE's datagrams and HTTP bodies
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
