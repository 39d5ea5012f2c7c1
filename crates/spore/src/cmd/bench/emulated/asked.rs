//! What the node spends on being idle, on requests, and on what others broadcast.

use super::count::{Meter, Spread, rates};
use super::stage::{OTHERS, Stage};
use crate::cmd::bench::report::{Figure, Report};
use crate::cmd::bench::requests::agent;
use crate::exit::{Failure, Outcome};
use std::time::Duration;

/// How often something is tried that a busy node may refuse.
const TRIES: usize = 4;
/// Pause after a setting of the others has changed, or a node has refused.
const SETTLE: Duration = Duration::from_millis(1500);
/// Milliseconds between a node's broadcasts, as they are and as fast as they can be set.
const FAST: u32 = 200;

/// What is asked: path, whether the connection is kept.
pub const QUESTIONS: [(&str, bool); 3] =
    [("/api/node/status", false), ("/api/node/status", true), ("/api/cluster/members", false)];

/// Instructions a second of a node that nobody asks anything.
pub fn idle(meter: &Meter, span: Duration) -> Outcome<f64> {
    let (spent, ()) = meter.around(|| {
        std::thread::sleep(span);
        Ok(())
    })?;
    Ok(spent.all / spent.seconds)
}

/// Requests, one after the other.
pub fn requests(
    stage: &Stage,
    (path, keep): (&str, bool),
    (count, rounds): (u32, u32),
    idle: f64,
    report: &mut Report,
) -> Outcome {
    let (meter, url) = (stage.meter(), format!("{}{path}", stage.target()?.base));
    let mut cost = Spread::default();
    let mut bytes = 0;
    for _ in 0..rounds {
        let (spent, length) = undisturbed(|| meter.around(|| ask(&url, keep, count)))?;
        cost.add(spent.without(idle).all / f64::from(count));
        bytes = length;
    }
    let connection = if keep { "kept connection" } else { "new connection" };
    let mut figures = cost.figures("instructions");
    figures.extend(rates(cost.median()));
    figures.push(Figure::new("answer", bytes as f64, "bytes"));
    report.add(format!("GET {path}, {connection}"), figures);
    Ok(())
}

/// Again when it failed: a node whose connections are all still being closed refuses, which must not be counted.
pub fn undisturbed<T>(mut action: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    for _ in 1..TRIES {
        if let Ok(result) = action() {
            return Ok(result);
        }
        std::thread::sleep(SETTLE);
    }
    action()
}

/// Ask so many times; the length of the last body.
pub fn ask(url: &str, keep: bool, count: u32) -> Outcome<usize> {
    let agent = agent(keep);
    let mut bytes = 0;
    for _ in 0..count {
        let mut request = agent.get(url);
        if !keep {
            request = request.header("Connection", "close");
        }
        let body = request.call().and_then(|mut answer| answer.body_mut().read_to_vec());
        bytes = body.map_err(|error| Failure::other(format!("{url}: {error}")))?.len();
    }
    Ok(bytes)
}

/// Datagrams of one kind from the others: how much more the node spends when more of them come.
pub fn broadcasts(
    stage: &Stage,
    (name, setting, usual): (&str, &str, u32),
    (idle, span, rounds): (f64, Duration, u32),
    report: &mut Report,
) -> Outcome {
    stage.others_say(setting, FAST)?;
    std::thread::sleep(SETTLE);
    let mut cost = Spread::default();
    let per_second = |millis: u32| f64::from(OTHERS) * 1000.0 / f64::from(millis);
    for _ in 0..rounds {
        let busy = self::idle(&stage.meter(), span / 2)?;
        cost.add((busy - idle) / (per_second(FAST) - per_second(usual)));
    }
    stage.others_say(setting, usual)?;
    std::thread::sleep(SETTLE);
    report.add(format!("one more {name} heard"), cost.figures("instructions"));
    Ok(())
}
