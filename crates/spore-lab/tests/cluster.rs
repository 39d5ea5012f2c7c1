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
    sim.run(3);
    let members = sim.get(0, "/api/cluster/members");
    for member in members["members"].as_array().unwrap() {
        assert_eq!(member["kind"], "rust");
        assert_ne!(member["resources"]["chipId"], 0);
        assert_eq!(member["api"].as_array().unwrap().len(), 24, "one catalogue for all: {member:#}");
    }
}

#[test]
fn a_restarted_node_knows_the_others_at_once() {
    let sim = Sim::new(5, 2);
    sim.converge();
    sim.run(5);
    sim.order(spore_lab::control::Command::Restart { node: "2".to_owned() });
    sim.run(1);
    sim.converge();
    sim.run(2);
    let members = sim.get(1, "/api/cluster/members");
    for member in members["members"].as_array().unwrap() {
        assert_eq!(member["kind"], "rust", "{member:#}");
        assert_ne!(member["version"], "");
        assert!(!member["api"].as_array().unwrap().is_empty());
    }
}

#[test]
fn the_memory_of_a_node_is_bounded() {
    let sim = Sim::new(1, 3);
    sim.run(5);
    let bytes = sim.cluster.borrow().nodes().next().unwrap().view.bytes.get();
    println!(
        "a node with room for 254 members: {bytes} bytes on this 64-bit host, {} of them Memory",
        size_of::<spore_node::Memory>()
    );
    assert!(bytes <= 100 * 1024, "{bytes}");
}
