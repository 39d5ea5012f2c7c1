//! A view of an object that lies in memory.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::{JsonError, JsonWriter, Scanner, SliceWriter};
use crate::error::BufferFull;
use core::fmt::Write;

/// The inside of a JSON string, escapes not yet resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawStr<'a>(&'a str);

impl<'a> RawStr<'a> {
    /// The text as it is written, escapes included.
    pub fn as_written(&self) -> &'a str {
        self.0
    }

    /// The characters, escapes resolved.
    pub fn chars(&self) -> impl Iterator<Item = char> + Clone + use<'a> {
        Unescape { rest: self.0.chars() }
    }

    /// The text, written to the start of `out`.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    pub fn unescape<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, BufferFull> {
        let mut writer = SliceWriter::new(out);
        for c in self.chars() {
            writer.write_char(c).map_err(|_| BufferFull)?;
        }
        Ok(writer.into_str())
    }

    /// Whether it is `text` once escapes are resolved.
    pub fn is(&self, text: &str) -> bool {
        self.chars().eq(text.chars())
    }
}

/// Resolves escapes of a string that has been checked.
#[derive(Clone)]
struct Unescape<'a> {
    rest: core::str::Chars<'a>,
}

impl Unescape<'_> {
    fn code(&mut self) -> u16 {
        (0..4).fold(0u16, |code, _| {
            let digit = self.rest.next().and_then(|c| c.to_digit(16)).unwrap_or(0);
            code.wrapping_shl(4) | u16::try_from(digit).unwrap_or(0)
        })
    }
}

impl Iterator for Unescape<'_> {
    type Item = char;
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c != '\\' {
            return Some(c);
        }
        Some(match self.rest.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.code();
                let mut ahead = self.clone();
                let low = match (ahead.rest.next(), ahead.rest.next()) {
                    (Some('\\'), Some('u')) => ahead.code(),
                    _ => 0,
                };
                match char::decode_utf16([first, low]).next() {
                    Some(Ok(c)) => {
                        if c > '\u{ffff}' {
                            *self = ahead;
                        }
                        c
                    }
                    _ => char::REPLACEMENT_CHARACTER,
                }
            }
            other => other,
        })
    }
}

/// The value of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Str(RawStr<'a>),
    /// Anything else, as it is written: object, array, number, `true`, `false`, `null`.
    Raw(&'a str),
}

impl<'a> Value<'a> {
    /// The value as text: a string's content, anything else as it is written. Written to the start of `out`.
    ///
    /// # Errors
    /// [`BufferFull`] when it does not fit.
    pub fn text<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, BufferFull> {
        match self {
            Value::Str(text) => text.unescape(out),
            Value::Raw(json) => {
                let mut writer = SliceWriter::new(out);
                writer.write_str(json).map_err(|_| BufferFull)?;
                Ok(writer.into_str())
            }
        }
    }

    /// Length in bytes of [`Value::text`].
    pub fn text_len(&self) -> usize {
        match self {
            Value::Str(text) => text.chars().fold(0, |len, c| c.len_utf8().saturating_add(len)),
            Value::Raw(json) => json.len(),
        }
    }

    /// Writes the value as JSON.
    ///
    /// # Errors
    /// The error of the underlying writer.
    pub fn write<W: Write>(&self, json: &mut JsonWriter<W>) -> core::fmt::Result {
        match self {
            Value::Str(text) => json.raw_string(text.as_written()),
            Value::Raw(raw) => json.raw(raw),
        }
    }
}

/// The members of an object, in their order, borrowed from it.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    /// After the opening brace or the previous member's value.
    rest: &'a str,
}

impl<'a> Members<'a> {
    /// A view of `json`, which is read once to see that it is one well-formed object (RFC 8259, nesting at most
    /// [`super::MAX_DEPTH`]).
    ///
    /// # Errors
    /// A [`JsonError`]; [`JsonError::Syntax`] also when it is something else than an object.
    pub fn new(json: &'a str) -> Result<Self, JsonError> {
        let mut scanner = Scanner::<0>::strict();
        scanner.feed(json.as_bytes(), &mut |_| ())?;
        scanner.finish(&mut |_| ())?;
        let rest = json.trim_ascii_start().strip_prefix('{').ok_or(JsonError::Syntax)?;
        Ok(Self { rest })
    }

    /// The value of the first member called `key`.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.clone().find(|member| member.0.is(key)).map(|member| member.1)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (RawStr<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let is_gap = |c: char| c.is_ascii_whitespace() || c == ',' || c == ':';
        let (key, rest) = string(self.rest.trim_start_matches(is_gap))?;
        let rest = rest.trim_start_matches(is_gap);
        let (value, rest) = match string(rest) {
            Some((text, rest)) => (Value::Str(text), rest),
            None => {
                let (raw, rest) = rest.split_at_checked(raw_len(rest))?;
                (Value::Raw(raw), rest)
            }
        };
        self.rest = rest;
        Some((key, value))
    }
}

/// The string at the start of well-formed `json`, and what follows it.
fn string(json: &str) -> Option<(RawStr<'_>, &str)> {
    let inside = json.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    })?;
    let (text, rest) = inside.split_at_checked(end)?;
    Some((RawStr(text), rest.get(1..)?))
}

/// Length of the value that is no string at the start of well-formed `json`.
fn raw_len(json: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0u8, false, false);
    for (i, byte) in json.bytes().enumerate() {
        if in_string {
            in_string = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth == 1 => return i.saturating_add(1),
            b'}' | b']' if depth > 1 => depth = depth.saturating_sub(1),
            b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return i,
            _ => {}
        }
    }
    json.len()
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
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json};

    /// The object, rebuilt from the view.
    fn rebuilt(text: &str) -> Json {
        let mut object = Map::new();
        for (key, value) in Members::new(text).unwrap() {
            let mut out = String::new();
            value.write(&mut JsonWriter::new(&mut out)).unwrap();
            object.insert(key.chars().collect(), serde_json::from_str(&out).unwrap());
        }
        Json::Object(object)
    }

    #[test]
    fn values_are_text_or_as_written() {
        let members = Members::new(
            r#" { "a\u0062" : "x\/\ud83d\ude00\ud83dA" , "c":[ 1, "]" ] ,"d":-1.5e3 ,"e":null} "#,
        )
        .unwrap();
        let mut out = [0; 32];
        assert_eq!(members.get("ab").unwrap().text(&mut out), Ok("x/😀\u{fffd}A"));
        assert_eq!(members.get("ab").unwrap().text_len(), 10);
        assert_eq!(members.get("ab").unwrap().text(&mut out[..9]), Err(BufferFull));
        assert_eq!(members.get("c"), Some(Value::Raw(r#"[ 1, "]" ]"#)));
        assert_eq!(members.get("d"), Some(Value::Raw("-1.5e3")));
        assert_eq!(members.get("e"), Some(Value::Raw("null")));
        assert_eq!(members.get("f"), None);
    }

    #[test]
    fn only_objects_have_members() {
        for wrong in ["", "[]", "1", "\"a\"", "{\"a\":1}}", "{\"a\":\"\n\"}"] {
            assert!(Members::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Members::new("{}").unwrap().count(), 0);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            keys in proptest::collection::vec(any::<String>(), 0..5),
            texts in proptest::collection::vec("\\PC{0,8}", 5),
            numbers: [i64; 5],
            pretty: bool,
        ) {
            let mut object = Map::new();
            for ((key, text), number) in keys.iter().zip(&texts).zip(numbers) {
                let value = match number.rem_euclid(4) {
                    0 => Json::from(text.as_str()),
                    1 => Json::from(number),
                    2 => serde_json::json!({ text: [number, text, {}, []] }),
                    _ => serde_json::json!([[text], null, true]),
                };
                object.insert(key.clone(), value);
            }
            let json = Json::Object(object);
            let text = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }.unwrap();
            prop_assert_eq!(rebuilt(&text), json);
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in r#"\{[\[\]{},:"0-9a\\ue ]{0,16}\}"#) {
            if let Ok(members) = Members::new(&text) {
                for (key, value) in members {
                    let _ = (key.chars().count(), value.text_len());
                }
            }
        }
    }
}
