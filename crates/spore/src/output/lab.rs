//! A lab as a table.

use super::style::{Palette, Tone, tone_of};
use super::table::{Cell, Table};
use spore_lab::control::{PinStatus, Status};

/// The nodes of a lab.
pub fn nodes(status: &Status) -> Table {
    let mut table =
        Table::new(&["#", "hostname", "ip", "state", "sees", "board", "version", "boots", "reset", "url"]);
    for (index, node) in status.nodes.iter().enumerate() {
        table.row(vec![
            (index + 1).to_string().into(),
            (&node.hostname).into(),
            node.ip.map(|ip| ip.to_string()).unwrap_or_default().into(),
            Cell::new(&node.state, tone_of(&node.state)),
            if node.state == "running" { node.sees.to_string() } else { String::new() }.into(),
            if node.board.is_empty() { &node.kind } else { &node.board }.into(),
            (&node.version).into(),
            node.boots.to_string().into(),
            shortened(&node.reset_reason, REASON).into(),
            (&node.url).into(),
        ]);
    }
    table
}

/// The pins of a node.
pub fn pins(pins: &[PinStatus]) -> Table {
    let mut table = Table::new(&["pin", "direction", "level", "duty"]);
    for pin in pins {
        table.row(vec![
            (&pin.name).into(),
            (&pin.direction).into(),
            (&pin.level).into(),
            pin.duty.map(|duty| format!("{duty} %")).unwrap_or_default().into(),
        ]);
    }
    table
}

/// How much of a reason the table shows, in characters.
const REASON: usize = 32;

fn shortened(text: &str, room: usize) -> String {
    match text.char_indices().nth(room) {
        Some(_) => text.chars().take(room - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Lines about nodes that need somebody to look at them.
pub fn broken(status: &Status, palette: Palette) -> Vec<String> {
    let broken = status.nodes.iter().filter(|node| node.state == "broken");
    broken
        .map(|node| palette.paint(Tone::Bad, &format!("{}: {}", node.hostname, node.reset_reason)))
        .collect()
}

/// One line about the whole lab.
pub fn summary(status: &Status, palette: Palette) -> String {
    let running = status.nodes.iter().filter(|node| node.state == "running").count();
    let health = if status.converged {
        palette.paint(Tone::Good, "every node sees every other")
    } else {
        palette.paint(Tone::Doubtful, "not every node sees every other")
    };
    let tap = status.tap.as_ref().map(|tap| format!(", on {tap}")).unwrap_or_default();
    let faults = if status.faults.is_empty() {
        String::new()
    } else {
        format!("; {}", palette.paint(Tone::Bad, &format!("faults: {}", status.faults.join(", "))))
    };
    let nodes = status.nodes.len();
    format!(
        "{running} of {nodes} node{} running on {:?}{tap} for {}: {health}{faults}",
        if nodes == 1 { "" } else { "s" },
        status.ssid,
        super::duration(status.uptime_seconds.saturating_mul(1000)),
    )
}

/// Which node sees how many others, of those that do not see all.
pub fn laggards(status: &Status) -> String {
    let expected = status.nodes.iter().filter(|node| node.state == "running").count().saturating_sub(1);
    let lagging =
        status.nodes.iter().filter(|node| node.state != "running" || usize::from(node.sees) != expected);
    let lines: Vec<_> = lagging
        .map(|node| match node.state.as_str() {
            "running" => format!("  {} sees {} of {expected}", node.hostname, node.sees),
            "broken" => format!("  {} is broken: {}", node.hostname, node.reset_reason),
            state => format!("  {} is {state}", node.hostname),
        })
        .collect();
    lines.join("\n")
}
