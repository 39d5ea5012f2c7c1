//! From power on until every other node shows the node ACTIVE, and until it answers HTTP.

use super::count::Spread;
use super::stage::Stage;
use crate::api::Members;
use crate::cmd::bench::report::Report;
use crate::cmd::bench::requests::agent;
use crate::context::target::in_lab;
use crate::exit::Outcome;
use spore_lab::control::Command;
use std::time::Instant;

/// Start the emulated node so many times.
pub fn measure(stage: &Stage, times: u16, report: &mut Report) -> Outcome {
    let (mut active, mut answers, mut work) = (Spread::default(), Spread::default(), Spread::default());
    let ip = stage.node()?.ip.map(|ip| ip.to_string()).unwrap_or_default();
    for _ in 0..times {
        stage.order(|node| Command::Kill { node })?;
        // As long as they remember it from before, they would show it ACTIVE at once.
        let others = stage.others()?;
        stage.wait("the others to forget the node", || {
            for node in &others {
                let body = stage.client().get(&in_lab(node), "/api/cluster/members", &[])?;
                let members = Members::parse(&body)?.members;
                if members.iter().any(|member| member.ip == ip && member.status == "ACTIVE") {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        let begin = Instant::now();
        stage.order(|node| Command::Restart { node })?;
        stage.wait("the node to be ACTIVE", || stage.others_see_it())?;
        active.add(begin.elapsed().as_secs_f64());
        let url = format!("{}/api/node/status", stage.target()?.base);
        stage.wait("the node to answer", || Ok(agent(false).get(&url).call().is_ok()))?;
        answers.add(begin.elapsed().as_secs_f64());
        work.add(stage.meter().next()?.instructions() / 1e6);
    }
    report.add("power on to ACTIVE on all others", active.figures("s"));
    report.add("power on to an answer over HTTP as well", answers.figures("s"));
    report.add("the same in instructions, bootloader included", work.figures("million"));
    Ok(())
}
