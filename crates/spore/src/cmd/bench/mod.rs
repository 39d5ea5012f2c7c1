//! `spore bench`: measure labs of its own on this machine, one file per subject.

mod emulated;
mod idle;
mod report;
mod requests;
mod size;
mod stage;
mod update;

use crate::context::Context;
use crate::exit::Outcome;
use clap::{Args, Subcommand};
use report::Report;
use stage::Stage;
use std::time::Duration;

/// Nodes that have just met still tell each other details: half a minute among 50.
const SETTLE: Duration = Duration::from_secs(40);

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Start labs of several sizes and measure them: convergence, CPU, traffic, requests, an update, sizes
    Lab(BenchArgs),
    /// Count the instructions of the ESP8266 firmware in an emulator: idle, requests, datagrams, an update; time its starts
    Emulated(emulated::EmulatedArgs),
}

/// Arguments of `spore bench lab`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Nodes of each lab; requests for one node and the update go to the smallest, for all members to the largest
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [5, 50],
        value_parser = clap::value_parser!(u16).range(2..=250))]
    nodes: Vec<u16>,
    /// How long each measurement lasts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

/// Measure.
pub fn run(command: &BenchCommand, context: &mut Context) -> Outcome {
    if cfg!(debug_assertions) {
        context.note("warning: this is a debug build; figures worth comparing come from a release build");
    }
    let report = match command {
        BenchCommand::Lab(args) => {
            let pace = Pace { settle: SETTLE, span: Duration::from_secs(args.seconds) };
            measure(&args.nodes, pace, context)?
        }
        BenchCommand::Emulated(args) => emulated::measure(args, context)?,
    };
    if context.json {
        return context.json_line(&report);
    }
    Ok(context.out.write_all(report.table().text(context.palette).as_bytes())?)
}

/// How long things take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Pause between convergence and the first measurement.
    settle: Duration,
    /// Length of each measurement.
    span: Duration,
}

/// All measurements, lab by lab. Nothing else runs while one is taken.
fn measure(labs: &[u16], pace: Pace, context: &Context) -> Outcome<Report> {
    let mut labs = labs.to_vec();
    labs.sort_unstable();
    labs.dedup();
    let Pace { settle, span } = pace;
    let mut report = Report::new(span);
    for &nodes in &labs {
        context.note(&format!("{nodes} nodes: starting"));
        let stage = Stage::start(nodes, context.wait(60))?;
        report.add(format!("{nodes} nodes, power on to all ACTIVE"), stage.convergence());
        context.note(&format!("{nodes} nodes: idle"));
        std::thread::sleep(settle);
        idle::measure(&stage, span, &mut report)?;
        if Some(&nodes) == labs.first() {
            requests::measure(&stage, "/api/node/status", span, context, &mut report)?;
        }
        if Some(&nodes) == labs.last() {
            requests::measure(&stage, "/api/cluster/members", span, context, &mut report)?;
            size::measure(&stage, &mut report)?;
        }
        // Last: its node restarts.
        if Some(&nodes) == labs.first() {
            context.note(&format!("{nodes} nodes: update"));
            update::measure(&stage, context, &mut report)?;
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use crate::dotenv::Env;
    use clap::Parser;

    /// A context in `folder`, silent.
    fn report(folder: &std::path::Path, labs: &[u16]) -> Report {
        let cli = Cli::try_parse_from(["spore", "--quiet", "bench", "lab"]).unwrap();
        let mut out = Vec::new();
        let context = Context::new(&cli.global, folder, Env::of(&[]), &mut out);
        let pace = Pace { settle: Duration::ZERO, span: Duration::from_millis(250) };
        measure(labs, pace, &context).unwrap()
    }

    #[test]
    fn a_short_run_has_a_figure_for_everything() {
        let temp = tempfile::tempdir().unwrap();
        let report = serde_json::to_value(report(temp.path(), &[3, 2])).unwrap();
        let measurements = report["measurements"].as_array().unwrap();
        let figure = |of: &str, name: &str| {
            let found = measurements
                .iter()
                .find(|one| one["name"] == of)
                .unwrap_or_else(|| panic!("{of} in {report}"));
            let figures = found["figures"].as_array().unwrap();
            figures.iter().find(|one| one["name"] == name).unwrap()["value"].as_f64().unwrap()
        };
        for (of, name) in [
            ("2 nodes, power on to all ACTIVE", "after"),
            ("3 nodes, idle: CPU of the lab", "of one core"),
            ("2 nodes, GET /api/node/status, keep-alive, 1 client", "rate"),
            ("3 nodes, GET /api/cluster/members, new connections, 4 clients", "p99"),
            ("2 nodes, update of one node with 400 KB", "sending"),
            ("size of a node", "memory"),
            ("size of the page", "compressed"),
        ] {
            assert!(figure(of, name) > 0.0, "{of}, {name} in {report}");
        }
        // Nodes may say nothing in so short a time.
        assert!(figure("3 nodes, idle: sent by a node", "traffic") >= 0.0);
        assert!(figure("3 nodes, idle: received by a node", "frames") >= 0.0);
        assert_eq!(figure("2 nodes, GET /api/node/status, keep-alive, 1 client", "failed"), 0.0);
        assert!(!temp.path().join(".spore").exists(), "the user's own lab is left alone");
    }
}
