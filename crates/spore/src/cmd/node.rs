//! `spore node`: one node, its tasks and settings.

use crate::api::{self, NodeStatus, Task, TaskAnswer, Tasks};
use crate::context::target::Target;
use crate::context::{Context, PROGRAM};
use crate::exit::{Failure, Outcome};
use crate::output::style::{Palette, Tone, tone_of};
use crate::output::table::{Cell, Table};
use crate::output::{duration, labels};
use crate::symbols;
use clap::{Args, Subcommand};

/// What to do with a node. `<NODE>` is its address, hostname or URL.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Show resources, image and last update
    Status {
        /// Address, hostname or URL
        #[arg(value_name = "IP")]
        node: String,
    },
    /// Restart the node
    Restart {
        /// Address, hostname or URL
        #[arg(value_name = "IP")]
        node: String,
    },
    /// Show the scheduler's tasks, or change one until the next restart
    Tasks(TasksArgs),
    /// Show the settings, or change any number of them at once
    Config {
        /// Address, hostname or URL
        #[arg(value_name = "IP")]
        node: String,
        /// Such as discoveryIntervalMs=2000 or label.role=relay; an empty value removes a label
        #[arg(value_name = "KEY=VALUE", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
}

/// Arguments of `spore node tasks`.
#[derive(Debug, Args)]
pub struct TasksArgs {
    /// Address, hostname or URL
    #[arg(value_name = "IP")]
    node: String,
    /// Only this task
    task: Option<String>,
    /// How often it runs
    #[arg(long, value_name = "MS", requires = "task")]
    interval: Option<u32>,
    /// Let it run
    #[arg(long, requires = "task", conflicts_with = "disable")]
    enable: bool,
    /// Let it rest
    #[arg(long, requires = "task")]
    disable: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".into()),
    }
}

/// Ask the node.
pub fn run(command: &NodeCommand, context: &mut Context) -> Outcome {
    match command {
        NodeCommand::Status { node } => {
            let node = context.target(node)?;
            let body = context.client().get(&node, "/api/node/status", &[])?;
            if context.json {
                return Ok(context.verbatim(&body)?);
            }
            let status = api::parse(&body)?;
            let text = status_text(&status, &symbols::of_crash(&status, &context.root), context.palette);
            Ok(context.out.write_all(text.as_bytes())?)
        }
        NodeCommand::Restart { node } => {
            let node = context.target(node)?;
            let body = context.client().post(&node, "/api/node/restart", &[])?;
            if context.json {
                return Ok(context.verbatim(&body)?);
            }
            Ok(writeln!(context.out, "{} restarts", node.label)?)
        }
        NodeCommand::Tasks(args) => tasks(args, context),
        NodeCommand::Config { node, settings } => {
            let node = context.target(node)?;
            config(&node, settings, context)
        }
    }
}

/// `places` are the lines of source where it crashed before this start.
fn status_text(status: &NodeStatus, places: &[String], palette: Palette) -> String {
    let mut table = Table::new(&[]);
    let mut line = |name: &str, value: String, tone| {
        if !value.is_empty() {
            table.row(vec![Cell::new(name, Tone::Heading), Cell::new(value, tone)]);
        }
    };
    line("hostname", status.hostname.clone(), Tone::Plain);
    line("ip", status.ip.clone(), Tone::Plain);
    line("board", status.board.clone(), Tone::Plain);
    if let Some(image) = &status.image {
        let text = format!("{} {} in slot {}, {}", image.name, image.version, image.slot, image.state);
        line("image", text, tone_of(&image.state));
        line("sha256", image.sha256.clone(), Tone::Faint);
    }
    if let Some(update) = &status.last_update {
        let reason = update.reason.as_ref().filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        line(
            "last update",
            format!("{} {}{reason}", update.version, update.outcome),
            tone_of(&update.outcome),
        );
    }
    line("uptime", if status.uptime == 0 { String::new() } else { duration(status.uptime) }, Tone::Plain);
    line("time", status.time.map(utc).unwrap_or_default(), Tone::Plain);
    if status.boot > 0 {
        line("boot", format!("{} ({})", status.boot, status.reset_reason), Tone::Plain);
    }
    if status.safe_mode {
        line("safe mode", "no services; a restart or an update ends it".to_owned(), Tone::Bad);
    }
    for (index, place) in places.iter().enumerate() {
        line(if index == 0 { "crashed in" } else { "inlined in" }, place.clone(), Tone::Bad);
    }
    line("free heap", format!("{} bytes", status.free_heap), Tone::Plain);
    line("flash", format!("{} bytes", status.flash_chip_size), Tone::Plain);
    line("cpu", format!("{} MHz, chip {:06x}", status.cpu_freq_mhz, status.chip_id), Tone::Plain);
    line("sdk", status.sdk_version.clone(), Tone::Plain);
    let tone = if status.security == "open" { Tone::Doubtful } else { Tone::Plain };
    line("security", status.security.clone(), tone);
    line("labels", labels(&status.labels), Tone::Plain);
    for (index, endpoint) in status.api.iter().enumerate() {
        let name = if index == 0 { "endpoints" } else { "" };
        line(name, format!("{:<4} {}", endpoint.method, endpoint.uri), Tone::Plain);
    }
    // The first line is the empty heading.
    table.lines(palette).into_iter().skip(1).map(|line| line + "\n").collect()
}

/// Seconds since 1970 as date and time.
fn utc(unix: u64) -> String {
    let (days, second) = (unix / 86_400, unix % 86_400);
    // Years that begin in March have their leap day at the end; 719,468 days lie between 0000-03-01 and 1970-01-01, and 400 years
    // have 146,097.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + u64::from(month >= 10), (month + 2) % 12 + 1);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

fn tasks(args: &TasksArgs, context: &mut Context) -> Outcome {
    let node = context.target(&args.node)?;
    let client = context.client();
    let interval = args.interval.map(|interval| interval.to_string());
    let mut orders = Vec::new();
    if let Some(interval) = &interval {
        orders.push(vec![("action", "set"), ("interval", interval.as_str())]);
    }
    if args.enable {
        orders.push(vec![("action", "enable")]);
    }
    if args.disable {
        orders.push(vec![("action", "disable")]);
    }
    if args.task.is_some() && orders.is_empty() {
        orders.push(vec![("action", "status")]);
    }
    let mut last = None;
    for order in &mut orders {
        order.insert(0, ("task", args.task.as_deref().unwrap_or_default()));
        last = Some(client.post(&node, "/api/tasks/control", order).map_err(|failure| {
            failure.hint(format!("which tasks are there? {PROGRAM} node tasks {}", node.argument))
        })?);
    }
    let (body, one) = match last {
        Some(body) => (body, true),
        None => (client.get(&node, "/api/tasks/status", &[])?, false),
    };
    if context.json {
        return Ok(context.verbatim(&body)?);
    }
    let tasks = match one {
        true => vec![api::parse::<TaskAnswer>(&body)?.task],
        false => api::parse::<Tasks>(&body)?.tasks,
    };
    let text = tasks_table(&tasks).text(context.palette);
    Ok(context.out.write_all(text.as_bytes())?)
}

fn tasks_table(tasks: &[Task]) -> Table {
    let mut table = Table::new(&["task", "interval", "enabled", "running", "runs", "last", "longest"]);
    let yes = |yes: bool| if yes { Cell::new("yes", Tone::Good) } else { Cell::new("no", Tone::Faint) };
    for task in tasks {
        table.row(vec![
            (&task.name).into(),
            format!("{} ms", task.interval).into(),
            yes(task.enabled),
            yes(task.running),
            task.runs.to_string().into(),
            format!("{} us", task.last_micros).into(),
            format!("{} us", task.max_micros).into(),
        ]);
    }
    table
}

fn config(node: &Target, settings: &[(String, String)], context: &mut Context) -> Outcome {
    let client = context.client();
    let body = if settings.is_empty() {
        client.get(node, "/api/node/config", &[])?
    } else {
        let form: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        client.post(node, "/api/node/config", &form).map_err(|failure| {
            failure.hint(format!("names and values: {PROGRAM} node config {}", node.argument))
        })?
    };
    if context.json {
        return Ok(context.verbatim(&body)?);
    }
    let answer: serde_json::Value = api::parse(&body)?;
    let object =
        answer.as_object().ok_or_else(|| Failure::other("the node's answer is no list of settings"))?;
    for (key, value) in object {
        match value {
            serde_json::Value::Object(labels) => {
                for (label, value) in labels {
                    writeln!(context.out, "label.{}={}", plain(label), plain(&text(value)))?;
                }
            }
            value => writeln!(context.out, "{}={}", plain(key), plain(&text(value)))?,
        }
    }
    Ok(())
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Without what would disturb the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::utc;
    use crate::exit::Kind;
    use crate::testing::{FakeNode, run_in};

    fn run(node: &FakeNode, line: &[&str]) -> (crate::exit::Outcome, String) {
        let temp = tempfile::tempdir().unwrap();
        let address = node.address().to_string();
        let line: Vec<_> =
            line.iter().map(|word| if *word == "IP" { address.as_str() } else { word }).collect();
        run_in(temp.path(), &line, &[])
    }

    #[test]
    fn times_of_day() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_795_388_400, "2026-11-22 23:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix), text);
        }
    }

    #[test]
    fn status_names_the_image_and_why_the_last_update_failed() {
        let node = FakeNode::start(|_| {
            let body = r#"{"freeHeap":41000,"chipId":4169409,"hostname":"esp_3f9ec1","uptime":123456,"boot":7,"resetReason":"power on","safeMode":true,
                "image":{"slot":"a","state":"confirmed","name":"spore","version":"1.2.0","sha256":"00"},
                "lastUpdate":{"version":"1.3.0","outcome":"reverted","reason":"crashed 3 times"},
                "api":[{"uri":"/api/node/status","method":"GET"}]}"#;
            (200, body.into())
        });
        let (outcome, out) = run(&node, &["node", "status", "IP"]);
        assert_eq!(outcome, Ok(()));
        for part in [
            "image        spore 1.2.0 in slot a, confirmed\n",
            "last update  1.3.0 reverted: crashed 3 times\n",
            "safe mode    no services; a restart or an update ends it\n",
            "endpoints    GET  /api/node/status\n",
        ] {
            assert!(out.contains(part), "{out}");
        }
        assert!(!out.contains("labels"), "{out}");
    }

    #[test]
    fn an_old_cpp_node_has_a_status_too() {
        let node = FakeNode::start(|_| (200, r#"{"freeHeap":1,"chipId":2,"sdkVersion":"2.2.2"}"#.into()));
        let (outcome, out) = run(&node, &["node", "status", "IP"]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("2.2.2") && !out.contains("safe mode"), "{out}");
    }

    #[test]
    fn a_task_can_be_changed() {
        let node = FakeNode::start(|request| {
            let task = r#"{"task":{"name":"heartbeat","interval":500,"enabled":false}}"#;
            match (request.path.as_str(), request.text().as_str()) {
                ("/api/tasks/control", "task=heartbeat&action=set&interval=500") => {
                    (200, r#"{"task":{}}"#.into())
                }
                ("/api/tasks/control", "task=heartbeat&action=disable" | "task=heartbeat&action=status") => {
                    (200, task.into())
                }
                ("/api/tasks/status", "") => (200, r#"{"tasks":[{"name":"a"},{"name":"b"}]}"#.into()),
                _ => (404, r#"{"error":"unknown task"}"#.into()),
            }
        });
        let (outcome, out) =
            run(&node, &["node", "tasks", "IP", "heartbeat", "--interval", "500", "--disable"]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("heartbeat  500 ms    no"), "{out}");
        assert_eq!(run(&node, &["node", "tasks", "IP", "heartbeat"]).0, Ok(()));
        assert_eq!(run(&node, &["node", "tasks", "IP"]).1.lines().count(), 3);
        let failure = run(&node, &["node", "tasks", "IP", "none"]).0.unwrap_err();
        assert_eq!(failure.kind, Kind::Refused);
    }

    #[test]
    fn settings_are_shown_as_they_are_written() {
        let node = FakeNode::start(|request| match (request.method.as_str(), request.text().as_str()) {
            ("POST", "label.role=relay&hostname=") | ("GET", "") => {
                (200, r#"{"hostname":"x","heartbeatIntervalMs":2000,"labels":{"role":"relay"}}"#.into())
            }
            _ => (422, r#"{"error":"unknown setting"}"#.into()),
        });
        let shown = "hostname=x\nheartbeatIntervalMs=2000\nlabel.role=relay\n";
        let mut lines: Vec<_> = shown.lines().collect();
        lines.sort_unstable();
        for line in
            [&["node", "config", "IP"][..], &["node", "config", "IP", "label.role=relay", "hostname="]]
        {
            let (outcome, out) = run(&node, line);
            assert_eq!(outcome, Ok(()));
            let mut told: Vec<_> = out.lines().collect();
            told.sort_unstable();
            assert_eq!(told, lines);
        }
        let failure = run(&node, &["node", "config", "IP", "colour=red"]).0.unwrap_err();
        assert!(failure.message.contains("unknown setting"), "{}", failure.message);
    }
}
