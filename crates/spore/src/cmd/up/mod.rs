//! `spore up`: start a lab, here or in the background.

mod detach;
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
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=250))]
    nodes: u16,
    /// Return when every node sees every other; the lab runs on in the background
    #[arg(long)]
    detach: bool,
    /// How many of the nodes run the ESP8266 firmware in an emulator (not there yet)
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    emulated: u16,
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

/// Start the lab.
pub fn run(args: &UpArgs, context: &mut Context) -> Outcome {
    if args.emulated > 0 {
        return Err(Failure::other("emulated nodes come with the firmware step, which is not there yet")
            .hint(format!("virtual nodes: {PROGRAM} up --nodes {}", args.nodes)));
    }
    if args.port_base.is_some_and(|base| u32::from(base) + u32::from(args.nodes) > 65_536) {
        return Err(Failure::other("there are not enough ports above --port-base for so many nodes"));
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
        state_dir: Some(context.state.path().to_owned()),
        bridges: true,
        port_base: args.port_base,
        tap: args.tap.clone(),
        seed: args.seed,
        // Without a pass phrase it is an open network.
        wifi: setting("WIFI_SSID").map(|ssid| (ssid, setting("WIFI_PASSWORD").unwrap_or_default())),
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
