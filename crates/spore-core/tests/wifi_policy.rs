//! The WiFi policy against the ways a network can fail, and against anything at all.

use proptest::prelude::*;
use spore_core::time::{Duration, Instant};
use spore_core::wifi::{
    ACCESS_POINT_TIMEOUT, Addressing, LOST_PATIENCE, LinkError, Output, Policy, RETRY_MAX, RadioCommand,
    RadioEvent, Settings, State,
};

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn policy(seed: u64) -> Policy {
    Policy::new(Settings::DEFAULT, "spore-3f9ec1".try_into().unwrap(), seed)
}

fn started() -> Policy {
    let mut policy = policy(1);
    policy.start(at(0), true);
    assert_eq!(drain(&mut policy), "join changed");
    policy
}

fn connected() -> Policy {
    let mut policy = started();
    policy.radio(at(100), &RadioEvent::Joined);
    policy.address(at(200), true);
    assert_eq!(drain(&mut policy), "dhcp announce changed");
    assert_eq!((policy.state(), policy.mode(), policy.next_at()), (State::Connected, "STA", Some(at(2200))));
    policy
}

/// What the policy wants, as words.
fn drain(policy: &mut Policy) -> String {
    let mut words = Vec::new();
    while let Some(output) = policy.poll() {
        words.push(match output {
            Output::Join => "join",
            Output::Radio(RadioCommand::Join { .. }) => unreachable!("that is for the radio"),
            Output::Radio(RadioCommand::Leave) => "leave",
            Output::Radio(RadioCommand::StartAccessPoint { .. }) => "open",
            Output::Radio(RadioCommand::StopAccessPoint) => "close",
            Output::Radio(RadioCommand::Scan) => "scan",
            Output::Addressing(Addressing::None) => "none",
            Output::Addressing(Addressing::Dhcp) => "dhcp",
            Output::Addressing(Addressing::AccessPoint) => "ap",
            Output::Announce => "announce",
            Output::Changed => "changed",
        });
    }
    words.join(" ")
}

#[test]
fn the_own_access_point_has_the_nodes_name() {
    let mut policy = policy(1);
    policy.start(at(0), true);
    assert_eq!(policy.poll(), Some(Output::Join));
    policy.radio(at(1), &RadioEvent::JoinFailed(LinkError::NotFound));
    let open = RadioCommand::StartAccessPoint {
        ssid: "spore-3f9ec1".try_into().unwrap(),
        passphrase: Default::default(),
    };
    assert_eq!(policy.poll(), Some(Output::Radio(open)));
}

#[test]
fn without_credentials_there_is_only_the_access_point() {
    let mut policy = policy(1);
    policy.start(at(0), false);
    assert_eq!(drain(&mut policy), "leave open ap changed");
    assert_eq!(policy.mode(), "AP");
    // The radio does not answer: it is told again.
    assert_eq!(policy.next_at(), Some(at(0) + ACCESS_POINT_TIMEOUT));
    policy.tick(at(5000));
    assert_eq!(drain(&mut policy), "open");
    policy.radio(at(5001), &RadioEvent::AccessPointStarted);
    assert_eq!((drain(&mut policy).as_str(), policy.next_at()), ("changed", None));
    // Credentials come over the access point, which stays open until they work.
    policy.start(at(9000), true);
    assert_eq!(drain(&mut policy), "join changed");
    assert_eq!(policy.mode(), "AP_STA");
    policy.radio(at(9100), &RadioEvent::Joined);
    assert_eq!(drain(&mut policy), "dhcp changed");
    policy.address(at(9200), true);
    assert_eq!(drain(&mut policy), "close announce changed");
    assert_eq!(policy.mode(), "STA");
}

#[test]
fn the_address_is_announced_twice_and_then_once_a_minute() {
    let mut policy = connected();
    for expected in [2_200, 62_200, 122_200] {
        assert_eq!(policy.next_at(), Some(at(expected)));
        policy.tick(at(expected - 1));
        assert_eq!(drain(&mut policy), "");
        policy.tick(at(expected));
        assert_eq!(drain(&mut policy), "announce");
    }
    // Not when the link is lost before it could be said.
    policy.tick(at(182_200));
    policy.radio(at(182_200), &RadioEvent::Lost(LinkError::BeaconLost));
    assert_eq!(drain(&mut policy), "none changed");
}

#[test]
fn the_first_attempt_hesitates_the_longer_the_more_crashes_led_here() {
    let waits = |crashes| {
        let each = (0..200).map(|seed| {
            let mut policy = policy(seed);
            policy.begin(at(0), true, crashes);
            assert_eq!((drain(&mut policy).as_str(), policy.state()), ("changed", State::Waiting));
            let next = policy.next_at().unwrap();
            policy.tick(next);
            assert_eq!(drain(&mut policy), "join changed");
            next.as_millis()
        });
        each.collect::<Vec<_>>()
    };
    for (crashes, longest) in [(0, 500), (1, 1_000), (3, 4_000), (6, 32_000), (255, 32_000)] {
        let waits = waits(crashes);
        assert!(waits.iter().all(|wait| *wait <= longest), "{crashes}");
        let (early, late) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*early < longest / 10 && *late > longest * 9 / 10, "spread out: {early} to {late} ms");
    }
    let mut policy = policy(1);
    policy.begin(at(0), false, 3);
    assert_eq!(drain(&mut policy), "leave open ap changed", "the own access point does not wait");
}

#[test]
fn the_last_disconnect_is_remembered_when_all_is_well_again() {
    let mut policy = connected();
    assert_eq!(policy.last_disconnect(), None);
    policy.radio(at(10_000), &RadioEvent::Lost(LinkError::BeaconLost));
    let now = policy.next_at().unwrap();
    policy.tick(now);
    drain(&mut policy);
    policy.radio(now, &RadioEvent::Joined);
    policy.address(now, true);
    assert_eq!((policy.last_error(), policy.last_disconnect()), (None, Some(LinkError::BeaconLost)));
}

#[test]
fn a_wrong_pass_phrase_opens_the_access_point_and_keeps_trying_with_back_off() {
    let mut policy = started();
    policy.radio(at(100), &RadioEvent::JoinFailed(LinkError::WrongPassphrase));
    assert_eq!(drain(&mut policy), "open ap changed");
    policy.radio(at(101), &RadioEvent::AccessPointStarted);
    drain(&mut policy);
    assert_eq!(policy.last_error(), Some(LinkError::WrongPassphrase));
    let mut now = at(100);
    let mut waits = Vec::new();
    for attempt in 1..=12 {
        assert_eq!((policy.state(), policy.attempts()), (State::Waiting, attempt));
        let next = policy.next_at().unwrap();
        assert_eq!(policy.retry_in(now), Some(next.since(now)));
        waits.push(next.since(now).as_millis());
        policy.tick(next);
        assert_eq!(drain(&mut policy), "join changed", "the access point stays as it is");
        policy.radio(next, &RadioEvent::JoinFailed(LinkError::WrongPassphrase));
        drain(&mut policy);
        now = next;
    }
    for (wait, expected) in waits.iter().zip([500u64, 1000, 2000, 4000, 8000, 16_000, 32_000, 48_000, 48_000])
    {
        assert!(wait.abs_diff(expected) <= expected / 4, "{waits:?}");
    }
    assert!(waits.iter().all(|wait| *wait <= RETRY_MAX.as_millis()));
}

#[test]
fn nodes_do_not_retry_in_step() {
    let first_retry = |seed| {
        let mut policy = policy(seed);
        policy.start(at(0), true);
        drain(&mut policy);
        policy.radio(at(0), &RadioEvent::JoinFailed(LinkError::NotFound));
        policy.retry_in(at(0))
    };
    let different: std::collections::BTreeSet<_> = (0..50).map(first_retry).collect();
    assert!(different.len() > 25);
}

#[test]
fn a_router_that_boots_slower_than_the_node_is_found() {
    let mut policy = started();
    let mut now = at(0);
    while now < at(120_000) {
        drain(&mut policy);
        policy.radio(now, &RadioEvent::JoinFailed(LinkError::NotFound));
        now = policy.next_at().unwrap();
        policy.tick(now);
    }
    drain(&mut policy);
    assert!(policy.access_point_wanted());
    while policy.state() != State::Connecting {
        now = policy.next_at().unwrap();
        policy.tick(now);
    }
    drain(&mut policy);
    policy.radio(now, &RadioEvent::Joined);
    policy.address(now, true);
    assert!(drain(&mut policy).contains("close"));
    assert_eq!((policy.mode(), policy.attempts(), policy.last_error()), ("STA", 0, None));
}

#[test]
fn silence_of_radio_and_of_dhcp_time_out() {
    let mut policy = started();
    assert_eq!(policy.next_at(), Some(at(15_000)));
    policy.tick(at(14_999));
    assert_eq!(drain(&mut policy), "");
    policy.tick(at(15_000));
    assert_eq!(drain(&mut policy), "leave open ap changed");
    assert_eq!(policy.last_error(), Some(LinkError::TimedOut));

    let mut policy = started();
    policy.radio(at(1000), &RadioEvent::Joined);
    assert_eq!((drain(&mut policy).as_str(), policy.next_at()), ("dhcp changed", Some(at(16_000))));
    policy.tick(at(16_000));
    assert_eq!(drain(&mut policy), "leave open ap changed");
    assert_eq!(policy.last_error(), Some(LinkError::NoAddress));
    // A late address is no address.
    policy.address(at(16_001), true);
    assert_eq!(policy.state(), State::Waiting);
}

#[test]
fn a_vanished_network_opens_the_access_point_at_the_third_failure() {
    let mut policy = connected();
    policy.radio(at(10_000), &RadioEvent::Lost(LinkError::BeaconLost));
    assert_eq!(drain(&mut policy), "none changed");
    for failure in 1..=3 {
        let now = policy.next_at().unwrap();
        policy.tick(now);
        assert_eq!(drain(&mut policy), "join changed");
        policy.radio(now, &RadioEvent::JoinFailed(LinkError::NotFound));
        assert_eq!(drain(&mut policy), if failure < 3 { "changed" } else { "open ap changed" });
    }
}

#[test]
fn a_vanished_network_opens_the_access_point_after_half_a_minute() {
    let mut policy = connected();
    policy.radio(at(10_000), &RadioEvent::Lost(LinkError::BeaconLost));
    while !policy.access_point_wanted() {
        let now = policy.next_at().unwrap();
        policy.tick(now);
        assert!(policy.access_point_wanted() == (now == at(10_000) + LOST_PATIENCE));
    }
    assert!(policy.attempts() < 3, "attempts that time out take longer");
}

#[test]
fn a_lost_lease_gets_its_time_before_the_link_is_given_up() {
    let mut policy = connected();
    policy.address(at(50_000), false);
    assert_eq!((drain(&mut policy).as_str(), policy.state()), ("changed", State::Addressing));
    policy.address(at(51_000), true);
    assert_eq!(policy.state(), State::Connected);
    policy.address(at(60_000), false);
    policy.tick(at(75_000));
    assert_eq!(drain(&mut policy), "leave none changed");
    assert_eq!((policy.state(), policy.last_error()), (State::Waiting, Some(LinkError::NoAddress)));
}

#[test]
fn an_attempt_given_up_that_comes_through_is_left() {
    let mut policy = started();
    policy.tick(at(15_000));
    drain(&mut policy);
    policy.radio(at(15_001), &RadioEvent::Joined);
    assert_eq!(drain(&mut policy), "leave");
}

#[derive(Debug, Clone)]
enum Step {
    Radio(RadioEvent),
    Address(bool),
    Start(bool),
    Wait(u64),
    NextTick,
}

fn step() -> impl Strategy<Value = Step> {
    let error = prop_oneof![
        Just(LinkError::NotFound),
        Just(LinkError::WrongPassphrase),
        Just(LinkError::Refused),
        Just(LinkError::BeaconLost),
    ];
    prop_oneof![
        3 => Just(Step::Radio(RadioEvent::Joined)),
        2 => error.clone().prop_map(|e| Step::Radio(RadioEvent::JoinFailed(e))),
        2 => error.prop_map(|e| Step::Radio(RadioEvent::Lost(e))),
        1 => Just(Step::Radio(RadioEvent::AccessPointStarted)),
        1 => Just(Step::Radio(RadioEvent::ScanDone)),
        3 => any::<bool>().prop_map(Step::Address),
        1 => any::<bool>().prop_map(Step::Start),
        2 => (0u64..40_000).prop_map(Step::Wait),
        5 => Just(Step::NextTick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_node_is_always_reachable_or_trying(seed: u64, steps in prop::collection::vec(step(), 1..120)) {
        let mut policy = policy(seed);
        let mut now = at(0);
        policy.start(now, true);
        // What the radio and the stack were last told.
        let mut open = false;
        let mut addressing = Addressing::None;
        let longest = [Settings::DEFAULT.connect_timeout, RETRY_MAX].into_iter().max().unwrap();
        for step in steps {
            match step {
                Step::Radio(event) => policy.radio(now, &event),
                Step::Address(present) => policy.address(now, present),
                Step::Start(with) => policy.start(now, with),
                Step::Wait(ms) => { now = now + Duration::from_millis(ms); policy.tick(now); }
                Step::NextTick => {
                    if let Some(next) = policy.next_at() { now = now.max(next); }
                    policy.tick(now);
                }
            }
            let mut outputs = 0;
            while let Some(output) = policy.poll() {
                outputs += 1;
                prop_assert!(outputs <= 5, "draining ends");
                match output {
                    Output::Radio(RadioCommand::StartAccessPoint { .. }) => open = true,
                    Output::Radio(RadioCommand::StopAccessPoint) => open = false,
                    Output::Join => prop_assert_eq!(policy.state(), State::Connecting),
                    Output::Addressing(wanted) => addressing = wanted,
                    _ => {}
                }
            }
            let next = policy.next_at();
            if let Some(next) = next {
                prop_assert!(next.since(now) <= longest, "timers are bounded");
            }
            match policy.state() {
                State::Connected => prop_assert!(next.is_some() && !open && addressing == Addressing::Dhcp),
                State::Addressing => prop_assert!(next.is_some() && addressing == Addressing::Dhcp),
                State::Connecting | State::Waiting => prop_assert!(next.is_some()),
                State::Idle => prop_assert!(open),
            }
            prop_assert_eq!(open, policy.access_point_wanted());
            if open && !matches!(policy.state(), State::Addressing | State::Connected) {
                prop_assert_eq!(addressing, Addressing::AccessPoint);
            }
        }
    }
}
