//! `spore bench emulated`: the ESP8266 firmware in QEMU, its instructions counted.

mod asked;
mod count;
mod stage;
mod starts;
mod trace;
mod update;

use super::report::{Figure, Report};
use crate::cmd::build::bill::{HEAP, Share, limit};
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use clap::Args;
use serde::Deserialize;
use stage::{Stage, built};
use std::time::Duration;

/// Pause between convergence and the first count.
const SETTLE: Duration = Duration::from_secs(5);
/// Requests while each instruction is listed.
const LISTED: u32 = 5;
/// Pause between them.
const SLOW: Duration = Duration::from_millis(300);
/// Broadcasts of the others: what they are called, their setting, its usual value in milliseconds.
const BROADCASTS: [(&str, &str, u32); 2] =
    [("heartbeat", "heartbeatIntervalMs", 2_000), ("discovery", "discoveryIntervalMs", 1_000)];
/// Data RAM in bytes.
const DRAM: u32 = 80 * 1024;

/// Arguments of `spore bench emulated`.
#[derive(Debug, Clone, Args)]
pub struct EmulatedArgs {
    /// How long an idle node is watched
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(4..=600))]
    seconds: u64,
    /// How many requests of a kind are sent each time
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    requests: u32,
    /// How often requests and datagrams are measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How often the node is started
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    starts: u16,
}

/// Measure.
pub fn measure(args: &EmulatedArgs, context: &Context) -> Outcome<Report> {
    let span = Duration::from_secs(args.seconds);
    let mut report = Report::new(span);
    context.note("starting two virtual nodes and an emulated one");
    let stage = Stage::start(context)?;
    let meter = stage.meter();
    context.note("starts of the emulated node");
    starts::measure(&stage, args.starts, &mut report)?;
    std::thread::sleep(SETTLE);
    context.note("idle");
    let idle = asked::idle(&meter, span)?;
    report.add("a second of idling in a cluster of 3", vec![Figure::new("all", idle, "instructions")]);
    for broadcast in BROADCASTS {
        context.note(&format!("one more {}", broadcast.0));
        asked::broadcasts(&stage, broadcast, (idle, span, args.rounds), &mut report)?;
    }
    for question @ (path, keep) in asked::QUESTIONS {
        context.note(&format!("GET {path}, {}", if keep { "kept connection" } else { "new connections" }));
        asked::requests(&stage, question, (args.requests, args.rounds), idle, &mut report)?;
    }
    let (path, keep) = asked::QUESTIONS[0];
    context.note(&format!("GET {path}, each instruction listed"));
    let url = format!("{}{path}", stage.target()?.base);
    let (shares, _) = trace::during(&stage, context, || {
        for _ in 0..LISTED {
            asked::undisturbed(|| asked::ask(&url, keep, 1))?;
            // Listing makes the node slow: it still closes that connection.
            std::thread::sleep(SLOW);
        }
        Ok(())
    })?;
    let each = shares.all() as f64 / f64::from(LISTED);
    let mut figures = vec![Figure::new("each, with all else that went on", each, "instructions")];
    figures.extend(shares.figures());
    report.add(format!("GET {path}, listed"), figures);
    context.note("update");
    update::whole(&stage, context, idle, &mut report)?;
    update::in_pieces(&stage, context, idle, &mut report)?;
    report.add("data RAM, from the bill of the build", memory(context)?);
    Ok(report)
}

/// The part of the bill that this tells.
#[derive(Deserialize)]
struct Bill {
    dram: Dram,
}

#[derive(Deserialize)]
struct Dram {
    rodata: u32,
    data: u32,
    bss: u32,
}

fn memory(context: &Context) -> Outcome<Vec<Figure>> {
    let file = built(context, "bill.json");
    let cannot =
        |error: &dyn std::fmt::Display| Failure::other(format!("cannot read {}: {error}", file.display()));
    let text = std::fs::read_to_string(&file).map_err(|error| cannot(&error))?;
    let Bill { dram: Dram { rodata, data, bss } } =
        serde_json::from_str(&text).map_err(|error| cannot(&error))?;
    let firmware = rodata + data + bss;
    let taken = firmware + Share::default().dram + HEAP;
    Ok(vec![
        Figure::new("firmware", f64::from(firmware), "bytes"),
        Figure::new("goal", f64::from(limit::DRAM_GOAL), "bytes"),
        Figure::new("free beside the SDK and its heap", f64::from(DRAM) - f64::from(taken), "bytes"),
    ])
}
