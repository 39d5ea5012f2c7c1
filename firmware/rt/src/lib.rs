//! What the firmware stands on: the vendor's SDK and the boot ROM as Rust sees them, the critical section, the executor in
//! an SDK task, the clock, flash, the measured stack and the record of a crash.
//!
//! Everything here runs on one core in one context: SDK tasks are cooperative and run to completion, and the SDK calls
//! back from its tasks only. Interrupt handlers are the SDK's own and touch nothing of ours. The `SAFETY` lines below
//! lean on that ("task context").
#![no_std]
#![feature(asm_experimental_arch)]
#![deny(missing_docs)]

pub mod crash;
mod critical;
pub mod executor;
pub mod flash;
pub mod rom;
pub mod sdk;
pub mod stack;
pub mod task_cell;
pub mod time;
