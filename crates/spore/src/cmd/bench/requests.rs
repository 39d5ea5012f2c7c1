//! Requests to one node: rate and latency, with connections kept and with new ones.

use super::report::{Figure, Report};
use super::stage::Stage;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use std::time::{Duration, Instant};
use ureq::Agent;

/// Clients at once. A node serves four connections.
const CLIENTS: [usize; 2] = [1, 4];
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ask the first node for `path` again and again.
pub fn measure(stage: &Stage, path: &str, span: Duration, context: &Context, report: &mut Report) -> Outcome {
    let (nodes, node) = stage.first_node()?;
    let url = format!("{}{path}", node.base);
    for keep in [true, false] {
        for clients in CLIENTS {
            let how = if keep { "keep-alive" } else { "new connections" };
            let many = if clients == 1 { "client" } else { "clients" };
            let name = format!("{nodes} nodes, GET {path}, {how}, {clients} {many}");
            context.note(&name);
            // The last connections of the row before are still being closed.
            std::thread::sleep(Duration::from_millis(100));
            report.add(name, row(&url, clients, keep, span)?);
        }
    }
    Ok(())
}

/// What clients saw.
#[derive(Debug, Default)]
struct Tally {
    /// Of answered requests.
    latencies: Vec<Duration>,
    /// Refused (503) or broken off.
    failed: usize,
    /// Bytes of the last body.
    bytes: usize,
}

/// Clients at once, each asking again as soon as it has its answer.
fn row(url: &str, clients: usize, keep: bool, span: Duration) -> Outcome<Vec<Figure>> {
    let begin = Instant::now();
    let mut all = Tally::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| ask(url, keep, begin + span))).collect();
        for thread in threads {
            let tally = thread.join().map_err(|_| Failure::other("a client panicked"))?;
            all.latencies.extend(tally.latencies);
            all.failed += tally.failed;
            all.bytes = all.bytes.max(tally.bytes);
        }
        Ok::<_, Failure>(())
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    all.latencies.sort_unstable();
    let millis = |part| percentile(&all.latencies, part).as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new("rate", all.latencies.len() as f64 / seconds, "/s"),
        Figure::new("p50", millis(0.5), "ms"),
        Figure::new("p99", millis(0.99), "ms"),
        Figure::new("failed", all.failed as f64, ""),
        Figure::new("answer", all.bytes as f64, "bytes"),
    ])
}

fn ask(url: &str, keep: bool, end: Instant) -> Tally {
    let agent = agent(keep);
    let mut tally = Tally::default();
    while Instant::now() < end {
        let begin = Instant::now();
        let mut request = agent.get(url);
        if !keep {
            request = request.header("Connection", "close");
        }
        match request.call().and_then(|mut answer| answer.body_mut().read_to_vec()) {
            Ok(body) => {
                tally.latencies.push(begin.elapsed());
                tally.bytes = body.len();
            }
            Err(_) => tally.failed += 1,
        }
    }
    tally
}

/// A client with at most one connection, kept or not.
pub fn agent(keep: bool) -> Agent {
    let idle = usize::from(keep);
    Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .build()
        .new_agent()
}

/// The smallest value that so large a part of all does not exceed (nearest rank); zero of none.
fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeNode;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        let millis = |part| percentile(&sorted, part).as_millis();
        assert_eq!((millis(0.0), millis(0.5), millis(0.99), millis(1.0)), (1, 50, 99, 100));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn refusals_count_as_failed() {
        let node = FakeNode::start(|_| (503, r#"{"error":"busy"}"#.into()));
        let tally = ask(&node.target().base, false, Instant::now() + Duration::from_millis(50));
        assert!(tally.failed > 0 && tally.latencies.is_empty(), "{tally:?}");
    }
}
