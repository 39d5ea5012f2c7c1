//! The scheduler's tasks, seen and changed over HTTP.

mod common;

use common::{Sim, is_error};
use serde_json::{Value, json};
use spore_lab::control::Command;

fn task(sim: &Sim, node: usize, name: &str) -> Value {
    let tasks = sim.get(node, "/api/tasks/status");
    tasks["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).unwrap().clone()
}

fn control(sim: &Sim, node: usize, form: &str) -> Value {
    let (status, answer) = sim.post(node, "/api/tasks/control", form);
    assert_eq!((status, &answer["success"]), (200, &Value::Bool(true)), "{form}: {answer}");
    answer["task"].clone()
}

/// Runs of a task within so many seconds.
fn runs(sim: &Sim, name: &str, seconds: u64) -> u64 {
    let before = task(sim, 0, name)["runs"].as_u64().unwrap();
    sim.run(seconds);
    task(sim, 0, name)["runs"].as_u64().unwrap() - before
}

#[test]
fn the_six_tasks_run_as_often_as_the_seed_says() {
    let sim = Sim::new(2, 61);
    sim.converge();
    let status = sim.get(0, "/api/tasks/status");
    let expected = [
        ("discovery_send", 1_000),
        ("discovery_listen", 100),
        ("heartbeat", 2_000),
        ("status_update", 1_000),
        ("member_info", 10_000),
        ("debug_output", 5_000),
    ];
    let tasks = status["tasks"].as_array().unwrap();
    assert_eq!(status["summary"], json!({ "totalTasks": 7, "activeTasks": 6 }));
    for ((name, interval), task) in expected.iter().zip(tasks) {
        assert_eq!((&task["name"], &task["interval"]), (&Value::from(*name), &Value::from(*interval)));
        assert_eq!([&task["enabled"], &task["running"], &task["autoStart"]], [&Value::Bool(true); 3]);
    }
    assert_eq!((&tasks[6]["name"], &tasks[6]["enabled"]), (&"relay.blink".into(), &false.into()));
    assert!(
        status["system"]["freeHeap"].as_u64().unwrap() > 0
            && status["system"]["uptime"].as_u64().unwrap() > 0
    );
    for (name, interval) in expected {
        if name != "discovery_listen" {
            let runs = runs(&sim, name, 60);
            let due = 60_000 / interval;
            assert!((due - 1..=due + 1).contains(&runs), "{name}: {runs} runs in a minute, {due} due");
        }
    }
}

#[test]
fn an_interval_changes_what_is_sent() {
    let sim = Sim::new(2, 62);
    sim.converge();
    let sent = |sim: &Sim| {
        let sent = || sim.cluster.borrow().nodes().next().unwrap().counters.get().sent_frames;
        let before = sent();
        sim.run(60);
        sent() - before
    };
    let normal = sent(&sim);
    let changed = control(&sim, 0, "task=discovery_send&action=set&interval=100");
    assert_eq!((&changed["interval"], &changed["enabled"]), (&100.into(), &true.into()));
    let busy = sent(&sim);
    println!("{normal} frames a minute, {busy} with ten times as many discoveries");
    assert!((normal + 520..=normal + 560).contains(&busy), "540 discoveries more: {normal} {busy}");

    let normal = runs(&sim, "heartbeat", 20);
    let (status, _) = sim.post(0, "/api/node/config", "heartbeatIntervalMs=500");
    assert_eq!((status, normal), (200, 10));
    assert_eq!(task(&sim, 0, "heartbeat")["interval"], 500);
    assert!((39..=41).contains(&runs(&sim, "heartbeat", 20)));
}

#[test]
fn a_node_that_says_nothing_more_is_inactive_for_the_others() {
    let sim = Sim::new(3, 63);
    sim.converge();
    let ip = sim.ip(0).to_string();
    let seen = |sim: &Sim| {
        let members = sim.get(1, "/api/cluster/members");
        let members = members["members"].as_array().unwrap().clone();
        members.into_iter().find(|member| member["ip"] == *ip).unwrap()
    };
    control(&sim, 0, "task=discovery_send&action=disable");
    control(&sim, 0, "task=heartbeat&action=stop");
    sim.run(30);
    // NODE_UPDATE of every ten seconds is a sign of life, and a known node's discovery is answered now and then.
    println!("without discovery and heartbeat: age {}", seen(&sim)["age"]);
    control(&sim, 0, "task=member_info&action=disable");
    // It still answers discoveries of others: at most two a second, but it does.
    sim.run(20);
    assert_eq!(seen(&sim)["status"], "ACTIVE", "answers are signs of life");
    control(&sim, 0, "task=discovery_listen&action=disable");
    sim.run(9);
    assert_eq!(seen(&sim)["status"], "ACTIVE");
    sim.run(3);
    assert_eq!(seen(&sim)["status"], "INACTIVE");
    // It heard nobody either, so the others are gone for it.
    let members = sim.get(0, "/api/cluster/members");
    assert!(members["members"].as_array().unwrap()[1..].iter().all(|member| member["status"] == "INACTIVE"));
    control(&sim, 0, "task=heartbeat&action=enable");
    control(&sim, 0, "task=discovery_listen&action=start");
    sim.run(3);
    assert_eq!(seen(&sim)["status"], "ACTIVE");
    assert!(sim.cluster.borrow().converged());
}

#[test]
fn a_services_task_runs_when_it_is_enabled() {
    let sim = Sim::new(1, 64);
    sim.run(3);
    let switched = |sim: &Sim| sim.get(0, "/api/relay/status")["switched"].as_u64().unwrap();
    sim.run(5);
    assert_eq!(switched(&sim), 0);
    let task = control(&sim, 0, "task=relay.blink&action=enable");
    assert_eq!((&task["enabled"], &task["autoStart"]), (&true.into(), &false.into()));
    sim.run(10);
    assert!((10..=11).contains(&switched(&sim)), "{}", switched(&sim));
    control(&sim, 0, "task=relay.blink&action=set&interval=100");
    let before = switched(&sim);
    sim.run(5);
    assert!((49..=51).contains(&(switched(&sim) - before)));
    control(&sim, 0, "task=relay.blink&action=disable");
    let before = switched(&sim);
    sim.run(5);
    assert_eq!(switched(&sim), before);
    assert_eq!(control(&sim, 0, "task=relay.blink&action=status")["enabled"], false);
}

#[test]
fn wrong_orders_are_refused_and_change_nothing() {
    let sim = Sim::new(1, 65);
    sim.run(3);
    let before = sim.get(0, "/api/tasks/status")["summary"].clone();
    for (form, expected) in [
        ("task=nothing&action=enable", 404),
        ("task=heartbeat&action=dance", 422),
        ("task=heartbeat", 422),
        ("action=enable", 422),
        ("task=heartbeat&action=set", 422),
        ("task=heartbeat&action=set&interval=9", 422),
        ("task=heartbeat&action=set&interval=3600001", 422),
        ("task=heartbeat&action=set&interval=-5", 422),
        ("task=heartbeat&action=set&interval=soon", 422),
        ("task=heartbeat&action=set&interval=99999999999999999999", 422),
    ] {
        let (status, answer) = sim.post(0, "/api/tasks/control", form);
        assert!(status == expected && is_error(&answer), "{form}: {status} {answer}");
    }
    assert_eq!(task(&sim, 0, "heartbeat")["interval"], 2_000);
    assert_eq!(sim.get(0, "/api/tasks/status")["summary"], before);
    for interval in [10, 3_600_000] {
        assert_eq!(
            control(&sim, 0, &format!("task=heartbeat&action=set&interval={interval}"))["interval"],
            interval
        );
    }
}

#[test]
fn settings_outlast_a_restart_and_orders_to_tasks_do_not() {
    let sim = Sim::new(1, 66);
    sim.run(3);
    let body = json!({ "heartbeatIntervalMs": 3000, "statusIntervalMs": 500, "hostname": "lamp", "labels": { "room": "attic" } });
    let json_kind = [("Content-Type", "application/json")];
    let response = sim.request(0, "POST", "/api/node/config", &json_kind, body.to_string().as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    control(&sim, 0, "task=discovery_send&action=set&interval=5000");
    control(&sim, 0, "task=debug_output&action=disable");
    control(&sim, 0, "task=heartbeat&action=set&interval=4000");
    let config = sim.get(0, "/api/node/config");
    assert_eq!(config["heartbeatIntervalMs"], 3000, "an order to a task is no setting");
    for (form, expected) in [
        ("heartbeatIntervalMs=100", 422),
        ("nonsense=1", 422),
        ("inactiveAfterMs=70000", 422),
        ("label.room=x&heartbeatIntervalMs=0", 422),
        ("hostname=with space", 422),
        ("wifiPassphrase=short", 422),
    ] {
        let (status, answer) = sim.post(0, "/api/node/config", form);
        assert!(status == expected && is_error(&answer), "{form}: {status} {answer}");
        assert_eq!(sim.get(0, "/api/node/config"), config, "{form}: all or nothing");
    }
    for order in [
        Command::Restart { node: "1".to_owned() },
        Command::PowerCut { node: "1".to_owned(), at_flash_op: None },
    ] {
        sim.order(order);
        sim.run(1);
        assert_eq!(sim.answering(0)["hostname"], "lamp");
        assert_eq!(sim.get(0, "/api/node/config"), config);
        assert_eq!(task(&sim, 0, "heartbeat")["interval"], 3000);
        assert_eq!(task(&sim, 0, "status_update")["interval"], 500);
        assert_eq!(task(&sim, 0, "discovery_send")["interval"], 1000);
        assert_eq!(task(&sim, 0, "debug_output")["enabled"], true);
    }
}
