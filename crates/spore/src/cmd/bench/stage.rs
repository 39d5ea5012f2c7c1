//! A lab to be measured: in this process, in memory, on free ports; the user's own lab is left alone.

use super::report::Figure;
use crate::context::target::{Target, in_lab};
use crate::exit::{Failure, Kind, Outcome};
use spore_lab::control::{Command, NodeStatus, Reply, Status};
use spore_lab::{Lab, Options};
use std::time::{Duration, Instant};

/// Pause between looks at a lab that converges: the resolution of that figure.
const LOOK: Duration = Duration::from_millis(20);

/// A lab whose nodes all see each other.
pub struct Stage {
    lab: Lab,
    convergence: Duration,
}

impl Stage {
    /// Start a lab and wait until every node sees every other ACTIVE.
    pub fn start(nodes: u16, patience: Duration) -> Outcome<Self> {
        let begin = Instant::now();
        let options = Options { bridges: true, ..Options::in_memory(nodes, 1) };
        let lab = Lab::start(options)
            .map_err(|error| Failure::other(format!("the lab did not start: {error:#}")))?;
        let mut stage = Self { lab, convergence: Duration::ZERO };
        while !stage.status()?.converged {
            if begin.elapsed() > patience {
                let message =
                    format!("{nodes} nodes do not all see each other after {} s", patience.as_secs_f64());
                return Err(Failure::new(Kind::TimedOut, message));
            }
            std::thread::sleep(LOOK);
        }
        stage.convergence = begin.elapsed();
        Ok(stage)
    }

    /// How long it took.
    pub fn convergence(&self) -> Vec<Figure> {
        vec![Figure::new("after", self.convergence.as_secs_f64(), "s")]
    }

    /// The lab at this moment.
    pub fn status(&self) -> Outcome<Status> {
        match self.lab.call(Command::Status) {
            Reply::Status(status) => Ok(status),
            Reply::Error { error } => Err(Failure::other(error)),
            other => Err(Failure::other(format!("the lab answered {other:?} when asked for its status"))),
        }
    }

    /// How many nodes it has, and the way to the first of them.
    pub fn first_node(&self) -> Outcome<(usize, Target)> {
        let nodes = self.status()?.nodes;
        let first: Option<&NodeStatus> = nodes.first();
        let first = first.ok_or_else(|| Failure::other("the lab has no nodes"))?;
        Ok((nodes.len(), in_lab(first)))
    }
}
