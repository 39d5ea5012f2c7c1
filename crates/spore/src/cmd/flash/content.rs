//! What a chip is made of: bootloader, image and the radio's data, from what `build` made.

use super::{FlashArgs, Mode};
use crate::cmd::build::{self, esp8266};
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use crate::image::{BUILT, Image};
use spore_image::FlashMap;
use std::path::{Path, PathBuf};

/// The board of chips.
const BOARD: &str = "esp8266";
/// Where the mode lies in the bootloader's header. The ROM's checksum covers data only.
const MODE_AT: usize = 2;

/// What a chip is made of.
pub struct Content {
    /// The image.
    pub image: Image,
    bootloader: Vec<u8>,
    radio: Vec<u8>,
}

impl Content {
    /// Find it, after building what is out of date where there is an SDK.
    pub fn find(args: &FlashArgs, context: &Context) -> Outcome<Self> {
        if context.env.get("ESP8266_SDK_DIR").is_some() && context.root.join("firmware/Cargo.toml").is_file()
        {
            build::for_chip(context)?;
        }
        let folder = context.root.join("build").join(BOARD);
        let path = args.image.clone().unwrap_or_else(|| folder.join(BUILT));
        if args.image.is_none() && !path.is_file() {
            return Err(not_built(&path));
        }
        let image = Image::read(&path)?;
        let board = image.header.board.as_str();
        if board != BOARD {
            let what = match board {
                "virtual" => "virtual nodes",
                "esp8266-qemu" => "the emulator: it is linked with stand-ins of Espressif's libraries",
                other => other,
            };
            return Err(Failure::other(format!("{} is not for chips; it is for {what}", path.display()))
                .hint(how_to_build()));
        }
        let bootloader = read(&folder.join("bootloader.bin"))?;
        let radio = esp8266::radio_of(&read(&folder.join(esp8266::CHIPS[0].0))?).ok_or_else(|| {
            Failure::other(format!("{} has no data for the radio, without which a chip does not start", folder.display()))
                .hint(format!(
                    "the SDK keeps it in bin/esp_init_data_default_v08.bin; see that ESP8266_SDK_DIR has it, then {PROGRAM} build"
                ))
        })?;
        Ok(Self { image, bootloader, radio })
    }

    /// All bytes of a new chip of this size.
    pub fn chip(&self, map: &FlashMap, mode: Mode) -> Outcome<Vec<u8>> {
        let bytes = self.image.bytes.len();
        if bytes > map.slot_bytes() as usize {
            return Err(Failure::other(format!(
                "the image has {bytes} bytes and a slot {}: neither it nor a successor could be installed over the air",
                map.slot_bytes()
            ))
            .hint("make the firmware smaller; docs/memory.md has the bill"));
        }
        let mut chip = spore_pack::chip(&self.bootloader, &self.image.bytes, map.bytes())
            .map_err(|error| Failure::other(format!("cannot make a chip of this: {error}")))?;
        if let Some(byte) = chip.get_mut(MODE_AT) {
            *byte = mode.code();
        }
        esp8266::put_radio(&mut chip, &self.radio);
        Ok(chip)
    }
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => not_built(path),
        _ => Failure::other(format!("cannot read {}: {error}", path.display())),
    })
}

fn not_built(path: &Path) -> Failure {
    let path: PathBuf = path.into();
    Failure::other(format!("no firmware for chips: {} is not there", path.display())).hint(how_to_build())
}

fn how_to_build() -> String {
    format!(
        "get Espressif's ESP8266_NONOS_SDK (docs/esp8266.md), write ESP8266_SDK_DIR=<its folder> into .env, and repeat the command; \
         {PROGRAM} build makes the firmware alone"
    )
}
