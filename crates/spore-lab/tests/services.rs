//! Who offers what: the catalogue of the cluster.

mod common;

use common::{Sim, is_error};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Hostnames that offer an endpoint, by an answer of `/api/cluster/services`.
fn holders(services: &Value, uri: &str) -> BTreeSet<String> {
    let services = services["services"].as_array().unwrap();
    let found = services.iter().filter(|service| service["uri"] == uri);
    found
        .flat_map(|service| service["nodes"].as_array().unwrap().clone())
        .map(|node| node["hostname"].as_str().unwrap().to_owned())
        .collect()
}

fn all(sim: &Sim, nodes: usize) -> BTreeSet<String> {
    (0..nodes).map(|node| sim.hostname(node)).collect()
}

#[test]
fn every_endpoint_is_listed_once_with_everybody_who_has_it() {
    let sim = Sim::new(4, 71);
    sim.converge();
    sim.run(12);
    for node in 0..4 {
        let services = sim.get(node, "/api/cluster/services");
        let own = sim.get(node, "/api/node/endpoints");
        let key = |entry: &Value| (entry["uri"].to_string(), entry["method"].to_string());
        let listed: Vec<_> = services["services"].as_array().unwrap().iter().map(key).collect();
        let offered: BTreeSet<_> = own["endpoints"].as_array().unwrap().iter().map(key).collect();
        assert_eq!(listed.len(), offered.len(), "each once");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), offered);
        for service in services["services"].as_array().unwrap() {
            let nodes = service["nodes"].as_array().unwrap();
            assert_eq!(nodes.len(), 4, "{service}");
            assert!(nodes.iter().all(|node| node["status"] == "ACTIVE" && node["ip"] != ""), "{service}");
        }
        assert_eq!(holders(&services, "/api/relay"), all(&sim, 4));
    }
}

#[test]
fn the_list_is_narrowed_down_by_path_and_label() {
    let sim = Sim::new(3, 72);
    sim.converge();
    assert_eq!(sim.post(2, "/api/node/config", "label.room=attic").0, 200);
    sim.run(12);
    let get = |query: &str| sim.get(0, &format!("/api/cluster/services?{query}"));

    let by_uri = get("uri=/api/relay");
    assert_eq!(by_uri["services"].as_array().unwrap().len(), 1);
    assert_eq!(holders(&by_uri, "/api/relay"), all(&sim, 3));
    let attic = BTreeSet::from([sim.hostname(2)]);
    let by_label = get("label=room%3Dattic");
    assert_eq!(by_label["services"].as_array().unwrap().len(), 24);
    assert_eq!(holders(&by_label, "/api/hello"), attic);
    assert_eq!(holders(&get("uri=/api/relay&label=room=attic"), "/api/relay"), attic);
    assert_eq!(holders(&get("label=role=relay"), "/api/relay"), all(&sim, 3));
    for nothing in ["uri=/api/nothing", "label=room=cellar", "label=nobody=has"] {
        assert_eq!(get(nothing), json!({ "services": [] }), "{nothing}");
    }
    let long = "x".repeat(65);
    for wrong in ["label=room", &format!("uri={long}"), &format!("label=a={long}")] {
        let response = sim.request(0, "GET", &format!("/api/cluster/services?{wrong}"), &[], &[]);
        assert!(
            response.status == 422 && is_error(&serde_json::from_slice(&response.body).unwrap()),
            "{wrong}"
        );
    }
}

#[test]
fn labels_of_services_and_settings_are_one_set() {
    let sim = Sim::new(2, 73);
    sim.converge();
    let labels = |sim: &Sim| sim.get(0, "/api/node/status")["labels"].clone();
    assert_eq!(labels(&sim), json!({ "app": "spore", "role": "relay" }));
    // The owner's word wins over the service's, and taking it back gives the service's again.
    assert_eq!(sim.post(0, "/api/node/config", "label.role=heater&label.room=attic").0, 200);
    assert_eq!(labels(&sim), json!({ "app": "spore", "role": "heater", "room": "attic" }));
    sim.run(12);
    let seen = sim.get(1, "/api/cluster/members");
    let hostname = sim.hostname(0);
    let seen =
        seen["members"].as_array().unwrap().iter().find(|member| member["hostname"] == hostname).unwrap();
    assert_eq!(seen["labels"], labels(&sim), "the others know");
    assert_eq!(sim.post(0, "/api/node/config", "label.role=&label.app=").0, 200);
    assert_eq!(labels(&sim), json!({ "role": "relay", "room": "attic" }));
    assert_eq!(sim.get(0, "/api/node/config")["labels"], json!({ "room": "attic" }));
}

#[test]
fn the_dead_are_told_as_dead() {
    let sim = Sim::new(3, 74);
    sim.converge();
    sim.run(3);
    sim.order(spore_lab::control::Command::Kill { node: "3".to_owned() });
    sim.run(65);
    let services = sim.get(0, "/api/cluster/services?uri=/api/hello");
    let nodes = services["services"][0]["nodes"].as_array().unwrap();
    let dead: Vec<_> = nodes.iter().filter(|node| node["status"] == "DEAD").collect();
    assert_eq!((nodes.len(), dead.len()), (3, 1));
    assert_eq!(dead[0]["hostname"], sim.hostname(2));
}

#[test]
fn an_endpoint_of_the_catalogue_answers() {
    let sim = Sim::new(1, 75);
    sim.run(3);
    let endpoints = sim.get(0, "/api/node/endpoints");
    for endpoint in endpoints["endpoints"].as_array().unwrap() {
        let (uri, method) = (endpoint["uri"].as_str().unwrap(), endpoint["method"].as_str().unwrap());
        if uri == "/ws" || uri == "/api/node/restart" {
            continue;
        }
        let response = sim.request(0, method, uri, &[], &[]);
        // Without its parameters a POST may be refused, but never unknown.
        assert!(matches!(response.status, 200 | 400 | 422), "{method} {uri}: {}", response.status);
        assert!(method != "GET" || response.status == 200, "{uri}");
    }
}
