//! Pins, analogue input and deep sleep of virtual nodes.

mod common;

use common::Sim;
use sensor::Sensor;
use serde_json::Value;
use spore_hal::I2cMaster;
use spore_hal::embedded_hal::delay::DelayNs;
use spore_lab::Options;
use spore_lab::control::{Command, PinStatus, Reply};
use spore_lab::pins::{LabAdc, LabPin, Pins};
use spore_node::service::Service;
use std::time::Duration;

/// Nothing is to be waited for in the lab.
struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, _: u32) {}
}

type LabSensor = Sensor<LabAdc, I2cMaster<LabPin, LabPin, Delay>>;

fn new_sensor(pins: &Pins, sleep: Option<Duration>) -> LabSensor {
    let line = |pin| pins.open_drain(pin, true).expect("the pins are free at a start");
    Sensor::new(pins.adc(), I2cMaster::new(line(2), line(4), Delay), sleep)
}

fn awake(pins: &Pins) -> Box<dyn Service> {
    Box::new(new_sensor(pins, None))
}

fn sleepy(pins: &Pins) -> Box<dyn Service> {
    Box::new(new_sensor(pins, Some(Duration::from_secs(30))))
}

fn pins(sim: &Sim, node: &str) -> (Vec<PinStatus>, u16) {
    match sim.cluster.borrow_mut().call(&Command::Pins { node: node.to_owned() }) {
        Reply::Pins { pins, adc, .. } => (pins, adc),
        other => panic!("{other:?}"),
    }
}

fn pin(sim: &Sim, name: &str) -> String {
    let (pins, _) = pins(sim, "1");
    let pin = pins.into_iter().find(|pin| pin.name == name).unwrap();
    format!("{} {}", pin.direction, pin.level)
}

fn refused(sim: &Sim, command: &Command) -> String {
    match sim.cluster.borrow_mut().call(command) {
        Reply::Error { error } => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_relay_is_a_pin_that_is_on_at_low() {
    let sim = Sim::new(1, 91);
    sim.run(3);
    assert_eq!(pin(&sim, "GPIO0"), "output high");
    assert_eq!(sim.post(0, "/api/relay", "state=on").0, 200);
    assert_eq!(pin(&sim, "GPIO0"), "output low");
    assert_eq!(pin(&sim, "GPIO5"), "unused low");
    sim.order(Command::Kill { node: "1".into() });
    sim.run(1);
    assert_eq!(
        pin(&sim, "GPIO0"),
        "unused high",
        "without power nothing drives it, and the module's resistor switches off"
    );
    sim.order(Command::Restart { node: "1".into() });
    sim.run(3);
    assert_eq!(pin(&sim, "GPIO0"), "output high", "off after a start");
}

#[test]
fn inputs_are_set_from_outside_and_mistakes_told() {
    let sim = Sim::with(Options { extra: Some(awake), ..Options::in_memory(1, 92) });
    sim.run(3);
    assert_eq!(pin(&sim, "GPIO2"), "open-drain high");
    sim.order(Command::Adc { node: "1".into(), value: 700 });
    let measured: Value = sim.get(0, "/api/sensor");
    assert_eq!((&measured["adc"], &measured["chip"]), (&700.into(), &0.into()), "nobody is on the bus");
    assert_eq!(pins(&sim, "1").1, 700);
    sim.order(Command::Pin { node: "1".into(), pin: 2, high: false });
    assert_eq!(pin(&sim, "GPIO2"), "open-drain low", "somebody else pulls the line");
    assert_eq!(sim.get(0, "/api/sensor")["chip"], 0, "a bus that is held is no end of the node");
    let wrong = Command::Pin { node: "1".into(), pin: 0, high: true };
    assert!(refused(&sim, &wrong).contains("driven by the node"));
    assert!(refused(&sim, &Command::Pin { node: "1".into(), pin: 1, high: true }).contains("no pin 1"));
    assert!(refused(&sim, &Command::Pins { node: "nobody".into() }).contains("no node"));
    assert!(refused(&sim, &Command::Adc { node: "1".into(), value: 2000 }).contains("0 to 1023"));
}

#[test]
fn a_node_that_sleeps_is_away_for_so_long_and_says_why_it_starts() {
    let sim = Sim::with(Options { extra: Some(sleepy), ..Options::in_memory(1, 93) });
    let state = |sim: &Sim| sim.cluster.borrow().status().nodes[0].state.clone();
    let now = |sim: &Sim| sim.wait("the clock", async { embassy_time::Instant::now() });
    sim.until(40, "the node sleeps", |cluster| cluster.status().nodes[0].state == "asleep");
    let began = now(&sim);
    assert!(sim.try_request(0, "GET", "/api/node/status", &[], &[]).is_err());
    assert_eq!(pin(&sim, "GPIO0"), "unused high", "who sleeps drives nothing");
    sim.until(40, "the node wakes", |cluster| cluster.status().nodes[0].state == "running");
    let slept = (now(&sim) - began).as_millis();
    // And it starts in 0.25 s; looked at every 0.1 s.
    assert!((30_000..30_600).contains(&slept), "{slept} ms");
    sim.run(3);
    assert_eq!(sim.get(0, "/api/node/status")["resetReason"], "deep sleep");
    assert_eq!(sim.cluster.borrow().status().nodes[0].boots, 2);
    // The reset button wakes it, too.
    sim.until(40, "the node sleeps again", |cluster| cluster.status().nodes[0].state == "asleep");
    sim.order(Command::Restart { node: "1".into() });
    sim.run(2);
    assert_eq!(state(&sim), "running");
    assert_eq!(sim.cluster.borrow().status().nodes[0].reset_reason, "external reset");
}

#[test]
fn nodes_ask_their_router_for_the_time() {
    let sim = Sim::new(2, 94);
    let time = |node| sim.get(node, "/api/node/status")["time"].as_u64();
    sim.converge();
    sim.run(10);
    let now = || spore_lan::clock_server::VIRTUAL_START + embassy_time::Instant::now().as_secs();
    for node in 0..2 {
        let told = time(node).expect("the router tells the time");
        let now = sim.wait("the clock", async { now() });
        assert!(now.abs_diff(told) <= 1, "{told}, not {now}");
    }
}
