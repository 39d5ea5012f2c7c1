//! `spore ota all`: every node, one after the other, each verified before the next.

use super::install::{Installed, install, updatable_board};
use crate::api::{Member, Members};
use crate::context::target::Target;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Kind, Outcome};
use crate::image::{Image, Images};
use crate::output::duration;
use std::path::PathBuf;

/// What became of the cluster.
#[derive(Debug, Default)]
struct Report {
    updated: Vec<String>,
    unchanged: Vec<String>,
    skipped: Vec<(String, String)>,
    unreachable: Vec<String>,
    failed: Option<(String, Failure)>,
    not_tried: Vec<String>,
}

/// Update every member the API node knows, itself last: it stays the way in until all others are well.
pub fn run(named: &[PathBuf], context: &mut Context) -> Outcome {
    let mut images = Images::new(named, context)?;
    let api = context.api_node()?;
    let members = Members::parse(&context.client().get(&api, "/api/cluster/members", &[])?)?.members;
    let (own, mut order): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.is_self);
    order.extend(own);
    let report = roll_out(&order, &api, &mut images, context)?;
    if context.json {
        context.json_line(&report.json(&images))?;
    }
    report.verdict(&images, named)
}

fn roll_out(order: &[Member], api: &Target, images: &mut Images, context: &mut Context) -> Outcome<Report> {
    let mut report = Report::default();
    for (index, member) in order.iter().enumerate() {
        let name = format!("{} ({})", member.hostname, member.ip);
        // The board of a member that is listed as C++ is asked for below.
        if !member.board.is_empty() && images.for_board(&member.board, context)?.is_none() {
            report.skip(context, name, &images.lack(&member.board))?;
            continue;
        }
        if member.status == "DEAD" {
            say(context, &format!("{name}: left out, it is DEAD"))?;
            report.unreachable.push(name);
            continue;
        }
        let target = if member.is_self { Ok(api.clone()) } else { context.target(&member.ip) };
        // The list is no proof that a member is C++: one just started takes others for such until it has heard
        // more of them. The member itself knows.
        let board = if member.kind == "rust" && !member.board.is_empty() {
            member.board.clone()
        } else {
            let asked = target.as_ref().map_err(Clone::clone);
            match asked.and_then(|target| updatable_board(context, target)) {
                Ok(Some(board)) => board,
                Ok(None) => {
                    report.skip(context, name, "not updatable: it speaks only the texts of C++ SPORE")?;
                    continue;
                }
                Err(failure) => {
                    say(context, &format!("{name}: left out, {}", failure.message))?;
                    report.unreachable.push(name);
                    continue;
                }
            }
        };
        let Some(image) = images.for_board(&board, context)?.cloned() else {
            report.skip(context, name, &images.lack(&board))?;
            continue;
        };
        match target.and_then(|target| install(context, &target, &image)) {
            Ok(Installed { from, took: Some(took), .. }) => {
                let took = duration(took.as_millis() as u64);
                say(context, &format!("{name}: {from} -> {}, confirmed after {took}", image.version()))?;
                report.updated.push(name);
            }
            Ok(Installed { took: None, .. }) => {
                say(context, &format!("{name}: runs {} already", image.version()))?;
                report.unchanged.push(name);
            }
            Err(failure) => {
                report.failed = Some((name, failure));
                report.not_tried = order[index + 1..]
                    .iter()
                    .map(|member| format!("{} ({})", member.hostname, member.ip))
                    .collect();
                break;
            }
        }
    }
    Ok(report)
}

fn say(context: &mut Context, line: &str) -> Outcome {
    if !context.json {
        writeln!(context.out, "{line}")?;
        context.out.flush()?;
    }
    Ok(())
}

impl Report {
    fn skip(&mut self, context: &mut Context, name: String, why: &str) -> Outcome {
        say(context, &format!("{name}: left out, {why}"))?;
        self.skipped.push((name, why.to_owned()));
        Ok(())
    }

    fn json(&self, images: &Images) -> serde_json::Value {
        let failed = self.failed.as_ref();
        let describe = |image: &Image| {
            serde_json::json!({"board": image.header.board.as_str(), "version": image.version(),
                "sha256": image.sha256(), "file": image.path})
        };
        serde_json::json!({"images": images.chosen().iter().map(describe).collect::<Vec<_>>(),
            "updated": self.updated, "unchanged": self.unchanged, "unreachable": self.unreachable,
            "notTried": self.not_tried,
            "skipped": self.skipped.iter().map(|(node, why)| serde_json::json!({"node": node, "reason": why})).collect::<Vec<_>>(),
            "failed": failed.map(|(node, failure)| serde_json::json!({"node": node, "error": failure.message}))})
    }

    fn verdict(self, images: &Images, named: &[PathBuf]) -> Outcome {
        if let Some((_, failure)) = self.failed {
            let list = |what: &str, names: &[String]| {
                if names.is_empty() { String::new() } else { format!("\n  {what}: {}", names.join(", ")) }
            };
            let done = [self.updated, self.unchanged].concat();
            return Err(Failure::new(
                Kind::Halted,
                format!(
                    "stopped: {}{}{}{}",
                    failure.message,
                    list(&format!("run {}", versions(images)), &done),
                    list("unreachable", &self.unreachable),
                    list("not tried", &self.not_tried)
                ),
            )
            .hint(failure.hint.unwrap_or_else(|| format!("{PROGRAM} cluster members"))));
        }
        if !self.unreachable.is_empty() {
            return Err(Failure::new(
                Kind::Unreachable,
                format!("not updated: {}", self.unreachable.join(", ")),
            )
            .hint(format!("when they are back: {PROGRAM} ota all{}", files(named))));
        }
        Ok(())
    }
}

/// The versions of images, each once.
fn versions(images: &Images) -> String {
    let mut versions: Vec<_> = images.chosen().iter().map(Image::version).collect();
    versions.dedup();
    versions.join(" or ")
}

/// Files as arguments.
fn files(named: &[PathBuf]) -> String {
    named.iter().map(|file| format!(" {}", file.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::update::tests::{Mood, image, image_for, updatable, updatable_on};
    use crate::exit::{Failure, Kind};
    use crate::testing::{FakeNode, run_in};
    use std::sync::{Arc, Mutex};

    /// Members with these moods, asked through a node that is none of them.
    fn all(moods: &[Mood], more: &str) -> (crate::exit::Outcome, String, Vec<&'static str>) {
        let temp = tempfile::tempdir().unwrap();
        let (path, hash) = image(temp.path(), "1.3.0");
        let log = Arc::new(Mutex::new(Vec::new()));
        let names = ["esp_1", "esp_2", "esp_3"];
        let nodes: Vec<_> =
            names.iter().zip(moods).map(|(name, mood)| updatable(name, &hash, *mood, log.clone())).collect();
        let entries: Vec<_> = nodes
            .iter()
            .zip(names)
            .map(|(node, name)| {
                format!(
                    r#"{{"hostname":"{name}","ip":"{}","status":"ACTIVE","kind":"rust","board":"virtual"}}"#,
                    node.address()
                )
            })
            .collect();
        let body = format!(r#"{{"members":[{}{more}]}}"#, entries.join(","));
        let api = FakeNode::start(move |_| (200, body.clone()));
        let line = ["ota", "all", path.to_str().unwrap()];
        let (outcome, out) = run_in(temp.path(), &line, &[("API_NODE", &api.address().to_string())]);
        drop(nodes);
        let log = log.lock().unwrap().clone();
        (outcome, out, log)
    }

    #[test]
    fn one_after_the_other() {
        let (outcome, out, log) = all(&[Mood::Healthy, Mood::Healthy], "");
        assert_eq!((outcome, log), (Ok(()), vec!["esp_1", "esp_2"]));
        assert_eq!(out.lines().count(), 2, "{out}");
    }

    #[test]
    fn the_first_that_goes_back_stops_it() {
        let (outcome, out, log) = all(&[Mood::Healthy, Mood::Reverts, Mood::Healthy], "");
        let Failure { kind, message, .. } = outcome.unwrap_err();
        assert_eq!((kind, log), (Kind::Halted, vec!["esp_1", "esp_2"]));
        assert!(message.contains("crashed 3 times"), "{message}");
        assert!(message.contains("run 1.3.0: esp_1"), "{message}");
        assert!(message.contains("not tried: esp_3"), "{message}");
        assert!(out.starts_with("esp_1"), "{out}");
    }

    #[test]
    fn a_refusal_stops_it_too() {
        let (outcome, _, log) = all(&[Mood::Refuses, Mood::Healthy], "");
        assert_eq!((outcome.unwrap_err().kind, log), (Kind::Halted, vec![]));
    }

    #[test]
    fn who_cannot_take_it_is_left_out() {
        let cpp = FakeNode::start(|_| (200, r#"{"freeHeap":1}"#.into()));
        let more = format!(
            r#",{{"hostname":"cpp","ip":"{}","status":"ACTIVE","kind":"text"}},
            {{"hostname":"other","ip":"127.0.0.1:1","status":"ACTIVE","kind":"rust","board":"esp8266"}}"#,
            cpp.address()
        );
        let (outcome, out, log) = all(&[Mood::Healthy], &more);
        assert_eq!((outcome, log), (Ok(()), vec!["esp_1"]));
        assert!(out.contains("left out, not updatable"), "{out}");
        assert!(out.contains("its board is esp8266"), "{out}");
        let dead = r#",{"hostname":"dark","ip":"127.0.0.1:1","status":"DEAD","kind":"rust"}"#;
        let (outcome, _, _) = all(&[Mood::Healthy], dead);
        assert_eq!(outcome.unwrap_err().kind, Kind::Unreachable);
    }

    #[test]
    fn each_board_gets_its_own_image() {
        let temp = tempfile::tempdir().unwrap();
        let build = temp.path().join("build");
        std::fs::create_dir(&build).unwrap();
        let (one, hash) = image(&build, "1.3.0");
        let (two, other) = image_for("desk", &build, "1.3.0");
        let run = |more: &[&str]| {
            let log = Arc::new(Mutex::new(Vec::new()));
            let nodes = [
                updatable("esp_1", &hash, Mood::Healthy, log.clone()),
                updatable_on("desk", "esp_2", &other, Mood::Healthy, log.clone()),
                // Listed as one that was heard for the first time: the list does not tell its board.
                updatable_on("desk", "esp_3", &other, Mood::Healthy, log.clone()),
            ];
            let kinds =
                [r#""kind":"rust","board":"virtual""#, r#""kind":"rust","board":"desk""#, r#""kind":"text""#];
            let entries: Vec<_> = (1..)
                .zip(&nodes)
                .zip(kinds)
                .map(|((number, node), kind)| {
                    format!(
                        r#"{{"hostname":"esp_{number}","ip":"{}","status":"ACTIVE",{kind}}}"#,
                        node.address()
                    )
                })
                .collect();
            let body = format!(r#"{{"members":[{}]}}"#, entries.join(","));
            let api = FakeNode::start(move |_| (200, body.clone()));
            let line = [&["ota", "all"], more].concat();
            let (outcome, out) = run_in(temp.path(), &line, &[("API_NODE", &api.address().to_string())]);
            drop(nodes);
            let log = log.lock().unwrap().clone();
            (outcome, out, log)
        };
        let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
        for line in [&[][..], &[one, two], &[two, "--image", one], &["--image", one, "--image", two]] {
            let (outcome, out, log) = run(line);
            assert_eq!((outcome, log), (Ok(()), vec!["esp_1", "esp_2", "esp_3"]), "{line:?}: {out}");
        }
        let (outcome, out, log) = run(&[two]);
        assert_eq!((outcome, log), (Ok(()), vec!["esp_2", "esp_3"]));
        assert!(out.contains("left out, its board is virtual, the image is for desk"), "{out}");
        let (outcome, _, log) = run(&[two, two]);
        assert!(outcome.unwrap_err().message.contains("both for board desk"));
        assert!(log.is_empty());
    }

    #[test]
    fn a_member_listed_as_text_is_asked_itself() {
        let temp = tempfile::tempdir().unwrap();
        let (path, hash) = image(temp.path(), "1.3.0");
        let log = Arc::new(Mutex::new(Vec::new()));
        let node = updatable("esp_1", &hash, Mood::Healthy, log.clone());
        let body = format!(
            r#"{{"members":[{{"hostname":"esp_1","ip":"{}","status":"ACTIVE","kind":"text"}},
            {{"hostname":"gone","ip":"127.0.0.1:1","status":"ACTIVE","kind":"text"}}]}}"#,
            node.address()
        );
        let api = FakeNode::start(move |_| (200, body.clone()));
        let line = ["ota", "all", path.to_str().unwrap()];
        let (outcome, _) = run_in(temp.path(), &line, &[("API_NODE", &api.address().to_string())]);
        assert_eq!(*log.lock().unwrap(), ["esp_1"], "a new member may be one of ours");
        assert_eq!(
            outcome.unwrap_err().kind,
            Kind::Unreachable,
            "who was not asked is not passed over in silence"
        );
    }
}
