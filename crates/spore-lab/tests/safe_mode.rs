//! Images that crash again and again, and how one gets out of that.

mod common;

use common::{Sim, image};
use serde_json::Value;
use spore_image::behaviour::Act;
use spore_lab::control::{Command, Reply};

fn crash(sim: &Sim) {
    sim.order(Command::Crash { node: "1".to_owned() });
    // Boot time, joining.
    sim.run(3);
}

/// A cluster whose first node crashed three times, soon after its start each time.
fn in_safe_mode(seed: u64) -> Sim {
    let sim = Sim::new(2, seed);
    sim.converge();
    assert!(offers_hello(&sim));
    for crashes in 1..=3 {
        crash(&sim);
        let status = sim.answering(0);
        assert_eq!(
            (&status["safeMode"], &status["boot"]),
            (&Value::Bool(crashes == 3), &(crashes + 1).into())
        );
        assert_eq!(status["resetReason"], "exception: ordered crash");
    }
    sim
}

fn offers_hello(sim: &Sim) -> bool {
    let endpoints = sim.get(0, "/api/node/endpoints");
    let told =
        endpoints["endpoints"].as_array().unwrap().iter().any(|endpoint| endpoint["uri"] == "/api/hello");
    let answer = sim.request(0, "GET", "/api/hello", &[], &[]).status;
    assert_eq!(answer, if told { 200 } else { 404 });
    told
}

#[test]
fn after_three_quick_crashes_a_node_offers_no_services_until_it_is_restarted() {
    let sim = in_safe_mode(61);
    assert!(!offers_hello(&sim));
    let names: Vec<_> = sim.get(0, "/api/tasks/status")["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["name"].to_string())
        .collect();
    assert!(names.len() == 6 && !names.iter().any(|name| name.contains('.')), "{names:?}");
    let labels = |sim: &Sim| sim.get(0, "/api/node/status")["labels"].as_object().unwrap().len();
    assert_eq!(labels(&sim), 1, "app=spore, which every node has");
    assert!(sim.logs().contains("safe mode: no services until a restart; quick crashes: 3"));
    // It is a member like others.
    sim.converge();
    crash(&sim);
    assert_eq!(sim.answering(0)["safeMode"], true, "it crashed for another reason");
    assert_eq!(sim.request(0, "POST", "/api/node/restart", &[], &[]).status, 200);
    sim.run(3);
    assert_eq!(sim.answering(0)["safeMode"], false);
    assert!(offers_hello(&sim) && labels(&sim) > 1);
}

#[test]
fn an_update_ends_safe_mode() {
    let sim = in_safe_mode(62);
    let (code, answer) = sim.upload(0, &image("1.1.0", Act::Healthy, 9_000));
    assert_eq!(code, 200, "{answer}");
    let (status, _) = sim.eventually(45, "the new image is confirmed", |sim| {
        Some(sim.answering(0)).filter(|status| status["lastUpdate"]["outcome"] == "confirmed")
    });
    assert_eq!((&status["version"], &status["safeMode"]), (&"1.1.0".into(), &false.into()));
    assert!(offers_hello(&sim));
}

#[test]
fn what_ends_a_row_of_crashes() {
    type End = (&'static str, fn(&Sim));
    let ends: [End; 4] = [
        ("a crash after more than a minute", |sim| {
            sim.run(61);
            crash(sim);
        }),
        ("a power cut", |sim| sim.order(Command::PowerCut { node: "1".to_owned(), at_flash_op: None })),
        ("the reset button", |sim| sim.order(Command::Restart { node: "1".to_owned() })),
        ("a restart", |sim| {
            sim.request(0, "POST", "/api/node/restart", &[], &[]);
        }),
    ];
    for (seed, (what, end)) in ends.into_iter().enumerate() {
        let sim = Sim::new(1, 63 + seed as u64);
        sim.run(3);
        for _ in 0..2 {
            crash(&sim);
        }
        end(&sim);
        sim.run(3);
        for _ in 0..2 {
            crash(&sim);
            assert_eq!(sim.answering(0)["safeMode"], false, "{what}");
        }
        crash(&sim);
        assert_eq!(sim.answering(0)["safeMode"], true, "{what}");
    }
}

#[test]
fn crashes_on_trial_lead_back_and_not_to_safe_mode() {
    let sim = Sim::new(1, 67);
    sim.run(3);
    let (code, answer) = sim.upload(0, &image("1.1.0", Act::Crash, 9_000));
    assert_eq!(code, 200, "{answer}");
    let (status, _) = sim.eventually(60, "it goes back", |sim| {
        Some(sim.answering(0)).filter(|status| status["lastUpdate"]["outcome"] == "reverted")
    });
    assert_eq!((&status["version"], &status["safeMode"]), (&"0.1.0".into(), &false.into()));
    // These were not crashes of this image.
    crash(&sim);
    assert_eq!(sim.answering(0)["safeMode"], false);
}

#[test]
fn only_a_running_virtual_node_can_be_made_to_crash() {
    let sim = Sim::new(1, 68);
    sim.order(Command::Kill { node: "1".to_owned() });
    sim.run(1);
    let reply = sim.cluster.borrow_mut().call(&Command::Crash { node: "1".to_owned() });
    assert!(matches!(&reply, Reply::Error { error } if error == "1 is off, not running"), "{reply:?}");
}
