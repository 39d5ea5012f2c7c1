//! The command line: what may be written. What it does is in `cmd`, one file per command.

use crate::cmd;
use crate::exit::EXIT_CODES;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// What users see first: examples.
const EXAMPLES: &str = "\
Examples:
  ./ctl.sh up --detach                                  five nodes on this machine
  ./ctl.sh cluster members                              who is there
  ./ctl.sh build --board virtual --version 1.2.0        an image; the last line printed is its path
  ./ctl.sh ota update 10.4.0.11                         install the newest image on one node
  ./ctl.sh lab kill 10.4.0.12                           pull a plug
  ./ctl.sh flash                                        make a board on a USB adapter a node
  ./ctl.sh down                                         the end";

/// Run and look after a cluster of SPORE nodes.
#[derive(Debug, Parser)]
#[command(name = "spore", version, max_term_width = 110, disable_help_subcommand = true)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// Options every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command has.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Answer in JSON; errors too (on stderr)
    #[arg(long, global = true)]
    pub json: bool,
    /// Node to ask about the cluster [else: API_NODE, .env, the running lab, a broadcast]
    // Its name here differs from that of every argument of a command: clap would take one for the other.
    #[arg(long = "node", global = true, value_name = "IP[:PORT]")]
    pub api_node: Option<String>,
    /// How long to wait for an answer [default: 10], a confirmed update [90], a lab [60]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<f64>,
    /// Folder of the lab's socket, log and flash files [else: SPORE_STATE, .spore in the project]
    #[arg(long = "state", global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// No colours [also: NO_COLOR=1]
    #[arg(long, global = true)]
    pub no_color: bool,
    /// No messages beside results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Tell the requests sent; twice: the answers too
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a lab: a cluster of nodes on this machine
    Up(cmd::up::UpArgs),
    /// Stop the lab
    Down,
    /// Make a firmware image
    Build(cmd::build::BuildArgs),
    /// Write the firmware to a board on a USB adapter
    Flash(cmd::flash::FlashArgs),
    /// Show what a board says on its serial line
    Monitor(cmd::monitor::MonitorArgs),
    /// Update nodes over the air
    #[command(subcommand)]
    Ota(cmd::ota::OtaCommand),
    /// Look at the cluster
    #[command(subcommand)]
    Cluster(cmd::cluster::ClusterCommand),
    /// Look at and change one node
    #[command(subcommand)]
    Node(cmd::node::NodeCommand),
    /// Look at the running lab, and break things in it
    #[command(subcommand)]
    Lab(cmd::lab::LabCommand),
    /// Measure labs on this machine
    #[command(subcommand)]
    Bench(cmd::bench::BenchCommand),
    /// Print a completion script for a shell
    Completions(cmd::completions::CompletionsArgs),
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("a number of seconds above 0, at most 86400".into()),
    }
}

/// A percentage.
pub fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("a percentage from 0 to 100".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_argument_has_the_name_of_a_global_one() {
        fn check(command: &clap::Command, global: &[clap::Id]) {
            for argument in command.get_arguments() {
                assert!(!global.contains(argument.get_id()), "{}: {}", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(|command| check(command, global));
        }
        let cli = Cli::command();
        let global: Vec<_> = cli
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().clone())
            .collect();
        assert!(global.len() > 5);
        cli.get_subcommands().for_each(|command| check(command, &global));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!((seconds("0.5"), percent("30%")), (Ok(0.5), Ok(30.0)));
        for text in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        for text in ["-1", "100.1", "nan", "", "x"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
