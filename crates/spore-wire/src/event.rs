//! Events as JSON: the body of `CLUSTER_EVENT`, of WebSocket messages and of the HTTP endpoints that fire events.
//!
//! Text in all of them is `{"event":"<name>","data":<anything>}`; `payload` stands for `data` on the WebSocket. Inside a
//! node the data of an event is always text, as in C++ SPORE: a string's content, or anything else as JSON text. Rust
//! nodes add `"id":"10.4.0.11/7/42"` (origin, boot, number), so that repeated events are told from new ones.
//!
//! # Panics
//! Nothing here panics, on any bytes and any buffer.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::MAX_DATAGRAM;
use crate::error::BufferFull;
use crate::json::{JsonError, JsonWriter, Members, SliceWriter, Value};
use crate::names::Short;
use core::fmt::{self, Write};
use core::net::Ipv4Addr;
use core::str::FromStr;
use spore_sentence::say;

/// Longest name of an event, in bytes; the shortest is 1.
pub const NAME_MAX: usize = 32;

/// Longest data of an event as text, in bytes. What fits into one datagram together with the name is less, see
/// [`Event::emit`].
pub const DATA_MAX: usize = 512;

/// Which event it is, unique in a cluster: the origin's address, its boot number, and its running number of events in
/// that boot. Written `10.4.0.11/7/42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Address of the node that fired it.
    pub origin: Ipv4Addr,
    /// Boot number of that node when it fired it.
    pub boot: u16,
    /// The node's running number of cluster events in that boot.
    pub number: u32,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.origin, self.boot, self.number)
    }
}

impl FromStr for EventId {
    type Err = EventError;
    fn from_str(text: &str) -> Result<Self, EventError> {
        let mut parts = text.split('/');
        let (origin, boot, number) = (parts.next(), parts.next(), parts.next());
        match (origin, boot.map(str::parse), number.map(str::parse), parts.next()) {
            (Some(origin), Some(Ok(boot)), Some(Ok(number)), None) => {
                let origin = origin.parse().map_err(|_| EventError::Id)?;
                Ok(Self { origin, boot, number })
            }
            _ => Err(EventError::Id),
        }
    }
}

/// Why an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventError {
    /// Not a JSON object.
    Json(JsonError),
    /// No `event`, or it is no string of 1 to [`NAME_MAX`] bytes without control characters.
    Name,
    /// Data over [`DATA_MAX`] bytes.
    Data,
    /// `id` is not of the form `10.4.0.11/7/42`.
    Id,
    /// Name and data together do not fit into a datagram of [`MAX_DATAGRAM`] bytes.
    TooLong,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::Json(error) => error.fmt(f),
            EventError::Name => say!(f, "event needs a name of 1 to 32 bytes"),
            EventError::Data => say!(f, "data is over 512 bytes"),
            EventError::Id => say!(f, "id is not address/boot/number"),
            EventError::TooLong => say!(f, "name and data do not fit into one datagram of 512 bytes"),
        }
    }
}

impl core::error::Error for EventError {}

/// Checks the name of an event: 1 to [`NAME_MAX`] bytes, no control characters.
///
/// # Errors
/// [`EventError::Name`].
pub fn check_name(name: &str) -> Result<(), EventError> {
    let fine = !name.is_empty() && name.len() <= NAME_MAX && !name.contains(char::is_control);
    if fine { Ok(()) } else { Err(EventError::Name) }
}

/// The body of an event as it was received; data is borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBody<'a> {
    /// 1 to [`NAME_MAX`] bytes.
    pub name: Short<NAME_MAX>,
    /// `data`, or `payload` if there is no `data`; none when both are missing. As text at most [`DATA_MAX`] bytes.
    pub data: Option<Value<'a>>,
    /// Which event it is; none from C++ nodes and browsers.
    pub id: Option<EventId>,
}

impl<'a> EventBody<'a> {
    /// Reads `{"event":…,"data"|"payload":…,"id":…}`, members in any order, unknown ones skipped.
    ///
    /// # Errors
    /// An [`EventError`]; every kind but `TooLong`.
    pub fn parse(json: &'a str) -> Result<Self, EventError> {
        let members = Members::new(json).map_err(EventError::Json)?;
        let Some(Value::Str(name)) = members.get("event") else {
            return Err(EventError::Name);
        };
        let mut buffer = [0; NAME_MAX];
        let name = name.unescape(&mut buffer).map_err(|BufferFull| EventError::Name)?;
        check_name(name)?;
        let name = Short::try_from(name).map_err(|_| EventError::Name)?;
        let data = members.get("data").or_else(|| members.get("payload"));
        if data.is_some_and(|data| data.text_len() > DATA_MAX) {
            return Err(EventError::Data);
        }
        let id = match members.get("id") {
            None | Some(Value::Raw("null")) => None,
            Some(Value::Str(id)) => Some(id.as_written().parse()?),
            Some(Value::Raw(_)) => return Err(EventError::Id),
        };
        Ok(Self { name, data, id })
    }

    /// The data as text, written to the start of `out`; empty when there is none.
    ///
    /// # Errors
    /// [`BufferFull`]; never with [`DATA_MAX`] bytes.
    pub fn text<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, BufferFull> {
        self.data.map_or(Ok(""), |data| data.text(out))
    }
}

/// An event to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// 1 to [`NAME_MAX`] bytes.
    pub name: &'a str,
    /// The data as text.
    pub data: &'a str,
    /// Which event it is.
    pub id: Option<EventId>,
}

impl Event<'_> {
    /// Writes the datagram `CLUSTER_EVENT:{…}` to the start of `out`; its length in bytes. Data that is a JSON object
    /// or array is written as such, anything else as a string; readers get the same text back.
    ///
    /// # Errors
    /// [`EventError::Name`]; [`EventError::TooLong`] when the datagram would exceed [`MAX_DATAGRAM`] or `out`.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EventError> {
        check_name(self.name)?;
        let room = out.len().min(MAX_DATAGRAM);
        let mut writer = SliceWriter::new(out.get_mut(..room).unwrap_or(&mut []));
        writer.write_str("CLUSTER_EVENT:").map_err(|_| EventError::TooLong)?;
        let mut json = JsonWriter::new(&mut writer);
        self.write_body(&mut json).map_err(|_| EventError::TooLong)?;
        Ok(writer.len())
    }

    fn write_body<W: Write>(&self, json: &mut JsonWriter<W>) -> fmt::Result {
        json.begin_object()?;
        json.field("event", self.name)?;
        json.key("data")?;
        // Written as it is, an object costs no escapes; blanks around it would be lost, so it must have none.
        let nested = self.data.starts_with(['{', '[']) && self.data.ends_with(['}', ']']);
        if nested && is_json(self.data) {
            json.raw(self.data)?;
        } else {
            json.string(self.data)?;
        }
        if let Some(id) = &self.id {
            json.key("id")?;
            json.display(id)?;
        }
        json.end_object()
    }

    /// Writes what WebSocket clients get: `{"event":"…","payload":"…"}`, the data always as a string.
    ///
    /// # Errors
    /// The error of the underlying writer.
    pub fn write_message<W: Write>(&self, out: W) -> fmt::Result {
        let mut json = JsonWriter::new(out);
        json.begin_object()?;
        json.field("event", self.name)?;
        json.field("payload", self.data)?;
        json.end_object()
    }
}

/// Whether `text` is one JSON document (RFC 8259).
fn is_json(text: &str) -> bool {
    let mut scanner = crate::json::Scanner::<0>::strict();
    scanner.feed(text.as_bytes(), &mut |_| ()).is_ok() && scanner.finish(&mut |_| ()).is_ok()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test may panic"
)]
mod tests {
    use super::*;
    use crate::text::Text;
    use proptest::prelude::*;

    fn text(json: &str) -> String {
        EventBody::parse(json).unwrap().text(&mut [0; DATA_MAX]).unwrap().to_string()
    }

    #[test]
    fn data_of_every_type_becomes_text() {
        assert_eq!(text(r#"{"event":"a","data":"x\n\"é\u00e9\ud83d\ude00"}"#), "x\n\"éé😀");
        assert_eq!(text(r#"{"event":"a","data": {"color" : [1,"]}"] } }"#), r#"{"color" : [1,"]}"] }"#);
        assert_eq!(text(r#"{"payload":[1,{}],"event":"a"}"#), "[1,{}]");
        assert_eq!(text(r#" { "other" : {"event":"b"} , "event" : "a" , "data" : 12.5 } "#), "12.5");
        assert_eq!(text(r#"{"event":"a","payload":"no","data":true}"#), "true");
        assert_eq!(text(r#"{"event":"a"}"#), "");
    }

    #[test]
    fn names_and_ids_are_checked() {
        let name = |json: &str| EventBody::parse(json).map(|body| body.name.to_string());
        assert_eq!(name(r#"{"event":"api\/neo","data":1}"#), Ok("api/neo".into()));
        for wrong in [r#"{"data":1}"#, r#"{"event":""}"#, r#"{"event":1}"#, r#"{"event":"a\n"}"#] {
            assert_eq!(name(wrong), Err(EventError::Name), "{wrong}");
        }
        assert_eq!(name(&format!(r#"{{"event":"{}"}}"#, "x".repeat(33))), Err(EventError::Name));
        assert_eq!(name("[]"), Err(EventError::Json(JsonError::Syntax)));
        assert_eq!(name("{\"event\":\"a\","), Err(EventError::Json(JsonError::Truncated)));
        let id = |id: &str| EventBody::parse(&format!(r#"{{"event":"a","id":{id}}}"#)).map(|body| body.id);
        let origin = Ipv4Addr::new(10, 4, 0, 11);
        assert_eq!(id(r#""10.4.0.11/7/42""#), Ok(Some(EventId { origin, boot: 7, number: 42 })));
        assert_eq!(id("null"), Ok(None));
        for wrong in
            ["1", r#""10.4.0.11/7""#, r#""10.4.0.11/7/42/1""#, r#""x/7/42""#, r#""10.4.0.11/65536/42""#]
        {
            assert_eq!(id(wrong), Err(EventError::Id), "{wrong}");
        }
    }

    #[test]
    fn data_is_limited() {
        let body = |n| format!(r#"{{"event":"a","data":"{}"}}"#, "\\u0041".repeat(n));
        assert!(EventBody::parse(&body(512)).is_ok(), "the limit is on the text, not on its escapes");
        assert_eq!(EventBody::parse(&body(513)), Err(EventError::Data));
        let mut out = [0; 1024];
        let mut emit = |len: usize| Event { name: "a", data: &"x".repeat(len), id: None }.emit(&mut out);
        let room = MAX_DATAGRAM - emit(0).unwrap();
        assert_eq!(emit(room), Ok(MAX_DATAGRAM));
        assert_eq!(emit(room + 1), Err(EventError::TooLong));
    }

    #[test]
    fn web_socket_messages_carry_text() {
        let mut out = String::new();
        Event { name: "a", data: r#"{"b":1}"#, id: None }.write_message(&mut out).unwrap();
        assert_eq!(out, r#"{"event":"a","payload":"{\"b\":1}"}"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[!-~é]{1,16}",
            data in prop_oneof![any::<String>(), r#"[\[{][0-9",:\[\]{} ]{0,8}[\]}]"#, Just("{\"a\":[1, 2]}".to_string())],
            id in proptest::option::of((any::<[u8; 4]>(), any::<u16>(), any::<u32>())),
        ) {
            let id = id.map(|(origin, boot, number)| EventId { origin: origin.into(), boot, number });
            let mut out = [0; MAX_DATAGRAM];
            match (Event { name: &name, data: &data, id }).emit(&mut out) {
                Err(error) => prop_assert_eq!(error, EventError::TooLong),
                Ok(len) => {
                    let Ok(Text::Event { json }) = Text::parse(&out[..len]) else { panic!("not an event") };
                    let body = EventBody::parse(json).unwrap();
                    prop_assert_eq!((body.name.as_str(), body.id), (name.as_str(), id));
                    let mut buffer = [0; DATA_MAX];
                    prop_assert_eq!(body.text(&mut buffer).unwrap(), data);
                }
            }
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in r#"\{("(event|data|id)":)?[\[\]{},:"0-9a\\ue ]{0,20}\}?"#) {
            if let Ok(body) = EventBody::parse(&text) {
                body.text(&mut [0; DATA_MAX]).unwrap();
            }
        }
    }
}
