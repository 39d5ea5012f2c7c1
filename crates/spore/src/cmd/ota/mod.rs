//! `spore ota`: updates over the air.

mod all;
mod install;
mod update;

use crate::context::Context;
use crate::exit::Outcome;
use clap::Subcommand;
use std::path::PathBuf;

/// Which nodes to update.
#[derive(Debug, Subcommand)]
pub enum OtaCommand {
    /// Update one node, and wait until it has confirmed the image or gone back
    Update {
        /// Address, hostname or URL
        #[arg(value_name = "IP")]
        node: String,
        /// The image [default: the newest in build/ for the node's board]
        image: Option<PathBuf>,
    },
    /// Update every node, one after the other; stop at the first that does not come back with the image
    All {
        /// The images, one a board [default: the newest in build/ for each board]
        #[arg(value_name = "IMAGE")]
        images: Vec<PathBuf>,
        /// One more image
        #[arg(long = "image", value_name = "FILE")]
        more: Vec<PathBuf>,
    },
}

/// Update.
pub fn run(command: &OtaCommand, context: &mut Context) -> Outcome {
    match command {
        OtaCommand::Update { node, image } => update::run(node, image.as_deref(), context),
        OtaCommand::All { images, more } => all::run(&[images.as_slice(), more].concat(), context),
    }
}
