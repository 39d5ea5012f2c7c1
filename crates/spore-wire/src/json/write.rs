//! The writer.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::fmt::{self, Write};
use spore_sentence::Sentence;

/// The key of a member.
#[derive(Debug, Clone, Copy)]
pub enum Key<'k> {
    /// Any text.
    Text(&'k str),
    /// A constant without quotes and backslashes, as `key!("uptime")` makes it (see [`Sentence`]).
    Constant(Sentence),
}

impl<'k> From<&'k str> for Key<'k> {
    fn from(text: &'k str) -> Self {
        Self::Text(text)
    }
}

impl From<Sentence> for Key<'_> {
    fn from(constant: Sentence) -> Self {
        Self::Constant(constant)
    }
}

/// Writes JSON to anything that takes text, without blanks. Commas and escapes are set by itself; that brackets close,
/// and that members have keys, is the caller's.
///
/// ```
/// # use spore_wire::json::JsonWriter;
/// let mut out = heapless::String::<64>::new();
/// let mut json = JsonWriter::new(&mut out);
/// json.begin_object()?;
/// json.key("hostname")?;
/// json.string("esp_3f9ec1")?;
/// json.key("load")?;
/// json.tenths(12)?;
/// json.end_object()?;
/// assert_eq!(out, r#"{"hostname":"esp_3f9ec1","load":1.2}"#);
/// # Ok::<(), core::fmt::Error>(())
/// ```
///
/// # Errors
/// Every function returns the error of the underlying writer; the document is then broken.
#[derive(Debug)]
pub struct JsonWriter<W> {
    out: W,
    /// What comes next needs a comma before it.
    comma: bool,
}

impl<W: Write> JsonWriter<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out, comma: false }
    }

    /// Writes to `out`, where an open object or array lies that already has members if `started`: to write a long
    /// document in pieces.
    pub const fn resume(out: W, started: bool) -> Self {
        Self { out, comma: started }
    }

    /// Whether a comma is due before the next member: what [`JsonWriter::resume`] must be told to go on.
    pub const fn is_started(&self) -> bool {
        self.comma
    }

    /// Gives back what it wrote to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// What it writes to, to take out what is there while the document goes on.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn open(&mut self, bracket: char) -> fmt::Result {
        self.separate(false)?;
        self.out.write_char(bracket)
    }

    /// Writes the comma that is due, and says whether one is due next.
    fn separate(&mut self, next: bool) -> fmt::Result {
        if core::mem::replace(&mut self.comma, next) { self.out.write_char(',') } else { Ok(()) }
    }

    /// `{`
    pub fn begin_object(&mut self) -> fmt::Result {
        self.open('{')
    }

    /// `}`
    pub fn end_object(&mut self) -> fmt::Result {
        self.comma = true;
        self.out.write_char('}')
    }

    /// `[`
    pub fn begin_array(&mut self) -> fmt::Result {
        self.open('[')
    }

    /// `]`
    pub fn end_array(&mut self) -> fmt::Result {
        self.comma = true;
        self.out.write_char(']')
    }

    /// The key of an object's next member.
    pub fn key<'k>(&mut self, key: impl Into<Key<'k>>) -> fmt::Result {
        self.begin_member(key.into())
    }

    fn begin_member(&mut self, key: Key<'_>) -> fmt::Result {
        match key {
            Key::Text(text) => self.string(text)?,
            Key::Constant(text) => {
                self.separate(true)?;
                write!(self.out, "\"{text}\"")?;
            }
        }
        self.comma = false;
        self.out.write_char(':')
    }

    /// A string.
    pub fn string(&mut self, text: &str) -> fmt::Result {
        self.display(&text)
    }

    /// Anything with a text form, as a string.
    pub fn display(&mut self, value: &dyn fmt::Display) -> fmt::Result {
        self.separate(true)?;
        self.out.write_char('"')?;
        write!(Escape(&mut self.out), "{value}")?;
        self.out.write_char('"')
    }

    /// A number.
    pub fn number(&mut self, value: impl Into<u64>) -> fmt::Result {
        self.separate(true)?;
        write!(self.out, "{}", value.into())
    }

    /// A number that may be negative.
    pub fn signed(&mut self, value: i32) -> fmt::Result {
        self.separate(true)?;
        write!(self.out, "{value}")
    }

    /// A number of tenths, with one decimal: 12 is written `1.2`.
    pub fn tenths(&mut self, value: i32) -> fmt::Result {
        self.separate(true)?;
        let (whole, tenth) = (value.unsigned_abs().wrapping_div(10), value.unsigned_abs().wrapping_rem(10));
        write!(self.out, "{}{whole}.{tenth}", if value < 0 { "-" } else { "" })
    }

    /// A number with one decimal, rounded half away from zero; `null` when it is not finite, and the nearest number
    /// that tenths of an `i32` can hold when it is larger. No floating-point formatting is linked for this.
    pub fn decimal(&mut self, value: f32) -> fmt::Result {
        if !value.is_finite() {
            return self.null();
        }
        let tenths = value * 10.0;
        self.tenths((tenths + if tenths < 0.0 { -0.5 } else { 0.5 }) as i32)
    }

    /// `true` or `false`.
    pub fn bool(&mut self, value: bool) -> fmt::Result {
        self.raw(if value { "true" } else { "false" })
    }

    /// `null`
    pub fn null(&mut self) -> fmt::Result {
        self.raw("null")
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, json: &str) -> fmt::Result {
        self.separate(true)?;
        self.out.write_str(json)
    }

    /// A string whose escapes are set already.
    pub fn raw_string(&mut self, escaped: &str) -> fmt::Result {
        self.separate(true)?;
        self.out.write_char('"')?;
        self.out.write_str(escaped)?;
        self.out.write_char('"')
    }

    /// A member with a string.
    pub fn field<'k>(&mut self, key: impl Into<Key<'k>>, text: &str) -> fmt::Result {
        self.key(key)?;
        self.string(text)
    }

    /// A member with a number.
    pub fn field_number<'k>(&mut self, key: impl Into<Key<'k>>, value: impl Into<u64>) -> fmt::Result {
        self.key(key)?;
        self.number(value)
    }

    /// A member with `true` or `false`.
    pub fn field_bool<'k>(&mut self, key: impl Into<Key<'k>>, value: bool) -> fmt::Result {
        self.key(key)?;
        self.bool(value)
    }
}

/// Escapes what is written through it.
struct Escape<'a, W>(&'a mut W);

impl<W: Write> Write for Escape<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        // All that is special is ASCII, so that what is cut there are characters.
        while let Some(at) = rest.bytes().position(|byte| matches!(byte, 0..b' ' | b'"' | b'\\')) {
            let (plain, from) = rest.split_at_checked(at).unwrap_or_default();
            let (special, behind) = from.split_at_checked(1).unwrap_or_default();
            self.0.write_str(plain)?;
            match special.as_bytes() {
                b"\"" => self.0.write_str("\\\"")?,
                b"\\" => self.0.write_str("\\\\")?,
                b"\n" => self.0.write_str("\\n")?,
                b"\r" => self.0.write_str("\\r")?,
                b"\t" => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{:04x}", other.first().unwrap_or(&0))?,
            }
            rest = behind;
        }
        self.0.write_str(rest)
    }
}

/// Writes text into a slice of bytes; an error when it is full, with nothing of that piece written.
#[derive(Debug)]
pub struct SliceWriter<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> SliceWriter<'a> {
    /// Writes to the start of `buffer`.
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that can still be written.
    pub fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.len)
    }

    /// Takes back what was written after the first `len` bytes, which must end at a character.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    /// What was written, for as long as the buffer lives.
    pub fn into_str(self) -> &'a str {
        let written = self.buffer.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(written).unwrap_or("")
    }
}

impl Write for SliceWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.checked_add(text.len()).ok_or(fmt::Error)?;
        self.buffer.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
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

    fn written(write: impl FnOnce(&mut JsonWriter<&mut String>) -> fmt::Result) -> String {
        let mut out = String::new();
        write(&mut JsonWriter::new(&mut out)).unwrap();
        out
    }

    #[test]
    fn constant_keys_are_like_others() {
        let mut out = heapless::String::<64>::new();
        let mut json = JsonWriter::new(&mut out);
        json.begin_object().unwrap();
        json.field(spore_sentence::sentence!("state"), "open").unwrap();
        json.field_number("size", 7u32).unwrap();
        json.end_object().unwrap();
        assert_eq!(out, r#"{"state":"open","size":7}"#);
    }

    #[test]
    fn commas_come_by_themselves() {
        let text = written(|json| {
            json.begin_object()?;
            json.key("a")?;
            json.begin_array()?;
            json.end_array()?;
            json.key("b")?;
            json.begin_array()?;
            json.number(1u8)?;
            json.signed(-2)?;
            json.begin_object()?;
            json.end_object()?;
            json.null()?;
            json.end_array()?;
            json.field("c", "x\"\\\n\u{1}")?;
            json.field_number("d", u64::MAX)?;
            json.field_bool("e", true)?;
            json.end_object()
        });
        assert_eq!(
            text,
            r#"{"a":[],"b":[1,-2,{},null],"c":"x\"\\\n\u0001","d":18446744073709551615,"e":true}"#
        );
    }

    #[test]
    fn decimals_are_rounded() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.04, "0.0"),
            (-0.05, "-0.1"),
            (1.25, "1.3"),
            (-12.34, "-12.3"),
            (50.0, "50.0"),
            (f32::NAN, "null"),
            (f32::INFINITY, "null"),
            (f32::MAX, "214748364.7"),
            (f32::MIN, "-214748364.8"),
        ] {
            assert_eq!(written(|json| json.decimal(value)), text, "{value}");
        }
    }

    #[test]
    fn a_full_slice_keeps_what_it_has() {
        let mut buffer = [0; 4];
        let mut out = SliceWriter::new(&mut buffer);
        out.write_str("abc").unwrap();
        assert!(out.write_str("de").is_err());
        out.write_str("d").unwrap();
        assert_eq!((out.room(), out.into_str()), (0, "abcd"));
    }

    proptest! {
        #[test]
        fn strings_survive(text in any::<String>()) {
            let json = written(|json| json.string(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
