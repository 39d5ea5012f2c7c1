//! `spore up`: start a lab, here or in the background.

mod detach;
pub(in crate::cmd) mod emulator;
mod foreground;
mod live;

use crate::context::{Context, PROGRAM};
use crate::daemon::Control;
use crate::exit::{Failure, Outcome};
use clap::Args;
use spore_lab::control::{Command, Reply};
use std::sync::Arc;

/// Arguments of `spore up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// How many virtual nodes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(..=250))]
    nodes: u16,
    /// Return when every node sees every other; the lab runs on in the background
    #[arg(long)]
    detach: bool,
    /// How many more nodes run the ESP8266 firmware in an emulator (QEMU)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=250))]
    emulated: u16,
    /// Size of their flash chips in MB: 1, 2 or 4
    #[arg(long, value_name = "MB", default_value_t = 1)]
    flash: u16,
    /// Join the virtual LAN to this TAP interface of the host
    #[arg(long, value_name = "NAME")]
    tap: Option<String>,
    /// First of the loopback ports that lead to the nodes [default: 8801 and what is free from there]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
    port_base: Option<u16>,
    /// Seed of everything random: chip ids, jitter, lost frames
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Be the background process of `--detach`
    #[arg(long, hide = true)]
    daemon: bool,
}

impl UpArgs {
    /// How many nodes in all.
    fn count(&self) -> u16 {
        // Each is at most 250.
        self.nodes + self.emulated
    }
}

/// Start the lab.
pub fn run(args: &UpArgs, context: &mut Context) -> Outcome {
    let nodes = args.count();
    if !(1..=250).contains(&nodes) {
        return Err(Failure::other(format!("a lab has 1 to 250 nodes at its start, not {nodes}")));
    }
    if args.port_base.is_some_and(|base| u32::from(base) + u32::from(nodes) > 65_536) {
        return Err(Failure::other("there are not enough ports above --port-base for so many nodes"));
    }
    if context.state.is_locked() {
        return Err(runs_already(context));
    }
    // The background process finds what its parent has made.
    if args.emulated > 0 && !args.daemon {
        emulator::prepare(context)?;
    }
    if args.detach && !args.daemon {
        return detach::run(args, context);
    }
    let Some(lock) = context.state.lock()? else { return Err(runs_already(context)) };
    foreground::run(args, context, lock)
}

/// The error of a second lab in the same folder.
fn runs_already(context: &Context) -> Failure {
    let pid = context.state.pid().map(|pid| format!(", process {pid}")).unwrap_or_default();
    Failure::other(format!("a lab is running already ({}{pid})", context.state.path().display()))
        .hint(format!("look at it: {PROGRAM} lab status; stop it: {PROGRAM} down"))
}

/// Start the nodes.
fn start(args: &UpArgs, context: &Context) -> Outcome<Arc<dyn Control>> {
    let setting = |key| context.env.get(key).map(|setting| setting.value);
    let options = spore_lab::Options {
        nodes: args.nodes,
        emulated: args.emulated,
        emulator: match emulator::find(context, args.flash) {
            Ok(emulator) => Some(emulator),
            Err(failure) if args.emulated > 0 => return Err(failure),
            // Nobody asked for one.
            Err(_) => None,
        },
        ask_emulated: true,
        state_dir: Some(context.state.path().to_owned()),
        bridges: true,
        port_base: args.port_base,
        tap: args.tap.clone(),
        seed: args.seed,
        // Without a pass phrase it is an open network.
        wifi: setting("WIFI_SSID").map(|ssid| (ssid, setting("WIFI_PASSWORD").unwrap_or_default())),
        extra: None,
    };
    match spore_lab::Lab::start(options) {
        Ok(lab) => Ok(Arc::new(lab)),
        Err(error) => Err(Failure::other(format!("the lab did not start: {error:#}"))),
    }
}

impl Control for spore_lab::Lab {
    fn call(&self, command: Command) -> Reply {
        Self::call(self, command)
    }
}
