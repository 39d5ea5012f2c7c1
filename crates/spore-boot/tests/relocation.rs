//! An image that moves: installed into either slot it is the same image, and lies there as linked for that slot.

mod common;

use common::{BOARD, code, image, image_of_code, in_slot, install, map, node};
use proptest::prelude::*;
use spore_boot::testkit::StrictFlash;
use spore_boot::{InstallError, Installer, ResetCause, SlotCheck, confirm, revert, select};
use spore_image::build::build_image;
use spore_image::header::Table;
use spore_image::relocation::TABLE_BYTES;
use spore_image::{FLASH_WINDOW, HEADER_BYTES, Header, ImageError, SECTOR, Segment, Slot};

const TABLE: usize = TABLE_BYTES as usize;

/// What lies in a slot.
fn slot_bytes(flash: &StrictFlash, slot: Slot, length: usize) -> &[u8] {
    let start = map().slot(slot).offset as usize;
    &flash.bytes()[start..start + length]
}

#[test]
fn there_and_back_again() {
    let first = image_of_code("1.0.0", &code(50));
    let second = image_of_code("2.0.0", &code(900));
    let third = image_of_code("3.0.0", &code(3000));
    let mut flash = node(Slot::A, &first, 0);
    for (running, new) in [(Slot::A, &second), (Slot::B, &third), (Slot::A, &first)] {
        install(&mut flash, running, new, 1460);
        let boot = select(&mut flash, &map(), BOARD, ResetCause::Restart).unwrap();
        assert_eq!(boot.slot, running.other());
        assert_eq!(slot_bytes(&flash, boot.slot, new.len()), in_slot(new, boot.slot));
        assert_eq!(boot.header, Header::parse(new).unwrap());
        confirm(&mut flash, &map()).unwrap();
    }
    assert_eq!(revert(&mut flash, &map(), BOARD), Ok(Slot::A));
}

#[test]
fn what_was_not_moved_does_not_run_from_b() {
    let new = image_of_code("2.0.0", &code(900));
    let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
    install(&mut flash, Slot::A, &new, 512);
    flash.flash_serially(map().slot(Slot::B).offset, &new);
    let fault = SlotCheck::new(&map(), Slot::B, BOARD).run(&mut flash).unwrap_err();
    assert_eq!(fault, spore_boot::SlotFault::Image(ImageError::WrongChecksum));
}

/// The error of an upload of this payload, header and checksum being right, and whether anything was switched.
fn refusal(payload: &[u8], change: impl Fn(&mut Header)) -> ImageError {
    let mut header = Header::new(BOARD, "code", "2.0.0".parse().unwrap()).unwrap();
    change(&mut header);
    let bytes = build_image(header, payload).unwrap();
    for chunk in [1, 97, 70_000] {
        let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
        let before = slot_bytes(&flash, Slot::A, 900).to_vec();
        let mut installer = Installer::begin(&mut flash, &map(), BOARD, Slot::A).unwrap();
        let error = bytes
            .chunks(chunk)
            .find_map(|piece| installer.write_all(&mut flash, piece).err())
            .unwrap_or_else(|| installer.finish(&mut flash).unwrap_err());
        let boot = select(&mut flash, &map(), BOARD, ResetCause::PowerOn).unwrap();
        assert_eq!((boot.slot, boot.trial, boot.last_update), (Slot::A, false, None));
        assert_eq!(slot_bytes(&flash, Slot::A, 900), before);
        if chunk == 70_000 {
            let InstallError::Image(error) = error else { panic!("{error}") };
            return error;
        }
    }
    unreachable!("the last chunk returns")
}

#[test]
fn bad_tables_are_refused_as_they_stream_in() {
    // Payload: table, two words. 960 words to the first.
    let cases: [(&[u8], u32, &str); 10] = [
        (&[0xC0, 0x07, 0x00], 2, "a word twice"),
        (&[0xC0, 0x07, 0x02], 2, "behind the payload"),
        (&[0xC1, 0x07, 0x01], 2, "the second behind the payload"),
        (&[0xBF, 0x07], 1, "inside the table"),
        (&[0x01], 1, "inside the table, at its start"),
        (&[0xC0, 0x87, 0x00], 1, "longer than needed"),
        (&[0xC0, 0x87, 0x80, 0x00], 1, "too long"),
        (&[0xC0, 0x07], 2, "an entry is missing"),
        (&[0xC0, 0x07, 0x01], 1, "an entry more than said"),
        (&[], 1, "no table at all"),
    ];
    for (table, count, why) in cases {
        let mut payload = vec![0xFF; TABLE + 8];
        payload[..table.len()].copy_from_slice(table);
        let error = refusal(&payload, |header| header.relocations = Table { offset: 0, count });
        assert_eq!(error, ImageError::BadRelocations, "{why}");
    }
    // An entry that the table's end cuts in two.
    let mut payload = vec![0xFF; TABLE + 4 * 4000];
    payload[..2].copy_from_slice(&[0xC0, 0x07]);
    payload[2..TABLE].fill(1);
    payload.truncate(TABLE + 2 * SECTOR as usize);
    let count = 2048;
    payload[2 + 2047..TABLE].fill(0xFF);
    let good = build_image(
        Header {
            relocations: Table { offset: 0, count },
            ..Header::new(BOARD, "code", "2.0.0".parse().unwrap()).unwrap()
        },
        &payload,
    );
    install(&mut node(Slot::A, &image("1.0.0", 900), 0), Slot::A, &good.unwrap(), 999);
    let error = refusal(&payload, |header| header.relocations = Table { offset: 0, count: count + 1 });
    assert_eq!(error, ImageError::BadRelocations);
}

#[test]
fn bad_segments_are_refused_as_they_stream_in() {
    let code = |segment: Segment| {
        let mut payload = vec![0; 64];
        payload.extend(Segment { address: 0x4010_0000, offset: 0, length: 32 }.emit());
        payload.extend(segment.emit());
        payload
    };
    let with_two = |header: &mut Header| header.segments = Table { offset: 64, count: 2 };
    for (address, offset, length) in [
        (0x3FFF_8000, 32, 4),
        (0x4010_8000, 32, 4),
        (0x4020_2000, 32, 4),
        (0x3FFE_8000, 88, 4),
        (0x3FFE_8002, 32, 4),
    ] {
        let error = refusal(&code(Segment { address, offset, length }), with_two);
        assert_eq!(error, ImageError::NotLoadable, "{address:#x}");
    }
}

#[test]
fn a_worn_table_is_noticed() {
    let new = image_of_code("2.0.0", &code(900));
    for at in [0, 1, 74] {
        let mut flash = node(Slot::A, &image("1.0.0", 900), 0);
        flash.stuck(map().slot(Slot::B).offset + HEADER_BYTES as u32 + 4 * at);
        let mut installer = Installer::begin(&mut flash, &map(), BOARD, Slot::A).unwrap();
        installer.write_all(&mut flash, &new).unwrap();
        assert!(matches!(installer.finish(&mut flash), Err(InstallError::ReadBack(_))));
    }
}

/// The bootloader's check and the node's agree: on what is whole, and on what is not.
#[test]
fn both_checks_say_the_same() {
    const PADDED: &[u8; 16] = b"esp8266\0\0\0\0\0\0\0\0\0";
    let mut payload = image_of_code("1.0.0", &code(400))[HEADER_BYTES..].to_vec();
    let segments = payload.len() as u32;
    payload.extend(Segment { address: 0x4010_0000, offset: TABLE_BYTES, length: 32 }.emit());
    let mut header = Header::new("esp8266", "code", "1.0.0".parse().unwrap()).unwrap();
    header.relocations = Table { offset: 0, count: 134 };
    header.segments = Table { offset: segments, count: 1 };
    header.entry = 0x4010_0004;
    let good = build_image(header, &payload).unwrap();
    for slot in Slot::BOTH {
        let mut flash = StrictFlash::new(&map());
        let start = map().slot(slot).offset;
        flash.flash_serially(start, &in_slot(&good, slot));
        let both = |flash: &mut StrictFlash| {
            let node = SlotCheck::new(&map(), slot, "esp8266").run(flash);
            let boot = spore_boot::check::whole(flash, &map(), slot, PADDED);
            assert_eq!(node.is_ok(), boot.is_ok(), "{node:?} {boot:?}");
            if let (Ok(node), Ok(boot)) = (&node, &boot) {
                assert_eq!(spore_image::payload::Facts::from(&node.header), *boot);
            }
            node.is_ok()
        };
        assert!(both(&mut flash));
        for at in (0..256).chain((256..good.len() as u32).step_by(61)) {
            flash.corrupt(start + at, 0x04);
            assert!(!both(&mut flash), "{at}");
            flash.corrupt(start + at, 0x04);
        }
        assert_eq!(
            spore_boot::check::whole(&mut flash, &map(), slot, b"virtual\0\0\0\0\0\0\0\0\0"),
            Err(spore_boot::SlotFlaw::Image(spore_image::payload::Flaw::Board))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn either_slot_holds_the_same_image(
        words in proptest::collection::vec(
            prop_oneof![
                (0u32..2 * 16384).prop_map(|offset| FLASH_WINDOW + map().slot(Slot::A).offset + offset),
                any::<u32>(),
            ],
            1..800,
        ),
        chunk in 1usize..3000,
    ) {
        let new = image_of_code("2.0.0", &words);
        for running in Slot::BOTH {
            let mut flash = node(running, &image("1.0.0", 900), 0);
            let installed = install(&mut flash, running, &new, chunk);
            prop_assert_eq!(slot_bytes(&flash, running.other(), new.len()), in_slot(&new, running.other()));
            let verified = SlotCheck::new(&map(), running.other(), BOARD).run(&mut flash).unwrap();
            prop_assert_eq!(&verified.header, &installed.header);
            prop_assert_eq!(verified.header, Header::parse(&new).unwrap());
        }
    }
}
