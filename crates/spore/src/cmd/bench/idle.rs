//! A lab that nobody asks anything: its CPU time, and what its nodes send and receive.

use super::report::{Figure, Report};
use super::stage::Stage;
use crate::exit::Outcome;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Watch a lab that has settled.
pub fn measure(stage: &Stage, span: Duration, report: &mut Report) -> Outcome {
    let (before, cpu, begin) = (stage.status()?, cpu_time(), Instant::now());
    std::thread::sleep(span);
    let (after, cpu, seconds) = (stage.status()?, cpu_time() - cpu, begin.elapsed().as_secs_f64());
    let nodes = after.nodes.len();
    let share = cpu.as_secs_f64() / seconds;
    report.add(
        format!("{nodes} nodes, idle: CPU of the lab"),
        vec![
            Figure::new("of one core", share * 100.0, "%"),
            Figure::new("per node", share * 1e6 / nodes as f64, "us/s"),
        ],
    );
    // The gateway answers, but says nothing by itself: all but a trickle is of the nodes.
    let per_node = |after: u64, before: u64| after.saturating_sub(before) as f64 / seconds / nodes as f64;
    let traffic =
        |frames, bytes| vec![Figure::new("frames", frames, "/s"), Figure::new("traffic", bytes, "B/s")];
    report.add(
        format!("{nodes} nodes, idle: sent by a node"),
        traffic(
            per_node(after.sent_frames, before.sent_frames),
            per_node(after.sent_bytes, before.sent_bytes),
        ),
    );
    report.add(
        format!("{nodes} nodes, idle: received by a node"),
        traffic(per_node(after.frames, before.frames), per_node(after.bytes, before.bytes)),
    );
    Ok(())
}

/// CPU time of this process, all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
