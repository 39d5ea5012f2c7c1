//! The commands: one file each, holding its arguments, what it does, and its tests.

pub mod bench;
pub mod build;
pub mod cluster;
pub mod completions;
pub mod down;
pub mod flash;
mod gdb;
pub mod lab;
pub mod monitor;
pub mod node;
pub mod ota;
pub mod up;

use crate::args::Command;
use crate::context::Context;
use crate::exit::Outcome;

/// Run a command.
pub fn run(command: Command, context: &mut Context) -> Outcome {
    match command {
        Command::Up(args) => up::run(&args, context),
        Command::Down => down::run(context),
        Command::Build(args) => build::run(&args, context),
        Command::Flash(args) => flash::run(&args, context),
        Command::Monitor(args) => monitor::run(&args, context),
        Command::Ota(command) => ota::run(&command, context),
        Command::Cluster(command) => cluster::run(&command, context),
        Command::Node(command) => node::run(&command, context),
        Command::Lab(command) => lab::run(&command, context),
        Command::Bench(command) => bench::run(&command, context),
        Command::Completions(args) => completions::run(&args, context),
    }
}
