//! Which image runs after which cause of a start, and what is told about it.

mod common;

use common::{BOARD, image, install, map, node};
use spore_boot::testkit::{Cut, StrictFlash};
use spore_boot::{
    Boot, MAX_CRASHES, MAX_STARTS, Outcome, Reason, ResetCause, RevertError, SlotFault, SlotState, confirm,
    record, revert, select, status,
};
use spore_image::{ImageError, Slot};

fn start(flash: &mut StrictFlash, cause: ResetCause) -> Boot {
    select(flash, &map(), BOARD, cause).unwrap()
}

/// A node that runs 1.0.0 from slot A and has 2.0.0 waiting in slot B.
fn updated() -> StrictFlash {
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    install(&mut flash, Slot::A, &image("2.0.0", 900), 512);
    flash
}

/// Outcome, reason and version of the last update.
fn told(boot: &Boot) -> (Outcome, String, String) {
    let last = boot.last_update.clone().unwrap();
    (
        last.outcome,
        last.reason.to_string(),
        last.version.map(|version| version.to_string()).unwrap_or_default(),
    )
}

fn reverted(reason: &str) -> (Outcome, String, String) {
    (Outcome::Reverted, reason.to_owned(), "2.0.0".to_owned())
}

#[test]
fn a_new_chip_runs_the_image_it_was_flashed_with() {
    let map = map();
    let mut flash = StrictFlash::new(&map);
    let error = select(&mut flash, &map, BOARD, ResetCause::PowerOn).unwrap_err();
    assert_eq!(error.a, SlotFault::Image(ImageError::WrongMagic));
    assert_eq!(flash.operations(), 0, "nothing to start is nothing to count");
    flash.flash_serially(map.slot(Slot::B).offset, &image("1.0.0", 900));
    let boot = start(&mut flash, ResetCause::PowerOn);
    assert_eq!((boot.slot, boot.trial, boot.boot_count, boot.last_update), (Slot::B, false, 1, None));
    assert_eq!(boot.header.version.as_str(), "1.0.0");
    assert_eq!(start(&mut flash, ResetCause::Watchdog).boot_count, 2);
}

#[test]
fn an_image_for_another_board_is_not_started() {
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    let error = select(&mut flash, &map(), "esp8266", ResetCause::PowerOn).unwrap_err();
    assert!(matches!(error.a, SlotFault::Image(ImageError::ForeignBoard { .. })));
}

#[test]
fn confirmed_stays() {
    let mut flash = updated();
    let boot = start(&mut flash, ResetCause::Restart);
    assert_eq!((boot.slot, boot.trial), (Slot::B, true));
    assert_eq!(told(&boot), (Outcome::Pending, String::new(), "2.0.0".into()));
    assert_eq!(confirm(&mut flash, &map()), Ok(true));
    let operations = flash.operations();
    assert_eq!(confirm(&mut flash, &map()), Ok(false));
    assert_eq!(flash.operations(), operations, "the second time writes nothing");
    for cause in [ResetCause::Exception, ResetCause::Watchdog, ResetCause::TrialFailed].repeat(5) {
        let boot = start(&mut flash, cause);
        assert_eq!((boot.slot, boot.trial), (Slot::B, false));
        assert_eq!(told(&boot), (Outcome::Confirmed, String::new(), "2.0.0".into()));
    }
}

#[test]
fn three_crashes_end_a_trial() {
    for cause in [ResetCause::Watchdog, ResetCause::Exception] {
        let mut flash = updated();
        for _ in 0..MAX_CRASHES {
            let boot = start(&mut flash, cause);
            assert_eq!(
                (boot.slot, boot.trial),
                (Slot::B, true),
                "the cause of the first start is not its doing"
            );
        }
        let boot = start(&mut flash, cause);
        assert_eq!((boot.slot, boot.trial, boot.boot_count), (Slot::A, false, 5));
        assert_eq!(told(&boot), reverted("crashed or hung 3 times"));
    }
}

#[test]
fn power_cuts_do_not_end_a_trial_soon_but_do_end_it() {
    for cause in [ResetCause::PowerOn, ResetCause::Restart] {
        let mut flash = updated();
        for _ in 0..MAX_STARTS {
            assert!(start(&mut flash, cause).trial);
        }
        let boot = start(&mut flash, cause);
        assert_eq!(boot.slot, Slot::A);
        assert_eq!(told(&boot), reverted("started 10 times without being confirmed"));
    }
}

#[test]
fn a_passed_deadline_ends_a_trial_at_once() {
    let mut flash = updated();
    assert!(start(&mut flash, ResetCause::TrialFailed).trial, "cannot be about an image that never ran");
    let boot = start(&mut flash, ResetCause::TrialFailed);
    assert_eq!(boot.slot, Slot::A);
    assert_eq!(told(&boot), reverted("trial deadline passed"));
}

#[test]
fn a_damaged_image_is_left() {
    for confirmed in [false, true] {
        let mut flash = updated();
        start(&mut flash, ResetCause::Restart);
        if confirmed {
            confirm(&mut flash, &map()).unwrap();
        }
        flash.corrupt(map().slot(Slot::B).offset + 700, 1);
        let boot = start(&mut flash, ResetCause::Restart);
        assert_eq!((boot.slot, boot.trial), (Slot::A, false));
        assert_eq!(told(&boot), reverted("image damaged"), "the version is in the header still");
        assert_eq!(start(&mut flash, ResetCause::PowerOn).slot, Slot::A);
    }
}

#[test]
fn with_nothing_to_go_back_to_a_failed_image_stays() {
    let mut flash = updated();
    start(&mut flash, ResetCause::Restart);
    flash.corrupt(map().slot(Slot::A).offset + 700, 1);
    let boot = start(&mut flash, ResetCause::TrialFailed);
    assert_eq!((boot.slot, boot.trial), (Slot::B, false));
    assert_eq!(told(&boot).1, Reason::NothingToRevertTo.to_string());
    install(&mut flash, Slot::B, &image("3.0.0", 900), 512);
    assert_eq!(start(&mut flash, ResetCause::Restart).header.version.as_str(), "3.0.0");
}

#[test]
fn two_damaged_images_are_told_apart() {
    let mut flash = updated();
    flash.corrupt(map().slot(Slot::A).offset + 700, 1);
    flash.corrupt(map().slot(Slot::B).offset, 1);
    let error = select(&mut flash, &map(), BOARD, ResetCause::PowerOn).unwrap_err();
    assert_eq!(error.a, SlotFault::Image(ImageError::WrongChecksum));
    assert_eq!(error.b, SlotFault::Image(ImageError::WrongMagic));
}

#[test]
fn a_lost_record_starts_what_is_whole() {
    let mut flash = updated();
    let record = map().record();
    flash.flash_serially(record.offset, &vec![0; record.length as usize]);
    assert_eq!(record::read(&mut flash, &map()), Ok(None));
    let boot = start(&mut flash, ResetCause::PowerOn);
    assert_eq!((boot.slot, boot.trial, boot.boot_count), (Slot::A, false, 1));
}

#[test]
fn a_trial_that_cannot_be_counted_is_not_run() {
    let mut flash = updated();
    for word in (map().record().offset..map().record().end()).step_by(4) {
        flash.stuck(word);
    }
    // The whole record is worn out, so the trial is forgotten: any whole image, slot A's first.
    let boot = start(&mut flash, ResetCause::Restart);
    assert_eq!((boot.slot, boot.trial), (Slot::A, false));

    let mut flash = updated();
    let entry = |index: u32| map().record().offset + index * 64;
    // Entries: start, switch. The next of this sector and the first of the other take nothing any more.
    flash.stuck(entry(2));
    flash.stuck(entry(64));
    let boot = start(&mut flash, ResetCause::Restart);
    assert_eq!((boot.slot, boot.trial, boot.header.version.as_str()), (Slot::A, false, "1.0.0"));
}

#[test]
fn going_back_on_request() {
    let mut flash = updated();
    start(&mut flash, ResetCause::Restart);
    confirm(&mut flash, &map()).unwrap();
    assert_eq!(revert(&mut flash, &map(), BOARD), Ok(Slot::A));
    let boot = start(&mut flash, ResetCause::Restart);
    assert_eq!((boot.slot, boot.trial), (Slot::A, false));
    assert_eq!(told(&boot), reverted("requested"));
    // And forward again, unless that image is gone.
    flash.corrupt(map().slot(Slot::B).offset + 700, 1);
    let error = revert(&mut flash, &map(), BOARD).unwrap_err();
    assert_eq!(error, RevertError::NothingThere(SlotFault::Image(ImageError::WrongChecksum)));
    assert_eq!(start(&mut flash, ResetCause::Restart).slot, Slot::A);
}

#[test]
fn status_at_every_stage() {
    let states = |flash: &mut StrictFlash| status(flash, &map()).unwrap().slots.map(|slot| slot.state);
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    assert_eq!(states(&mut flash), [SlotState::Confirmed, SlotState::Empty]);
    install(&mut flash, Slot::A, &image("2.0.0", 900), 512);
    assert_eq!(states(&mut flash), [SlotState::Spare, SlotState::Trial]);
    start(&mut flash, ResetCause::Restart);
    confirm(&mut flash, &map()).unwrap();
    assert_eq!(states(&mut flash), [SlotState::Spare, SlotState::Confirmed]);
    let status = status(&mut flash, &map()).unwrap();
    assert_eq!(status.boot_count, 2);
    let versions = status.slots.map(|slot| slot.header.unwrap().version.to_string());
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
    assert_eq!(status.last_update.unwrap().outcome, Outcome::Confirmed);
}

/// What may happen to a node, in any order.
#[derive(Debug, Clone, Copy)]
enum Event {
    Start(ResetCause),
    Install,
    Confirm,
    Revert,
}

#[test]
fn whatever_happens_a_node_starts() {
    use proptest::prelude::*;
    let event = prop_oneof![
        4 => prop_oneof![
            Just(ResetCause::PowerOn), Just(ResetCause::Restart), Just(ResetCause::Watchdog),
            Just(ResetCause::Exception), Just(ResetCause::TrialFailed),
        ].prop_map(Event::Start),
        2 => Just(Event::Install),
        1 => Just(Event::Confirm),
        1 => Just(Event::Revert),
    ];
    let cut = prop::option::of((1u32..12, prop::sample::select(&Cut::ALL[..])));
    let base = node(Slot::A, &image("1.0.0", 900), 58);
    let new = image("2.0.0", 1200);
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec((event, cut), 1..40))| {
        let mut flash = base.clone();
        let mut boot = start(&mut flash, ResetCause::PowerOn);
        for (event, cut) in steps {
            if let Some((operation, cut)) = cut {
                flash.cut_at(operation, cut);
            }
            match event {
                Event::Start(_) => {}
                Event::Install => {
                    if let Ok(mut installer) = spore_boot::Installer::begin(&mut flash, &map(), BOARD, boot.slot) {
                        prop_assert!(!boot.trial);
                        if installer.write_all(&mut flash, &new).is_ok() {
                            let _ = installer.finish(&mut flash);
                        }
                    }
                }
                Event::Confirm => { let _ = confirm(&mut flash, &map()); }
                Event::Revert => { let _ = revert(&mut flash, &map(), BOARD); }
            }
            let cause = if !flash.powered() {
                ResetCause::PowerOn
            } else if let Event::Start(cause) = event {
                cause
            } else {
                ResetCause::Restart
            };
            flash.power_on();
            let next = select(&mut flash, &map(), BOARD, cause);
            prop_assert!(next.is_ok(), "{:?}", next);
            let next = next.unwrap();
            prop_assert_eq!(next.boot_count, boot.boot_count + 1, "each start counts once");
            boot = next;
        }
    });
}
