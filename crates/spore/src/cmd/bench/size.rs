//! Sizes that are fixed when the program is built.

use super::report::{Figure, Report};
use super::stage::Stage;
use crate::exit::Outcome;
use spore_core::limits::MEMBERS;
use spore_core::members::Members;

/// Tell them.
pub fn measure(stage: &Stage, report: &mut Report) -> Outcome {
    let bytes = |name, bytes: u64| vec![Figure::new(name, bytes as f64, "bytes")];
    report.add("size of a node", bytes("memory", stage.status()?.node_bytes));
    let members = size_of::<Members<MEMBERS>>();
    report.add(format!("size of the list of {MEMBERS} members"), bytes("memory", members as u64));
    report.add("size of the page", bytes("compressed", spore_node::page::NODE.length as u64));
    Ok(())
}
