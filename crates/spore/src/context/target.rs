//! From what the user wrote to where the node answers: "target resolution", all of it.

use super::discovery::discover;
use super::lab::Lab;
use super::{Context, PROGRAM};
use crate::api::Members;
use crate::exit::{Failure, Kind, Outcome};
use spore_lab::control::{NodeStatus, Status};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where to reach a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The node in messages, such as `esp_3f9ec1 (10.4.0.11)`.
    pub label: String,
    /// What the user can write to mean it again.
    pub argument: String,
    /// Start of its URLs, without the last slash.
    pub base: String,
    /// Where the address came from, unless the user just wrote it.
    pub origin: Option<String>,
}

impl Context<'_> {
    /// The running lab, if there is one that answers.
    pub fn lab_status(&self) -> Option<Status> {
        let status = Lab::connect(&self.state, Duration::from_secs(5)).and_then(|lab| match lab {
            Some(mut lab) => lab.status().map(Some),
            None => Ok(None),
        });
        match status {
            Ok(status) => status,
            Err(failure) => {
                self.note(&format!("warning: {}", failure.message));
                None
            }
        }
    }

    /// The node the user named: by LAN address, hostname, `ip:port`, URL or, in a lab, by number.
    pub fn target(&self, argument: &str) -> Outcome<Target> {
        let lab = self.lab_status();
        if let Some(target) = locate(argument, lab.as_ref())? {
            return Ok(target);
        }
        let unknown = Failure::new(Kind::Unreachable, format!("no node is called {argument}"))
            .hint(format!("who is there? {PROGRAM} cluster members"));
        // A bare hostname: ask the cluster, or call it out on the LAN.
        if let Some(api) = self.explicit_api_node(lab.as_ref())? {
            let members = Members::parse(&self.client().get(&api, "/api/cluster/members", &[])?)?;
            let member = members.members.iter().find(|member| member.hostname == argument).ok_or(unknown)?;
            return self.target(&member.ip);
        }
        if lab.is_some() {
            return Err(unknown);
        }
        let found = discover(&self.env, |node| node.hostname == argument)?;
        let node = found.iter().find(|node| node.hostname == argument).ok_or(unknown)?;
        Ok(direct(&format!("{argument} ({})", node.ip), &node.ip.to_string(), &format!("{}", node.ip)))
    }

    /// The node through which the cluster is asked: `--node`, `API_NODE`, a running lab, or whoever answers a
    /// broadcast, in this order.
    pub fn api_node(&self) -> Outcome<Target> {
        let lab = self.lab_status();
        if let Some(target) = self.explicit_api_node(lab.as_ref())? {
            return Ok(target);
        }
        if let Some(lab) = &lab {
            let node = lab.nodes.iter().find(|node| node.state == "running" && node.ip.is_some());
            let node = node.ok_or_else(|| {
                Failure::new(Kind::Unreachable, "no node of the lab is running")
                    .hint(format!("{PROGRAM} lab status, then {PROGRAM} lab restart <node>"))
            })?;
            return Ok(in_lab(node));
        }
        self.note("no --node, no API_NODE, no lab: asking the network who is there");
        let found = discover(&self.env, |_| false)?;
        let node = found.first().ok_or_else(|| {
            Failure::new(
                Kind::Unreachable,
                "no node found: no --node, no API_NODE, no lab running, no answer to a broadcast",
            )
            .hint(format!("start a lab with {PROGRAM} up, or write API_NODE=<ip> into .env"))
        })?;
        Ok(direct(&format!("{} ({})", node.hostname, node.ip), &node.ip.to_string(), &node.ip.to_string()))
    }

    /// The API node that was named, if one was.
    fn explicit_api_node(&self, lab: Option<&Status>) -> Outcome<Option<Target>> {
        let (argument, origin) = match (&self.node, self.env.get("API_NODE")) {
            (Some(node), _) => (node.clone(), "--node".to_owned()),
            (None, Some(setting)) => (setting.value, setting.origin),
            (None, None) => return Ok(None),
        };
        let target = match locate(&argument, lab)? {
            Some(target) => target,
            None if lab.is_some() => {
                return Err(Failure::new(
                    Kind::Unreachable,
                    format!("no node of the lab is called {argument} ({origin})"),
                )
                .hint(format!("{PROGRAM} lab status")));
            }
            None => {
                let found = discover(&self.env, |node| node.hostname == argument)?;
                let node = found.iter().find(|node| node.hostname == argument).ok_or_else(|| {
                    Failure::new(Kind::Unreachable, format!("no node is called {argument} ({origin})"))
                        .hint("give its address instead")
                })?;
                direct(&format!("{argument} ({})", node.ip), &node.ip.to_string(), &node.ip.to_string())
            }
        };
        Ok(Some(Target { origin: Some(origin), ..target }))
    }
}

/// What can be told without asking anyone: nodes of the lab, addresses, URLs, names of the DNS. `None` for a bare
/// hostname that the lab does not know.
fn locate(argument: &str, lab: Option<&Status>) -> Outcome<Option<Target>> {
    let bad = |why: &str| Failure::other(format!("{argument:?} is not a node: {why}"));
    if argument.starts_with("https://") {
        return Err(bad("nodes speak http only"));
    }
    let name = argument.strip_prefix("http://").unwrap_or(argument);
    let name = name.split('/').next().unwrap_or_default();
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    if name.is_empty() || !name.chars().all(fine) {
        return Err(bad("give an address such as 10.4.0.11, a hostname, or a URL"));
    }
    if let Some(node) = lab.and_then(|lab| find(name, lab)) {
        return Ok(Some(in_lab(node)));
    }
    let (host, port) = name.split_once(':').map_or((name, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(bad("the port is not a number"));
    }
    let looks_numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if looks_numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(bad("not an address; in a running lab, numbers name its nodes"));
    }
    // The virtual LAN is not reachable from outside, unless it is joined to an interface of the host.
    let on_lan =
        |node: &NodeStatus, ip: Ipv4Addr| node.ip.is_some_and(|own| own.octets()[..3] == ip.octets()[..3]);
    if let (Some(lab), Ok(ip)) = (lab, host.parse::<Ipv4Addr>())
        && lab.tap.is_none()
        && lab.nodes.iter().any(|node| on_lan(node, ip))
    {
        return Err(Failure::new(Kind::Unreachable, format!("no node of the lab has the address {ip}"))
            .hint(format!("{PROGRAM} lab status")));
    }
    let bare = !host.contains('.') && host != "localhost" && port.is_none();
    Ok((!bare).then(|| direct(name, name, name)))
}

/// A node of the lab, by hostname, address, loopback address or number (1 is the first).
pub fn find<'a>(name: &str, lab: &'a Status) -> Option<&'a NodeStatus> {
    let address = name.strip_suffix(":80").unwrap_or(name).parse::<Ipv4Addr>().ok();
    let local = name.parse::<SocketAddr>().ok();
    let number = name.parse::<usize>().ok();
    lab.nodes.iter().enumerate().find_map(|(index, node)| {
        let same = node.hostname == name
            || (address.is_some() && node.ip == address)
            || local == Some(node.local)
            || number == Some(index + 1);
        same.then_some(node)
    })
}

/// A node of the lab, through its port on loopback.
pub fn in_lab(node: &NodeStatus) -> Target {
    let ip = node.ip.map(|ip| ip.to_string());
    Target {
        label: ip.as_ref().map_or_else(|| node.hostname.clone(), |ip| format!("{} ({ip})", node.hostname)),
        argument: ip.unwrap_or_else(|| node.hostname.clone()),
        base: format!("http://{}", node.local),
        origin: None,
    }
}

fn direct(label: &str, argument: &str, authority: &str) -> Target {
    Target {
        label: label.into(),
        argument: argument.into(),
        base: format!("http://{authority}"),
        origin: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> Status {
        let node = |number: u8| {
            serde_json::json!({"hostname": format!("esp_{number}"), "ip": format!("10.4.0.{number}"),
                "local": format!("127.0.0.1:80{number}"), "url": "", "kind": "virtual", "version": "1.0.0",
                "state": "running", "sees": 1, "boots": 1, "reset_reason": "power on", "flash": ""})
        };
        serde_json::from_value(
            serde_json::json!({"pid": 1, "uptime_seconds": 1, "ssid": "x", "converged": true,
            "frames": 0, "bytes": 0, "faults": [], "tap": null, "nodes": [node(11), node(12)]}),
        )
        .unwrap()
    }

    fn base(argument: &str, lab: Option<&Status>) -> Option<String> {
        locate(argument, lab).unwrap().map(|target| target.base)
    }

    #[test]
    fn nodes_of_the_lab_are_reached_through_loopback() {
        let lab = lab();
        for argument in [
            "10.4.0.12",
            "esp_12",
            "http://10.4.0.12/",
            "10.4.0.12:80",
            "2",
            "127.0.0.1:8012",
            "http://127.0.0.1:8012/api",
        ] {
            assert_eq!(base(argument, Some(&lab)).as_deref(), Some("http://127.0.0.1:8012"), "{argument}");
        }
        assert_eq!(find("3", &lab), None);
        assert_eq!(find("0", &lab), None);
    }

    #[test]
    fn others_are_reached_directly() {
        for lab in [None, Some(&lab())] {
            assert_eq!(base("192.168.1.7", lab).as_deref(), Some("http://192.168.1.7"));
            assert_eq!(base("192.168.1.7:8080", lab).as_deref(), Some("http://192.168.1.7:8080"));
            assert_eq!(base("http://node.lan/x/y", lab).as_deref(), Some("http://node.lan"));
            assert_eq!(base("esp_99", lab), None);
        }
    }

    #[test]
    fn the_virtual_lan_is_not_looked_for_outside() {
        let mut lab = lab();
        assert_eq!(locate("10.4.0.250", Some(&lab)).unwrap_err().kind, Kind::Unreachable);
        lab.tap = Some("tap0".into());
        assert_eq!(base("10.4.0.250", Some(&lab)).as_deref(), Some("http://10.4.0.250"));
    }

    #[test]
    fn what_is_no_node() {
        for argument in ["", "10.4.0", "1.2.3.4.5", "7", "https://10.4.0.1", "a b", "10.4.0.1:x", "http://"] {
            let failure = locate(argument, None).unwrap_err();
            assert_eq!(failure.kind, Kind::Other, "{argument}");
        }
    }
}
