//! The head of an HTTP request (RFC 9112): what is needed of it, and what makes a node refuse it.
//!
//! Whatever could make what follows the head a second request in disguise (request smuggling, RFC 9112, 11.2) is refused:
//! two lengths, a length that is no number, any transfer coding, a name with blanks. Lines may end with LF alone.
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

/// Most digits of a length: no body is that long.
const DIGITS: usize = 9;

/// Why a head is refused. Where the next request would begin is not known then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not follow the rules.
    Malformed,
    /// It announces a body longer than any.
    Length,
}

/// A request's head as it lies in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'b> {
    /// Method, as it was sent.
    pub method: &'b str,
    /// Path, as it was sent.
    pub path: &'b str,
    /// Query without its `?`; empty if there is none.
    pub query: &'b str,
    /// Where the query begins in the head.
    pub query_at: usize,
    /// Bytes of the body.
    pub length: u32,
    /// HTTP/1.0: the client does not know chunks.
    pub old: bool,
    /// The connection stays open for the next request.
    pub persistent: bool,
    lines: &'b str,
}

impl<'b> Head<'b> {
    /// Reads a head up to its last line, which is empty, as [`collect`] gives it.
    ///
    /// # Errors
    /// A [`Fault`].
    pub fn parse(head: &'b [u8]) -> Result<Self, Fault> {
        let head = core::str::from_utf8(head).map_err(|_| Fault::Malformed)?;
        let (line, lines) = head.split_once('\n').ok_or(Fault::Malformed)?;
        let mut words = line.split_ascii_whitespace();
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Fault::Malformed);
        };
        let old = match version {
            "HTTP/1.0" => true,
            _ if version.starts_with("HTTP/1.") => false,
            _ => return Err(Fault::Malformed),
        };
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query_at = line.find('?').map_or(0, |at| at.saturating_add(1));
        let path = without_host(path);
        let mut read = Self { method, path, query, query_at, length: 0, old, persistent: !old, lines };
        read.check()?;
        Ok(read)
    }

    /// Looks at every line once.
    fn check(&mut self) -> Result<(), Fault> {
        let mut length = None;
        for line in self.lines.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(Fault::Malformed)?;
            let clean = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            if !clean || value.bytes().any(|byte| byte == 0 || byte == b'\r') {
                return Err(Fault::Malformed);
            }
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case("content-length") {
                if length.is_some() || value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(Fault::Malformed);
                }
                if value.len() > DIGITS {
                    return Err(Fault::Length);
                }
                length = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(Fault::Malformed);
            } else if name.eq_ignore_ascii_case("connection") {
                if names(value, "close") {
                    self.persistent = false;
                } else if names(value, "keep-alive") {
                    self.persistent = true;
                }
            }
        }
        self.length = length.unwrap_or(0);
        Ok(())
    }

    /// The value of the first header of that name.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.lines
            .split('\n')
            .filter_map(|line| line.split_once(':'))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim_ascii())
    }

    /// Whether a header is a list of words with this one among them, in letters of any case.
    pub fn has(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|value| names(value, word))
    }
}

/// Whether a list of words has this one.
fn names(list: &str, word: &str) -> bool {
    list.split(',').any(|each| each.trim_ascii().eq_ignore_ascii_case(word))
}

/// The path of a target that may name the host, too (RFC 9112, 3.2.2).
fn without_host(target: &str) -> &str {
    match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        }
        _ => target,
    }
}

/// Collects a head: takes bytes as they come until the empty line. Gives how many bytes were taken, and whether the head is
/// whole; when neither any was taken nor it is whole, the buffer is full.
pub fn collect(buffer: &mut [u8], filled: &mut usize, bytes: &[u8]) -> (usize, bool) {
    let mut taken = 0usize;
    for byte in bytes {
        let Some(place) = buffer.get_mut(*filled) else { return (taken, false) };
        *place = *byte;
        *filled = filled.saturating_add(1);
        taken = taken.saturating_add(1);
        if *byte == b'\n' {
            let line = buffer.get(..*filled).unwrap_or_default();
            if matches!(line, [b'\n'] | [b'\r', b'\n'] | [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n']) {
                return (taken, true);
            }
        }
    }
    (taken, false)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(headers: &str) -> Result<(u32, bool), Fault> {
        let head = format!("POST /api?a=1#x HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let head = Head::parse(head.as_bytes())?;
        assert_eq!((head.method, head.path, head.query, head.query_at), ("POST", "/api", "a=1", 10));
        assert_eq!(head.header("hOst"), Some("x"));
        Ok((head.length, head.persistent))
    }

    #[test]
    fn honest_heads_are_understood() {
        for (headers, length, persistent) in [
            ("", 0, true),
            ("Content-Length: 5\r\n", 5, true),
            ("cOnTent-LENGTH:\t 999999999 \r\nX:\r\n", 999_999_999, true),
            ("X-Content-Length: 99999999999999999\nContent-Length: 007\n", 7, true),
            ("Connection: Close\r\n", 0, false),
            ("Connection: upgrade, close\r\n", 0, false),
            ("Content-Type: text/plain; charset=\"\u{fc}\"\r\n", 0, true),
        ] {
            assert_eq!(parse(headers), Ok((length, persistent)), "{headers:?}");
        }
        let old = Head::parse(b"GET http://node/x HTTP/1.0\n\n").unwrap();
        assert_eq!((old.path, old.old, old.persistent), ("/x", true, false));
        assert!(Head::parse(b"GET / HTTP/1.0\nConnection: keep-alive\n\n").unwrap().persistent);
        assert_eq!(Head::parse(b"GET http://node HTTP/1.1\n\n").unwrap().path, "/");
    }

    #[test]
    fn what_could_hide_a_second_request_is_refused() {
        for headers in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 1\r\ncontent-length: 4294967295\r\n",
            "Content-Length:\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 5 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 1e3\r\n",
            "Content-Length: 0x10\r\n",
            "Content-Length : 5\r\n",
            " Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "transfer-encoding: identity\r\n",
            "no colon here\r\n",
            ": no name\r\n",
            "X: a\0b\r\n",
            "X: a\rContent-Length: 5\r\n",
        ] {
            assert_eq!(parse(headers), Err(Fault::Malformed), "{headers:?}");
        }
        for length in ["4294967295", "18446744073709551615", "0000000000005"] {
            assert_eq!(parse(&format!("Content-Length: {length}\r\n")), Err(Fault::Length));
        }
        for head in
            ["\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / x HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(Head::parse(head.as_bytes()), Err(Fault::Malformed), "{head:?}");
        }
        assert_eq!(Head::parse(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(Fault::Malformed));
    }

    proptest! {
        #[test]
        fn heads_end_at_their_empty_line_however_they_are_cut(
            stream in "[aX:\r\n]{0,40}",
            cuts in proptest::collection::vec(1usize..9, 1..9),
            room in 0usize..40,
        ) {
            let stream = stream.as_bytes();
            let (mut one, mut many) = ([0; 40], [0; 40]);
            let (mut filled, mut collected) = (0, 0);
            let (taken, whole) = collect(&mut one[..room], &mut filled, stream);
            let (mut at, mut done) = (0, false);
            for cut in cuts.iter().cycle() {
                let end = stream.len().min(at + cut);
                let (count, ended) = collect(&mut many[..room], &mut collected, &stream[at..end]);
                at += count;
                done = ended;
                if ended || count == 0 {
                    break;
                }
            }
            prop_assert_eq!((taken, whole, filled), (at, done, collected));
            prop_assert_eq!(&one[..filled], &many[..filled]);
            if whole {
                prop_assert!(one[..filled].ends_with(b"\n"));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), headers in "[ -~\r\n\t]{0,80}") {
            let _ = Head::parse(&bytes);
            let text = format!("GET / HTTP/1.1\r\n{headers}\r\n\r\n");
            if let Ok(head) = Head::parse(text.as_bytes()) {
                let _ = (head.header("connection"), head.has("upgrade", "websocket"));
            }
        }
    }
}
