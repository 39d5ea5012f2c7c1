//! Whole stacks on one virtual LAN, in virtual time.

use embassy_net::Ipv4Address;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use spore_lan::Mac;
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::faults::{Effect, Fault, Partition, Selector};
use spore_lan::gateway::Gateway;
use spore_lan::host::{Address, Host};
use spore_lan::http::HttpError;
use spore_lan::pcap::PcapWriter;
use spore_lan::switch::{Counters, Switch};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

fn mac(n: u8) -> Mac {
    [2, 0, 0, 0, 1, n]
}

fn hosts(world: &World, switch: &Switch, count: u8) -> Vec<Host> {
    (1..=count)
        .map(|n| Host::new::<6>(&world.spawner(), switch.attach(mac(n)), Address::Dhcp, u64::from(n)))
        .collect()
}

/// Serves one connection after another: reads until an empty line, answers, closes.
async fn serve(host: &Host, answer: &[u8]) {
    let (mut rx, mut tx) = (vec![0; 2_048], vec![0; 2_048]);
    loop {
        let mut socket = TcpSocket::new(host.stack(), &mut rx, &mut tx);
        socket.accept(80).await.unwrap();
        let (mut head, mut buffer) = (Vec::new(), [0; 512]);
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read(&mut buffer).await {
                Ok(n) if n > 0 => head.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
        let mut rest = answer;
        while let Ok(n) = socket.write(rest).await
            && n < rest.len()
        {
            rest = &rest[n..];
        }
        socket.close();
        let _ = socket.flush().await;
    }
}

/// A minute of broadcasts, datagrams and requests under loss; what the switch counted.
fn minute(seed: u64) -> (Counters, u64, Vec<Ipv4Addr>) {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(seed);
    let gateway = Gateway::new(&world.spawner(), &switch, seed);
    switch.faults().add(Fault::loss(0.05));
    switch.faults().add(Fault::delay(Duration::from_millis(1), Duration::from_millis(20)));
    switch.faults().add(Fault::from(Effect::Duplicate { chance: 0.1 }));
    switch.faults().add(Fault::from(Effect::Corrupt { chance: 0.01 }));
    let hosts: Vec<Rc<Host>> = hosts(&world, &switch, 6).into_iter().map(Rc::new).collect();
    let addresses = world.run_until(async {
        let mut addresses = Vec::new();
        for host in &hosts {
            addresses.push(host.up().await);
        }
        addresses
    });
    for host in &hosts {
        let own = host.clone();
        world
            .spawn(async move { serve(&own, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await })
            .detach();
        let peer = host.udp(4210);
        world
            .spawn(async move {
                loop {
                    peer.broadcast(4210, b"CLUSTER_DISCOVERY");
                    Timer::after_secs(1).await;
                    while peer.try_receive().is_some() {}
                }
            })
            .detach();
    }
    world.run_until(async {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            for ip in &addresses {
                let response = gateway.host().request(*ip, "GET", "/", &[], &[]).await;
                assert!(response.is_err() || response.unwrap().text() == "ok");
            }
        }
    });
    (switch.counters(), world.polls(), addresses)
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let first = minute(7);
    assert_eq!(first, minute(7));
    assert!(first.0.lost > 0 && first.0.delivered_frames > 6 * 60 * 5);
    assert_ne!(first.0, minute(8).0);
}

#[test]
fn leases_are_those_reserved_and_survive_a_reboot() {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(1);
    let gateway = Gateway::new(&world.spawner(), &switch, 1);
    let second = gateway.reserve(mac(2)).unwrap();
    assert_eq!(second, Ipv4Addr::new(10, 4, 0, 10));
    let mut all = hosts(&world, &switch, 3);
    let addresses = world.run_until(async {
        let mut addresses = Vec::new();
        for host in &all {
            addresses.push(host.up().await);
        }
        addresses
    });
    assert_eq!(addresses[1], second);
    assert_eq!(gateway.address(mac(1)), Some(addresses[0]));
    let config = all[0].stack().config_v4().unwrap();
    assert_eq!(config.address.prefix_len(), 16);
    assert_eq!(config.gateway, Some(Ipv4Address::new(10, 4, 0, 1)));
    // Renewals, which are unicast, work for hours.
    world.run_for(Duration::from_secs(4 * 3_600));
    assert_eq!(all[0].ip(), Some(addresses[0]));
    all.remove(2);
    let again = Host::new::<6>(&world.spawner(), switch.attach(mac(3)), Address::Dhcp, 99);
    assert_eq!(world.run_until(again.up()), addresses[2]);
}

#[test]
fn broadcasts_reach_everybody_and_islands_their_own() {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(1);
    let _gateway = Gateway::new(&world.spawner(), &switch, 1);
    let hosts = hosts(&world, &switch, 4);
    let peers: Vec<_> = hosts.iter().map(|host| host.udp(4210)).collect();
    world.run_until(async {
        for host in &hosts {
            host.up().await;
        }
    });
    let hearers = || {
        peers[0].broadcast(4210, b"hello");
        world.run_for(Duration::from_millis(100));
        peers.iter().map(|peer| peer.try_receive().is_some()).collect::<Vec<_>>()
    };
    assert_eq!(hearers(), [false, true, true, true]);
    let island = switch.faults().add(Partition::new(&[&[mac(1), mac(2)]]));
    assert_eq!(hearers(), [false, true, false, false]);
    switch.faults().remove(island);
    let deaf = Selector { to: Some(mac(3)), broadcast_only: true, ..Selector::default() };
    let _guard = switch.faults().scoped(Fault::loss(1.0).on(deaf));
    assert_eq!(hearers(), [false, true, false, true]);
}

#[test]
fn a_request_to_the_dead_fails_in_time_and_pcap_holds_it_all() {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(1);
    let capture = Rc::new(RefCell::new(Vec::new()));
    let mut pcap = PcapWriter::new(Vec::new()).unwrap();
    let sink = capture.clone();
    switch.set_tap(Some(Box::new(move |micros, frame| {
        pcap.frame(micros, frame).unwrap();
        sink.borrow_mut().push(frame.len());
    })));
    let gateway = Gateway::new(&world.spawner(), &switch, 1);
    let host = hosts(&world, &switch, 1).remove(0);
    world.run_until(async {
        let ip = host.up().await;
        // Nobody listens: refused at once. Nobody there: a time-out.
        let refused = gateway.host().request(ip, "GET", "/", &[], &[]).await;
        assert_eq!(refused, Err(HttpError::NoConnection));
        assert!(Instant::now() < Instant::from_secs(20));
        let nobody = gateway.host().request(Ipv4Addr::new(10, 4, 9, 9), "GET", "/", &[], &[]).await;
        assert!(nobody.is_err());
    });
    assert_eq!(capture.borrow().len() as u64, switch.counters().sent_frames);
}

#[test]
fn an_unreachable_datagram_holds_up_the_next_but_a_while() {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(1);
    let lonely = |n| {
        let address = Address::Static(Ipv4Addr::new(10, 4, 0, n), 16);
        Host::new::<2>(&world.spawner(), switch.attach(mac(n)), address, 1)
    };
    let (a, b) = (lonely(1), lonely(2));
    let (from, to) = (a.udp(9), b.udp(9));
    from.send(SocketAddrV4::new(Ipv4Addr::new(9, 9, 9, 9), 9), b"no route");
    from.send(SocketAddrV4::new(Ipv4Addr::new(10, 4, 0, 3), 9), b"nobody there");
    from.send(SocketAddrV4::new(Ipv4Addr::new(10, 4, 0, 2), 9), b"routed");
    let heard = world.run_until(with_timeout(Duration::from_secs(10), to.receive())).unwrap();
    assert_eq!(heard, (SocketAddrV4::new(Ipv4Addr::new(10, 4, 0, 1), 9), b"routed".to_vec()));
}
