//! C++ nodes of three generations, written from what upstream documents and not from our own codecs: text over UDP 4210,
//! JSON over HTTP, nothing else.

mod common;

use common::Sim;
use embassy_net::tcp::TcpSocket;
use serde_json::{Value, json};
use spore_lan::executor::Task;
use spore_lan::host::{Address, Host, UdpPeer};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// What upstream's generations say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Generation {
    /// August 2025: `CLUSTER_DISCOVERY` and `CLUSTER_RESPONSE`.
    Discovery,
    /// September 2025: heartbeats beside them, answered with `CLUSTER_NODE_INFO`.
    NodeInfo,
    /// From October 2025: heartbeats and `NODE_UPDATE` alone.
    Heartbeat,
}

const NAME: &str = "esp_c0ffee";
const PORT: u16 = 4210;

/// The seed's example of a status.
const STATUS: &str = r#"{
"freeHeap": 12345,
"chipId": 12648430,
"sdkVersion": "2.2.2-dev(38a443e)",
"cpuFreqMHz": 80,
"flashChipSize": 1048576,
"api": [
{ "uri": "/api/node/status", "method": "GET" },
{ "uri": "/api/neopixel", "method": "POST" }
]
}"#;

/// A C++ node.
struct Peer {
    host: Rc<Host>,
    generation: Generation,
    heard: Rc<RefCell<Vec<(Ipv4Addr, String)>>>,
    life: Vec<Task<()>>,
}

impl Peer {
    fn new(sim: &Sim, generation: Generation) -> Self {
        let cluster = sim.cluster.borrow();
        let port = cluster.switch().attach([0x5c, 0xcf, 0x7f, 0xc0, 0xff, 0xee]);
        let host = Rc::new(Host::new::<6>(&sim.world.spawner(), port, Address::Dhcp, 99));
        drop(cluster);
        sim.wait("an address for the peer", host.up());
        let mut peer = Self { host, generation, heard: Rc::default(), life: Vec::new() };
        peer.start(sim);
        peer
    }

    fn ip(&self) -> Ipv4Addr {
        self.host.ip().unwrap()
    }

    fn start(&mut self, sim: &Sim) {
        let udp = Rc::new(self.host.udp(PORT));
        let (generation, ip) = (self.generation, self.ip());
        self.life.push(sim.world.spawn(answer(udp.clone(), generation, ip, self.heard.clone())));
        self.life.push(sim.world.spawn(speak(udp, generation, ip)));
        for _ in 0..2 {
            self.life.push(sim.world.spawn(serve(self.host.clone())));
        }
    }

    /// Falls silent in every way.
    fn stop(&mut self) {
        self.life.clear();
    }

    /// What it has heard from a node, forgetting it.
    fn take(&self, from: Ipv4Addr) -> Vec<String> {
        let heard = std::mem::take(&mut *self.heard.borrow_mut());
        heard.into_iter().filter(|(ip, _)| *ip == from).map(|(_, text)| text).collect()
    }
}

fn details(ip: Ipv4Addr) -> String {
    json!({ "hostname": NAME, "ip": ip.to_string(), "uptime": 1234, "labels": { "role": "lamp" } })
        .to_string()
}

async fn answer(
    udp: Rc<UdpPeer>,
    generation: Generation,
    ip: Ipv4Addr,
    heard: Rc<RefCell<Vec<(Ipv4Addr, String)>>>,
) {
    loop {
        let (from, bytes) = udp.receive().await;
        if *from.ip() == ip {
            continue;
        }
        // As Arduino does it: whatever comes is text up to its first NUL.
        let text = String::from_utf8_lossy(&bytes);
        let text = text.split('\0').next().unwrap_or_default();
        heard.borrow_mut().push((*from.ip(), text.to_owned()));
        let reply = match generation {
            Generation::Discovery | Generation::NodeInfo if text == "CLUSTER_DISCOVERY" => {
                format!("CLUSTER_RESPONSE:{NAME}")
            }
            Generation::NodeInfo if text.starts_with("CLUSTER_HEARTBEAT:") => {
                let info = json!({
                    "freeHeap": 23456, "chipId": 12648430, "sdkVersion": "2.2.2-dev(38a443e)", "cpuFreqMHz": 80,
                    "flashChipSize": 1048576, "labels": { "role": "lamp" }
                });
                format!("CLUSTER_NODE_INFO:{NAME}:{info}")
            }
            Generation::Heartbeat if text.starts_with("CLUSTER_HEARTBEAT:") => {
                format!("NODE_UPDATE:{NAME}:{}", details(ip))
            }
            _ => continue,
        };
        udp.send(SocketAddrV4::new(*from.ip(), PORT), reply.as_bytes());
    }
}

async fn speak(udp: Rc<UdpPeer>, generation: Generation, ip: Ipv4Addr) {
    for second in 0u64.. {
        if generation != Generation::Heartbeat {
            udp.broadcast(PORT, b"CLUSTER_DISCOVERY");
        }
        if generation != Generation::Discovery && second % 5 == 0 {
            udp.broadcast(PORT, format!("CLUSTER_HEARTBEAT:{NAME}").as_bytes());
        }
        if generation == Generation::Heartbeat && second % 5 == 2 {
            udp.broadcast(PORT, format!("NODE_UPDATE:{NAME}:{}", details(ip)).as_bytes());
        }
        embassy_time::Timer::after_secs(1).await;
    }
}

async fn serve(host: Rc<Host>) {
    let (mut rx, mut tx) = (vec![0; 2048], vec![0; 2048]);
    loop {
        let mut socket = TcpSocket::new(host.stack(), &mut rx, &mut tx);
        if socket.accept(80).await.is_err() {
            return;
        }
        let mut request = Vec::new();
        let mut piece = [0; 256];
        while !request.ends_with(b"\r\n\r\n") {
            match socket.read(&mut piece).await {
                Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
                _ => break,
            }
        }
        let found = request.starts_with(b"GET /api/node/status HTTP/1.1\r\n");
        let (status, body) = if found { ("200 OK", STATUS) } else { ("404 Not Found", "{}") };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut left = answer.as_bytes();
        while let Ok(count @ 1..) = socket.write(left).await {
            left = &left[count..];
            if left.is_empty() {
                break;
            }
        }
        socket.close();
        let _ = embassy_time::with_timeout(embassy_time::Duration::from_secs(2), socket.flush()).await;
        socket.abort();
    }
}

/// The peer as a node lists it.
fn listed(sim: &Sim, node: usize) -> Option<Value> {
    let members = sim.get(node, "/api/cluster/members");
    members["members"].as_array().unwrap().iter().find(|member| member["hostname"] == NAME).cloned()
}

const GENERATIONS: [Generation; 3] = [Generation::Discovery, Generation::NodeInfo, Generation::Heartbeat];

#[test]
fn a_cpp_node_is_a_member_with_resources_and_endpoints() {
    for generation in GENERATIONS {
        let sim = Sim::new(2, 91);
        sim.converge();
        let peer = Peer::new(&sim, generation);
        let (_, millis) = sim.eventually(10, "it is a member", |sim| listed(sim, 0));
        println!("{generation:?}: a member after {millis} ms");
        sim.run(12);
        for node in 0..2 {
            let member = listed(&sim, node).unwrap();
            assert_eq!(
                (&member["status"], &member["kind"]),
                (&"ACTIVE".into(), &"text".into()),
                "{member:#}"
            );
            assert_eq!(member["ip"], peer.ip().to_string());
            let resources = &member["resources"];
            assert!(resources["freeHeap"] == 12_345 || resources["freeHeap"] == 23_456, "{member:#}");
            assert_eq!((&resources["chipId"], &resources["cpuFreqMHz"]), (&12_648_430.into(), &80.into()));
            assert_eq!(
                (&resources["sdkVersion"], &resources["flashChipSize"]),
                (&"2.2.2-dev(38a443e)".into(), &1_048_576.into())
            );
            assert_eq!(
                member["api"],
                json!([
                    { "uri": "/api/node/status", "method": "GET" }, { "uri": "/api/neopixel", "method": "POST" }
                ]),
                "{generation:?} {member:#}"
            );
            if generation != Generation::Discovery {
                assert_eq!(member["labels"], json!({ "role": "lamp" }));
            }
        }
        let services = sim.get(0, "/api/cluster/services?uri=/api/neopixel");
        assert_eq!(services["services"][0]["nodes"][0]["hostname"], NAME);
    }
}

#[test]
fn a_cpp_node_gets_the_answers_its_generation_waits_for() {
    for generation in GENERATIONS {
        let sim = Sim::new(1, 92);
        sim.run(3);
        let peer = Peer::new(&sim, generation);
        sim.run(7);
        peer.take(sim.ip(0));
        sim.run(20);
        let heard = peer.take(sim.ip(0));
        let count = |start: &str| heard.iter().filter(|text| text.starts_with(start)).count();
        let name = sim.hostname(0);
        let counts = [
            count("CLUSTER_DISCOVERY"),
            count(&format!("CLUSTER_RESPONSE:{name}")),
            count(&format!("CLUSTER_HEARTBEAT:{name}")),
            count(&format!("CLUSTER_NODE_INFO:{name}:{{")),
            count(&format!("NODE_UPDATE:{name}:{{")),
        ];
        println!(
            "{generation:?} hears in 20 s: discoveries, responses, heartbeats, infos, updates {counts:?}"
        );
        assert_eq!(counts.iter().sum::<usize>(), heard.len(), "and nothing else: {heard:?}");
        assert!((19..=21).contains(&counts[0]) && (9..=11).contains(&counts[2]), "{counts:?}");
        // Two broadcast updates in 20 s; every question is answered once.
        match generation {
            Generation::Discovery => assert!((19..=21).contains(&counts[1]) && counts[3] == 0, "{counts:?}"),
            Generation::NodeInfo => {
                assert!((19..=21).contains(&counts[1]) && (4..=5).contains(&counts[3]), "{counts:?}")
            }
            Generation::Heartbeat => {
                assert!(counts[1] == 0 && counts[3] == 0 && (5..=7).contains(&counts[4]), "{counts:?}")
            }
        }
        for text in heard
            .iter()
            .filter(|text| text.starts_with("CLUSTER_NODE_INFO") || text.starts_with("NODE_UPDATE"))
        {
            assert!(text.len() <= 511, "upstream's buffer holds 512 bytes with its NUL: {}", text.len());
            let json: Value = serde_json::from_str(text.splitn(3, ':').nth(2).unwrap()).unwrap();
            assert_eq!(
                (&json["hostname"], &json["ip"]),
                (&name.as_str().into(), &sim.ip(0).to_string().into())
            );
            assert!(
                json["freeHeap"].is_u64() && json["chipId"].is_u64() && json["uptime"].is_u64(),
                "{json}"
            );
        }
    }
}

#[test]
fn a_silent_cpp_node_goes_by_the_clock_and_comes_back() {
    for generation in GENERATIONS {
        let sim = Sim::new(1, 93);
        sim.run(3);
        let mut peer = Peer::new(&sim, generation);
        sim.run(16);
        peer.stop();
        let last = listed(&sim, 0).unwrap()["lastSeen"].as_u64().unwrap();
        let mut changed = Vec::new();
        let mut status = "ACTIVE".to_owned();
        for _ in 0..70 * 4 {
            sim.world.run_for(embassy_time::Duration::from_millis(250));
            let member = listed(&sim, 0).unwrap();
            assert!(member["lastSeen"].as_u64().unwrap() <= last + 1_000, "nothing is heard from it");
            if member["status"] != *status {
                status = member["status"].as_str().unwrap().to_owned();
                changed.push((status.clone(), member["age"].as_u64().unwrap()));
            }
        }
        println!("{generation:?}: {changed:?}");
        assert_eq!(changed.len(), 2);
        assert!(changed[0].0 == "INACTIVE" && (10_000..=11_500).contains(&changed[0].1), "{changed:?}");
        assert!(changed[1].0 == "DEAD" && (60_000..=61_500).contains(&changed[1].1), "{changed:?}");
        peer.start(&sim);
        sim.run(6);
        assert_eq!(listed(&sim, 0).unwrap()["status"], "ACTIVE", "revived");
    }
}

#[test]
fn cluster_events_cross_both_ways_once() {
    let sim = Sim::new(3, 94);
    sim.converge();
    let peer = Peer::new(&sim, Generation::Heartbeat);
    sim.run(3);
    let speaker = peer.host.udp(5_000);
    let switched = |sim: &Sim| -> Vec<u64> {
        (0..3).map(|node| sim.get(node, "/api/relay/status")["switched"].as_u64().unwrap()).collect()
    };
    // Upstream sends to the network's own broadcast address.
    for (round, to) in [(1, Ipv4Addr::new(255, 255, 255, 255)), (2, Ipv4Addr::new(10, 4, 255, 255))] {
        speaker.send(SocketAddrV4::new(to, PORT), br#"CLUSTER_EVENT:{"event":"relay/set","data":"toggle"}"#);
        sim.run(2);
        assert_eq!(switched(&sim), [round; 3], "to {to}");
    }
    peer.take(sim.ip(0));
    for data in ["{\"color\":\"#FF0000\"}", "plain"] {
        let form = format!("event=api/neopattern&data={}", data.replace('#', "%23"));
        assert_eq!(sim.post(0, "/api/cluster/event", &form).0, 200);
        sim.run(2);
        let heard = peer.take(sim.ip(0));
        let events: Vec<_> = heard.iter().filter_map(|text| text.strip_prefix("CLUSTER_EVENT:")).collect();
        assert_eq!(events.len(), 1, "the repetitions are not for it: {heard:?}");
        let event: Value = serde_json::from_str(events[0]).unwrap();
        assert_eq!(event["event"], "api/neopattern");
        // What is JSON may stand there as it is; upstream turns it into text again.
        let sent = event["data"].as_str().map_or_else(|| event["data"].to_string(), str::to_owned);
        assert_eq!(sent, data);
    }
}

#[test]
fn raw_pixels_are_an_event() {
    let sim = Sim::new(1, 95);
    sim.run(3);
    let peer = Peer::new(&sim, Generation::Heartbeat);
    let mut listener = sim.websocket(0);
    let speaker = peer.host.udp(5_000);
    speaker.send(SocketAddrV4::new(sim.ip(0), PORT), b"RAW:ff00000000ff");
    assert_eq!(sim.wait("the pixels", listener.event("udp/raw")), Some("ff00000000ff".into()));
}
