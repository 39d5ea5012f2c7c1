//! From linked programs to what is flashed.
//!
//! | from | to | by |
//! |---|---|---|
//! | ELF file of a firmware, linked with `ld -q` | SPORE image | [`pack`] |
//! | ELF file of the bootloader | image the ESP8266's ROM loads | [`rom_image`] |
//! | both of these images | all bytes of a new flash chip | [`chip`] |
//! | SPORE image | its bytes in slot B | [`relocated_to_b`] |
//!
//! Sections of a firmware go by their names:
//!
//! | section | where it is linked | what becomes of it |
//! |---|---|---|
//! | `.irom` | [`IROM`] | executed in place |
//! | `.iram` | instruction RAM | loaded |
//! | `.data` | data RAM below the bootloader's | loaded |
//! | `.bss`, and whatever else takes no room in the file | data RAM | nothing |
//!
//! This crate runs on a host only.
#![forbid(unsafe_code)]

mod chip;
mod elf;
mod error;
mod image;
mod rom;

pub use chip::chip;
pub use error::PackError;
pub use image::{IROM, Packed, pack, relocated_to_b};
pub use rom::{RomFreq, RomMode, RomSize, rom_image, rom_image_of};
