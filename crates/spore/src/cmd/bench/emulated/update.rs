//! An update of the emulated node: how long it takes, and what it costs.

use super::count::{Meter, Spent, Work};
use super::stage::{Stage, built};
use super::trace;
use crate::api::{self, NodeStatus};
use crate::cmd::bench::report::{Figure, Report};
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::http::Client;
use crate::image::{BUILT, Image};
use serde::Deserialize;
use spore_image::{HEADER_BYTES, Version};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Versions of the images; no firmware has them.
const VERSIONS: [&str; 2] = ["99.0.0", "99.0.1"];
/// How long sending may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Bytes of an update sent before counting, while counting, and while every instruction is listed.
const BEFORE: usize = 32 * 1024;
const COUNTED: usize = 128 * 1024;
const LISTED: usize = 8 * 1024;
/// Of an update that stands still the node spends no more than so many times what it spends when idle.
const STILL: f64 = 2.0;

/// The firmware as it was built, of another version.
fn image(context: &Context, version: &str) -> Outcome<Vec<u8>> {
    let image = Image::read(&built(context, BUILT))?;
    let cannot = |error: spore_image::ImageError| Failure::other(format!("cannot make an image: {error}"));
    let mut header = image.header;
    header.version = Version::parse(version).map_err(|error| Failure::other(error.to_string()))?;
    let mut bytes = image.bytes;
    bytes[..HEADER_BYTES].copy_from_slice(&header.emit().map_err(cannot)?);
    Ok(bytes)
}

/// A whole update, from the first byte to confirmed. `idle` is what the node spends a second anyway.
pub fn whole(stage: &Stage, context: &Context, idle: f64, report: &mut Report) -> Outcome {
    let (image, node, meter) = (image(context, VERSIONS[0])?, stage.target()?, stage.meter());
    let mut sent = 0.0;
    let (spent, took) = meter.around(|| {
        let begin = Instant::now();
        Client::new(PATIENCE, context.verbose).upload(&node, "/api/node/update", &image, &|_| {})?;
        sent = begin.elapsed().as_secs_f64();
        // The serial line tells of the start; requests before it would only be counted.
        stage.wait("the image to start", || Ok(stage.node()?.version == VERSIONS[0]))?;
        stage.wait("the image to be confirmed", || {
            std::thread::sleep(Duration::from_millis(100));
            let status = stage.client().get(&node, "/api/node/status", &[]);
            let image =
                status.and_then(|body| api::parse::<NodeStatus>(&body)).ok().and_then(|status| status.image);
            Ok(image.is_some_and(|image| image.version == VERSIONS[0] && image.state == "confirmed"))
        })?;
        Ok(begin.elapsed().as_secs_f64())
    })?;
    let spent = spent.without(idle);
    let kilobytes = image.len() as f64 / 1024.0;
    report.add(
        format!("update with {kilobytes:.0} KB"),
        vec![
            Figure::new("sending", sent, "s"),
            Figure::new("confirmed after", took, "s"),
            Figure::new("all", spent.all / 1e6, "million instructions"),
            Figure::new("stand-in for flash and cache", spent.flash / 1e6, "million"),
        ],
    );
    Ok(())
}

/// What `GET /api/monitoring/resources` tells of an ESP8266.
#[derive(Debug, Deserialize)]
struct Resources {
    system: Measured,
    memory: Memory,
}

#[derive(Debug, Deserialize)]
struct Measured {
    stack_bytes: f64,
    stack_used: f64,
    longest_poll_us: f64,
    long_polls: f64,
}

#[derive(Debug, Deserialize)]
struct Memory {
    free_heap: f64,
}

/// A part of an update, in pieces: what a kilobyte costs while it comes in. The update is broken off then.
pub fn in_pieces(stage: &Stage, context: &Context, idle: f64, report: &mut Report) -> Outcome {
    let (image, meter) = (image(context, VERSIONS[1])?, stage.meter());
    let lost = |error: std::io::Error| Failure::other(format!("the update broke off: {error}"));
    let mut stream = TcpStream::connect(stage.node()?.local).map_err(lost)?;
    let head = format!(
        "POST /api/node/update HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        image.len()
    );
    stream.write_all(head.as_bytes()).map_err(lost)?;
    let mut rest = image.as_slice();
    let mut send = |bytes: usize| {
        let (piece, behind) = rest.split_at(bytes.min(rest.len()));
        rest = behind;
        stream.write_all(piece).map_err(lost)
    };
    send(BEFORE)?;
    let before = still(&meter, idle)?;
    send(COUNTED)?;
    let spent = Spent::between(before, still(&meter, idle)?).without(idle);
    let kilobytes = COUNTED as f64 / 1024.0;
    report.add(
        "a KB of an update received",
        vec![
            Figure::new("all", spent.all / kilobytes, "instructions"),
            Figure::new("stand-in for flash and cache", spent.flash / kilobytes, "instructions"),
        ],
    );
    let body = stage.client().get(&stage.target()?, "/api/monitoring/resources", &[])?;
    let Resources { system, memory } = api::parse(&body)?;
    report.add(
        "since the start, as the node tells",
        vec![
            Figure::new("stack used", system.stack_used, "bytes"),
            Figure::new("of", system.stack_bytes, "bytes"),
            Figure::new("longest poll", system.longest_poll_us * super::count::PER_MICRO, "instructions"),
            Figure::new("polls of over 15 ms", system.long_polls, ""),
            Figure::new("free heap", memory.free_heap, "bytes"),
        ],
    );
    let (shares, ()) = trace::during(stage, context, || {
        send(LISTED)?;
        still(&meter, idle).map(drop)
    })?;
    report.add("of that, listed", shares.figures());
    Ok(())
}

/// Waits until the node has done what it was given.
fn still(meter: &Meter, idle: f64) -> Outcome<Work> {
    let mut before = meter.next()?;
    loop {
        let after = meter.next()?;
        let spent = Spent::between(before, after);
        if spent.all < STILL * idle * spent.seconds {
            return Ok(after);
        }
        before = after;
    }
}
