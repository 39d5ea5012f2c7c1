//! `application/x-www-form-urlencoded`: bodies of POST, and queries.
//!
//! `+` is a blank and `%41` a byte; a `%` without two hexadecimal digits after it stands for itself, because C++
//! SPORE's `ctl.sh` sends passwords without encoding them.
//!
//! # Panics
//! Nothing here panics, on any text and any buffer.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::fmt::{self, Write};
use spore_sentence::sentence;

/// Why a value could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// Longer than there is room for.
    TooLong,
    /// The decoded bytes are not UTF-8.
    Utf8,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                FormError::TooLong => sentence!("value too long"),
                FormError::Utf8 => sentence!("value is not UTF-8"),
            },
            f,
        )
    }
}

impl core::error::Error for FormError {}

/// A key or a value as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded<'a>(&'a str);

impl<'a> Encoded<'a> {
    /// A piece of a form.
    pub const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// The text as it was sent.
    pub fn as_sent(&self) -> &'a str {
        self.0
    }

    /// The bytes it stands for.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<'a> {
        Bytes { rest: self.0.as_bytes() }
    }

    /// Whether it stands for `text`.
    pub fn is(&self, text: &str) -> bool {
        self.bytes().eq(text.bytes())
    }

    /// The text it stands for, written to the start of `out`.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn decode<'b>(&self, out: &'b mut [u8]) -> Result<&'b str, FormError> {
        let mut len = 0usize;
        for byte in self.bytes() {
            *out.get_mut(len).ok_or(FormError::TooLong)? = byte;
            len = len.saturating_add(1);
        }
        core::str::from_utf8(out.get(..len).unwrap_or(&[])).map_err(|_| FormError::Utf8)
    }

    /// The text it stands for, of at most `N` bytes.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn to_text<const N: usize>(&self) -> Result<heapless::String<N>, FormError> {
        let mut buffer = [0; N];
        let text = self.decode(&mut buffer)?;
        heapless::String::try_from(text).map_err(|_| FormError::TooLong)
    }
}

#[derive(Clone)]
struct Bytes<'a> {
    rest: &'a [u8],
}

impl Iterator for Bytes<'_> {
    type Item = u8;
    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.rest = rest;
            return Some(high.wrapping_shl(4) | low);
        }
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(if byte == b'+' { b' ' } else { byte })
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The pairs of key and value of a form, in their order. A pair without `=` has an empty value; empty pairs are left
/// out. Blanks, CR and LF at the form's end are not part of it.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Pairs<'a> {
    /// The pairs of a body, or of a query without its `?`.
    pub fn new(form: &'a str) -> Self {
        Self { rest: form.trim_ascii_end() }
    }

    /// The value of the first pair whose key is `key`.
    pub fn get(&self, key: &str) -> Option<Encoded<'a>> {
        self.clone().find(|pair| pair.0.is(key)).map(|pair| pair.1)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Encoded<'a>, Encoded<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (pair, rest) = self.rest.split_once('&').unwrap_or((self.rest, ""));
            self.rest = rest;
            if !pair.is_empty() {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                return Some((Encoded(key), Encoded(value)));
            }
        }
        None
    }
}

/// Writes `text` so that a form or query can hold it: letters, digits and `*-._` as they are, a blank as `+`, all
/// else as `%XX`.
///
/// # Errors
/// The error of the underlying writer.
pub fn encode(text: &str, out: &mut dyn Write) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                out.write_char(char::from(byte))?
            }
            b' ' => out.write_char('+')?,
            _ => write!(out, "%{byte:02X}")?,
        }
    }
    Ok(())
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

    fn pairs(form: &str) -> Vec<(String, String)> {
        let text = |part: Encoded<'_>| part.to_text::<64>().unwrap().as_str().to_string();
        Pairs::new(form).map(|(key, value)| (text(key), text(value))).collect()
    }

    #[test]
    fn forms_are_taken_apart() {
        let pair = |key: &str, value: &str| (key.to_string(), value.to_string());
        assert_eq!(
            pairs("ssid=my+net&password=a%26b%C3%A9=c\r\n"),
            [pair("ssid", "my net"), pair("password", "a&bé=c")]
        );
        assert_eq!(pairs("&a&&=b&c="), [pair("a", ""), pair("", "b"), pair("c", "")]);
        assert_eq!(pairs(""), []);
        assert_eq!(pairs("p=100%&q=%zz%4&r=%"), [pair("p", "100%"), pair("q", "%zz%4"), pair("r", "%")]);
    }

    #[test]
    fn limits_and_alphabets_are_checked() {
        assert_eq!(Encoded::new("%41bc").to_text::<3>().unwrap(), "Abc");
        assert_eq!(Encoded::new("abcd").to_text::<3>(), Err(FormError::TooLong));
        assert_eq!(Encoded::new("%ff").to_text::<3>(), Err(FormError::Utf8));
        assert!(Pairs::new("a=1&label.app=x").get("label.app").unwrap().is("x"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(key in any::<String>(), value in any::<String>()) {
            let mut form = String::new();
            encode(&key, &mut form).unwrap();
            form.push('=');
            encode(&value, &mut form).unwrap();
            let (k, v) = Pairs::new(&form).next().unwrap();
            prop_assert!(k.is(&key) && v.is(&value));
        }

        #[test]
        fn arbitrary_text_does_not_panic(form in "[%&=+a-f0-9é]{0,30}") {
            for (key, value) in Pairs::new(&form) {
                let _ = key.decode(&mut [0; 8]);
                prop_assert!(value.bytes().count() <= value.as_sent().len());
            }
        }
    }
}
