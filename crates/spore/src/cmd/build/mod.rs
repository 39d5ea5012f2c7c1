//! `spore build`: make a firmware image.

pub(in crate::cmd) mod bill;
mod check;
mod disasm;
pub(in crate::cmd) mod elf;
pub(in crate::cmd) mod esp8266;
mod flow;
mod fresh;
mod layout;
mod link;
mod map;
mod place;
mod sdk;
mod stack;
#[cfg(test)]
mod tests;
pub(in crate::cmd) mod tools;
mod virtual_board;

use crate::context::Context;
use crate::exit::{Failure, Outcome};
use clap::Args;
use link::{Heap, Sdk};
use sdk::Libraries;
use spore_image::{Act, VIRTUAL_BOARD, Version};
use std::path::PathBuf;

/// Arguments of `spore build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Board the image is for: esp8266, virtual
    #[arg(long, default_value = "esp8266")]
    board: String,
    /// Version of the image, such as 1.2.0; for virtual nodes it must be given [default: SPORE's]
    #[arg(long)]
    version: Option<Version>,
    /// Name of the firmware
    #[arg(long, default_value = "spore")]
    name: String,
    /// What a virtual node does that runs it: healthy, crash, hang, no-network
    #[arg(long, default_value = "healthy", value_parser = virtual_board::behaviour, hide_default_value = true)]
    behaviour: Act,
    /// How large a virtual node's image is
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(512..=4_194_304))]
    size: u32,
    /// File to write [default: build/esp8266-qemu/firmware.spore, build/<name>-virtual-<version>.img]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the bill of the firmware's memory to docs/memory.md
    #[arg(long)]
    save_bill: bool,
    /// Fail when docs/memory.md keeps another bill than this build's
    #[arg(long, hide = true)]
    check_bill: bool,
    /// Write the firmware although a check found something
    #[arg(long, hide = true)]
    unchecked: bool,
}

/// Make what emulated boards are made of, if anything changed since it was made; only messages are shown. Name and version
/// of the firmware stay what they were in the last build.
pub fn for_emulator(context: &Context) -> Outcome {
    again(Sdk::StandIn.board(), context)
}

/// The same for chips, with the SDK that `ESP8266_SDK_DIR` names.
pub fn for_chip(context: &Context) -> Outcome {
    again("esp8266", context)
}

fn again(board: &str, context: &Context) -> Outcome {
    let built = context.root.join("build").join(board).join(crate::image::BUILT);
    let header = std::fs::read(built).ok().and_then(|bytes| spore_image::Header::parse(&bytes).ok());
    let args = BuildArgs {
        board: board.to_owned(),
        version: header.as_ref().map(|header| header.version.clone()),
        name: header.map_or("spore".to_owned(), |header| header.name.as_str().to_owned()),
        behaviour: Act::Healthy,
        size: 0,
        output: None,
        save_bill: false,
        check_bill: false,
        unchecked: false,
    };
    let mut nowhere = std::io::sink();
    run(&args, &mut context.with_output(&mut nowhere))
}

/// Make the image; its path is the last line printed.
pub fn run(args: &BuildArgs, context: &mut Context) -> Outcome {
    match args.board.as_str() {
        VIRTUAL_BOARD => virtual_board::run(args, context),
        "esp8266" => {
            let folder = context.env.get("ESP8266_SDK_DIR").filter(|setting| !setting.value.is_empty());
            let sdk = match folder {
                Some(setting) => {
                    let radio =
                        context.env.get("ESP8266_PHY_DATA").filter(|setting| !setting.value.is_empty());
                    let radio = radio.map(|setting| context.root.join(setting.value));
                    let libraries = Libraries::find(&context.root.join(setting.value), radio)?;
                    let heap = if libraries.has_heap()? { Heap::Own } else { Heap::Ours };
                    Sdk::Espressif(libraries, heap)
                }
                None => Sdk::StandIn,
            };
            esp8266::run(args, &sdk, context)
        }
        "esp8266-qemu" => esp8266::run(args, &Sdk::StandIn, context),
        board => Err(Failure::other(format!("there is no board {board:?}")).hint("boards: esp8266, virtual")),
    }
}
