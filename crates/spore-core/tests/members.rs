//! The membership table against examples and against a naive model.

use proptest::prelude::*;
use spore_core::limits;
use spore_core::members::{Admission, Change, Evidence, Kind, Members, Status, Thresholds};
use spore_core::time::{Duration, Instant};
use spore_wire::{Details, Labels};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

fn ip(low: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 4, 0, low)
}

fn named(hostname: &str) -> Evidence<'_> {
    Evidence { hostname: Some(hostname), ..Evidence::default() }
}

fn changes<const N: usize>(members: &mut Members<N>, now: u64) -> Vec<String> {
    let mut all = Vec::new();
    let mut report = |change: Change<'_>| {
        all.push(match change {
            Change::Status { node, from } => {
                format!("{} {}>{}", node.hostname, from.as_str(), node.status.as_str())
            }
            Change::Left(node) => format!("{} left", node.hostname),
        });
    };
    while members.tick(at(now), 2, &mut report) {}
    all
}

#[test]
fn a_full_table_fits_in_16_kib() {
    let size = size_of::<Members<{ limits::MEMBERS }>>();
    println!("Members<254>: {size} bytes");
    assert!(size <= 16 * 1024, "{size}");
}

#[test]
fn status_follows_the_age_in_the_seeds_words() {
    let mut members = Members::<4>::new(Thresholds::DEFAULT);
    assert_eq!(members.heard(at(0), ip(1), named("a")).admission, Admission::New);
    assert_eq!(changes(&mut members, 9_999), [""; 0]);
    assert_eq!(changes(&mut members, 10_000), ["a ACTIVE>INACTIVE"]);
    assert_eq!(changes(&mut members, 59_999), [""; 0]);
    assert_eq!(changes(&mut members, 60_000), ["a INACTIVE>DEAD"]);
    let heard = members.heard(at(70_000), ip(1), named("a"));
    assert_eq!((heard.admission, heard.revived), (Admission::Known, Some(Status::Dead)));
    assert_eq!(members.get(ip(1)).unwrap().status(), Status::Active);
    assert_eq!(changes(&mut members, 3_669_999), ["a ACTIVE>DEAD"]);
    assert_eq!(changes(&mut members, 3_670_000), ["a left"]);
    assert!(members.is_empty());
}

#[test]
fn tools_that_only_ask_are_no_members() {
    let mut members = Members::<4>::new(Thresholds::DEFAULT);
    let asks = Evidence { discovers: true, ..Evidence::default() };
    assert_eq!(members.heard(at(0), ip(1), asks).admission, Admission::Stranger);
    assert_eq!(members.heard(at(0), Ipv4Addr::BROADCAST, named("x")).admission, Admission::Stranger);
    assert!(members.is_empty());
    members.heard(at(0), ip(1), named(""));
    members.heard(at(1), ip(1), asks);
    let member = members.get(ip(1)).unwrap();
    assert!(member.discovers());
    assert_eq!(member.hostname(), "");
    assert_eq!(members.heard(at(2), ip(1), named("late")).admission, Admission::Renamed);
    assert!(members.get(ip(1)).unwrap().discovers(), "what it speaks does not change with its name");
}

#[test]
fn a_silent_name_moves_and_two_living_ones_are_flagged() {
    let mut members = Members::<4>::new(Thresholds::DEFAULT);
    members.heard(at(0), ip(9), named("twin"));
    let heard = members.heard(at(5_000), ip(2), named("twin"));
    assert_eq!((heard.admission, heard.left), (Admission::New, None));
    assert!(members.iter().all(|member| member.in_conflict()));
    // One falls silent: the name is the other's.
    members.heard(at(12_000), ip(2), named("twin"));
    assert_eq!(changes(&mut members, 12_000), ["twin ACTIVE>INACTIVE"], "one conflict is settled per tick");
    assert_eq!(changes(&mut members, 12_001), ["twin left"]);
    assert_eq!(changes(&mut members, 12_002), [""; 0]);
    assert_eq!(members.iter().map(|m| (m.ip(), m.in_conflict())).collect::<Vec<_>>(), [(ip(2), false)]);
    // A silent one moves at once.
    let heard = members.heard(at(40_000), ip(3), named("twin"));
    assert_eq!(heard.left.unwrap().ip, ip(2));
    assert!(!members.get(ip(3)).unwrap().in_conflict());
    assert_eq!(members.len(), 1);
}

#[test]
fn a_full_table_lets_the_longest_silent_go_but_no_active_one() {
    let mut members = Members::<2>::new(Thresholds::DEFAULT);
    members.heard(at(0), ip(1), named("a"));
    members.heard(at(1), ip(2), named("b"));
    assert_eq!(members.heard(at(5_000), ip(3), named("c")).admission, Admission::Full);
    assert_eq!((members.len(), members.refused()), (2, 1));
    let heard = members.heard(at(10_000), ip(3), named("c"));
    assert_eq!((heard.admission, heard.left.unwrap().ip), (Admission::New, ip(1)));
    assert_eq!(members.iter().map(|m| m.ip()).collect::<Vec<_>>(), [ip(2), ip(3)]);
}

fn details() -> Details {
    let mut labels = Labels::new();
    labels.set("role", "relay").unwrap();
    labels.set("app", "spore").unwrap();
    Details {
        free_heap: Some(41_000),
        chip_id: Some(0x003f_9ec1),
        sdk_version: Some("2.2.2".try_into().unwrap()),
        cpu_mhz: Some(80),
        flash_bytes: Some(1 << 20),
        labels: Some(labels),
        version: Some("1.2.0".try_into().unwrap()),
        board: Some("virtual".try_into().unwrap()),
        catalogue: Some(0xdead_beef),
        boot: Some(7),
        spore: Some(1),
        ..Details::default()
    }
}

#[test]
fn details_are_kept_and_changes_told() {
    let mut members = Members::<4>::new(Thresholds::DEFAULT);
    assert!(!members.details(ip(1), &details()), "a stranger's details are not kept");
    members.heard(at(0), ip(1), named("a"));
    assert!(members.details(ip(1), &details()));
    assert!(!members.details(ip(1), &Details { free_heap: Some(1), ..details() }));
    assert!(!members.details(ip(1), &Details::default()));
    members.latency(ip(1), Duration::from_millis(12));
    let member = members.get(ip(1)).unwrap();
    assert_eq!((member.free_heap(), member.chip_id(), member.cpu_mhz()), (1, 0x003f_9ec1, 80));
    assert_eq!((member.sdk(), member.version(), member.board()), ("2.2.2", "1.2.0", "virtual"));
    assert_eq!(member.labels().collect::<Vec<_>>(), [("app", "spore"), ("role", "relay")]);
    assert_eq!((member.label("role"), member.label("x")), (Some("relay"), None));
    assert_eq!((member.catalogue(), member.boot()), (Some(0xdead_beef), 7));
    assert_eq!((member.kind(), member.latency()), (Kind::Rust, Some(12)));
    assert_eq!(members.catalogue_hashes().collect::<Vec<_>>(), [0xdead_beef]);
    assert!(members.details(ip(1), &Details { boot: Some(8), ..Details::default() }));
    members.forget(ip(1)).unwrap();
    assert_eq!(members.catalogue_hashes().count(), 0);
}

#[test]
fn too_many_different_texts_read_as_unknown() {
    let mut members = Members::<64>::new(Thresholds::DEFAULT);
    let count = u8::try_from(limits::VERSIONS).unwrap() + 1;
    for low in 1..=count {
        members.heard(at(0), ip(low), named(&format!("n{low}")));
        let version = Some(format!("1.{low}").as_str().try_into().unwrap());
        members.details(ip(low), &Details { version, ..Details::default() });
    }
    assert_eq!(members.get(ip(count)).unwrap().version(), "");
    assert_eq!(members.unknown(), 1);
    members.forget(ip(1)).unwrap();
    let version = Some("1.9".try_into().unwrap());
    assert!(members.details(ip(count), &Details { version, ..Details::default() }));
    assert_eq!(members.get(ip(count)).unwrap().version(), "1.9");
}

#[test]
fn long_names_share_their_room() {
    // Eight names of ten bytes, or three of twenty-four.
    let mut members = Members::<8, 11>::with_room(Thresholds::DEFAULT);
    let long = |low: u8| format!("kitchen-relay-left-no-{low:02}");
    for low in 1..=3 {
        assert_eq!(members.heard(at(0), ip(low), named(&long(low))).admission, Admission::New);
    }
    assert_eq!(members.heard(at(0), ip(4), named(&long(4))).admission, Admission::Full);
    assert_eq!(members.heard(at(0), ip(4), named("esp_000004")).admission, Admission::New);
    let heard = members.heard(at(0), ip(4), named(&long(4)));
    assert_eq!((heard.admission, members.get(ip(4)).unwrap().hostname()), (Admission::Known, "esp_000004"));
    assert_eq!((members.refused(), members.unknown()), (1, 1));
    // A silent member with a name long enough goes, not the longest silent one if that does not help.
    for low in [1, 3] {
        members.heard(at(9_000), ip(low), named(&long(low)));
    }
    assert_eq!(members.heard(at(11_000), ip(5), named(&long(5))).left.unwrap().ip, ip(2));
    assert_eq!(members.get(ip(5)).unwrap().hostname(), long(5));
    assert_eq!(members.get(ip(4)).unwrap().hostname(), "esp_000004");
    for round in 0..100u32 {
        let name = format!("renamed-{}", "x".repeat(round as usize % 7));
        members.heard(at(11_000), ip(5), named(&name));
        assert_eq!(members.get(ip(5)).unwrap().hostname(), name);
        assert_eq!(members.get(ip(3)).unwrap().hostname(), long(3));
    }
}

#[test]
fn details_of_text_members_are_fetched_in_turn() {
    let mut members = Members::<8>::new(Thresholds::DEFAULT);
    let interval = Duration::from_secs(10);
    for low in 1..=3 {
        members.heard(at(0), ip(low), named(&format!("n{low}")));
    }
    members.details(ip(2), &details());
    assert_eq!(members.next_details_wanted(at(0), interval), None, "a Rust node would tell by itself");
    for tick in 1..=3 {
        changes(&mut members, tick * 1000);
    }
    let mut next = |now| members.next_details_wanted(at(now), interval);
    assert_eq!([next(3000), next(3000)], [Some(ip(1)), Some(ip(3))], "newcomers first");
    assert_eq!([next(3000), next(3000), next(3000)], [Some(ip(1)), Some(ip(3)), None]);
    assert_eq!(next(12_999), None);
    assert_eq!([next(13_000), next(13_100), next(13_200)], [Some(ip(1)), Some(ip(3)), None]);
    changes(&mut members, 60_000);
    assert_eq!(members.next_details_wanted(at(60_000), interval), None, "the dead are not asked");
}

/// What may happen to a table.
#[derive(Debug, Clone)]
enum Step {
    Heard(u8, u8),
    Details(u8, u8),
    Wait(u64),
    Forget(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u8..12, 0u8..5).prop_map(|(ip, name)| Step::Heard(ip, name)),
        2 => (1u8..12, 0u8..12).prop_map(|(ip, text)| Step::Details(ip, text)),
        2 => prop_oneof![0u64..4000, 0u64..80_000].prop_map(Step::Wait),
        1 => (1u8..12).prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn agrees_with_a_map(steps in prop::collection::vec(step(), 1..80)) {
        const ROOM: usize = 6;
        let mut members = Members::<ROOM>::new(Thresholds {
            forget_after: Duration::from_secs(100), ..Thresholds::DEFAULT
        });
        // Address to hostname and last evidence; who leaves is taken from the reports and checked below.
        let mut model: BTreeMap<Ipv4Addr, (String, u64, String)> = BTreeMap::new();
        let mut now = 0u64;
        for step in steps {
            match step {
                Step::Heard(low, name) => {
                    let hostname = format!("n{name}");
                    let was_known = model.contains_key(&ip(low));
                    let heard = members.heard(at(now), ip(low), named(&hostname));
                    if let Some(left) = &heard.left {
                        let (name, seen, _) = model.remove(&left.ip).expect("only members leave");
                        prop_assert!(now - seen >= 10_000, "no living member makes room");
                        prop_assert!(name == hostname || model.len() == ROOM - 1);
                    }
                    match heard.admission {
                        Admission::New => {
                            prop_assert!(!was_known);
                            model.insert(ip(low), (hostname, now, String::new()));
                        }
                        Admission::Known => {
                            let entry = model.get_mut(&ip(low)).unwrap();
                            prop_assert_eq!(&entry.0, &hostname);
                            entry.1 = now;
                        }
                        Admission::Renamed => {
                            let entry = model.get_mut(&ip(low)).unwrap();
                            prop_assert_ne!(&entry.0, &hostname);
                            *entry = (hostname, now, String::new());
                        }
                        Admission::Full => {
                            prop_assert!(model.len() == ROOM && !was_known);
                            prop_assert!(model.values().all(|(_, seen, _)| now - seen < 10_000));
                        }
                        Admission::Stranger => prop_assert!(false),
                    }
                }
                Step::Details(low, text) => {
                    let version = format!("1.{text}");
                    let told = Some(version.as_str().try_into().unwrap());
                    let changed = members.details(ip(low), &Details { version: told, ..Details::default() });
                    if let Some(entry) = model.get_mut(&ip(low)) {
                        prop_assert_eq!(changed, entry.2 != version);
                        entry.2 = version;
                    } else {
                        prop_assert!(!changed);
                    }
                }
                Step::Wait(ms) => {
                    now += ms;
                    let mut left = Vec::new();
                    while members.tick(at(now), 2, |change| {
                        if let Change::Left(node) = change { left.push(node.ip); }
                    }) {}
                    for ip in left {
                        let (name, seen, _) = model.remove(&ip).unwrap();
                        let rival = model.values().any(|(n, s, _)| *n == name && now - s < 10_000);
                        prop_assert!(now - seen >= 100_000 || (rival && now - seen >= 10_000));
                    }
                    for member in members.iter() {
                        let age = member.age(at(now)).as_millis();
                        let expected = match age {
                            0..10_000 => Status::Active,
                            10_000..60_000 => Status::Inactive,
                            _ => Status::Dead,
                        };
                        prop_assert_eq!(member.status(), expected);
                        prop_assert!(age < 100_000);
                    }
                }
                Step::Forget(low) => {
                    prop_assert_eq!(members.forget(ip(low)).is_some(), model.remove(&ip(low)).is_some());
                }
            }
            let got: Vec<_> = members
                .iter()
                .map(|m| (m.ip(), (m.hostname().to_owned(), m.seen().as_millis(), m.version().to_owned())))
                .collect();
            prop_assert_eq!(got, model.clone().into_iter().collect::<Vec<_>>());
            let counts = members.counts();
            prop_assert_eq!(usize::from(counts.active + counts.inactive + counts.dead), model.len());
        }
    }
}
