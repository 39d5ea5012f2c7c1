//! The way of an image into flash: what is refused, when, and what that leaves.

mod common;

use common::{BOARD, image, install, map, node};
use spore_boot::testkit::StrictFlash;
use spore_boot::{
    InstallError, InstallFault, Installer, ResetCause, SlotState, confirm, revert, select, status,
};
use spore_image::build::build_image;
use spore_image::{HEADER_BYTES, Header, ImageError, SECTOR, Slot};

fn begin(flash: &mut StrictFlash) -> Installer {
    Installer::begin(flash, &map(), BOARD, Slot::A).unwrap()
}

/// A node with 1.0.0 running from slot A and 0.9.0 in slot B.
fn two_images() -> StrictFlash {
    let mut flash = node(Slot::B, &image("0.9.0", 900), 0);
    install(&mut flash, Slot::B, &image("1.0.0", 900), 512);
    assert_eq!(select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap().slot, Slot::A);
    confirm(&mut flash, &map()).unwrap();
    flash
}

/// The error of an upload in pieces.
fn refusal(flash: &mut StrictFlash, bytes: &[u8]) -> InstallError {
    let mut installer = begin(flash);
    for piece in bytes.chunks(100) {
        if let Err(error) = installer.write_all(flash, piece) {
            assert_eq!(installer.write(flash, b"more"), Err(error.clone()), "the error stays");
            assert_eq!(installer.finish(flash), Err(error.clone()));
            return error;
        }
    }
    installer.finish(flash).unwrap_err()
}

#[test]
fn every_size_and_every_piece() {
    for bytes in [HEADER_BYTES + 61, 4095, 4096, 4097, 4352, map().slot_bytes() as usize] {
        let new = image("2.0.0", bytes);
        for chunk in [1, 255, 1460, 70_000] {
            let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
            let installed = install(&mut flash, Slot::A, &new, chunk);
            assert_eq!((installed.slot, installed.header.version.as_str()), (Slot::B, "2.0.0"));
            let start = map().slot(Slot::B).offset as usize;
            assert_eq!(&flash.bytes()[start..start + bytes], &new[..]);
            let behind = &flash.bytes()[start + bytes..start + bytes.next_multiple_of(4)];
            assert!(behind.iter().all(|byte| *byte == 0xFF), "what pads the last word stays as erased");
            assert_eq!(
                flash.erasures(),
                (bytes as u32).div_ceil(SECTOR) + 1,
                "no sector twice; one for the record"
            );
        }
    }
}

#[test]
fn the_work_of_a_call_is_bounded() {
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    let new = image("2.0.0", map().slot_bytes() as usize);
    let mut installer = begin(&mut flash);
    assert_eq!(installer.capacity(), 4 * SECTOR);
    let mut rest = &new[..];
    while !rest.is_empty() {
        let (operations, erasures) = (flash.operations(), flash.erasures());
        let taken = installer.write(&mut flash, rest).unwrap();
        assert!(taken > 0 && flash.erasures() - erasures <= 1 && flash.operations() - operations <= 17);
        rest = &rest[taken..];
        assert_eq!(installer.progress().received as usize, new.len() - rest.len());
    }
    assert_eq!(installer.write(&mut flash, &[]), Ok(0));
    let mut steps = 0;
    loop {
        let operations = flash.operations();
        steps += 1;
        let done = installer.finish_step(&mut flash).unwrap();
        assert!(flash.operations() - operations <= 2);
        if done {
            break;
        }
        assert_eq!(installer.write(&mut flash, b"x"), Err(InstallError::Over));
    }
    assert!(steps >= 5, "reads back a sector at a time");
    assert_eq!(installer.finish_step(&mut flash), Err(InstallError::Over));
}

#[test]
fn what_is_refused_by_its_header_changes_nothing() {
    let header = Header::new("esp8266", "test", "2.0.0".parse().unwrap()).unwrap();
    let foreign = build_image(header, &[1; 1000]).unwrap();
    let large = image("2.0.0", map().slot_bytes() as usize + 1);
    let mut damaged = image("2.0.0", 900);
    damaged[30] ^= 1;
    for (bytes, fault) in [
        (&foreign[..], InstallFault::Unacceptable),
        (&large[..], InstallFault::TooLarge),
        (&damaged[..], InstallFault::Unacceptable),
        (b"<html>no firmware</html>", InstallFault::Unacceptable),
        (&large[..200], InstallFault::Malformed),
        (b"", InstallFault::Malformed),
    ] {
        let mut flash = two_images();
        let before = flash.bytes().to_vec();
        let error = refusal(&mut flash, bytes);
        assert_eq!(error.fault(), fault, "{error}");
        assert_eq!(flash.bytes(), before, "{error}");
    }
}

#[test]
fn what_is_refused_later_leaves_the_running_image() {
    let good = image("2.0.0", 6000);
    let mut damaged = good.clone();
    damaged[5000] ^= 1;
    let mut longer = good.clone();
    longer.push(0);
    for (bytes, expected, fault) in [
        (&good[..5999], ImageError::Truncated { expected: 6000, received: 5999 }, InstallFault::Malformed),
        (&damaged[..], ImageError::WrongChecksum, InstallFault::Unacceptable),
        (&longer[..], ImageError::TrailingBytes, InstallFault::Malformed),
    ] {
        let mut flash = two_images();
        let error = refusal(&mut flash, bytes);
        assert_eq!((error.fault(), error), (fault, InstallError::Image(expected)));
        let states = status(&mut flash, &map()).unwrap().slots.map(|slot| slot.state);
        assert_eq!(states, [SlotState::Confirmed, SlotState::Empty]);
        let boot = select(&mut flash, &map(), BOARD, ResetCause::PowerOn).unwrap();
        assert_eq!((boot.slot, boot.trial), (Slot::A, false));
        install(&mut flash, Slot::A, &good, 999);
    }
}

#[test]
fn not_during_a_trial() {
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    let new = image("2.0.0", 900);
    install(&mut flash, Slot::A, &new, 512);
    // Before the restart and after it.
    assert_eq!(Installer::begin(&mut flash, &map(), BOARD, Slot::A).map(drop), Err(InstallError::TrialOpen));
    select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap();
    let error = Installer::begin(&mut flash, &map(), BOARD, Slot::B).map(drop).unwrap_err();
    assert_eq!((error.fault(), &error), (InstallFault::Conflict, &InstallError::TrialOpen));
    assert!(error.to_string().contains("on trial"), "{error}");
}

#[test]
fn not_into_the_slot_the_next_start_runs() {
    let mut flash = two_images();
    assert_eq!(revert(&mut flash, &map(), BOARD), Ok(Slot::B));
    let error = Installer::begin(&mut flash, &map(), BOARD, Slot::A).map(drop).unwrap_err();
    assert_eq!((error.fault(), &error), (InstallFault::Conflict, &InstallError::RestartPending));
    select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap();
    assert_eq!(install(&mut flash, Slot::B, &image("2.0.0", 900), 512).slot, Slot::A);
}

#[test]
fn an_image_that_was_not_started_is_not_confirmed() {
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    install(&mut flash, Slot::A, &image("2.0.0", 900), 512);
    assert_eq!(confirm(&mut flash, &map()), Ok(false));
    assert!(select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap().trial);
    assert_eq!(confirm(&mut flash, &map()), Ok(true));
}

#[test]
fn a_forgotten_installation_cannot_erase_a_trial() {
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    let late_image = image("3.0.0", 6000);
    let mut late = begin(&mut flash);
    late.write_all(&mut flash, &late_image[..256]).unwrap();
    install(&mut flash, Slot::A, &image("2.0.0", 6000), 512);
    assert_eq!(late.write_all(&mut flash, &late_image[256..]), Err(InstallError::TrialOpen));
    assert_eq!(
        select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap().header.version.as_str(),
        "2.0.0"
    );
}

#[test]
fn a_worn_cell_is_noticed_before_the_record_names_the_image() {
    for at in [0, 300, 5000] {
        let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
        flash.stuck(map().slot(Slot::B).offset + at);
        let error = refusal(&mut flash, &image("2.0.0", 6000));
        assert!(matches!(error, InstallError::ReadBack(_)), "{error}");
        assert_eq!(error.fault(), InstallFault::Broken);
        let boot = select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap();
        assert_eq!((boot.slot, boot.last_update), (Slot::A, None));
    }
}

#[test]
fn small_enough_for_a_node() {
    assert!(size_of::<Installer>() <= 1250, "{}", size_of::<Installer>());
}
