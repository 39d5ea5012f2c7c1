//! Radios and access points in virtual time.

use embassy_time::{Duration, Instant, with_timeout};
use spore_core::wifi::{LinkError, RadioCommand, RadioEvent};
use spore_lan::air::{AccessPoint, AccessPointId, Air, Device, Radio};
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::gateway::Gateway;
use spore_lan::host::{Address, Host};
use spore_lan::switch::Switch;
use std::net::Ipv4Addr;

const HOME: [u8; 6] = [2, 0, 0, 0, 0, 0xaa];

struct Town {
    world: World,
    switch: Switch,
    _gateway: Gateway,
    air: Air,
    home: AccessPointId,
}

fn town() -> Town {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(1);
    let gateway = Gateway::new(&world.spawner(), &switch, 1);
    let air = Air::new(&world.spawner(), 1);
    let home = AccessPoint {
        ssid: "home".try_into().unwrap(),
        passphrase: "correct horse".try_into().unwrap(),
        channel: 6,
        rssi: -50,
        bssid: HOME,
        on: true,
    };
    let home = air.add(home, &switch);
    Town { world, switch, _gateway: gateway, air, home }
}

impl Town {
    fn node(&self, n: u8) -> (Radio, Device) {
        self.air.radio([0x5c, 0xcf, 0x7f, 0, 0, n])
    }

    fn event(&self, radio: &mut Radio) -> Option<RadioEvent> {
        self.world.run_until(with_timeout(Duration::from_secs(10), radio.event())).ok()
    }
}

fn join(ssid: &str, passphrase: &str) -> RadioCommand {
    RadioCommand::Join { ssid: ssid.try_into().unwrap(), passphrase: passphrase.try_into().unwrap() }
}

fn open(ssid: &str, passphrase: &str) -> RadioCommand {
    RadioCommand::StartAccessPoint {
        ssid: ssid.try_into().unwrap(),
        passphrase: passphrase.try_into().unwrap(),
    }
}

#[test]
fn the_right_words_lead_to_an_address() {
    let town = town();
    let (mut radio, device) = town.node(1);
    let host = Host::new::<4>(&town.world.spawner(), device, Address::Dhcp, 1);
    assert_eq!(radio.signal(), None);
    radio.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Joined));
    assert!((300..=800).contains(&Instant::now().as_millis()));
    assert_eq!(town.world.run_until(host.up()), Ipv4Addr::new(10, 4, 0, 10));
    let signal = radio.signal().unwrap();
    assert_eq!((signal.channel, signal.bssid), (6, HOME));
    assert!((-56..=-50).contains(&signal.rssi));
    assert_eq!(town.air.clients(town.home), 1);
    radio.command(&RadioCommand::Leave);
    town.world.run_for(Duration::from_millis(1));
    assert_eq!((host.ip(), radio.signal()), (None, None));
    drop(radio);
    assert_eq!((town.air.clients(town.home), town.switch.ports()), (0, 1));
}

#[test]
fn wrong_words_and_unknown_names_are_told_apart() {
    let town = town();
    let (mut radio, _device) = town.node(1);
    radio.command(&join("home", "wrong horse"));
    let wrong = RadioEvent::JoinFailed(LinkError::WrongPassphrase);
    assert_eq!(town.event(&mut radio), Some(wrong));
    assert_eq!(Instant::now().as_millis(), 2_000);
    radio.command(&join("away", ""));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::JoinFailed(LinkError::NotFound)));
    assert_eq!(Instant::now().as_millis(), 3_500);
    // A new order replaces the old one, which is not heard of again.
    radio.command(&join("away", ""));
    radio.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Joined));
    assert_eq!(town.event(&mut radio), None);
}

#[test]
fn an_access_point_may_vanish_return_and_change_its_words() {
    let town = town();
    let (mut radio, _device) = town.node(1);
    radio.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Joined));
    let before = Instant::now();
    town.air.set_on(town.home, false);
    assert_eq!(town.switch.ports(), 1, "frames are lost at once");
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Lost(LinkError::BeaconLost)));
    assert_eq!((Instant::now() - before).as_millis(), 2_000);
    radio.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::JoinFailed(LinkError::NotFound)));
    town.air.set_on(town.home, true);
    radio.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Joined));
    town.air.set_passphrase(town.home, "battery staple".try_into().unwrap());
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Lost(LinkError::Refused)));
    radio.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::JoinFailed(LinkError::WrongPassphrase)));
    radio.command(&join("home", "battery staple"));
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Joined));
    town.air.remove(town.home);
    assert_eq!(town.event(&mut radio), Some(RadioEvent::Lost(LinkError::BeaconLost)));
}

#[test]
fn a_nodes_own_access_point_has_guests() {
    let town = town();
    let (mut node, node_device) = town.node(1);
    let (mut phone, phone_device) = town.node(2);
    let address = Address::Static(Ipv4Addr::new(192, 168, 4, 1), 24);
    let node_host = Host::new::<4>(&town.world.spawner(), node_device, address, 1);
    let phone_ip = Ipv4Addr::new(192, 168, 4, 100);
    let phone_host = Host::new::<4>(&town.world.spawner(), phone_device, Address::Static(phone_ip, 24), 2);
    node.command(&open("SPORE-000001", "let me in"));
    assert_eq!(town.event(&mut node), Some(RadioEvent::AccessPointStarted));

    phone.command(&RadioCommand::Scan);
    let mut seen = Vec::new();
    while let Some(RadioEvent::Found(network)) = town.event(&mut phone) {
        assert!(network.secured);
        seen.push(network.ssid.as_str().to_owned());
    }
    assert_eq!(seen, ["home", "SPORE-000001"]);
    node.command(&RadioCommand::Scan);
    assert!(matches!(town.event(&mut node), Some(RadioEvent::Found(network)) if network.ssid == "home"));
    assert_eq!(town.event(&mut node), Some(RadioEvent::ScanDone), "a radio does not see its own");

    assert_eq!(node.access_point_clients(), 0);
    phone.command(&join("SPORE-000001", "let me in"));
    assert_eq!(town.event(&mut phone), Some(RadioEvent::Joined));
    assert_eq!(node.access_point_clients(), 1);
    town.world.run_until(phone_host.up());
    let (at_node, at_phone) = (node_host.udp(53), phone_host.udp(53));
    at_phone.send("192.168.4.1:53".parse().unwrap(), b"who are you?");
    let heard = town.world.run_until(with_timeout(Duration::from_secs(1), at_node.receive()));
    assert_eq!(heard.unwrap().0, std::net::SocketAddrV4::new(phone_ip, 53));

    // The node's device moves to the network it joins and back to its guests.
    node_host.stack().set_config_v4(embassy_net::ConfigV4::Dhcp(Default::default()));
    node.command(&join("home", "correct horse"));
    assert_eq!(town.event(&mut node), Some(RadioEvent::Joined));
    town.world.run_for(Duration::from_secs(5));
    assert_eq!(node_host.ip(), Some(Ipv4Addr::new(10, 4, 0, 10)), "an address from there");
    node.command(&open("SPORE-000001", "let me in"));
    assert_eq!(town.event(&mut node), Some(RadioEvent::AccessPointStarted));
    assert_eq!(node_host.ip(), Some(Ipv4Addr::new(10, 4, 0, 10)), "the station does not feel it");
    assert_eq!(town.event(&mut phone), Some(RadioEvent::Lost(LinkError::BeaconLost)), "the guests do");
    phone.command(&join("SPORE-000001", "let me in"));
    assert_eq!(town.event(&mut phone), Some(RadioEvent::Joined));
    node.command(&RadioCommand::Leave);
    town.world.run_for(Duration::from_secs(5));
    assert_eq!(node_host.ip(), None, "nobody gives it an address there");

    node.command(&RadioCommand::StopAccessPoint);
    assert_eq!(town.event(&mut phone), Some(RadioEvent::Lost(LinkError::BeaconLost)));
    assert_eq!(town.air.access_points().len(), 1);
}
