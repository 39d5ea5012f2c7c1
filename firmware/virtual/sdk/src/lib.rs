//! spore-sdk.
#![no_std]
