//! Frames on a switch.

use embassy_time::{Duration, Instant};
use spore_lan::Mac;
use spore_lan::clock::Mode;
use spore_lan::executor::World;
use spore_lan::faults::{Effect, Fault};
use spore_lan::switch::{MAX_FRAME, PortOptions, Switch};
use std::cell::RefCell;
use std::rc::Rc;

fn mac(n: u8) -> Mac {
    [2, 0, 0, 0, 0, n]
}

fn frame(to: Mac, from: Mac, body: &[u8]) -> Vec<u8> {
    [&to[..], &from, &[0x88, 0xb5], body].concat()
}

const ALL: Mac = [0xff; 6];

#[test]
fn it_floods_learns_and_forgets() {
    let switch = Switch::new(1);
    let [a, b, c] = [1, 2, 3].map(|n| switch.attach(mac(n)));
    // Unknown: flooded, but not back.
    a.send(&frame(mac(2), mac(1), b"x"));
    assert!(a.try_receive().is_none() && b.try_receive().is_some() && c.try_receive().is_some());
    // The answer goes to where the question came from.
    b.send(&frame(mac(1), mac(2), b"y"));
    assert!(a.try_receive().is_some() && c.try_receive().is_none());
    a.send(&frame(mac(2), mac(1), b"z"));
    assert!(b.try_receive().is_some() && c.try_receive().is_none());
    // An address that moves is learned anew.
    c.send(&frame(ALL, mac(2), b"moved"));
    assert!(a.try_receive().is_some() && b.try_receive().is_some());
    a.send(&frame(mac(2), mac(1), b"w"));
    assert!(b.try_receive().is_none() && c.try_receive().is_some());
    drop(c);
    assert_eq!(switch.ports(), 2);
    a.send(&frame(mac(2), mac(1), b"v"));
    assert!(b.try_receive().is_some(), "flooded again");
}

#[test]
fn a_broadcast_is_shared_not_copied() {
    let switch = Switch::new(1);
    let [a, b, c] = [1, 2, 3].map(|n| switch.attach(mac(n)));
    a.send(&frame(ALL, mac(1), b"all"));
    let (first, second) = (b.try_receive().unwrap(), c.try_receive().unwrap());
    assert!(Rc::ptr_eq(&first, &second));
    let total = switch.counters();
    assert_eq!((total.sent_frames, total.sent_bytes), (1, 17));
    assert_eq!((total.delivered_frames, total.delivered_bytes), (2, 34));
    assert_eq!(a.counters().sent_frames, 1);
    assert_eq!(b.counters().delivered_frames, 1);
}

#[test]
fn full_queues_and_bad_frames_are_counted() {
    let switch = Switch::new(1);
    let a = switch.attach(mac(1));
    let b = switch.attach_with(PortOptions { queue: 2, ..PortOptions::new(mac(2)) });
    for _ in 0..5 {
        a.send(&frame(mac(2), mac(1), b""));
    }
    assert_eq!((b.counters().delivered_frames, b.counters().overrun), (2, 3));
    a.send(&[0; MAX_FRAME + 1]);
    a.send(&[0; 13]);
    a.control().set_link(false);
    a.send(&frame(mac(2), mac(1), b""));
    assert_eq!(a.counters().refused, 3);
}

#[test]
fn a_port_without_link_hears_nothing() {
    let switch = Switch::new(1);
    let [a, b] = [1, 2].map(|n| switch.attach(mac(n)));
    let control = b.control();
    a.send(&frame(ALL, mac(1), b"waiting"));
    control.set_link(false);
    assert!(!control.is_up() && !b.is_up());
    a.send(&frame(ALL, mac(1), b"unheard"));
    control.set_link(true);
    assert!(b.try_receive().is_none());
    a.send(&frame(ALL, mac(1), b"heard"));
    assert!(b.try_receive().is_some());
    drop(b);
    control.set_link(true);
    assert!(!control.is_up());
}

#[test]
fn delayed_frames_come_in_time_and_in_their_order() {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(7);
    let [a, b] = [1, 2].map(|n| switch.attach(mac(n)));
    let (base, jitter) = (Duration::from_millis(10), Duration::from_millis(50));
    let guard = switch.faults().scoped(Fault::delay(base, jitter));
    for n in 0..20 {
        a.send(&frame(ALL, mac(1), &[n]));
    }
    drop(guard);
    a.send(&frame(ALL, mac(1), &[99]));
    let mut heard = Vec::new();
    world.run_until(async {
        for _ in 0..21 {
            heard.push((Instant::now().as_millis(), b.receive().await[14]));
        }
    });
    assert_eq!(heard[0], (0, 99), "the undelayed one overtakes all");
    let order: Vec<_> = heard[1..].iter().map(|(_, n)| *n).collect();
    assert!(!order.is_sorted(), "jitter reorders");
    assert!((10..=60).contains(&Instant::now().as_millis()));
}

#[test]
fn duplicates_and_flipped_bits_arrive() {
    let world = World::new(Mode::Virtual);
    let switch = Switch::new(7);
    let [a, b] = [1, 2].map(|n| switch.attach(mac(n)));
    switch.faults().add(Fault::from(Effect::Duplicate { chance: 1.0 }));
    switch.faults().add(Fault::from(Effect::Corrupt { chance: 1.0 }));
    let sent = frame(ALL, mac(1), b"body");
    a.send(&sent);
    let first = b.try_receive().unwrap();
    let flipped: u32 = first.iter().zip(&sent).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(flipped, 1);
    assert!(b.try_receive().is_none());
    let second = world.run_until(b.receive());
    assert_eq!(first, second);
}

#[test]
fn a_tap_sees_each_frame_once() {
    let switch = Switch::new(1);
    let [a, _b, _c] = [1, 2, 3].map(|n| switch.attach(mac(n)));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    switch.set_tap(Some(Box::new(move |_, frame| sink.borrow_mut().push(frame.to_vec()))));
    switch.faults().add(Fault::loss(1.0));
    a.send(&frame(ALL, mac(1), b"lost"));
    assert_eq!(*seen.borrow(), [frame(ALL, mac(1), b"lost")]);
    switch.set_tap(None);
    a.send(&frame(ALL, mac(1), b"more"));
    assert_eq!(seen.borrow().len(), 1);
    assert_eq!(switch.counters().lost, 4);
}
