//! Whole nodes on the virtual LAN in virtual time.

mod common;

use common::Sim;
use serde_json::Value;

#[test]
fn five_nodes_find_each_other() {
    let sim = Sim::new(5, 1);
    let seconds = sim.converge();
    println!("five nodes: all ACTIVE after {seconds} s");
    for node in 0..5 {
        let members = sim.get(node, "/api/cluster/members");
        let members = members["members"].as_array().unwrap();
        assert_eq!(members.len(), 5);
        assert!(members.iter().all(|member| member["status"] == "ACTIVE"), "{members:#?}");
        assert_eq!(members[0]["self"], Value::Bool(true));
    }
    sim.run(12);
    let members = sim.get(0, "/api/cluster/members");
    for member in members["members"].as_array().unwrap() {
        assert_eq!(member["kind"], "rust");
        assert_ne!(member["resources"]["chipId"], 0);
        assert_eq!(member["api"].as_array().unwrap().len(), 23, "one catalogue for all: {member:#}");
    }
}
