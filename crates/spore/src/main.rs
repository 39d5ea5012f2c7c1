//! The spore command.
fn main() {}
