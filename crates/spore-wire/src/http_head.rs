//! A guard in front of the HTTP server: watches the heads of requests as they come in.
//!
//! picoserve 0.20.1 adds a request's `Content-Length` to its position in the buffer: a length near `usize::MAX`
//! overflows, which is a panic or a hung connection. It also takes the first of several `Content-Length`, reads an
//! unreadable one as 0, and ignores `Transfer-Encoding`, each of which can make what follows the head a second request
//! in disguise (request smuggling, RFC 9112 §11.2). The guard sees every byte before the server does, defuses the
//! lengths in place, and remembers what the node must then refuse:
//!
//! * [`HeadGuard::oversized`]: a length of more than nine digits. The first nine stay, further digits become blanks, so
//!   the server sees at most 999,999,999. Answer 413 and close: where the body really ends is not known.
//! * [`HeadGuard::malformed`]: a second `Content-Length`; one without digits, or with something beside them (that and all
//!   digits after it become `?`, so that the server reads 0); any `Transfer-Encoding`; a NUL (which picoserve would
//!   drop, joining what stands around it; it becomes `?`); a header without a colon. Answer 400 and close.
//! * [`HeadGuard::expects_continue`]: `Expect: 100-continue`, which the server does not answer. curl sends its body
//!   after a second nevertheless; the node may answer `HTTP/1.1 100 Continue` itself.
//!
//! The first two stay set for the rest of the connection, because where the next head begins is not certain any more,
//! and so that a request that was sent along in the same packet cannot hide them.
//!
//! Names are compared without regard to letter case and to blanks around them, as the server does it. A head ends with
//! the first line of nothing but blanks after the request line; as many bytes as the length says are the body and pass
//! untouched; then the next head begins. Number and place of the bytes never change.
//!
//! # Panics
//! Nothing here panics, on any bytes, and the outcome does not depend on how they are cut into pieces.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::names::Short;

/// Most digits of a length that are passed on.
const DIGITS_MAX: u8 = 9;

/// The header whose value is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Length,
    /// A second `Content-Length`: defused as well, but it does not count.
    SecondLength,
    Expect,
    Other,
}

/// Where in a request the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RequestLine,
    Name,
    Value(Header),
    /// So many bytes of the body are still to come, at least one.
    Body(u32),
    Passthrough,
}

/// Watches one connection; see the module. Needs less than 56 bytes.
#[derive(Clone, Debug)]
pub struct HeadGuard {
    state: State,
    /// The name or the value that is being read, in small letters, without blanks in front; dots when it is longer
    /// than all those looked for.
    word: Short<20>,
    /// What the server will take for the length of the body: that of the first `Content-Length`, 0 if unreadable.
    length: Option<u32>,
    /// Digits of the value that is being read, as far as they were passed on.
    digits: u8,
    /// No more digits may come in the value that is being read.
    gap: bool,
    oversized: bool,
    malformed: bool,
    expects_continue: bool,
}

impl Default for HeadGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl HeadGuard {
    /// A guard at the start of a connection.
    pub const fn new() -> Self {
        Self {
            state: State::RequestLine,
            word: Short::new(),
            length: None,
            digits: 0,
            gap: false,
            oversized: false,
            malformed: false,
            expects_continue: false,
        }
    }

    /// This or an earlier request of the connection has a length of more than nine digits; see the module.
    pub fn oversized(&self) -> bool {
        self.oversized
    }

    /// This or an earlier request of the connection is malformed; see the module.
    pub fn malformed(&self) -> bool {
        self.malformed
    }

    /// The client of the current request waits for `100 Continue` before it sends the body. A request is current until
    /// the first byte of the next.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// From here on the connection is no longer HTTP (a WebSocket): bytes pass untouched. To be called once the server
    /// has answered 101, never because a client merely asked for it.
    pub fn pass_through(&mut self) {
        self.state = State::Passthrough;
    }

    /// Looks at the next bytes of the connection, which go to the server afterwards, and defuses them.
    pub fn filter(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        loop {
            if let State::Passthrough = self.state {
                return;
            }
            if let State::Body(left) = self.state {
                let here = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let after = left.saturating_sub(u32::try_from(here).unwrap_or(u32::MAX));
                self.state = if after == 0 { State::RequestLine } else { State::Body(after) };
                rest = rest.get_mut(here..).unwrap_or(&mut []);
            }
            let Some((byte, after)) = rest.split_first_mut() else { return };
            self.step(byte);
            rest = after;
        }
    }

    fn step(&mut self, byte: &mut u8) {
        if *byte == 0 {
            *byte = b'?';
            self.malformed = true;
        }
        match (self.state, *byte) {
            (State::RequestLine, other) => {
                self.expects_continue = false;
                self.length = None;
                if other == b'\n' {
                    self.begin_line();
                }
            }
            (State::Name, b'\n') if self.word.is_empty() => {
                self.state = match self.length {
                    None | Some(0) => State::RequestLine,
                    Some(length) => State::Body(length),
                };
            }
            (State::Name, b'\n') => {
                self.malformed = true;
                self.begin_line();
            }
            (State::Name, b':') => self.end_name(),
            (State::Value(header), b'\n') => {
                self.end_value(header);
                self.begin_line();
            }
            (State::Value(Header::Length | Header::SecondLength), _) => self.digit(byte),
            (State::Name | State::Value(Header::Expect), other) => self.collect(other),
            (State::Value(Header::Other) | State::Body(_) | State::Passthrough, _) => {}
        }
    }

    fn begin_line(&mut self) {
        self.state = State::Name;
        self.word.clear();
    }

    /// Adds to the word, leaving out blanks in front. Blanks that no longer fit are those at the end or before
    /// something that does not fit either.
    fn collect(&mut self, byte: u8) {
        let blank = byte.is_ascii_whitespace();
        if blank && (self.word.is_empty() || self.word.len() == self.word.capacity()) {
            return;
        }
        if self.word.push(char::from(byte.to_ascii_lowercase())).is_err() {
            self.word.clear();
            let _ = self.word.push_str("....................");
        }
    }

    fn end_name(&mut self) {
        let header = match self.word.trim_ascii_end() {
            "content-length" if self.length.is_some() => {
                self.malformed = true;
                Header::SecondLength
            }
            "content-length" => {
                self.length = Some(0);
                Header::Length
            }
            "transfer-encoding" => {
                self.malformed = true;
                Header::Other
            }
            "expect" => Header::Expect,
            _ => Header::Other,
        };
        self.digits = 0;
        self.gap = false;
        self.word.clear();
        self.state = State::Value(header);
    }

    /// One byte of a length.
    fn digit(&mut self, byte: &mut u8) {
        match *byte {
            blank if blank.is_ascii_whitespace() => self.gap |= self.digits > 0,
            digit @ b'0'..=b'9' if !self.gap => {
                if self.digits >= DIGITS_MAX {
                    self.oversized = true;
                    *byte = b' ';
                    return;
                }
                self.digits = self.digits.saturating_add(1);
                let value = u32::from(digit.saturating_sub(b'0'));
                if let (State::Value(Header::Length), Some(length)) = (self.state, self.length.as_mut()) {
                    *length = length.saturating_mul(10).saturating_add(value);
                }
            }
            _ => {
                self.malformed = true;
                self.gap = true;
                *byte = b'?';
                if self.state == State::Value(Header::Length) {
                    self.length = Some(0);
                }
            }
        }
    }

    fn end_value(&mut self, header: Header) {
        match header {
            Header::Length | Header::SecondLength => self.malformed |= self.digits == 0,
            Header::Expect => self.expects_continue |= self.word.trim_ascii_end() == "100-continue",
            Header::Other => {}
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

    /// What the server sees, and the guard afterwards.
    fn pass(text: &str) -> (String, HeadGuard) {
        let mut bytes = text.as_bytes().to_vec();
        let mut guard = HeadGuard::new();
        guard.filter(&mut bytes);
        (String::from_utf8(bytes).unwrap(), guard)
    }

    /// A request with these headers.
    fn request(headers: &str) -> String {
        format!("POST /api HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n")
    }

    #[test]
    fn honest_requests_pass_untouched() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n".to_string(),
            request("Content-Length: 5") + "\0body" + "GET /next HTTP/1.1\n\n",
            request("Content-Length: 999999999") + "Content-Length: 99999999999999",
            request("X-Content-Length: 99999999999999999\r\nContent-Length-X: 99999999999999"),
            request("Content-Length: 0") + &request("Content-Length: 0"),
        ] {
            let (seen, guard) = pass(&text);
            assert_eq!(seen, text);
            assert!(!guard.malformed() && !guard.oversized() && !guard.expects_continue(), "{text}");
        }
    }

    #[test]
    fn long_lengths_are_cut() {
        let (seen, guard) = pass(&request("cOnTent-LENGTH \t:\t18446744073709551615 "));
        assert_eq!(seen, request("cOnTent-LENGTH \t:\t184467440            "));
        assert!(guard.oversized() && !guard.malformed());
        let (_, guard) = pass(&(request("Content-Length: 0000000000005") + "GET"));
        assert!(guard.oversized(), "zeros count, and the next request does not hide it");
    }

    #[test]
    fn malformed_heads_are_noticed_and_defused() {
        for (headers, seen) in [
            ("Content-Length: 5\r\nContent-Length: 5", None),
            (
                "Content-Length: 1\r\nContent-Length: 4294967295",
                Some("Content-Length: 1\r\nContent-Length: 429496729 "),
            ),
            ("Content-Length:", None),
            ("Content-Length: +5", Some("Content-Length: ??")),
            ("Content-Length: 5 6", Some("Content-Length: 5 ?")),
            ("Content-Length: 5, 6", Some("Content-Length: 5? ?")),
            ("Content-Length: 0x99", Some("Content-Length: 0???")),
            ("Transfer-Encoding: chunked", None),
            (" transfer-encoding\t: identity", None),
            ("no colon here", None),
            ("Con\0tent-Length: 99999999999", Some("Con?tent-Length: 99999999999")),
            ("Content-Length: 1\x002", Some("Content-Length: 1??")),
        ] {
            let (filtered, guard) = pass(&request(headers));
            assert!(guard.malformed(), "{headers:?}");
            assert_eq!(filtered, request(seen.unwrap_or(headers)));
        }
        let (_, guard) = pass(&(request("Transfer-Encoding: chunked") + &request("A: b")));
        assert!(guard.malformed(), "stays for the connection");
    }

    #[test]
    fn an_unreadable_length_is_none() {
        let (seen, _) = pass(&(request("Content-Length: 5x") + &request("Content-Length: 12345678901")));
        assert!(seen.ends_with(&request("Content-Length: 123456789  ")), "{seen}");
    }

    #[test]
    fn expectations_are_noticed() {
        assert!(pass(&request("expect:  100-Continue ")).1.expects_continue());
        assert!(!pass(&request("Expect: something else")).1.expects_continue());
    }

    #[test]
    fn a_web_socket_is_left_alone() {
        let mut guard = HeadGuard::new();
        guard.filter(&mut request("Upgrade: websocket").into_bytes());
        guard.pass_through();
        let mut frames = b"\0\nContent-Length: 99999999999\n".to_vec();
        let before = frames.clone();
        guard.filter(&mut frames);
        assert_eq!(frames, before);
    }

    /// What picoserve 0.20.1 makes of a head: the length of the body.
    fn server(head: &[u8]) -> usize {
        let head: Vec<u8> = head.iter().copied().filter(|&b| b != 0).collect();
        for line in head.split(|&b| b == b'\n').skip(1) {
            let mut halves = line.splitn(2, |&b| b == b':');
            let name = halves.next().unwrap().trim_ascii();
            if name.eq_ignore_ascii_case(b"content-length")
                && let Some(value) = halves.next()
            {
                return std::str::from_utf8(value)
                    .ok()
                    .and_then(|value| value.trim().parse().ok())
                    .unwrap_or(0);
            }
        }
        0
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("GET / HTTP/1.1\r\n".as_bytes().to_vec()),
            Just(b"Content-Length:".to_vec()),
            Just(b"content-length : 3\r\n".to_vec()),
            Just(b"Transfer-Encoding: chunked\n".to_vec()),
            Just(b"Expect: 100-continue\r\n".to_vec()),
            Just(b"\r\n\r\n".to_vec()),
            "[0-9]{1,12}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..3),
            "[ \t\r\n:+]{1,2}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn cutting_does_not_matter(stream in stream(), cuts in proptest::collection::vec(any::<usize>(), 0..6)) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut whole = stream.clone();
            let mut one = HeadGuard::new();
            one.filter(&mut whole);
            let mut pieces = stream;
            let mut many = HeadGuard::new();
            cuts.windows(2).for_each(|pair| many.filter(&mut pieces[pair[0]..pair[1]]));
            prop_assert_eq!(whole, pieces);
            prop_assert_eq!(format!("{one:?}"), format!("{many:?}"));
        }

        #[test]
        fn guard_and_server_agree_on_the_length(headers in stream()) {
            let mut head = [b"GET / HTTP/1.1\r\n", &*headers].concat();
            // One head only: up to its first line of blanks.
            let mut end = head.len();
            let mut start = 0;
            for line in head.split_inclusive(|&b| b == b'\n') {
                if line.trim_ascii().is_empty() {
                    end = start;
                    break;
                }
                start += line.len();
            }
            head.truncate(end);
            if !head.ends_with(b"\n") {
                head.push(b'\n');
            }
            head.extend(b"\r\n");
            let mut guard = HeadGuard::new();
            guard.filter(&mut head);
            let length = match guard.state {
                State::Body(length) => length as usize,
                State::RequestLine => 0,
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(length, server(&head));
            prop_assert!(length <= 999_999_999);
        }
    }
}
