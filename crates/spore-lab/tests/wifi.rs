//! WiFi as nodes live through it: wrong words, networks that vanish, set-up over the own access point.

mod common;

use common::Sim;
use serde_json::{Value, json};
use spore_core::wifi::{RadioCommand, RadioEvent};
use spore_lab::control::Command;
use spore_lab::{Cluster, Options};
use spore_lan::air::{AccessPoint, Radio};
use spore_lan::host::{Address, Host};
use std::net::Ipv4Addr;

/// A person's phone on the access point of a node.
struct Phone {
    host: Host,
    _radio: Radio,
}

impl Phone {
    /// Joins the open access point that the n-th node opens, when it does.
    fn join(sim: &Sim, node: usize) -> Self {
        let (air, ssid) = {
            let cluster = sim.cluster.borrow();
            let chip = cluster.nodes().nth(node).unwrap().chip_id();
            (cluster.air().clone(), format!("spore-{chip:06x}"))
        };
        let (mut radio, device) = air.radio([2, 0, 0, 0, 9, node as u8]);
        let host = Host::new::<4>(&sim.world.spawner(), device, Address::Dhcp, 9);
        sim.wait("the phone joins the node's access point", async {
            loop {
                let ssid = ssid.as_str().try_into().unwrap();
                radio.command(&RadioCommand::Join { ssid, passphrase: Default::default() });
                if radio.event().await == RadioEvent::Joined {
                    break;
                }
            }
            host.up().await;
        });
        Self { host, _radio: radio }
    }

    fn request(&self, sim: &Sim, method: &str, path: &str, body: &str) -> Option<Value> {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let call = self.host.request(Ipv4Addr::new(192, 168, 4, 1), method, path, &headers, body.as_bytes());
        let response = sim.wait("an answer or none", call).ok()?;
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        Some(serde_json::from_slice(&response.body).unwrap())
    }

    fn status(&self, sim: &Sim) -> Value {
        // The node's radio is away now and then, to look for its network.
        sim.eventually(30, "the node tells how its WiFi stands", |sim| {
            self.request(sim, "GET", "/api/network/status", "")
        })
        .0
    }
}

fn another_network(sim: &Sim, ssid: &str, passphrase: &str, on: bool) -> spore_lan::air::AccessPointId {
    let cluster = sim.cluster.borrow();
    let point = AccessPoint {
        ssid: ssid.try_into().unwrap(),
        passphrase: passphrase.try_into().unwrap(),
        channel: 11,
        rssi: -70,
        bssid: [2, 0, 0, 0, 0, 2],
        on,
    };
    cluster.air().add(point, cluster.switch())
}

#[test]
fn the_right_words_connect() {
    let sim = Sim::new(1, 81);
    sim.run(3);
    let status = sim.get(0, "/api/network/status");
    let wifi = &status["wifi"];
    assert_eq!(
        (&wifi["mode"], &wifi["state"], &wifi["ssid"]),
        (&"STA".into(), &"connected".into(), &"spore-lab".into())
    );
    assert_eq!(
        (&wifi["connected"], &wifi["lastError"], &wifi["retryInMs"]),
        (&true.into(), &Value::Null, &Value::Null)
    );
    assert_eq!((&wifi["channel"], &wifi["bssid"]), (&6.into(), &"02:00:00:00:00:01".into()));
    assert!((-56..=-50).contains(&wifi["rssi"].as_i64().unwrap()));
    assert_eq!(status["ip"], sim.ip(0).to_string());
    assert_eq!((&status["gateway"], &status["netmask"]), (&"10.4.0.1".into(), &"255.255.0.0".into()));
    assert_eq!(status["accessPoint"]["active"], false);
}

#[test]
fn a_wrong_pass_phrase_opens_the_own_access_point_until_it_is_right() {
    let sim = Sim::new(2, 82);
    sim.converge();
    sim.order(Command::AccessPoint { on: true, passphrase: Some("another pass phrase".to_owned()) });
    let phone = Phone::join(&sim, 0);
    sim.run(1);
    let status = phone.status(&sim);
    assert_eq!(
        (&status["wifi"]["mode"], &status["wifi"]["lastError"]),
        (&"AP_STA".into(), &"wrong passphrase".into()),
        "{status:#}"
    );
    assert_eq!(
        (&status["accessPoint"]["active"], &status["accessPoint"]["clients"]),
        (&true.into(), &1.into())
    );
    assert_eq!(status["wifi"]["connected"], false);
    let open = embassy_time::Instant::now();
    println!("the access point is open after {} s", open.as_secs());
    sim.order(Command::Heal);
    let seconds = sim.until(90, "all are back", Cluster::converged);
    println!("back {seconds} s after the network was healed");
    sim.run(1);
    let status = sim.get(0, "/api/network/status");
    assert_eq!((&status["wifi"]["mode"], &status["accessPoint"]["active"]), (&"STA".into(), &false.into()));
    assert_eq!((&status["wifi"]["lastError"], &status["wifi"]["attempts"]), (&Value::Null, &0.into()));
    assert_eq!(status["wifi"]["lastDisconnect"], json!({ "reason": "wrong passphrase", "code": 204 }));
    assert_eq!(sim.get(0, "/api/node/status")["boot"], 1, "no restart for want of a network");
    drop(phone);
}

#[test]
fn a_network_that_vanishes_is_waited_for() {
    let sim = Sim::new(3, 83);
    sim.converge();
    sim.order(Command::AccessPoint { on: false, passphrase: None });
    let phone = Phone::join(&sim, 1);
    let status = phone.status(&sim);
    assert_eq!(status["wifi"]["mode"], "AP_STA");
    let error = status["wifi"]["lastError"].as_str().unwrap();
    assert!(error == "not found" || error == "beacon lost", "{error}");
    sim.run(120);
    assert_eq!(phone.status(&sim)["wifi"]["mode"], "AP_STA", "it stays reachable");
    sim.order(Command::AccessPoint { on: true, passphrase: None });
    let seconds = sim.until(90, "all are back", Cluster::converged);
    println!("back {seconds} s after the network came back");
    for node in 0..3 {
        let status = sim.get(node, "/api/network/status");
        assert_eq!(
            (&status["wifi"]["mode"], &status["accessPoint"]["active"]),
            (&"STA".into(), &false.into())
        );
    }
}

#[test]
fn without_credentials_a_node_is_set_up_over_its_own_access_point() {
    let sim = Sim::with(Options { wifi: Some((String::new(), String::new())), ..Options::in_memory(1, 84) });
    another_network(&sim, "home", "correct horse", true);
    let phone = Phone::join(&sim, 0);
    let status = phone.status(&sim);
    assert_eq!(
        (&status["wifi"]["mode"], &status["wifi"]["state"]),
        (&"AP".into(), &"idle".into()),
        "{status:#}"
    );
    assert_eq!(phone.request(&sim, "GET", "/api/node/config", "").unwrap()["wifiPassphraseSet"], false);
    phone.request(&sim, "POST", "/api/network/wifi/scan", "").unwrap();
    sim.run(3);
    let scan = phone.request(&sim, "GET", "/api/network/wifi/scan", "").unwrap();
    assert!(scan["networks"].as_array().unwrap().iter().any(|network| network["ssid"] == "home"), "{scan}");
    let answer =
        phone.request(&sim, "POST", "/api/network/wifi/config", "ssid=home&password=correct+horse").unwrap();
    assert_eq!(answer["message"], "stored; connecting to home");
    sim.run(5);
    let status = sim.get(0, "/api/network/status");
    assert_eq!((&status["wifi"]["mode"], &status["wifi"]["ssid"]), (&"STA".into(), &"home".into()));
}

/// A DNS query for a name's address.
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

#[test]
fn guests_are_led_to_the_choice_of_a_network() {
    let sim = Sim::with(Options { wifi: Some((String::new(), String::new())), ..Options::in_memory(1, 88) });
    another_network(&sim, "home", "correct horse", true);
    let phone = Phone::join(&sim, 0);
    let node = Ipv4Addr::new(192, 168, 4, 1);
    let config = phone.host.stack().config_v4().unwrap();
    assert_eq!(config.address.to_string(), "192.168.4.100/24", "from the node's own DHCP server");
    assert_eq!((config.gateway, config.dns_servers.first()), (Some(node), Some(&node)));

    let names = phone.host.udp(40_000);
    names.send("192.168.4.1:53".parse().unwrap(), &query("connectivitycheck.gstatic.com"));
    let (from, answer) = sim.wait("an answer of the name server", names.receive());
    assert_eq!(from.to_string(), "192.168.4.1:53");
    assert_eq!(
        (&answer[..4], &answer[answer.len() - 4..]),
        (&[0x12, 0x34, 0x85, 0][..], &[192, 168, 4, 1][..])
    );

    let get = |path: &str| sim.wait(path, phone.host.request(node, "GET", path, &[], &[])).unwrap();
    assert_eq!(get("/").status, 200, "the node's own page");
    for probe in ["/generate_204", "/hotspot-detect.html", "/connecttest.txt", "/a/b?c=d"] {
        let response = get(probe);
        assert_eq!(
            (response.status, response.header("location")),
            (302, Some("http://192.168.4.1/wifi")),
            "{probe}"
        );
    }
    let page = get("/wifi");
    assert_eq!((page.status, page.header("content-encoding")), (200, Some("gzip")));
    let known = [("If-None-Match", page.header("etag").unwrap())];
    let again = phone.host.request(node, "GET", "/wifi", &known, &[]);
    assert_eq!(sim.wait("the page again", again).unwrap().status, 304);
    assert_eq!(get("/api/nothing").status, 404, "programs are told that there is nothing");

    phone.request(&sim, "POST", "/api/network/wifi/config", "ssid=home&password=correct+horse").unwrap();
    sim.run(5);
    assert_eq!(sim.request(0, "GET", "/generate_204", &[], &[]).status, 404, "no portal on a network");
}

#[test]
fn an_address_is_announced_and_said_again() {
    let sim = Sim::new(1, 89);
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let notes = heard.clone();
    sim.cluster.borrow().switch().set_tap(Some(Box::new(move |micros, frame: &[u8]| {
        // ARP requests in which the sender asks for itself.
        if frame.get(12..14) == Some(&[8, 6]) && frame.get(28..32) == frame.get(38..42) {
            notes.borrow_mut().push((micros / 1_000_000, frame[..6].to_vec(), frame[28..32].to_vec()));
        }
    })));
    sim.converge();
    sim.run(130);
    let heard = heard.borrow();
    let first = heard[0].0;
    assert_eq!(heard.iter().map(|(second, ..)| second - first).collect::<Vec<_>>(), [0, 2, 62, 122]);
    let address = sim.ip(0).octets();
    assert!(heard.iter().all(|(_, to, whose)| *to == [0xff; 6] && *whose == address));
}

#[test]
fn a_deaf_image_goes_back_even_if_somebody_hears_it_over_its_own_access_point() {
    let sim = Sim::new(2, 86);
    sim.converge();
    let deaf = common::image("6.6.6", spore_image::behaviour::Act::NoNetwork, 9_000);
    assert_eq!(sim.upload(0, &deaf).0, 200);
    sim.run(2);
    let phone = Phone::join(&sim, 0);
    phone.status(&sim);
    sim.run(60);
    drop(phone);
    let status = sim.answering(0);
    assert_eq!(status["version"], "0.1.0", "{status:#}");
    assert_eq!(status["lastUpdate"]["outcome"], "reverted");
}

#[test]
fn without_credentials_an_image_is_confirmed_over_the_own_access_point() {
    let sim = Sim::with(Options { wifi: Some((String::new(), String::new())), ..Options::in_memory(1, 87) });
    let phone = Phone::join(&sim, 0);
    let image = common::image("1.1.0", spore_image::behaviour::Act::Healthy, 9_000);
    let call = phone.host.request(Ipv4Addr::new(192, 168, 4, 1), "POST", "/api/node/update", &[], &image);
    assert_eq!(sim.wait("the answer to the upload", call).unwrap().status, 200);
    drop(phone);
    sim.run(2);
    let phone = Phone::join(&sim, 0);
    phone.status(&sim);
    sim.run(60);
    let status = phone.request(&sim, "GET", "/api/node/status", "").unwrap();
    assert_eq!((&status["version"], &status["image"]["state"]), (&"1.1.0".into(), &"confirmed".into()));
}

#[test]
fn other_credentials_are_taken_kept_and_never_shown() {
    let sim = Sim::new(1, 85);
    sim.run(3);
    let secret = "Tr0ub4dor+3 &=";
    another_network(&sim, "home net", secret, true);
    for (form, status) in [
        ("password=whatever1", 422),
        ("ssid=&password=whatever1", 422),
        ("ssid=home&password=short", 422),
        ("ssid=123456789012345678901234567890123&password=", 422),
    ] {
        assert_eq!(sim.post(0, "/api/network/wifi/config", form).0, status, "{form}");
    }
    let form = "ssid=home+net&password=Tr0ub4dor%2B3+%26%3D";
    let (status, answer) = sim.post(0, "/api/network/wifi/config", form);
    assert_eq!(
        (status, answer),
        (200, json!({ "success": true, "message": "stored; connecting to home net" }))
    );
    sim.run(5);
    let connected = |sim: &Sim| sim.get(0, "/api/network/status")["wifi"]["ssid"].clone();
    assert_eq!(connected(&sim), "home net");
    for command in [
        Command::Restart { node: "1".to_owned() },
        Command::PowerCut { node: "1".to_owned(), at_flash_op: None },
    ] {
        sim.order(command);
        sim.run(5);
        assert_eq!(connected(&sim), "home net", "it outlasts a restart");
    }
    assert_eq!(sim.get(0, "/api/node/config")["wifiPassphraseSet"], true);
    let endpoints = sim.get(0, "/api/node/endpoints");
    for endpoint in endpoints["endpoints"].as_array().unwrap() {
        if endpoint["method"] == "GET" && endpoint["uri"] != "/ws" {
            let uri = endpoint["uri"].as_str().unwrap();
            let text = sim.request(0, "GET", uri, &[], &[]).text();
            assert!(!text.contains("Tr0ub4dor") && !text.contains("passphrase\""), "{uri}");
        }
    }
    assert!(!sim.logs().contains("Tr0ub4dor"));
}

#[test]
fn a_scan_lists_the_networks_strongest_first() {
    let sim = Sim::new(1, 86);
    sim.run(3);
    another_network(&sim, "weak", "", true);
    let mut off = sim.get(0, "/api/network/wifi/scan");
    assert_eq!(off, json!({ "scanning": false, "networks": [] }));
    assert_eq!(sim.post(0, "/api/network/wifi/scan", "").1["message"], "scan started");
    sim.run(0);
    off = sim.get(0, "/api/network/wifi/scan");
    assert_eq!(off["scanning"], true);
    sim.run(3);
    let scan = sim.get(0, "/api/network/wifi/scan");
    assert_eq!(scan["scanning"], false);
    let networks = scan["networks"].as_array().unwrap();
    let names: Vec<_> = networks.iter().map(|network| network["ssid"].as_str().unwrap()).collect();
    assert_eq!(names, ["spore-lab", "weak"]);
    assert_eq!([&networks[0]["secured"], &networks[1]["secured"]], [true, false]);
    assert_eq!(networks[1]["channel"], 11);
}
