//! The power is cut at every single flash operation of an update, in every way a cut can tear it. Afterwards the node
//! must start the old image or the new one, whole, and take another update.

mod common;

use common::{BOARD, code, image, image_of_code, in_slot, install, map, node};
use spore_boot::testkit::{Cut, StrictFlash};
use spore_boot::{
    Boot, Installer, LastUpdate, Outcome, Reason, Record, ResetCause, SlotCheck, State, confirm, record,
    revert, select,
};
use spore_image::{FlashMap, HEADER_BYTES, Slot};

/// What is done to a node while the power may fail: `Err` when it did.
type Script = fn(&mut StrictFlash, &Case) -> Result<(), ()>;

/// One update.
struct Case<'a> {
    slot: Slot,
    old: &'a [u8],
    new: &'a [u8],
    chunk: usize,
}

/// What a sweep found.
#[derive(Debug, Default)]
struct Sweep {
    cuts: u32,
    lost: u32,
}

/// Cuts the script at every flash operation.
fn sweep(total: &mut Sweep, before: &StrictFlash, case: &Case<'_>, script: Script) {
    let mut whole = before.clone();
    script(&mut whole, case).expect("the script runs through when the power stays");
    let operations = whole.operations() - before.operations();
    assert!(operations > 0, "a script without flash operations tests nothing");
    for operation in 1..=operations {
        for cut in Cut::ALL {
            let mut flash = before.clone();
            flash.cut_at(operation, cut);
            assert_eq!(
                script(&mut flash, case),
                Err(()),
                "the cut at {operation} of {operations} hit nothing"
            );
            flash.power_on();
            total.cuts += 1;
            if let Err(why) = survives(flash, case) {
                total.lost += 1;
                // Shown by the harness only when the test fails.
                println!("{cut:?} at operation {operation} of {operations}, from slot {}: {why}", case.slot);
            }
        }
    }
}

/// Whether the node goes on: the record names a whole image, old or new, that image starts, and an update works.
fn survives(mut flash: StrictFlash, case: &Case<'_>) -> Result<(), String> {
    let map = map();
    let record =
        record::read(&mut flash, &map).map_err(|error| error.to_string())?.ok_or("the record is lost")?;
    SlotCheck::new(&map, record.active, BOARD)
        .run(&mut flash)
        .map_err(|fault| format!("the record names slot {}, where: {fault}", record.active))?;
    let boot = start(&mut flash, ResetCause::PowerOn)?;
    let expected = if boot.slot == case.slot { case.old } else { case.new };
    whole(&flash, &map, &boot, expected)?;
    if boot.boot_count <= record.boot_count {
        return Err("the number of starts did not grow".into());
    }
    if boot.trial {
        confirm(&mut flash, &map).map_err(|error| error.to_string())?;
    }
    let third = image("3.0.0", 700);
    let installed = install(&mut flash, boot.slot, &third, 512);
    let boot = start(&mut flash, ResetCause::Restart)?;
    if boot.slot != installed.slot || !boot.trial {
        return Err("the second update does not run".into());
    }
    whole(&flash, &map, &boot, &third)
}

fn start(flash: &mut StrictFlash, cause: ResetCause) -> Result<Boot, String> {
    select(flash, &map(), BOARD, cause).map_err(|error| error.to_string())
}

/// Whether the slot that was chosen holds exactly these bytes.
fn whole(flash: &StrictFlash, map: &FlashMap, boot: &Boot, image: &[u8]) -> Result<(), String> {
    let offset = map.slot(boot.slot).offset as usize;
    if flash.bytes().get(offset..offset + image.len()) == Some(&in_slot(image, boot.slot)[..]) {
        Ok(())
    } else {
        Err(format!("slot {} holds something else than was installed", boot.slot))
    }
}

fn on(flash: &StrictFlash) -> Result<(), ()> {
    if flash.powered() { Ok(()) } else { Err(()) }
}

fn update(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    let mut installer = Installer::begin(flash, &map(), BOARD, case.slot).map_err(drop)?;
    for piece in case.new.chunks(case.chunk) {
        installer.write_all(flash, piece).map_err(drop)?;
    }
    installer.finish(flash).map_err(drop).map(drop)
}

fn boot(flash: &mut StrictFlash, cause: ResetCause) -> Result<Boot, ()> {
    let boot = select(flash, &map(), BOARD, cause).map_err(drop)?;
    on(flash)?;
    Ok(boot)
}

fn update_and_confirm(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    update(flash, case)?;
    assert_eq!(boot(flash, ResetCause::Restart)?.slot, case.slot.other());
    confirm(flash, &map()).map_err(drop).map(|confirmed| assert!(confirmed))
}

fn update_that_crashes(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    update(flash, case)?;
    for cause in [ResetCause::Restart, ResetCause::Exception, ResetCause::PowerOn, ResetCause::Watchdog] {
        assert_eq!(boot(flash, cause)?.slot, case.slot.other());
    }
    let back = boot(flash, ResetCause::Exception)?;
    assert_eq!((back.slot, back.trial), (case.slot, false));
    let last = back.last_update.expect("an update");
    assert_eq!((last.outcome, last.reason), (Outcome::Reverted, Reason::Crashed(3)));
    Ok(())
}

fn update_past_its_deadline(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    update(flash, case)?;
    boot(flash, ResetCause::Restart)?;
    assert_eq!(boot(flash, ResetCause::TrialFailed)?.slot, case.slot);
    Ok(())
}

fn update_confirm_and_revert(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    update_and_confirm(flash, case)?;
    assert_eq!(revert(flash, &map(), BOARD).map_err(drop)?, case.slot);
    assert_eq!(boot(flash, ResetCause::Restart)?.slot, case.slot);
    Ok(())
}

/// Sizes: one page and a bit, and a slot filled to the last byte but one word. Starts before: an empty log, and logs so
/// full that the record changes its sector at each of its writes in turn.
#[test]
fn no_cut_loses_a_node() {
    let mut total = Sweep::default();
    for slot in Slot::BOTH {
        let old = image("1.0.0", 2000);
        let small = image("2.0.0", HEADER_BYTES + 300);
        let large = image("2.0.0", map().slot_bytes() as usize - 4);
        let fresh = node(slot, &old, 0);
        for chunk in [1, 97, 1460] {
            let case = Case { slot, old: &old, new: &small, chunk };
            sweep(&mut total, &fresh, &case, update_and_confirm);
        }
        for chunk in [536, 5000] {
            let case = Case { slot, old: &old, new: &large, chunk };
            sweep(&mut total, &fresh, &case, update_and_confirm);
        }
        let case = Case { slot, old: &old, new: &small, chunk: 256 };
        for starts in [0, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63] {
            let before = node(slot, &old, starts);
            for script in [update_that_crashes, update_past_its_deadline, update_confirm_and_revert] {
                sweep(&mut total, &before, &case, script);
            }
        }
    }
    println!("{} cuts, {} lost", total.cuts, total.lost);
    assert_eq!(total.lost, 0);
    assert!(total.cuts > 4000, "{} cuts", total.cuts);
}

/// Both images hold words that differ in the two slots.
#[test]
fn no_cut_loses_a_node_whose_images_move() {
    let mut total = Sweep::default();
    let old = image_of_code("1.0.0", &code(20));
    let small = image_of_code("2.0.0", &code(70));
    let large = image_of_code("2.0.0", &code(3071));
    assert_ne!(in_slot(&small, Slot::B), small);
    for slot in Slot::BOTH {
        for starts in [0, 61, 62] {
            let before = node(slot, &old, starts);
            for script in [update_and_confirm, update_that_crashes, update_confirm_and_revert] {
                sweep(&mut total, &before, &Case { slot, old: &old, new: &small, chunk: 1000 }, script);
            }
        }
        let case = Case { slot, old: &old, new: &large, chunk: 5000 };
        sweep(&mut total, &node(slot, &old, 0), &case, update_and_confirm);
    }
    println!("{} cuts, {} lost", total.cuts, total.lost);
    assert_eq!(total.lost, 0);
    assert!(total.cuts > 1500, "{} cuts", total.cuts);
}

/// A second cut during the start after the first one.
#[test]
fn no_second_cut_loses_a_node() {
    let old = image("1.0.0", 2000);
    let new = image("2.0.0", HEADER_BYTES + 300);
    let mut total = Sweep::default();
    // 62 starts: the log is full in the middle of it.
    for (slot, starts) in [(Slot::A, 0), (Slot::A, 61), (Slot::A, 62), (Slot::B, 58)] {
        let case = Case { slot, old: &old, new: &new, chunk: 256 };
        let before = node(slot, &old, starts);
        let mut whole = before.clone();
        update_that_crashes(&mut whole, &case).expect("power");
        for operation in 1..=whole.operations() - before.operations() {
            for cut in Cut::ALL {
                let mut flash = before.clone();
                flash.cut_at(operation, cut);
                assert_eq!(update_that_crashes(&mut flash, &case), Err(()));
                flash.power_on();
                sweep(&mut total, &flash, &case, |flash, _| boot(flash, ResetCause::PowerOn).map(drop));
            }
        }
    }
    println!("{} double cuts, {} lost", total.cuts, total.lost);
    assert_eq!(total.lost, 0);
    assert!(total.cuts > 1000, "{} cuts", total.cuts);
}

/// The order that must not be: the record names the image before it is there.
fn record_first(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    let map = map();
    let before = record::read(flash, &map).map_err(drop)?.expect("a record");
    let trial = Record {
        active: case.slot.other(),
        state: State::Trial { starts: 0, crashes: 0 },
        last_update: Some(LastUpdate { version: None, outcome: Outcome::Pending, reason: Reason::None }),
        ..before
    };
    record::write(flash, &map, &trial).map_err(drop)?;
    serial(flash, case.slot.other(), case.new)
}

/// The slot that must not be: the running one is overwritten.
fn in_place(flash: &mut StrictFlash, case: &Case<'_>) -> Result<(), ()> {
    serial(flash, case.slot, case.new)
}

fn serial(flash: &mut StrictFlash, slot: Slot, image: &[u8]) -> Result<(), ()> {
    use embedded_storage::nor_flash::NorFlash;
    let region = map().slot(slot);
    flash.erase(region.offset, region.end()).map_err(drop)?;
    for (offset, page) in (region.offset..).step_by(256).zip(image.chunks(256)) {
        let mut words = page.to_vec();
        words.resize(page.len().next_multiple_of(4), 0xFF);
        flash.write(offset, &words).map_err(drop)?;
    }
    Ok(())
}

#[test]
fn the_sweep_finds_the_wrong_order() {
    let old = image("1.0.0", 2000);
    let new = image("2.0.0", HEADER_BYTES + 300);
    for slot in Slot::BOTH {
        let case = Case { slot, old: &old, new: &new, chunk: 256 };
        for wrong in [record_first, in_place] {
            let mut total = Sweep::default();
            sweep(&mut total, &node(slot, &old, 0), &case, wrong);
            println!("wrong order: {} cuts, {} lost", total.cuts, total.lost);
            assert!(total.lost > 0, "the sweep is blind");
        }
    }
}
