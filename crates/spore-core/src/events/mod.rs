//! Events: what they are, who on this node hears of them, and how they cross the cluster.
//!
//! [`Bus`] calls back at once; [`Log`] keeps them for asynchronous readers and WebSockets; [`Outgoing`] numbers and
//! repeats this node's own cluster events; [`Seen`] lets each event of another node through once.

mod bus;
mod dedup;
mod log;
mod outgoing;

pub use bus::{Bus, Callback, Full, SubscriberId, TooDeep};
pub use dedup::Seen;
pub use log::{Cursor, Entry, Log, Origin};
pub(crate) use outgoing::Bucket;
pub use outgoing::{Outgoing, Refusal, ToSend};
pub use spore_wire::EventId;

use crate::members::NodeRef;
use core::fmt::{self, Write};
use spore_wire::json::JsonWriter;
use spore_wire::json::key;

/// The name under which [`Bus::on`] hears everything.
pub const ANY: &str = "*";

/// One event. Names and payloads are those of docs/api.md, "Events".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A member was heard for the first time.
    NodeDiscovered(NodeRef<'a>),
    /// A member's status changed.
    NodeStatusChanged(NodeRef<'a>),
    /// A member told something new of itself.
    NodeUpdated(NodeRef<'a>),
    /// A member left or was forgotten.
    NodeLeft(NodeRef<'a>),
    /// The station's or the access point's state changed.
    WifiChanged {
        /// Word of [`crate::wifi::State`].
        state: &'a str,
        /// Network concerned.
        ssid: &'a str,
        /// Why the link is not there.
        error: Option<&'a str>,
    },
    /// Part of an image arrived.
    UpdateProgress {
        /// Bytes received.
        received: u32,
        /// Bytes expected; 0 if not known.
        size: u32,
    },
    /// An update ended.
    UpdateFinished {
        /// Version of the image.
        version: &'a str,
        /// `confirmed`, `reverted` or `pending`.
        outcome: &'a str,
        /// Why, if it did not go well.
        reason: Option<&'a str>,
    },
    /// A `RAW:` datagram: its hex digits.
    Raw(&'a str),
    /// Whatever anyone fires.
    User {
        /// 1 to [`crate::limits::EVENT_NAME`] bytes.
        name: &'a str,
        /// Text; often JSON.
        data: &'a str,
    },
}

impl<'a> Event<'a> {
    /// The name subscribers use.
    pub fn name(&self) -> &'a str {
        match self {
            Self::NodeDiscovered(_) => "node_discovered",
            Self::NodeStatusChanged(_) => "node_status_changed",
            Self::NodeUpdated(_) => "node_updated",
            Self::NodeLeft(_) => "node_left",
            Self::WifiChanged { .. } => "wifi_changed",
            Self::UpdateProgress { .. } => "update_progress",
            Self::UpdateFinished { .. } => "update_finished",
            Self::Raw(_) => "udp/raw",
            Self::User { name, .. } => name,
        }
    }

    /// Writes the payload: JSON for built-in events, the bare text for `udp/raw` and user events.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_payload(&self, out: &mut dyn Write) -> fmt::Result {
        let node = |node: NodeRef<'_>, out| {
            object(out, |json| {
                json.field(key!("hostname"), node.hostname)?;
                json.key(key!("ip"))?;
                json.display(&node.ip)?;
                json.field(key!("status"), node.status.as_str())
            })
        };
        match *self {
            Self::NodeDiscovered(who)
            | Self::NodeStatusChanged(who)
            | Self::NodeUpdated(who)
            | Self::NodeLeft(who) => node(who, out),
            Self::WifiChanged { state, ssid, error } => object(out, |json| {
                json.field(key!("state"), state)?;
                json.field(key!("ssid"), ssid)?;
                text_or_null(json, "error", error)
            }),
            Self::UpdateProgress { received, size } => object(out, |json| {
                json.field_number(key!("received"), received)?;
                json.field_number(key!("size"), size)
            }),
            Self::UpdateFinished { version, outcome, reason } => object(out, |json| {
                json.field(key!("version"), version)?;
                json.field(key!("outcome"), outcome)?;
                text_or_null(json, "reason", reason)
            }),
            Self::Raw(text) | Self::User { data: text, .. } => out.write_str(text),
        }
    }
}

/// Writes one JSON object whose members the closure gives.
fn object<'o>(
    out: &'o mut dyn Write,
    fill: impl FnOnce(&mut JsonWriter<&'o mut dyn Write>) -> fmt::Result,
) -> fmt::Result {
    let mut json = JsonWriter::new(out);
    json.begin_object()?;
    fill(&mut json)?;
    json.end_object()
}

fn text_or_null<W: Write>(json: &mut JsonWriter<W>, key: &str, text: Option<&str>) -> fmt::Result {
    json.key(key)?;
    match text {
        Some(text) => json.string(text),
        None => json.null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Status;
    use core::net::Ipv4Addr;

    fn payload(event: Event<'_>) -> String {
        let mut text = String::new();
        event.write_payload(&mut text).unwrap();
        text
    }

    #[test]
    fn payloads_are_as_documented() {
        let node = NodeRef { ip: Ipv4Addr::new(10, 4, 0, 11), hostname: "a\"b", status: Status::Inactive };
        assert_eq!(
            payload(Event::NodeLeft(node)),
            r#"{"hostname":"a\"b","ip":"10.4.0.11","status":"INACTIVE"}"#
        );
        assert_eq!(
            payload(Event::WifiChanged { state: "waiting", ssid: "net", error: Some("not found") }),
            r#"{"state":"waiting","ssid":"net","error":"not found"}"#
        );
        assert_eq!(payload(Event::UpdateProgress { received: 1, size: 2 }), r#"{"received":1,"size":2}"#);
        assert_eq!(
            payload(Event::UpdateFinished { version: "1.2.0", outcome: "confirmed", reason: None }),
            r#"{"version":"1.2.0","outcome":"confirmed","reason":null}"#
        );
        assert_eq!(payload(Event::Raw("00ff")), "00ff");
        assert_eq!(Event::Raw("").name(), "udp/raw");
        assert_eq!(Event::User { name: "door", data: "open" }.name(), "door");
    }
}
