//! A cluster of virtual SPORE nodes on one machine.

pub mod control;
