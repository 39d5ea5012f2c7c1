//! Parameters of a request, from query, form or JSON, decoded once.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::limits::BODY;
use spore_wire::form::{Encoded, Pairs};
use spore_wire::json::Members;

/// Most parameters of one request.
const COUNT: usize = 24;
/// Bytes of all names and values, decoded.
pub const BYTES: usize = BODY + 256;

/// Why parameters could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamsError {
    /// The body is not UTF-8, or says it is JSON and is not one JSON object.
    Malformed,
    /// More than 24 parameters, or more than 1,280 bytes of them.
    TooMany,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: (u16, u16),
    value: (u16, u16),
    /// A value of a JSON body that is no string.
    raw: bool,
}

/// Names and values.
#[derive(Debug)]
pub struct Params {
    text: heapless::Vec<u8, BYTES>,
    entries: heapless::Vec<Entry, COUNT>,
}

/// The type of body that a `Content-Type` header announces, as far as it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced(Option<BodyKind>);

impl Announced {
    /// From the header's value.
    pub fn by(content_type: Option<&str>) -> Self {
        Self(match content_type {
            Some(kind) if kind.contains("json") => Some(BodyKind::Json),
            Some(kind) if kind.contains("urlencoded") => Some(BodyKind::Form),
            _ => None,
        })
    }

    /// The type of that body.
    pub fn kind(self, body: &[u8]) -> BodyKind {
        let json = body.trim_ascii_start().first() == Some(&b'{');
        self.0.unwrap_or(if json { BodyKind::Json } else { BodyKind::Form })
    }
}

/// The type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/x-www-form-urlencoded`, and whatever is not JSON: upstream's tools do not always say.
    Form,
    /// `application/json`, or text that starts like an object.
    Json,
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self { text: heapless::Vec::new(), entries: heapless::Vec::new() }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    /// Forgets all; gives the room of their texts for something else.
    pub fn room(&mut self) -> &mut [u8] {
        self.clear();
        // Up to its capacity a vector can always be resized.
        let _ = self.text.resize(BYTES, 0);
        &mut self.text
    }

    /// Adds those of a query or form.
    pub fn add_form(&mut self, form: &str) -> Result<(), ParamsError> {
        for (name, value) in Pairs::new(form) {
            let entry = Entry { name: self.put_encoded(name)?, value: self.put_encoded(value)?, raw: false };
            self.entries.push(entry).map_err(|_| ParamsError::TooMany)?;
        }
        Ok(())
    }

    /// Adds those of a body.
    pub fn add_body(&mut self, kind: BodyKind, body: &[u8]) -> Result<(), ParamsError> {
        let body = core::str::from_utf8(body).map_err(|_| ParamsError::Malformed)?;
        if kind == BodyKind::Form {
            return self.add_form(body.trim_ascii_end());
        }
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        for (name, value) in Members::new(body).map_err(|_| ParamsError::Malformed)? {
            let (raw, value) = match value {
                spore_wire::json::Value::Str(text) => (false, self.put(text.chars())?),
                spore_wire::json::Value::Raw(json) => (true, self.put(json.chars())?),
            };
            let entry = Entry { name: self.put(name.chars())?, value, raw };
            self.entries.push(entry).map_err(|_| ParamsError::TooMany)?;
        }
        Ok(())
    }

    fn put_encoded(&mut self, text: Encoded<'_>) -> Result<(u16, u16), ParamsError> {
        let start = self.text.len();
        for byte in text.bytes() {
            self.text.push(byte).map_err(|_| ParamsError::TooMany)?;
        }
        let place = self.since(start)?;
        match self.text.get(start..).map(core::str::from_utf8) {
            Some(Ok(_)) => Ok(place),
            _ => Err(ParamsError::Malformed),
        }
    }

    fn put(&mut self, chars: impl Iterator<Item = char>) -> Result<(u16, u16), ParamsError> {
        let start = self.text.len();
        for c in chars {
            let added = self.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            added.map_err(|_| ParamsError::TooMany)?;
        }
        self.since(start)
    }

    /// The place of what was put in since the texts had so many bytes.
    fn since(&self, start: usize) -> Result<(u16, u16), ParamsError> {
        match (u16::try_from(start), u16::try_from(self.text.len())) {
            (Ok(start), Ok(end)) => Ok((start, end)),
            _ => Err(ParamsError::TooMany),
        }
    }

    fn slice(&self, (start, end): (u16, u16)) -> &str {
        let bytes = self.text.get(usize::from(start)..usize::from(end)).unwrap_or_default();
        // They were checked when they were put in.
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Every parameter in the order given: name, value, and whether the value is JSON other than a string.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.entries.iter().map(|entry| (self.slice(entry.name), self.slice(entry.value), entry.raw))
    }

    /// The value of the last parameter of that name as text: a body's wins over the query's. A JSON number or boolean is as
    /// good as its text; null, an object or an array is no text, and the parameter counts as missing.
    pub fn get(&self, name: &str) -> Option<&str> {
        let entry = self.entry(name)?;
        let value = self.slice(entry.value);
        (!entry.raw || is_plain(value)).then_some(value)
    }

    /// The same, but in JSON only a string will do.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.entry(name).filter(|entry| !entry.raw).map(|entry| self.slice(entry.value))
    }

    /// The same, with any JSON value as it is written.
    pub fn get_json(&self, name: &str) -> Option<&str> {
        self.entry(name).map(|entry| self.slice(entry.value))
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| self.slice(entry.name) == name)
    }
}

/// Whether a JSON value that is no string is as good as its text: a number, `true` or `false`.
fn is_plain(raw: &str) -> bool {
    !raw.starts_with(['{', '[', 'n'])
}

impl Default for Params {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn query_form_and_json_say_the_same() {
        let mut query = Params::new();
        query.add_form("ssid=my+net&password=a%26b%3D%zz").unwrap();
        assert_eq!(query.get("ssid"), Some("my net"));
        assert_eq!(query.get("password"), Some("a&b=%zz"));

        let mut json = Params::new();
        json.add_body(BodyKind::Json, br#" {"ssid":"my\u0020net","n":12,"o":{"a":[1,2]}} "#).unwrap();
        assert_eq!(json.get("ssid"), Some("my net"));
        assert!(json.iter().any(|param| param == ("n", "12", true)));
        assert_eq!(json.get("o"), None);
        assert_eq!(json.get_json("o"), Some(r#"{"a":[1,2]}"#));
        assert_eq!(json.get("nothing"), None);
    }

    #[test]
    fn a_body_wins_over_the_query() {
        let mut params = Params::new();
        params.add_form("state=on").unwrap();
        params.add_body(BodyKind::Form, b"state=off\n").unwrap();
        assert_eq!(params.get("state"), Some("off"));
    }

    #[test]
    fn too_much_and_nonsense_are_refused() {
        let mut params = Params::new();
        assert_eq!(params.add_body(BodyKind::Json, b"[1]"), Err(ParamsError::Malformed));
        assert_eq!(params.add_body(BodyKind::Json, b"{\"a\":"), Err(ParamsError::Malformed));
        assert_eq!(params.add_body(BodyKind::Form, b"\xff"), Err(ParamsError::Malformed));
        assert_eq!(params.add_form(&"a=1&".repeat(COUNT + 1)), Err(ParamsError::TooMany));
        assert_eq!(Params::new().add_form(&"a".repeat(BYTES + 1)), Err(ParamsError::TooMany));
    }

    #[test]
    fn the_kind_of_body_is_recognised() {
        assert_eq!(Announced::by(Some("application/json; charset=utf-8")).kind(b""), BodyKind::Json);
        assert_eq!(Announced::by(Some("application/x-www-form-urlencoded")).kind(b"{"), BodyKind::Form);
        assert_eq!(Announced::by(None).kind(b" {\"a\":1}"), BodyKind::Json);
        assert_eq!(Announced::by(Some("text/plain")).kind(b"a=1"), BodyKind::Form);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..1500), json: bool) {
            let mut params = Params::new();
            let kind = if json { BodyKind::Json } else { BodyKind::Form };
            let _ = params.add_body(kind, &body);
            for (name, _, _) in params.iter() {
                prop_assert!(params.get(name).is_some());
            }
        }
    }
}
