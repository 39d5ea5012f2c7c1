//! A node's flash with an image in it, for the tests beside.
#![allow(dead_code, reason = "every test file uses a part of it")]

use spore_boot::testkit::{StrictFlash, small_map};
use spore_boot::{Installed, Installer, ResetCause, select};
use spore_image::build::{build_image, virtual_image};
use spore_image::header::Table;
use spore_image::relocation::{TABLE_BYTES, encode};
use spore_image::{Behaviour, FLASH_WINDOW, FlashMap, HEADER_BYTES, Header, Slot};

/// Board of all tests.
pub const BOARD: &str = "virtual";

/// Four sectors a slot.
pub fn map() -> FlashMap {
    small_map(4)
}

/// An image of the version and size.
pub fn image(version: &str, bytes: usize) -> Vec<u8> {
    virtual_image("test", version.parse().expect("a version"), Behaviour::default(), bytes).expect("an image")
}

/// An image with code that names places in slot A, and other words, some of them in slot B: the words behind the table,
/// of which every third is named.
pub fn image_of_code(version: &str, words: &[u32]) -> Vec<u8> {
    let mut payload = vec![0; TABLE_BYTES as usize];
    payload.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    let named: Vec<u32> = (0..words.len() as u32).step_by(3).map(|index| TABLE_BYTES + 4 * index).collect();
    encode(&named, payload.first_chunk_mut().expect("a table")).expect("they are in order");
    let version = version.parse().expect("a version");
    let mut header = Header::new(BOARD, "code", version).expect("a header");
    header.relocations = Table { offset: 0, count: named.len() as u32 };
    build_image(header, &payload).expect("an image")
}

/// So many words, half of them addresses in slot A.
pub fn code(words: u32) -> Vec<u32> {
    let a = FLASH_WINDOW + map().slot(Slot::A).offset;
    (0..words)
        .map(|index| if index % 2 == 0 { a + index * 4 } else { index.wrapping_mul(0x9E37_79B9) })
        .collect()
}

/// What lies in the slot when the image was installed there.
pub fn in_slot(image: &[u8], slot: Slot) -> Vec<u8> {
    let header = Header::parse(image).expect("a header");
    let mut out = image.to_vec();
    if slot == Slot::A || header.relocations.count == 0 {
        return out;
    }
    let [a, b] = Slot::BOTH.map(|slot| FLASH_WINDOW + map().slot(slot).offset);
    let code = HEADER_BYTES + TABLE_BYTES as usize;
    for index in 0..header.relocations.count as usize {
        let word = &mut out[code + 12 * index..][..4];
        let value = u32::from_le_bytes(word.try_into().expect("four bytes"));
        let value = if (a..a + map().slot_bytes()).contains(&value) {
            value - a + b
        } else if (b..b + map().slot_bytes()).contains(&value) {
            value - b + a
        } else {
            value
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
    out
}

/// A chip with an image in `slot`, started so often before. Slot B needs a record that names it, so that the image gets
/// there by an update.
pub fn node(slot: Slot, old: &[u8], starts: u32) -> StrictFlash {
    let map = map();
    let mut flash = StrictFlash::new(&map);
    flash.flash_serially(map.slot(Slot::A).offset, old);
    let mut start = |cause| select(&mut flash, &map, BOARD, cause).expect("an image");
    assert_eq!(start(ResetCause::PowerOn).slot, Slot::A);
    if slot == Slot::B {
        install(&mut flash, Slot::A, old, 512);
        assert_eq!(select(&mut flash, &map, BOARD, ResetCause::Restart).expect("an image").slot, Slot::B);
        assert_eq!(spore_boot::confirm(&mut flash, &map), Ok(true));
    }
    for _ in 0..starts {
        let boot = select(&mut flash, &map, BOARD, ResetCause::PowerOn).expect("an image");
        assert_eq!((boot.slot, boot.trial), (slot, false));
    }
    flash
}

/// A whole installation that must succeed.
pub fn install(flash: &mut StrictFlash, running: Slot, image: &[u8], chunk: usize) -> Installed {
    let mut installer = Installer::begin(flash, &map(), BOARD, running).expect("no trial is open");
    for piece in image.chunks(chunk) {
        installer.write_all(flash, piece).expect("a good image");
    }
    installer.finish(flash).expect("a good image")
}
