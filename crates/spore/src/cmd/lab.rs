//! `spore lab`: the running lab, and faults in it.

use crate::args::percent;
use crate::context::Context;
use crate::context::lab::{Lab, no_lab};
use crate::exit::Outcome;
use crate::output::lab::{broken, nodes, pins, summary};
use clap::{Subcommand, ValueEnum};
use spore_lab::control::{Command, Reply};

/// What to do with the lab. A `<NODE>` is a hostname, an address, or a number (1 is the first).
#[derive(Debug, Clone, Subcommand)]
pub enum LabCommand {
    /// List the nodes, their URLs and the faults in force
    Status,
    /// Start more nodes
    Add {
        /// How many
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        count: u16,
        /// Nodes that run the ESP8266 firmware in an emulator, instead of virtual ones
        #[arg(long)]
        emulated: bool,
    },
    /// Pull the plug of a node: it stays dark until it is restarted
    Kill {
        /// Hostname, address or number
        node: String,
    },
    /// Start a dark node, or press the reset button of a running one
    Restart {
        /// Hostname, address or number
        node: String,
    },
    /// Have a virtual node's image crash; after three quick crashes it starts in safe mode
    Crash {
        /// Hostname, address or number
        node: String,
    },
    /// Cut the power and give it back at once
    PowerCut {
        /// Hostname, address or number
        node: String,
        /// In the middle of the n-th flash operation: of a virtual node from now, instead of now; of an emulated node
        /// counted from the start that follows the cut now
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        at_flash_op: Option<u32>,
    },
    /// Separate these nodes from all others
    Cut {
        /// Hostnames, addresses or numbers
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// End every fault: islands, loss, delay, duplication; access points come back
    Heal,
    /// Lose frames at random
    Loss {
        /// How many, in percent
        #[arg(value_parser = percent)]
        percent: f64,
        /// Only broadcasts
        #[arg(long)]
        broadcast_only: bool,
        /// Only to and from this node
        #[arg(long, value_name = "NODE")]
        at: Option<String>,
    },
    /// Delay every frame
    Delay {
        /// Milliseconds
        #[arg(value_name = "MS")]
        millis: u32,
        /// Up to so many milliseconds more, at random (which reorders)
        #[arg(long, value_name = "MS", default_value_t = 0)]
        jitter: u32,
    },
    /// Deliver frames twice at random
    Duplicate {
        /// How many, in percent
        #[arg(value_parser = percent)]
        percent: f64,
    },
    /// Switch the lab's WiFi access point
    AccessPoint {
        /// Whether it sends
        state: Switch,
        /// A new pass phrase, which shuts out nodes that know only the old one
        #[arg(long)]
        passphrase: Option<String>,
    },
    /// Show the last lines of a node's log
    Log {
        /// Hostname, address or number
        node: String,
        /// How many
        #[arg(long, short = 'n', default_value_t = 50)]
        lines: u32,
    },
    /// Show a node's pins and its analogue input
    Pins {
        /// Hostname, address or number
        node: String,
    },
    /// Give a pin a level from outside, as a button would
    Pin {
        /// Hostname, address or number
        node: String,
        /// Number of the GPIO
        #[arg(value_parser = gpio)]
        pin: u8,
        /// The level
        level: Level,
    },
    /// Set what a node's analogue input measures
    Adc {
        /// Hostname, address or number
        node: String,
        /// 0 to 1023
        #[arg(value_parser = clap::value_parser!(u16).range(..=1023))]
        value: u16,
    },
    /// Debug an emulated node with gdb (docs/esp8266.md)
    Gdb {
        /// Hostname, address or number
        node: String,
        /// Further arguments for gdb
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It sends.
    On,
    /// It is silent.
    Off,
}

/// Level of a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Supply voltage.
    High,
    /// Ground.
    Low,
}

/// Reads the number of a pin, with `GPIO` before it or without.
fn gpio(text: &str) -> Result<u8, String> {
    let number =
        text.get(..4).filter(|start| start.eq_ignore_ascii_case("gpio")).map_or(text, |_| &text[4..]);
    number.parse().map_err(|_| "give the number of a GPIO, for instance 0".to_owned())
}

/// Give the order to the lab and show its answer.
pub fn run(command: &LabCommand, context: &mut Context) -> Outcome {
    let mut lab = Lab::connect(&context.state, context.wait(10))?.ok_or_else(|| no_lab(&context.state))?;
    if let LabCommand::Gdb { node, arguments } = command {
        return super::gdb::run(&mut lab, node, arguments, context);
    }
    let reply = lab.call(&order(command))?;
    match reply {
        Reply::Status(status) if context.json => context.json_line(&status),
        Reply::Status(status) => {
            context.out.write_all(nodes(&status).text(context.palette).as_bytes())?;
            for line in broken(&status, context.palette) {
                writeln!(context.out, "{line}")?;
            }
            Ok(writeln!(context.out, "{}", summary(&status, context.palette))?)
        }
        Reply::Log { lines } if context.json => context.json_line(&serde_json::json!({"lines": lines})),
        Reply::Log { lines } => {
            for line in lines {
                writeln!(context.out, "{line}")?;
            }
            Ok(())
        }
        Reply::Pins { node, pins, adc } if context.json => {
            context.json_line(&serde_json::json!({"hostname": node, "pins": pins, "adc": adc}))
        }
        Reply::Pins { pins: all, adc, .. } => {
            context.out.write_all(pins(&all).text(context.palette).as_bytes())?;
            Ok(writeln!(context.out, "analogue input: {adc} of 1023")?)
        }
        Reply::Done { nodes } if context.json => context.json_line(&serde_json::json!({"nodes": nodes})),
        Reply::Done { nodes } if nodes.is_empty() => Ok(writeln!(context.out, "done")?),
        Reply::Done { nodes } => Ok(writeln!(context.out, "done: {}", nodes.join(" "))?),
        // The client has made an error of it.
        Reply::Error { error } => Err(crate::exit::Failure::new(crate::exit::Kind::Refused, error)),
    }
}

fn order(command: &LabCommand) -> Command {
    match command.clone() {
        LabCommand::Status => Command::Status,
        LabCommand::Add { count, emulated } => Command::Add { count, emulated },
        LabCommand::Kill { node } => Command::Kill { node },
        LabCommand::Restart { node } => Command::Restart { node },
        LabCommand::Crash { node } => Command::Crash { node },
        LabCommand::PowerCut { node, at_flash_op } => Command::PowerCut { node, at_flash_op },
        LabCommand::Cut { nodes } => Command::Cut { nodes },
        LabCommand::Heal => Command::Heal,
        LabCommand::Loss { percent, broadcast_only, at } => {
            Command::Loss { percent, broadcast_only, node: at }
        }
        LabCommand::Delay { millis, jitter } => Command::Delay { millis, jitter_millis: jitter },
        LabCommand::Duplicate { percent } => Command::Duplicate { percent },
        LabCommand::AccessPoint { state, passphrase } => {
            Command::AccessPoint { on: state == Switch::On, passphrase }
        }
        LabCommand::Log { node, lines } => Command::Log { node, lines },
        LabCommand::Pins { node } => Command::Pins { node },
        LabCommand::Pin { node, pin, level } => Command::Pin { node, pin, high: level == Level::High },
        LabCommand::Adc { node, value } => Command::Adc { node, value },
        // Nothing to tell the lab but to look the node up.
        LabCommand::Gdb { .. } => Command::Status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command as Top};
    use crate::context::state::StateDir;
    use crate::daemon::Server;
    use crate::daemon::tests::{FakeLab, status};
    use crate::exit::Kind;
    use crate::testing::{FakeNode, run_in};
    use clap::Parser;
    use std::sync::Arc;

    fn parse(line: &str) -> Command {
        let words = ["spore", "lab"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words).unwrap().command {
            Top::Lab(command) => order(&command),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_become_orders() {
        assert_eq!(parse("add"), Command::Add { count: 1, emulated: false });
        assert_eq!(parse("add 2 --emulated"), Command::Add { count: 2, emulated: true });
        assert_eq!(
            parse("power-cut 2 --at-flash-op 7"),
            Command::PowerCut { node: "2".into(), at_flash_op: Some(7) }
        );
        assert_eq!(parse("crash 2"), Command::Crash { node: "2".into() });
        assert_eq!(parse("cut a b"), Command::Cut { nodes: vec!["a".into(), "b".into()] });
        let loss = Command::Loss { percent: 30.0, broadcast_only: true, node: Some("a".into()) };
        assert_eq!(parse("loss 30% --broadcast-only --at a"), loss);
        assert_eq!(parse("delay 20 --jitter 5"), Command::Delay { millis: 20, jitter_millis: 5 });
        assert_eq!(parse("pins 1"), Command::Pins { node: "1".into() });
        let pressed = Command::Pin { node: "1".into(), pin: 4, high: false };
        assert_eq!((parse("pin 1 4 low"), parse("pin 1 GPIO4 low")), (pressed.clone(), pressed));
        assert_eq!(parse("adc 1 512"), Command::Adc { node: "1".into(), value: 512 });
        for line in ["pin 1 x low", "pin 1 4 middle", "adc 1 1024"] {
            assert!(
                Cli::try_parse_from(["spore", "lab"].into_iter().chain(line.split(' '))).is_err(),
                "{line}"
            );
        }
        let off = Command::AccessPoint { on: false, passphrase: None };
        assert_eq!(parse("access-point off"), off);
    }

    #[test]
    fn the_lab_is_asked_over_its_socket_and_its_nodes_through_loopback() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(temp.path().join(".spore"));
        std::fs::create_dir(state.path()).unwrap();
        let node =
            FakeNode::start(|request| (200, format!(r#"{{"members":[],"hostname":"{}"}}"#, request.path)));
        let mut status = status(2, 1);
        status.nodes[1].local = node.address();
        status.nodes[0].state = "off".into();
        let fake = FakeLab::new(status);
        let _server = Server::open(&state, fake, Arc::default()).unwrap();

        let (outcome, out) = run_in(temp.path(), &["lab", "status"], &[]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("esp_2     10.4.0.12  running  1"), "{out}");
        assert_eq!(run_in(temp.path(), &["lab", "restart", "1"], &[]).1, "done: esp_1\n");
        assert_eq!(run_in(temp.path(), &["lab", "kill", "9"], &[]).0.unwrap_err().kind, Kind::Refused);
        for name in ["10.4.0.12", "esp_2", "2", "http://10.4.0.12/"] {
            let (outcome, out) = run_in(temp.path(), &["node", "status", name, "--json"], &[]);
            assert_eq!(outcome, Ok(()), "{name}");
            assert!(out.contains("/api/node/status"), "{out}");
        }
        let (outcome, _) = run_in(temp.path(), &["cluster", "members"], &[]);
        assert_eq!(outcome, Ok(()), "the first running node is asked");
        let failure = run_in(temp.path(), &["node", "status", "esp_9"], &[]).0.unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable);
    }

    #[test]
    fn without_a_lab_it_says_so() {
        let temp = tempfile::tempdir().unwrap();
        let failure = run_in(temp.path(), &["lab", "heal"], &[]).0.unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!(failure.message.contains("no lab is running"));
    }
}
