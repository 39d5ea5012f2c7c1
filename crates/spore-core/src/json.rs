//! The little JSON the core writes itself: strings with escapes (RFC 8259, section 7).

use core::fmt::{self, Write};

/// A JSON string: quotes, escapes, control characters as `\u00xx`.
pub struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// A JSON string, or `null`.
pub struct TextOrNull<'a>(pub Option<&'a str>);

impl fmt::Display for TextOrNull<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => Text(text).fmt(f),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_must_be_escaped() {
        assert_eq!(Text("a\"b\\c\n\u{1}ä").to_string(), "\"a\\\"b\\\\c\\n\\u0001ä\"");
        assert_eq!(TextOrNull(None).to_string(), "null");
    }
}
