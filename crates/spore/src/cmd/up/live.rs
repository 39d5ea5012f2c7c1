//! What the foreground shows: a table that follows the nodes on a terminal, a line per change elsewhere.

use crate::context::{Context, PROGRAM};
use crate::exit::Outcome;
use crate::output::lab::{broken, nodes, summary};
use crate::output::style::Palette;
use spore_lab::control::{NodeStatus, Status};
use std::io::IsTerminal;
use std::time::Duration;

/// The view of a running lab.
pub struct Live {
    /// Whether the last lines may be drawn over.
    terminal: bool,
    /// Lines on the screen that belong to us.
    drawn: usize,
    last: Option<Status>,
}

impl Live {
    /// A view for this output.
    pub fn new(context: &Context) -> Self {
        let dumb = context.env.get("TERM").is_none_or(|term| term.value == "dumb");
        Self { terminal: std::io::stdout().is_terminal() && !dumb && !context.json, drawn: 0, last: None }
    }

    /// How long to wait before the next look: not at all before the first.
    pub fn pause(&self, usual: Duration) -> Duration {
        if self.last.is_some() { usual } else { Duration::ZERO }
    }

    /// Show a new moment.
    pub fn show(&mut self, context: &mut Context, status: Status) -> Outcome {
        if context.json {
            if self.last.as_ref().is_none_or(|last| facts(last) != facts(&status)) {
                context.json_line(&status)?;
            }
        } else if self.terminal {
            let size = terminal_size::terminal_size().map(|(width, height)| (width.0, height.0));
            let lines = screen(&status, context.palette, size);
            let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
            // The end of each line, and what is below the last, is cleared: no flicker, as clearing all would.
            let text: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
            write!(context.out, "{up}{text}\x1b[J")?;
            self.drawn = lines.len();
        } else {
            for line in changes(self.last.as_ref(), &status, context.palette) {
                writeln!(context.out, "{line}")?;
            }
        }
        context.out.flush()?;
        self.last = Some(status);
        Ok(())
    }
}

/// The lines of the live table, cut so that the terminal neither scrolls nor wraps them.
fn screen(status: &Status, palette: Palette, size: Option<(u16, u16)>) -> Vec<String> {
    let (width, height) = size.unwrap_or((80, 24));
    let mut lines = nodes(status).lines(palette);
    let room = usize::from(height).saturating_sub(6).max(2);
    if lines.len() > room {
        let more = lines.len() - room;
        lines.truncate(room);
        lines.push(format!("... and {more} more: {PROGRAM} lab status"));
    }
    lines.push(String::new());
    // One is enough to send the user to the log; the terminal's lines are few.
    lines.extend(broken(status, palette).into_iter().take(1));
    lines.push(summary(status, palette));
    lines.push(format!("Ctrl-C stops it. In another terminal: {PROGRAM} cluster members"));
    lines.into_iter().map(|line| cut(&line, usize::from(width))).collect()
}

/// At most so many visible characters; escape sequences take no room, and all of them are kept.
fn cut(line: &str, width: usize) -> String {
    let (mut kept, mut visible, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if c == '\x1b' {
            escape = true;
        }
        if escape {
            kept.push(c);
            escape = c != 'm';
        } else if visible < width {
            kept.push(c);
            visible += 1;
        }
    }
    kept
}

/// What about a lab is worth a line when it changes.
fn facts(status: &Status) -> (Vec<Facts<'_>>, bool, &[String]) {
    (status.nodes.iter().map(node_facts).collect(), status.converged, &status.faults)
}

type Facts<'a> = (&'a str, Option<std::net::Ipv4Addr>, &'a str, &'a str, u32);

fn node_facts(node: &NodeStatus) -> Facts<'_> {
    (&node.hostname, node.ip, &node.state, &node.version, node.boots)
}

fn changes(before: Option<&Status>, now: &Status, palette: Palette) -> Vec<String> {
    let old = |node: &NodeStatus| before?.nodes.iter().find(|old| old.hostname == node.hostname);
    let mut lines = Vec::new();
    for node in &now.nodes {
        if old(node).is_some_and(|old| node_facts(old) == node_facts(node)) {
            continue;
        }
        let ip = node.ip.map_or("no address yet".to_owned(), |ip| ip.to_string());
        let version =
            if node.version.is_empty() { String::new() } else { format!(", version {}", node.version) };
        let reset = if node.boots > 1 {
            format!(", boot {} ({})", node.boots, node.reset_reason)
        } else {
            String::new()
        };
        lines.push(format!("{}  {ip}  {}  {}{version}{reset}", node.hostname, node.url, node.state));
    }
    let whole = before.is_none_or(|before| before.converged != now.converged || before.faults != now.faults);
    // Until the first nodes run there is nothing to say about all of them.
    if whole && now.nodes.iter().any(|node| node.state == "running") {
        lines.push(summary(now, palette));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::tests::status;

    #[test]
    fn lines_only_for_changes() {
        let first = status(2, 0);
        let lines = changes(None, &first, Palette::PLAIN);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("esp_1") && lines[0].contains("10.4.0.11") && lines[0].contains("http://"));
        let mut later = first.clone();
        later.uptime_seconds += 7;
        later.nodes[0].sees = 1;
        assert_eq!(changes(Some(&first), &later, Palette::PLAIN), Vec::<String>::new());
        assert_eq!(facts(&first), facts(&later));
        later.converged = true;
        assert_eq!(changes(Some(&first), &later, Palette::PLAIN).len(), 1);
        later.nodes[1].state = "off".into();
        assert_eq!(changes(Some(&first), &later, Palette::PLAIN).len(), 2);
    }

    #[test]
    fn the_screen_is_never_larger_than_the_terminal() {
        for (width, height) in [(80, 24), (20, 10), (300, 100)] {
            let lines = screen(&status(50, 49), Palette::COLOURS, Some((width, height)));
            assert!(lines.len() < usize::from(height), "{}", lines.len());
            for line in lines {
                let visible =
                    line.split("\x1b[").map(|part| part.split_once('m').map_or(part, |(_, text)| text));
                let first = line.split("\x1b[").next().unwrap_or_default();
                let count: usize = visible.skip(1).map(|text| text.chars().count()).sum();
                assert!(first.chars().count() + count <= usize::from(width), "{line:?}");
            }
        }
    }

    #[test]
    fn cutting_keeps_colours_closed() {
        assert_eq!(cut("\x1b[32mabc\x1b[0md", 2), "\x1b[32mab\x1b[0m");
    }
}
