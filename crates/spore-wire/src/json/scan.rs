//! The push scanner.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use super::JsonError;

/// Deepest nesting of objects and arrays that is read; deeper is [`JsonError::Depth`].
pub const MAX_DEPTH: u8 = 32;

/// The text of a key, a string (escapes resolved) or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar<'a> {
    /// The text, or as much of it as fitted into the scanner's buffer.
    pub text: &'a str,
    /// The text is not all of it: it was too long, or not UTF-8 from some byte on.
    pub truncated: bool,
}

impl<'a> Scalar<'a> {
    /// The text if it is all there.
    pub fn whole(&self) -> Option<&'a str> {
        (!self.truncated).then_some(self.text)
    }
}

/// What the scanner found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    ObjectStart,
    /// `}`
    ObjectEnd,
    /// `[`
    ArrayStart,
    /// `]`
    ArrayEnd,
    /// The name of an object's member; its value follows.
    Key(Scalar<'a>),
    /// A string.
    Str(Scalar<'a>),
    /// A number, as it is written.
    Number(Scalar<'a>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// In a string; `key` says of which kind.
    Str {
        key: bool,
    },
    /// After a backslash.
    Escape {
        key: bool,
    },
    /// In an escape of four digits: what is known of it, and how many digits are missing.
    Unicode {
        key: bool,
        code: u16,
        missing: u8,
    },
    Number(Number),
    /// In `true`, `false` or `null`: what must follow.
    Word {
        rest: &'static [u8],
        token: Token<'static>,
    },
    Done,
    Failed(JsonError),
}

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Int,
    Dot,
    Frac,
    E,
    ESign,
    Exp,
}

impl Number {
    fn next(self, byte: u8) -> Option<Number> {
        use Number::*;
        match (self, byte) {
            (Minus, b'0') => Some(Zero),
            (Minus, b'1'..=b'9') | (Int, b'0'..=b'9') => Some(Int),
            (Zero | Int, b'.') => Some(Dot),
            (Dot | Frac, b'0'..=b'9') => Some(Frac),
            (Zero | Int | Frac, b'e' | b'E') => Some(E),
            (E, b'+' | b'-') => Some(ESign),
            (E | ESign | Exp, b'0'..=b'9') => Some(Exp),
            _ => None,
        }
    }

    fn complete(self) -> bool {
        matches!(self, Number::Zero | Number::Int | Number::Frac | Number::Exp)
    }
}

/// Reads one JSON document of any length, fed in pieces of any size, in constant memory.
///
/// Keys, strings and numbers longer than `N` bytes are delivered cut and flagged, so that an unexpectedly long value
/// of a stranger does not make the rest unreadable. Control characters inside strings are taken as they are, because
/// ArduinoJson writes them unescaped; [`Scanner::strict`] refuses them. A lone UTF-16 surrogate becomes U+FFFD.
#[derive(Clone, Debug)]
pub struct Scanner<const N: usize = 64> {
    state: State,
    strict: bool,
    depth: u8,
    /// One bit for each open container, the innermost lowest: is it an object?
    objects: u32,
    buffer: [u8; N],
    len: usize,
    truncated: bool,
    /// A high surrogate waiting for its low one; 0 when none.
    high: u16,
}

impl<const N: usize> Default for Scanner<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Scanner<N> {
    /// A scanner at the start of a document.
    pub const fn new() -> Self {
        Self {
            state: State::Value,
            strict: false,
            depth: 0,
            objects: 0,
            buffer: [0; N],
            len: 0,
            truncated: false,
            high: 0,
        }
    }

    /// A scanner that takes only what RFC 8259 allows.
    pub const fn strict() -> Self {
        let mut scanner = Self::new();
        scanner.strict = true;
        scanner
    }

    /// Open containers, at most [`MAX_DEPTH`]. While a token is delivered: for a start, including the new one; for an
    /// end, excluding the closed one.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// Whether a whole object or array has been read. (A number at the top level ends only with [`Scanner::finish`].)
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `bytes` and calls `found` for everything found in them.
    ///
    /// # Errors
    /// The document is wrong from here on; every later call returns the same error.
    pub fn feed(&mut self, bytes: &[u8], found: &mut dyn FnMut(Token<'_>)) -> Result<(), JsonError> {
        for &byte in bytes {
            self.step(byte, found)?;
        }
        Ok(())
    }

    /// Says that the document has ended.
    ///
    /// # Errors
    /// [`JsonError::Truncated`] when it has not, or the error of [`Scanner::feed`].
    pub fn finish(&mut self, found: &mut dyn FnMut(Token<'_>)) -> Result<(), JsonError> {
        if let State::Number(number) = self.state
            && self.depth == 0
            && number.complete()
        {
            self.end_number(found);
        }
        match self.state {
            State::Done => Ok(()),
            State::Failed(error) => Err(error),
            _ => Err(JsonError::Truncated),
        }
    }

    fn step(&mut self, byte: u8, found: &mut dyn FnMut(Token<'_>)) -> Result<(), JsonError> {
        match self.state {
            State::Str { key } => match byte {
                b'"' => {
                    self.end_string(key, found);
                    return Ok(());
                }
                b'\\' => self.state = State::Escape { key },
                0..=0x1f if self.strict => return self.fail(JsonError::Syntax),
                _ => {
                    self.lone_surrogate();
                    self.push(&[byte]);
                }
            },
            State::Escape { key } => {
                let plain = match byte {
                    b'"' | b'\\' | b'/' => byte,
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => {
                        self.state = State::Unicode { key, code: 0, missing: 4 };
                        return Ok(());
                    }
                    _ => return self.fail(JsonError::Syntax),
                };
                self.lone_surrogate();
                self.push(&[plain]);
                self.state = State::Str { key };
            }
            State::Unicode { key, code, missing } => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    return self.fail(JsonError::Syntax);
                };
                let code = code.wrapping_shl(4) | u16::try_from(digit).unwrap_or(0);
                self.state = match missing.saturating_sub(1) {
                    0 => {
                        self.push_code(code);
                        State::Str { key }
                    }
                    missing => State::Unicode { key, code, missing },
                };
            }
            State::Number(number) => match number.next(byte) {
                Some(next) => {
                    self.push(&[byte]);
                    self.state = State::Number(next);
                }
                None if number.complete() => {
                    self.end_number(found);
                    return self.step_between(byte, found);
                }
                None => return self.fail(JsonError::Syntax),
            },
            State::Word { rest, token } => match rest.split_first() {
                Some((&expected, [])) if expected == byte => {
                    found(token);
                    self.end_value();
                }
                Some((&expected, rest)) if expected == byte => self.state = State::Word { rest, token },
                _ => return self.fail(JsonError::Syntax),
            },
            State::Failed(error) => return Err(error),
            _ => return self.step_between(byte, found),
        }
        Ok(())
    }

    /// A byte that is not inside a scalar.
    fn step_between(&mut self, byte: u8, found: &mut dyn FnMut(Token<'_>)) -> Result<(), JsonError> {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(());
        }
        let in_object = self.depth > 0 && self.objects & 1 == 1;
        match (self.state, byte) {
            (State::Value | State::ValueOrEnd, b'{' | b'[') => {
                if self.depth >= MAX_DEPTH {
                    return self.fail(JsonError::Depth);
                }
                self.depth = self.depth.saturating_add(1);
                self.objects = self.objects.wrapping_shl(1) | u32::from(byte == b'{');
                if byte == b'{' {
                    self.state = State::KeyOrEnd;
                    found(Token::ObjectStart);
                } else {
                    self.state = State::ValueOrEnd;
                    found(Token::ArrayStart);
                }
            }
            (State::KeyOrEnd, b'}') => self.close(Token::ObjectEnd, found),
            (State::ValueOrEnd, b']') => self.close(Token::ArrayEnd, found),
            (State::CommaOrEnd, b'}') if in_object => self.close(Token::ObjectEnd, found),
            (State::CommaOrEnd, b']') if !in_object => self.close(Token::ArrayEnd, found),
            (State::CommaOrEnd, b',') => self.state = if in_object { State::Key } else { State::Value },
            (State::Colon, b':') => self.state = State::Value,
            (State::Key | State::KeyOrEnd, b'"') => self.begin(State::Str { key: true }),
            (State::Value | State::ValueOrEnd, b'"') => self.begin(State::Str { key: false }),
            (State::Value | State::ValueOrEnd, b'-' | b'0'..=b'9') => {
                self.begin(State::Number(match byte {
                    b'-' => Number::Minus,
                    b'0' => Number::Zero,
                    _ => Number::Int,
                }));
                self.push(&[byte]);
            }
            (State::Value | State::ValueOrEnd, b't') => {
                self.state = State::Word { rest: b"rue", token: Token::Bool(true) };
            }
            (State::Value | State::ValueOrEnd, b'f') => {
                self.state = State::Word { rest: b"alse", token: Token::Bool(false) };
            }
            (State::Value | State::ValueOrEnd, b'n') => {
                self.state = State::Word { rest: b"ull", token: Token::Null };
            }
            _ => return self.fail(JsonError::Syntax),
        }
        Ok(())
    }

    fn fail(&mut self, error: JsonError) -> Result<(), JsonError> {
        self.state = State::Failed(error);
        Err(error)
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.len = 0;
        self.truncated = false;
        self.high = 0;
    }

    fn close(&mut self, token: Token<'static>, found: &mut dyn FnMut(Token<'_>)) {
        self.depth = self.depth.saturating_sub(1);
        self.objects = self.objects.wrapping_shr(1);
        found(token);
        self.end_value();
    }

    fn end_value(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::CommaOrEnd };
    }

    fn end_string(&mut self, key: bool, found: &mut dyn FnMut(Token<'_>)) {
        self.lone_surrogate();
        let scalar = self.scalar();
        if key {
            found(Token::Key(scalar));
            self.state = State::Colon;
        } else {
            found(Token::Str(scalar));
            self.end_value();
        }
    }

    fn end_number(&mut self, found: &mut dyn FnMut(Token<'_>)) {
        found(Token::Number(self.scalar()));
        self.end_value();
    }

    fn scalar(&self) -> Scalar<'_> {
        let bytes = self.buffer.get(..self.len).unwrap_or(&[]);
        let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Scalar { text, truncated: self.truncated || text.len() < bytes.len() }
    }

    /// Keeps `bytes` if they fit as a whole; otherwise nothing more of this scalar is kept.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.buffer.get_mut(self.len..end) {
            Some(room) if !self.truncated => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.truncated = true,
        }
    }

    fn push_char(&mut self, c: char) {
        self.push(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// A high surrogate whose low one did not come.
    fn lone_surrogate(&mut self) {
        if self.high != 0 {
            self.high = 0;
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
    }

    /// One escape of four digits.
    fn push_code(&mut self, code: u16) {
        let pair = [self.high, code];
        if self.high != 0
            && let Some(Ok(c)) = char::decode_utf16(pair).next()
        {
            self.high = 0;
            self.push_char(c);
            return;
        }
        self.lone_surrogate();
        match code {
            0xd800..=0xdbff => self.high = code,
            _ => self.push_char(char::from_u32(u32::from(code)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
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

    /// Everything found, as text, and the verdict.
    fn scan<const N: usize>(pieces: &[&[u8]]) -> (Vec<String>, Result<(), JsonError>) {
        let mut scanner = Scanner::<N>::new();
        let mut found = Vec::new();
        let mut verdict = Ok(());
        for piece in pieces {
            verdict = verdict.and(scanner.feed(piece, &mut |token| found.push(format!("{token:?}"))));
        }
        let end = scanner.finish(&mut |token| found.push(format!("{token:?}")));
        assert_eq!(verdict.is_err(), verdict.is_err() && end.is_err(), "errors stay");
        (found, verdict.and(end))
    }

    fn strings(json: &str) -> Vec<(String, bool)> {
        let mut all = Vec::new();
        Scanner::<8>::new()
            .feed(json.as_bytes(), &mut |token| {
                if let Token::Str(s) | Token::Key(s) | Token::Number(s) = token {
                    all.push((s.text.to_string(), s.truncated));
                }
            })
            .unwrap();
        all
    }

    #[test]
    fn scalars_are_unescaped_and_cut() {
        let plain = |s: &str| (s.to_string(), false);
        assert_eq!(strings(r#"{"a\"\\\/":"\n\u0041"}"#), [plain("a\"\\/"), plain("\nA")]);
        assert_eq!(
            strings(r#"["\ud83d\ude00","\ud83dx","\ud83d\ud83d"]"#),
            [plain("😀"), plain("\u{fffd}x"), plain("\u{fffd}\u{fffd}")]
        );
        assert_eq!(
            strings(r#"["123456789",1234567890,"1234567é8"]"#),
            [("12345678".into(), true), ("12345678".into(), true), ("1234567".into(), true)]
        );
        assert_eq!(strings("[\"a\nb\"]"), [plain("a\nb")]);
    }

    #[test]
    fn too_deep_is_an_error_and_stays_one() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(scan::<8>(&[deep(32).as_bytes()]).1, Ok(()));
        assert_eq!(scan::<8>(&[deep(33).as_bytes()]).1, Err(JsonError::Depth));
    }

    #[test]
    fn documents_end() {
        assert_eq!(scan::<8>(&[b"12.5e-3"]).1, Ok(()));
        for cut in ["", "{", "[1", "\"", "12.", "{\"a\"", "{\"a\":1,", "tru"] {
            assert_eq!(scan::<8>(&[cut.as_bytes()]).1, Err(JsonError::Truncated), "{cut}");
        }
        for wrong in ["{}}", "[1,]", "{,}", "01", "+1", "1 2", "{\"a\" 1}", "[1}", "nul1", "\"\\x\"", "{1:2}"]
        {
            assert_eq!(scan::<8>(&[wrong.as_bytes()]).1, Err(JsonError::Syntax), "{wrong}");
        }
    }

    /// JSON with everything in it.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-zé\"]{0,3}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn strict_agrees_with_serde_on_json(value in json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let mut scanner = Scanner::<64>::strict();
            prop_assert_eq!(scanner.feed(text.as_bytes(), &mut |_| ()), Ok(()));
            prop_assert_eq!(scanner.finish(&mut |_| ()), Ok(()));
        }

        #[test]
        fn strict_agrees_with_serde_on_nearly_json(text in r#"[\[\]{},:"0-9a\\ue.\-+ ]{0,12}"#) {
            let mut scanner = Scanner::<64>::strict();
            let ours = scanner.feed(text.as_bytes(), &mut |_| ()).and_then(|()| scanner.finish(&mut |_| ()));
            // serde_json refuses lone surrogates and numbers beyond f64, the scanner does not.
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() || !(text.contains('u') || text.contains('e')) {
                prop_assert_eq!(ours.is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }

        #[test]
        fn cutting_does_not_matter(value in json(), damage in proptest::option::of((any::<usize>(), any::<u8>())), cuts in proptest::collection::vec(any::<usize>(), 0..5)) {
            let mut text = serde_json::to_vec(&value).unwrap();
            if let Some((at, byte)) = damage {
                let at = at % text.len();
                text[at] = byte;
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(scan::<8>(&pieces), scan::<8>(&[&text]));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = scan::<4>(&[&bytes]);
        }
    }
}
