//! shim
#![allow(missing_docs)]
pub const ADDRESS: u32 = 0x6000_1200;
pub const WORDS: usize = 64;
pub const CRASH: usize = 16;
pub const REQUEST: usize = 32;
pub const TASK: usize = 48;
pub struct Crash([u32; 8]);
impl Crash { pub fn panic(epc: u32, task: u32) -> Self { Self([1, epc, task, 0, 0, 0, 0, 0]) } pub fn encode(&self) -> [u32; 8] { self.0 } }
pub enum Request { TrialFailed }
impl Request { pub fn encode(&self) -> [u32; 2] { [1, 2] } }
