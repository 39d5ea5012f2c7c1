//! `multipart/form-data` (RFC 7578, RFC 2046 §5.1) as it streams in: the file that is uploaded.
//!
//! One file is delivered: the first part with content that has a `filename` (or `filename*`), or the type
//! `application/octet-stream`. Form fields beside it are skipped, whatever their order. The file is found in one pass
//! and in constant memory, wherever the pieces are cut.
//!
//! A delimiter is CRLF, `--`, the boundary; the first one needs no CRLF if the body begins with it. After it blanks
//! are allowed, then CRLF or LF. Header lines may end in LF alone. Bytes in front of the first delimiter and after the
//! closing one are ignored.
//!
//! # Panics
//! Nothing here panics, on any bytes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::fmt;
use spore_sentence::sentence;

/// Longest boundary, in bytes (RFC 2046 §5.1.1).
pub const BOUNDARY_MAX: usize = 70;

/// Why a body was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipartError {
    /// The boundary is empty, too long, or has characters that no boundary may have.
    Boundary,
    /// Something else than a line end or `--` follows a boundary.
    Syntax,
    /// The closing boundary is missing: the upload was cut.
    Truncated,
    /// No part holds a file.
    NoFile,
}

impl fmt::Display for MultipartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(
            &match self {
                MultipartError::Boundary => sentence!("multipart boundary missing or wrong"),
                MultipartError::Syntax => sentence!("broken multipart body"),
                MultipartError::Truncated => sentence!("upload is truncated"),
                MultipartError::NoFile => sentence!("no file in the form"),
            },
            f,
        )
    }
}

impl core::error::Error for MultipartError {}

/// The boundary in a `Content-Type` of `multipart/form-data`; none if it is another type or has no usable boundary.
pub fn boundary_of(content_type: &str) -> Option<&str> {
    let (kind, mut rest) = content_type.split_once(';')?;
    if !kind.trim_ascii().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    loop {
        let (name, value) = rest.split_once('=')?;
        let value = value.trim_ascii_start();
        // A quoted value may hold semicolons.
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                let (value, after) = value.split_at_checked(end)?;
                (value.trim_ascii_end(), after)
            }
        };
        if name.trim_matches([' ', '\t', ';']).eq_ignore_ascii_case("boundary") {
            return is_boundary(value).then_some(value);
        }
        rest = after;
    }
}

/// RFC 2046: 1 to 70 of a small alphabet, no blank at the end.
fn is_boundary(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    (1..=BOUNDARY_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.ends_with(' ')
}

/// Where in the body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In front of the first boundary, or in a part's content; so many bytes of the delimiter have been seen.
    Content { matched: usize },
    /// Directly after a boundary.
    Boundary,
    /// After a boundary and a hyphen.
    Closing,
    /// After a boundary and blanks, or its CR.
    Padding,
    /// In a header's name.
    Name,
    /// In a header's value, inside quotes or not; after a backslash in quotes.
    Value { quoted: bool, escaped: bool },
    /// After the closing boundary.
    Done,
    /// Broken.
    Failed,
}

/// Reads one body; see the module. Needs less than 160 bytes.
#[derive(Clone, Debug)]
pub struct Multipart {
    delimiter: heapless::Vec<u8, { BOUNDARY_MAX + 4 }, u8>,
    state: State,
    /// Name of the header that is being read, in small letters.
    name: Word,
    /// Parameter or type that is being read, in small letters.
    word: Word,
    /// The current part is a file.
    file: bool,
    /// Bytes of the current part are delivered.
    deliver: bool,
    /// Bytes were delivered.
    delivered: bool,
}

/// As much of a word as is needed to know it.
type Word = crate::names::Short<24>;

impl Multipart {
    /// A reader at the start of a body.
    ///
    /// # Errors
    /// [`MultipartError::Boundary`].
    pub fn new(boundary: &str) -> Result<Self, MultipartError> {
        if !is_boundary(boundary) {
            return Err(MultipartError::Boundary);
        }
        let mut delimiter = heapless::Vec::new();
        for part in [b"\r\n--".as_slice(), boundary.as_bytes()] {
            delimiter.extend_from_slice(part).map_err(|_| MultipartError::Boundary)?;
        }
        Ok(Self {
            delimiter,
            // As if a line end stood in front of the body.
            state: State::Content { matched: 2 },
            name: Word::new(),
            word: Word::new(),
            file: false,
            deliver: false,
            delivered: false,
        })
    }

    /// Reads the next bytes of the body and gives those of the file to `sink`.
    ///
    /// # Errors
    /// [`MultipartError::Syntax`], also for every later call.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), MultipartError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let State::Content { matched: 0 } = self.state {
                // Only a CR can begin a delimiter, so everything up to it goes through in one piece.
                let plain = bytes.iter().position(|&b| b == b'\r').unwrap_or(bytes.len());
                let (content, delimiter) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
                self.content(content, sink);
                bytes = delimiter;
                if !delimiter.is_empty() {
                    self.state = State::Content { matched: 1 };
                    bytes = delimiter.get(1..).unwrap_or(&[]);
                }
                continue;
            }
            if let State::Content { matched } = self.state
                && self.delimiter.get(matched) != Some(&byte)
            {
                // What looked like a delimiter was content. The delimiter has no second CR, so no other match can
                // have begun inside.
                if self.deliver
                    && let Some(content) = self.delimiter.get(..matched)
                {
                    self.delivered = true;
                    sink(content);
                }
                self.state = State::Content { matched: 0 };
                continue;
            }
            self.step(byte);
            if self.state == State::Failed {
                return Err(MultipartError::Syntax);
            }
            bytes = rest;
        }
        Ok(())
    }

    fn content(&mut self, content: &[u8], sink: &mut dyn FnMut(&[u8])) {
        if self.deliver && !content.is_empty() {
            self.delivered = true;
            sink(content);
        }
    }

    /// One byte that is not content.
    fn step(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Content { matched }, _) => {
                let matched = matched.saturating_add(1);
                if matched < self.delimiter.len() { State::Content { matched } } else { State::Boundary }
            }
            (State::Boundary, b'-') => State::Closing,
            (State::Closing, b'-') | (State::Done, _) => State::Done,
            (State::Boundary | State::Padding, b' ' | b'\t' | b'\r') => State::Padding,
            (State::Boundary | State::Padding, b'\n') => {
                self.file = false;
                self.begin_line()
            }
            (State::Boundary | State::Closing | State::Padding | State::Failed, _) => State::Failed,
            (State::Name, b'\r') => State::Name,
            (State::Name, b'\n') if self.name.is_empty() => {
                self.deliver = self.file && !self.delivered;
                State::Content { matched: 0 }
            }
            (State::Name, b':') => State::Value { quoted: false, escaped: false },
            (State::Name | State::Value { .. }, b'\n') => {
                self.end_word(byte);
                self.begin_line()
            }
            (State::Name, _) => {
                collect(&mut self.name, byte);
                State::Name
            }
            (State::Value { quoted: true, escaped }, _) => {
                State::Value { quoted: byte != b'"' || escaped, escaped: byte == b'\\' && !escaped }
            }
            (State::Value { .. }, b'"') => State::Value { quoted: true, escaped: false },
            (State::Value { .. }, b';' | b'=') => {
                self.end_word(byte);
                self.word.clear();
                if self.name.starts_with("content-type") {
                    // Only the type itself counts, not its parameters.
                    self.name.clear();
                }
                State::Value { quoted: false, escaped: false }
            }
            (State::Value { .. }, _) => {
                if !byte.is_ascii_whitespace() {
                    collect(&mut self.word, byte);
                }
                State::Value { quoted: false, escaped: false }
            }
        };
    }

    fn begin_line(&mut self) -> State {
        self.name.clear();
        self.word.clear();
        State::Name
    }

    /// A word of a header's value ends with `end`.
    fn end_word(&mut self, end: u8) {
        self.file |= matches!(
            (self.name.trim_ascii_end(), self.word.as_str(), end),
            ("content-disposition", "filename" | "filename*", b'=')
                | ("content-type", "application/octet-stream", _)
        );
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    /// [`MultipartError::Truncated`] without a closing boundary, [`MultipartError::NoFile`], or the error of
    /// [`Multipart::feed`]. What was delivered must not be used then.
    pub fn finish(self) -> Result<(), MultipartError> {
        match self.state {
            State::Failed => Err(MultipartError::Syntax),
            State::Done if self.delivered => Ok(()),
            State::Done => Err(MultipartError::NoFile),
            _ => Err(MultipartError::Truncated),
        }
    }
}

/// Adds a character in small letters. A word that is too long becomes one that nothing is compared with.
fn collect(word: &mut Word, byte: u8) {
    if word.push(char::from(byte.to_ascii_lowercase())).is_err() {
        word.clear();
        // Longer than any word of interest once it is filled up again.
        let _ = word.push_str("........................");
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

    fn read(boundary: &str, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), MultipartError>) {
        let mut reader = Multipart::new(boundary).unwrap();
        let mut file = Vec::new();
        for piece in pieces {
            let _ = reader.feed(piece, &mut |bytes| file.extend_from_slice(bytes));
        }
        (file, reader.finish())
    }

    fn body(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (headers, content) in parts {
            body.extend_from_slice(format!("--b0undary\r\n{headers}\r\n\r\n").as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--b0undary--\r\n");
        body
    }

    const FIELD: &str = r#"Content-Disposition: form-data; name="filename=\"x\"; filename=""#;
    const FILE: &str = r#"Content-Disposition: form-data; name="firmware"; filename="a;b.bin""#;

    #[test]
    fn the_first_file_is_delivered() {
        let expected = (b"image\r\n--b0undar".to_vec(), Ok(()));
        for body in [
            body(&[(FILE, b"image\r\n--b0undar")]),
            body(&[(FIELD, b"no"), (FILE, b"image\r\n--b0undar"), (FILE, b"second")]),
            body(&[(FILE, b""), (FILE, b"image\r\n--b0undar")]),
            body(&[("content-type : Application/Octet-Stream; x=y", b"image\r\n--b0undar")]),
            body(&[("CONTENT-DISPOSITION: form-data; filename*=UTF-8''x", b"image\r\n--b0undar")]),
            [b"preamble\r\n".as_slice(), &body(&[(FILE, b"image\r\n--b0undar")]), b"epilogue\r\n--b0undary"]
                .concat(),
        ] {
            assert_eq!(read("b0undary", &[&body]), expected, "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn line_ends_of_headers_may_be_bare() {
        let body =
            b"--b0undary \t\nX: y\nContent-Disposition: form-data; filename=x\n\n\n\r\r\n\r\n--b0undary--";
        assert_eq!(read("b0undary", &[body]), (b"\n\r\r\n".to_vec(), Ok(())));
    }

    #[test]
    fn what_is_broken_is_told() {
        let whole = body(&[(FILE, b"image")]);
        for len in 0..whole.len() - 2 {
            assert_eq!(read("b0undary", &[&whole[..len]]).1, Err(MultipartError::Truncated), "{len}");
        }
        assert_eq!(read("b0undary", &[&body(&[(FIELD, b"no")])]).1, Err(MultipartError::NoFile));
        assert_eq!(
            read("b0undary", &[&body(&[("Content-Type: image/png; q=application/octet-stream", b"no")])]).1,
            Err(MultipartError::NoFile)
        );
        assert_eq!(read("b0undar", &[&whole]).1, Err(MultipartError::Syntax));
        assert!(
            Multipart::new("").is_err()
                && Multipart::new("a\r\n").is_err()
                && Multipart::new(&"x".repeat(71)).is_err()
        );
    }

    #[test]
    fn boundaries_are_found() {
        let browser = "multipart/form-data; boundary=----WebKitFormBoundaryABC";
        assert_eq!(boundary_of(browser), Some("----WebKitFormBoundaryABC"));
        assert_eq!(
            boundary_of("Multipart/Form-Data;charset=\"a;b\" ; BOUNDARY=\"a b:c\" ; x=y"),
            Some("a b:c")
        );
        assert_eq!(boundary_of("multipart/form-data; boundary= abc ;x=y"), Some("abc"));
        for wrong in [
            "",
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
            "multipart/form-data; xboundary=a",
        ] {
            assert_eq!(boundary_of(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn cutting_does_not_matter(
            content in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b')], 1..60),
            cuts in proptest::collection::vec(any::<usize>(), 0..8),
        ) {
            let body = body(&[(FIELD, &content), (FILE, &content)]);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % body.len()).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read("b0undary", &pieces), (content, Ok(())));
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            prop_assert_eq!(read("b0undary", &bytes), read("b0undary", &[&body]));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'b')], 0..80)) {
            let (file, verdict) = read("b", &[&bytes]);
            prop_assert!(file.len() < bytes.len().max(1) && (verdict.is_err() || !file.is_empty()));
            let _ = boundary_of(&String::from_utf8_lossy(&bytes));
        }
    }
}
