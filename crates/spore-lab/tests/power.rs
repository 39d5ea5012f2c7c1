//! The power goes in the middle of every single flash operation.

mod common;

use common::{Sim, image};
use serde_json::Value;
use spore_image::behaviour::Act;
use spore_lab::control::Command;

/// How often the power went in the middle of a flash operation.
fn cuts(sim: &Sim) -> usize {
    let log = sim.cluster.borrow().nodes().next().unwrap().view.log.last(usize::MAX);
    log.iter().filter(|line| line.contains("power lost in a flash operation")).count()
}

/// How often the node has started.
fn starts(sim: &Sim) -> u32 {
    sim.cluster.borrow().nodes().next().unwrap().view.boots.get()
}

fn cut_at(sim: &Sim, operation: u32) {
    sim.order(Command::PowerCut { node: "1".to_owned(), at_flash_op: Some(operation) });
}

/// A form, to a node that may lose its power over it.
fn post(sim: &Sim, path: &str, form: &str) -> Option<u16> {
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    sim.try_request(0, "POST", path, &headers, form.as_bytes()).ok().map(|response| response.status)
}

/// The status of the node when no trial is open any more: whoever asks confirms the image.
fn settled(sim: &Sim) -> Value {
    let look =
        |sim: &Sim| Some(sim.answering(0)).filter(|status| status["lastUpdate"]["outcome"] != "pending");
    sim.eventually(10, "the trial has ended", look).0
}

#[test]
fn an_update_survives_a_cut_at_every_flash_operation() {
    let next = image("1.1.0", Act::Healthy, 9_000);
    let (mut old, mut new) = (0, 0);
    for operation in 1.. {
        let sim = Sim::new(1, 21);
        sim.run(3);
        cut_at(&sim, operation);
        let answer = sim.try_request(0, "POST", "/api/node/update", &[], &next);
        // Restart, trial, and its confirmation by whoever asks.
        sim.run(2);
        let status = settled(&sim);
        match status["version"].as_str().unwrap() {
            "0.1.0" => {
                assert!(
                    answer.is_err(),
                    "operation {operation}: an installed image was announced and is lost"
                );
                old += 1;
            }
            "1.1.0" => {
                assert_eq!(status["lastUpdate"]["outcome"], "confirmed", "operation {operation}");
                new += 1;
            }
            other => panic!("operation {operation}: version {other}"),
        }
        let completed = cuts(&sim) == 0;
        assert!(completed || cuts(&sim) == 1);
        // Whatever happened, the next update works.
        sim.cluster.borrow().nodes().next().unwrap().flash().unwrap().restore_power();
        let (code, answer) = sim.upload(0, &image("1.2.0", Act::Healthy, 9_000));
        assert_eq!(code, 200, "operation {operation}: {answer}");
        sim.run(2);
        let status = settled(&sim);
        assert_eq!(
            (&status["version"], &status["lastUpdate"]["outcome"]),
            (&"1.2.0".into(), &"confirmed".into()),
            "operation {operation}: {}",
            sim.logs()
        );
        if completed {
            println!(
                "an update is {} operations: {} cuts, {old} left the old image, {} the new, 0 lost",
                operation - 1,
                operation - 1,
                new - 1
            );
            assert!(old > 35 && new > 1, "{old} {new}");
            return;
        }
    }
}

#[test]
fn an_update_survives_cut_after_cut() {
    let next = image("1.1.0", Act::Healthy, 9_000);
    let sim = Sim::new(1, 22);
    sim.run(3);
    for operation in 1.. {
        let before = sim.answering(0);
        if before["version"] == "1.1.0" {
            println!("installed after {} cuts of one flash", cuts(&sim));
            assert!(cuts(&sim) > 35);
            return;
        }
        cut_at(&sim, operation);
        let _ = sim.try_request(0, "POST", "/api/node/update", &[], &next);
        sim.run(2);
        let after = sim.answering(0);
        assert!(after["boot"].as_u64() >= before["boot"].as_u64(), "the boot count never goes back");
        sim.run(2);
    }
}

/// The settings without those that a test changes.
fn rest(config: &Value) -> Value {
    let mut config = config.clone();
    config.as_object_mut().unwrap().retain(|key, _| key != "labels" && key != "heartbeatIntervalMs");
    config
}

#[test]
fn settings_survive_a_cut_at_every_flash_operation() {
    let sim = Sim::new(1, 23);
    sim.run(3);
    assert_eq!(
        post(&sim, "/api/node/config", "hostname=kitchen&label.app=mine&deadAfterMs=61000"),
        Some(200)
    );
    let first = sim.get(0, "/api/node/config");
    let (mut old, mut new, mut writes) = (0, 0, 0);
    let mut current = sim.get(0, "/api/node/config");
    // Often enough that the log of settings goes around its flash area twice.
    for round in 0..160 {
        for operation in 1.. {
            cut_at(&sim, operation);
            let before = starts(&sim);
            let interval = 2_000 + (round * 10 + operation);
            let answer = post(
                &sim,
                "/api/node/config",
                &format!("label.round={round}-{operation}&heartbeatIntervalMs={interval}"),
            );
            let completed = starts(&sim) == before;
            if !completed {
                sim.answering(0);
            }
            sim.cluster.borrow().nodes().next().unwrap().flash().unwrap().restore_power();
            let config = sim.get(0, "/api/node/config");
            assert_eq!(rest(&config), rest(&first), "round {round} operation {operation}");
            assert_eq!(config["labels"]["app"], "mine");
            if config["heartbeatIntervalMs"] == interval {
                assert_eq!(config["labels"]["round"], format!("{round}-{operation}"), "all or nothing");
                new += 1;
            } else {
                assert_eq!(config, current, "round {round} operation {operation}: {answer:?}");
                assert_ne!(answer, Some(200), "what was said to be stored is stored");
                old += 1;
            }
            current = config;
            if completed {
                assert_eq!(
                    answer,
                    Some(200),
                    "round {round} operation {operation} start {}\n{}",
                    starts(&sim),
                    sim.logs()
                );
                writes += 1;
                break;
            }
        }
    }
    let cuts = starts(&sim) - 1;
    println!("{writes} writes, {cuts} cuts: {old} left the old settings, {} the new, 0 lost", new - writes);
    assert!(old > 160);
    // What is in flash is what was shown.
    sim.order(Command::Restart { node: "1".to_owned() });
    sim.run(1);
    sim.answering(0);
    assert_eq!(sim.get(0, "/api/node/config"), current);
}
