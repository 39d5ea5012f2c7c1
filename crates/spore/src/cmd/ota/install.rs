//! One update of one node: send the image, then wait for the verdict. An update has succeeded when the node is back with
//! the image's hash and has confirmed it, never when the bytes are sent.

use crate::api::{self, NodeStatus, RunningImage};
use crate::context::target::Target;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Kind, Outcome};
use crate::http::Client;
use crate::image::Image;
use crate::output::progress::Progress;
use std::time::{Duration, Instant};

/// How long a node may take from the last byte to its confirmation, in seconds, unless the user says otherwise.
const CONFIRM_SECONDS: u64 = 90;
/// How long the sending may take: flash is erased and written meanwhile.
const UPLOAD_SECONDS: u64 = 120;
/// Pause between looks at a node on trial.
const PAUSE: Duration = Duration::from_millis(250);

/// How a successful update went.
#[derive(Debug, Clone, PartialEq)]
pub struct Installed {
    /// The node's hostname.
    pub hostname: String,
    /// Version it ran before.
    pub from: String,
    /// Time from the first byte to the confirmation; `None` when it ran the image already.
    pub took: Option<Duration>,
}

/// Bring the image to the node and wait until it is confirmed.
pub fn install(context: &Context, node: &Target, image: &Image) -> Outcome<Installed> {
    let before = status(&context.client(), node)?;
    let hostname = if before.hostname.is_empty() { node.label.clone() } else { before.hostname.clone() };
    let Some(running) = &before.image else {
        return Err(not_updatable(node));
    };
    let wanted = Wanted { sha256: image.sha256(), version: image.version() };
    let already = wanted.is(running);
    let installed = |took| Installed { hostname: hostname.clone(), from: running.version.clone(), took };
    if already && running.state == "confirmed" {
        return Ok(installed(None));
    }
    if before.board != image.header.board.as_str() {
        return Err(Failure::new(
            Kind::Refused,
            format!(
                "{} has board {:?}, the image is for {:?}",
                node.label,
                before.board,
                image.header.board.as_str()
            ),
        ));
    }
    let begin = Instant::now();
    if !already {
        send(context, node, image)?;
        context.note(&format!("{}: sent, waiting for it to confirm {}", node.label, image.version()));
    }
    confirm(context, node, &wanted, &before)?;
    Ok(installed(Some(begin.elapsed())))
}

/// What tells an image from others. The hash alone does not: it is that of the code, and the version is beside it.
struct Wanted<'a> {
    sha256: String,
    version: &'a str,
}

impl Wanted<'_> {
    fn is(&self, image: &RunningImage) -> bool {
        image.sha256 == self.sha256 && image.version == self.version
    }
}

fn send(context: &Context, node: &Target, image: &Image) -> Outcome {
    let progress = Progress::new(&node.label, image.bytes.len(), context.quiet);
    let client = Client::new(context.wait(UPLOAD_SECONDS), context.verbose);
    let answer = client.upload(node, "/api/node/update", &image.bytes, &|sent| progress.set(sent));
    progress.finish();
    answer.map(drop).map_err(|failure| match failure.kind {
        Kind::Refused => failure,
        _ => failure
            .about("the image was not sent")
            .hint(format!("what does it run? {PROGRAM} node status {}", node.argument)),
    })
}

/// The board of a node that tells which image it runs. C++ SPORE does not: `None`.
pub fn updatable_board(context: &Context, node: &Target) -> Outcome<Option<String>> {
    match status(&context.client(), node) {
        Ok(status) => Ok(status.image.map(|_| status.board)),
        Err(failure) if failure.kind == Kind::Unreachable || failure.kind == Kind::TimedOut => Err(failure),
        // It answers, but not as a node of ours.
        Err(_) => Ok(None),
    }
}

/// The error of a node without an image to tell of.
pub fn not_updatable(node: &Target) -> Failure {
    Failure::other(format!(
        "{} cannot be updated from here: it does not tell which image it runs",
        node.label
    ))
    .hint("C++ SPORE is updated with its own tools")
}

fn status(client: &Client, node: &Target) -> Outcome<NodeStatus> {
    api::parse(&client.get(node, "/api/node/status", &[])?)
}

/// Wait for the verdict.
fn confirm(context: &Context, node: &Target, wanted: &Wanted<'_>, before: &NodeStatus) -> Outcome {
    let version = wanted.version;
    let patience = context.wait(CONFIRM_SECONDS);
    let end = Instant::now() + patience;
    // The node restarts meanwhile: it may well not answer.
    let client = Client::new(Duration::from_secs(2), context.verbose);
    let mut last = None;
    loop {
        if let Ok(now) = status(&client, node) {
            match verdict(before, &now, wanted) {
                Verdict::Confirmed => return Ok(()),
                Verdict::Reverted(why) => {
                    let back = now.image.map(|image| image.version).unwrap_or_default();
                    return Err(Failure::new(
                        Kind::Halted,
                        format!("{} did not keep {version} and went back to {back}: {why}", node.label),
                    )
                    .hint(format!("{PROGRAM} node status {}", node.argument)));
                }
                Verdict::Open(state) => last = Some(state),
            }
        }
        if Instant::now() >= end {
            let seconds = patience.as_secs_f64();
            let seen = last.unwrap_or("it has not answered since");
            return Err(Failure::new(
                Kind::TimedOut,
                format!("{} has not confirmed {version} within {seconds} s: {seen}", node.label),
            )
            .hint(format!("look again later: {PROGRAM} node status {}", node.argument)));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a status means for an update.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// The image runs and stays.
    Confirmed,
    /// The node went back, and why.
    Reverted(String),
    /// Not decided yet, and what it does.
    Open(&'static str),
}

fn verdict(before: &NodeStatus, now: &NodeStatus, wanted: &Wanted<'_>) -> Verdict {
    let Some(image) = &now.image else { return Verdict::Open("it does not tell its image") };
    if wanted.is(image) {
        return match image.state.as_str() {
            "confirmed" => Verdict::Confirmed,
            _ => Verdict::Open("it runs the image on trial"),
        };
    }
    // Until its restart the node runs the old image, and may tell how an earlier update ended.
    if now.boot == before.boot {
        return Verdict::Open("it has not restarted yet");
    }
    match &now.last_update {
        Some(update) if update.outcome == "reverted" => Verdict::Reverted(
            update.reason.clone().filter(|why| !why.is_empty()).unwrap_or("it gave no reason".into()),
        ),
        _ => Verdict::Open("it runs another image"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(boot: u64, sha256: &str, state: &str, outcome: Option<&str>) -> NodeStatus {
        let update =
            outcome.map(|outcome| serde_json::json!({"outcome": outcome, "reason": "crashed 3 times"}));
        serde_json::from_value(serde_json::json!({"boot": boot, "lastUpdate": update,
            "image": {"sha256": sha256, "version": if sha256 == "old" { "1.0.0" } else { "1.1.0" }, "state": state}}))
        .unwrap()
    }

    #[test]
    fn only_the_confirmed_image_counts() {
        let before = node(3, "old", "confirmed", Some("reverted"));
        let wanted = Wanted { sha256: "new".to_owned(), version: "1.1.0" };
        let verdict = |now| verdict(&before, &now, &wanted);
        assert_eq!(verdict(node(4, "new", "confirmed", Some("confirmed"))), Verdict::Confirmed);
        assert!(matches!(verdict(node(4, "new", "trial", Some("pending"))), Verdict::Open(_)));
        assert!(
            matches!(verdict(before.clone()), Verdict::Open(_)),
            "an earlier update that was reverted says nothing about this one"
        );
        assert_eq!(
            verdict(node(7, "old", "confirmed", Some("reverted"))),
            Verdict::Reverted("crashed 3 times".into())
        );
        assert!(matches!(verdict(node(4, "old", "confirmed", Some("pending"))), Verdict::Open(_)));
        let mut twin = node(4, "new", "confirmed", Some("pending"));
        twin.image.as_mut().unwrap().version = "1.0.0".into();
        assert!(
            matches!(verdict(twin), Verdict::Open(_)),
            "the same code under another version is another image"
        );
    }
}
