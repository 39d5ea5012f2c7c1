//! `spore cluster`: who is there, who offers what, events for everyone.

use crate::api::{self, Member, Members, Services};
use crate::context::{Context, PROGRAM};
use crate::exit::Outcome;
use crate::output::style::{Tone, tone_of};
use crate::output::table::{Cell, Table};
use crate::output::{duration, labels};
use clap::Subcommand;

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// List the members, as the API node sees them
    Members,
    /// List the endpoints of all nodes, and who offers them
    Services {
        /// Only this endpoint, such as /api/relay
        uri: Option<String>,
    },
    /// Fire an event on every node
    Event {
        /// Its name, at most 32 bytes
        name: String,
        /// Its data: text or JSON, at most 512 bytes
        data: Option<String>,
    },
}

/// Ask the API node.
pub fn run(command: &ClusterCommand, context: &mut Context) -> Outcome {
    let node = context.api_node()?;
    let client = context.client();
    match command {
        ClusterCommand::Members => {
            let body = client.get(&node, "/api/cluster/members", &[])?;
            if context.json {
                return Ok(context.verbatim(&body)?);
            }
            let members = Members::parse(&body)?.members;
            let text = members_table(&members).text(context.palette);
            context.out.write_all(text.as_bytes())?;
            let active = members.iter().filter(|member| member.status == "ACTIVE").count();
            context.note(&format!("{active} of {} ACTIVE, as seen by {}", members.len(), node.label));
        }
        ClusterCommand::Services { uri } => {
            let query: Vec<_> = uri.iter().map(|uri| ("uri", uri.as_str())).collect();
            let body = client.get(&node, "/api/cluster/services", &query)?;
            if context.json {
                return Ok(context.verbatim(&body)?);
            }
            let services: Services = api::parse(&body)?;
            if services.services.is_empty() {
                let what = uri.as_deref().unwrap_or("anything");
                context.note(&format!("nobody offers {what}; all endpoints: {PROGRAM} cluster services"));
                return Ok(());
            }
            context.out.write_all(services_table(&services).text(context.palette).as_bytes())?;
        }
        ClusterCommand::Event { name, data } => {
            let mut form = vec![("event", name.as_str())];
            form.extend(data.iter().map(|data| ("data", data.as_str())));
            let body = client.post(&node, "/api/cluster/event", &form)?;
            if context.json {
                return Ok(context.verbatim(&body)?);
            }
            let answer: serde_json::Value = api::parse(&body)?;
            let id = answer.get("id").and_then(|id| id.as_str()).unwrap_or("?");
            writeln!(context.out, "event {name} fired through {}, number {id}", node.label)?;
        }
    }
    Ok(())
}

fn members_table(members: &[Member]) -> Table {
    let mut table =
        Table::new(&["hostname", "ip", "status", "age", "latency", "version", "free heap", "labels"]);
    for member in members {
        let version = match (member.version.as_str(), member.kind.as_str()) {
            // Not "C++": a node just started takes others for such until it has heard more of them.
            ("", "text") => Cell::new("(text)", Tone::Faint),
            (version, _) => version.into(),
        };
        let heap = match member.resources.free_heap {
            0 => String::new(),
            bytes => bytes.to_string(),
        };
        table.row(vec![
            (&member.hostname).into(),
            (&member.ip).into(),
            Cell::new(&member.status, tone_of(&member.status)),
            if member.is_self { "asked".to_owned() } else { duration(member.age) }.into(),
            if member.is_self { String::new() } else { format!("{} ms", member.latency) }.into(),
            version,
            heap.into(),
            labels(&member.labels).into(),
        ]);
    }
    table
}

fn services_table(services: &Services) -> Table {
    let mut table = Table::new(&["method", "uri", "nodes"]);
    for service in &services.services {
        let names: Vec<_> = service
            .nodes
            .iter()
            .map(|node| match node.status.as_str() {
                "ACTIVE" | "" => node.hostname.clone(),
                status => format!("{} ({status})", node.hostname),
            })
            .collect();
        table.row(vec![(&service.method).into(), (&service.uri).into(), names.join(" ").into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use crate::exit::Kind;
    use crate::testing::{FakeNode, run_in, run_with};

    const MEMBERS: &str = r#"{"members":[
 {"hostname":"esp_1","ip":"10.4.0.11","status":"ACTIVE","age":0,"latency":0,"self":true,"version":"1.2.0","resources":{"freeHeap":41000},"labels":{"app":"spore","role":"relay"}},
 {"hostname":"esp_2","ip":"10.4.0.12","lastSeen":5,"status":"DEAD","age":65000,"latency":7,"kind":"text"}]}"#;

    #[test]
    fn members_as_a_table_and_verbatim() {
        let node = FakeNode::start(|request| match request.path.as_str() {
            "/api/cluster/members" => (200, MEMBERS.into()),
            _ => (404, r#"{"error":"unknown path"}"#.into()),
        });
        let (outcome, out) = run_with(&node, &["cluster", "members"]);
        assert_eq!(outcome, Ok(()));
        assert_eq!(
            out,
            "hostname  ip         status  age    latency  version  free heap  labels\n\
             esp_1     10.4.0.11  ACTIVE  asked           1.2.0    41000      app=spore,role=relay\n\
             esp_2     10.4.0.12  DEAD    65 s   7 ms     (text)\n"
        );
        let (outcome, out) = run_with(&node, &["cluster", "members", "--json"]);
        assert_eq!((outcome, out), (Ok(()), format!("{MEMBERS}\n")));
    }

    #[test]
    fn services_and_events() {
        let node = FakeNode::start(|request| {
            match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/api/cluster/services?uri=%2Fapi%2Frelay") => (
                200,
                r#"{"services":[{"uri":"/api/relay","method":"POST","nodes":[{"hostname":"a","status":"ACTIVE"},{"hostname":"b","status":"DEAD"}]}]}"#.into(),
            ),
            ("POST", "/api/cluster/event") if request.text() == "event=hi&data=%7B%22x%22%3A1%7D" => {
                (200, r#"{"success":true,"event":"hi","id":"10.4.0.11/7/42"}"#.into())
            }
            _ => (400, r#"{"error":"no"}"#.into()),
        }
        });
        let (outcome, out) = run_with(&node, &["cluster", "services", "/api/relay"]);
        assert_eq!(
            (outcome, out.as_str()),
            (Ok(()), "method  uri         nodes\nPOST    /api/relay  a b (DEAD)\n")
        );
        let (outcome, out) = run_with(&node, &["cluster", "event", "hi", r#"{"x":1}"#]);
        assert_eq!(outcome, Ok(()));
        assert!(out.contains("10.4.0.11/7/42"), "{out}");
    }

    #[test]
    fn nobody_to_ask() {
        let temp = tempfile::tempdir().unwrap();
        let failure = run_in(temp.path(), &["cluster", "members"], &[]).0.unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!(failure.hint.unwrap().contains("up"));
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_errors_tell_the_origin() {
        let gone = FakeNode::start(|_| (200, String::new())).stop().argument;
        let node = FakeNode::start(|_| (200, r#"{"members":[]}"#.into()));
        let flag = node.address().to_string();
        let temp = tempfile::tempdir().unwrap();
        let line = ["cluster", "members", "--node", &flag];
        assert_eq!(run_in(temp.path(), &line, &[("API_NODE", &gone)]).0, Ok(()));
        let failure = run_in(temp.path(), &["cluster", "members"], &[("API_NODE", &gone)]).0.unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!(failure.message.contains("(API_NODE)"), "{}", failure.message);
    }

    #[test]
    fn nonsense_is_no_panic() {
        let node = FakeNode::start(|_| (200, "<html>".into()));
        for line in [["cluster", "members"], ["cluster", "services"]] {
            assert_eq!(run_with(&node, &line).0.unwrap_err().kind, Kind::Other);
        }
    }
}
