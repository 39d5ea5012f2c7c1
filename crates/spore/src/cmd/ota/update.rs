//! `spore ota update`: one node.

use super::install::{install, not_updatable, updatable_board};
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use crate::image::Images;
use crate::output::duration;
use std::path::Path;

/// Update this node.
pub fn run(node: &str, image: Option<&Path>, context: &mut Context) -> Outcome {
    let named: Vec<_> = image.map(Path::to_path_buf).into_iter().collect();
    let mut images = Images::new(&named, context)?;
    let target = context.target(node)?;
    let image = match (image, images.chosen()) {
        (Some(_), [image]) => image,
        _ => {
            let board = updatable_board(context, &target)?.ok_or_else(|| not_updatable(&target))?;
            let lack = images.lack(&board);
            images.for_board(&board, context)?.ok_or_else(|| {
                Failure::other(format!("{}: {lack}", target.label))
                    .hint(format!("make one: {PROGRAM} build --help"))
            })?
        }
    };
    let image = image.clone();
    let installed = install(context, &target, &image)?;
    if context.json {
        let seconds = installed.took.map(|took| took.as_secs_f64());
        return context.json_line(
            &serde_json::json!({"hostname": installed.hostname, "node": target.argument,
            "from": installed.from, "version": image.version(), "sha256": image.sha256(),
            "outcome": if seconds.is_some() { "confirmed" } else { "unchanged" }, "seconds": seconds}),
        );
    }
    match installed.took {
        Some(took) => writeln!(
            context.out,
            "{}: {} -> {}, confirmed after {}",
            target.label,
            installed.from,
            image.version(),
            duration(took.as_millis() as u64)
        )?,
        None => writeln!(context.out, "{}: runs {} already", target.label, image.version())?,
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use crate::exit::Kind;
    use crate::testing::{FakeNode, run_in};
    use spore_image::build::{build_image, virtual_image};
    use spore_image::{Behaviour, HEADER_BYTES, Header};
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};

    /// An image in a folder, and its hash.
    pub fn image(folder: &Path, version: &str) -> (PathBuf, String) {
        image_for("virtual", folder, version)
    }

    /// The same for another board.
    pub fn image_for(board: &str, folder: &Path, version: &str) -> (PathBuf, String) {
        let bytes = virtual_image("spore", version.parse().unwrap(), Behaviour::default(), 5000).unwrap();
        // What is not virtual begins in instruction RAM.
        let entry = if board == "virtual" { 0 } else { 0x4010_1000 };
        let header = Header { board: board.try_into().unwrap(), entry, ..Header::parse(&bytes).unwrap() };
        let bytes =
            build_image(header, [&bytes[HEADER_BYTES..], board.as_bytes()].concat().as_slice()).unwrap();
        let path = folder.join(format!("{board}-{version}.img"));
        std::fs::write(&path, &bytes).unwrap();
        let hash = Header::parse(&bytes).unwrap().sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        (path, hash)
    }

    /// How a node takes an update.
    #[derive(Clone, Copy, PartialEq)]
    pub enum Mood {
        Healthy,
        Reverts,
        Refuses,
        Legacy,
        Sleeps,
    }

    /// A node that runs 1.0.0 and takes updates in its way.
    pub fn updatable(
        hostname: &'static str,
        hash: &str,
        mood: Mood,
        log: Arc<Mutex<Vec<&'static str>>>,
    ) -> FakeNode {
        updatable_on("virtual", hostname, hash, mood, log)
    }

    /// The same on another board.
    pub fn updatable_on(
        board: &'static str,
        hostname: &'static str,
        hash: &str,
        mood: Mood,
        log: Arc<Mutex<Vec<&'static str>>>,
    ) -> FakeNode {
        let (hash, looks, sent) = (hash.to_owned(), Mutex::new(None::<u32>), Mutex::new(String::new()));
        FakeNode::start(move |request| {
            let mut looks = looks.lock().unwrap();
            match request.method.as_str() {
                "POST" if mood == Mood::Refuses => (409, r#"{"error":"another update runs"}"#.into()),
                "POST" => {
                    log.lock().unwrap().push(hostname);
                    *looks = Some(0);
                    *sent.lock().unwrap() = Header::parse(&request.body).unwrap().version.as_str().to_owned();
                    (200, format!(r#"{{"success":true,"size":{}}}"#, request.body.len()))
                }
                _ if mood == Mood::Legacy => (200, r#"{"freeHeap":1}"#.into()),
                _ => {
                    let count = looks.as_mut().map(|looks| {
                        *looks += 1;
                        *looks
                    });
                    let (boot, sha256, state, update) = match (count, mood) {
                        (None | Some(1), _) | (_, Mood::Sleeps) => (1, "old", "confirmed", "null"),
                        (Some(2), _) => (2, hash.as_str(), "trial", r#"{"outcome":"pending"}"#),
                        (_, Mood::Reverts) => {
                            (5, "old", "confirmed", r#"{"outcome":"reverted","reason":"crashed 3 times"}"#)
                        }
                        _ => (2, hash.as_str(), "confirmed", r#"{"outcome":"confirmed"}"#),
                    };
                    let sent = sent.lock().unwrap();
                    let version = if sha256 == "old" { "1.0.0" } else { sent.as_str() };
                    (
                        200,
                        format!(
                            r#"{{"hostname":"{hostname}","board":"{board}","boot":{boot},"lastUpdate":{update},"image":{{"version":"{version}","sha256":"{sha256}","state":"{state}"}}}}"#
                        ),
                    )
                }
            }
        })
    }

    fn update(mood: Mood, more: &[&str]) -> (crate::exit::Outcome, String) {
        let temp = tempfile::tempdir().unwrap();
        let (path, hash) = image(temp.path(), "1.3.0");
        let node = updatable("esp_1", &hash, mood, Arc::default());
        let line = ["ota", "update", &node.address().to_string(), path.to_str().unwrap()];
        run_in(temp.path(), &[&line, more].concat(), &[])
    }

    #[test]
    fn an_update_ends_with_the_confirmation() {
        let (outcome, out) = update(Mood::Healthy, &[]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("1.0.0 -> 1.3.0, confirmed after"), "{out}");
        let (_, out) = update(Mood::Healthy, &["--json"]);
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&value["outcome"], &value["hostname"]), (&"confirmed".into(), &"esp_1".into()));
    }

    #[test]
    fn other_ends() {
        let kind = |mood, part: &str, more: &[&str]| {
            let failure = update(mood, more).0.unwrap_err();
            assert!(failure.message.contains(part), "{}", failure.message);
            failure.kind
        };
        assert_eq!(kind(Mood::Reverts, "crashed 3 times", &[]), Kind::Halted);
        assert_eq!(kind(Mood::Refuses, "another update runs", &[]), Kind::Refused);
        assert_eq!(kind(Mood::Legacy, "cannot be updated", &[]), Kind::Other);
        assert_eq!(kind(Mood::Sleeps, "", &["--timeout", "0.5"]), Kind::TimedOut);
    }

    #[test]
    fn the_image_already_there_is_not_sent() {
        let temp = tempfile::tempdir().unwrap();
        let (path, hash) = image(temp.path(), "1.3.0");
        let log = Arc::new(Mutex::new(Vec::new()));
        let node = updatable("esp_1", &hash, Mood::Healthy, log.clone());
        let line = ["ota", "update", &node.address().to_string(), path.to_str().unwrap()];
        for _ in 0..2 {
            assert_eq!(run_in(temp.path(), &line, &[]).0, Ok(()));
        }
        assert_eq!(*log.lock().unwrap(), ["esp_1"]);
    }

    #[test]
    fn the_default_is_the_newest_image() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("build")).unwrap();
        let failure = run_in(temp.path(), &["ota", "update", "127.0.0.1:9"], &[]).0.unwrap_err();
        assert!(failure.message.contains("no image"), "{}", failure.message);
        let (_, hash) = image(&temp.path().join("build"), "1.4.0");
        let node = updatable("esp_1", &hash, Mood::Healthy, Arc::default());
        let line = ["ota", "update", &node.address().to_string()];
        // Newer, but for another board.
        let (_, other) = image_for("desk", &temp.path().join("build"), "1.5.0");
        let (outcome, out) = run_in(temp.path(), &line, &[]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("1.4.0"), "{out}");
        let node = updatable_on("desk", "esp_2", &other, Mood::Healthy, Arc::default());
        let line = ["ota", "update", &node.address().to_string()];
        let (outcome, out) = run_in(temp.path(), &line, &[]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("1.5.0"), "{out}");
        let node = updatable_on("toaster", "esp_3", &other, Mood::Healthy, Arc::default());
        let failure =
            run_in(temp.path(), &["ota", "update", &node.address().to_string()], &[]).0.unwrap_err();
        assert!(failure.message.contains("its board is toaster"), "{}", failure.message);
    }
}
