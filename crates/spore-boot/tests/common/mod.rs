//! A node's flash with an image in it, for the tests beside.
#![allow(dead_code, reason = "every test file uses a part of it")]

use spore_boot::testkit::{StrictFlash, small_map};
use spore_boot::{Installed, Installer, ResetCause, select};
use spore_image::build::virtual_image;
use spore_image::{Behaviour, FlashMap, Slot};

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
