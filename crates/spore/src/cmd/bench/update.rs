//! An update of one node: how fast it takes the image, and how soon it has confirmed it.

use super::report::{Figure, Report};
use super::stage::Stage;
use crate::api::{self, NodeStatus};
use crate::context::Context;
use crate::exit::{Failure, Kind, Outcome};
use crate::http::Client;
use spore_image::build::virtual_image;
use spore_image::{Behaviour, Version};
use std::time::{Duration, Instant};

/// Size of the image in bytes: most of a slot of a chip of 1 MB.
const IMAGE: usize = 400_000;
/// Version of the image; no lab starts with it.
const VERSION: &str = "99.0.0";
/// How long sending, and then confirming, may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause between looks at the node on trial: the resolution of that figure.
const LOOK: Duration = Duration::from_millis(50);

/// Update the first node.
pub fn measure(stage: &Stage, context: &Context, report: &mut Report) -> Outcome {
    let (nodes, node) = stage.first_node()?;
    let cannot = |error: &dyn std::fmt::Display| Failure::other(format!("cannot make an image: {error}"));
    let version = Version::parse(VERSION).map_err(|error| cannot(&error))?;
    let image =
        virtual_image("spore", version, Behaviour::default(), IMAGE).map_err(|error| cannot(&error))?;
    let begin = Instant::now();
    Client::new(PATIENCE, context.verbose).upload(&node, "/api/node/update", &image, &|_| {})?;
    let sent = begin.elapsed().as_secs_f64();
    // It restarts meanwhile and may well not answer.
    let client = Client::new(Duration::from_secs(2), context.verbose);
    loop {
        let status =
            client.get(&node, "/api/node/status", &[]).and_then(|body| api::parse::<NodeStatus>(&body));
        let image = status.ok().and_then(|status| status.image);
        if image.is_some_and(|image| image.version == VERSION && image.state == "confirmed") {
            break;
        }
        if begin.elapsed() > PATIENCE {
            return Err(Failure::new(Kind::TimedOut, format!("{} has not confirmed its update", node.label)));
        }
        std::thread::sleep(LOOK);
    }
    report.add(
        format!("{nodes} nodes, update of one node with {} KB", IMAGE / 1000),
        vec![
            Figure::new("sending", sent, "s"),
            Figure::new("rate", IMAGE as f64 / 1000.0 / sent, "KB/s"),
            Figure::new("confirmed after", begin.elapsed().as_secs_f64(), "s"),
        ],
    );
    Ok(())
}
