//! The text datagrams of C++ SPORE, all generations.
//!
//! Keyword, then fields after a `:`; no terminator. Which generation says what is in `docs/protocol.md`.
//!
//! Reading is lenient, because a node must be seen whatever it calls itself: trailing NUL, CR, LF, blanks and tabs
//! are dropped, a missing hostname is an empty one, an over-long one is cut, JSON of node details is handed on
//! unchecked. Writing is exact.
//!
//! # Panics
//! [`Text::parse`] does not panic on any bytes, [`Text::emit`] on any buffer. `parse(emit(x)) == x` for every `x` whose
//! hostname is printable, has no `:` and no blank at its end and is at most [`HOSTNAME_MAX`] bytes, and whose JSON
//! begins with `{` and has no blank at its end.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::error::{BufferFull, DecodeError};
use crate::names::cut;

/// Longest hostname [`Text::parse`] hands on, in bytes: what the ESP8266's own network stack allows. Longer ones are
/// cut at a character boundary.
pub const HOSTNAME_MAX: usize = 32;

const DISCOVERY: &str = "CLUSTER_DISCOVERY";
const RESPONSE: &str = "CLUSTER_RESPONSE";
const HEARTBEAT: &str = "CLUSTER_HEARTBEAT";
const NODE_INFO: &str = "CLUSTER_NODE_INFO";
const NODE_UPDATE: &str = "NODE_UPDATE";
const EVENT: &str = "CLUSTER_EVENT";
const RAW: &str = "RAW";

/// One text datagram.
///
/// Hostnames are empty when the sender did not tell one (the first C++ generation), else at most [`HOSTNAME_MAX`]
/// bytes without control characters; [`crate::Hostname::foreign`] makes an owned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// `CLUSTER_DISCOVERY`: who is there? Broadcast.
    Discovery,
    /// `CLUSTER_RESPONSE:<hostname>`: I am. Answer to a discovery, to the asker only.
    Response {
        /// Who answers.
        hostname: &'a str,
    },
    /// `CLUSTER_HEARTBEAT:<hostname>`: I am alive. Broadcast.
    Heartbeat {
        /// Who lives.
        hostname: &'a str,
    },
    /// `CLUSTER_NODE_INFO:<hostname>:<json>`: about me. Answer to a heartbeat, to its sender only.
    NodeInfo {
        /// Whom the details are about.
        hostname: &'a str,
        /// Object for [`crate::Details::parse_lossy`]; not checked here, empty when missing.
        json: &'a str,
    },
    /// `NODE_UPDATE:<hostname>:<json>`: the same of the October 2025 generation, as an answer and as a broadcast.
    NodeUpdate {
        /// Whom the details are about.
        hostname: &'a str,
        /// Object for [`crate::Details::parse_lossy`]; not checked here, empty when missing.
        json: &'a str,
    },
    /// `CLUSTER_EVENT:<json>`: an event on every node. Broadcast.
    Event {
        /// Body of the event; not checked here.
        json: &'a str,
    },
    /// `RAW:<hex>`: pixels of LEDLab, fired locally as event `udp/raw`.
    Raw {
        /// Hexadecimal digits of either case, any number of them.
        hex: &'a str,
    },
}

impl<'a> Text<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`DecodeError::Empty`]; [`DecodeError::Unknown`] for other programs' datagrams and the native family;
    /// [`DecodeError::Utf8`] for events that are not UTF-8; [`DecodeError::Character`] for `RAW:` that is not
    /// hexadecimal.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, DecodeError> {
        let datagram = trim_end(datagram);
        if datagram.is_empty() {
            return Err(DecodeError::Empty);
        }
        let mut halves = datagram.splitn(2, |&b| b == b':');
        let keyword = halves.next().unwrap_or(&[]);
        let rest = halves.next().unwrap_or(&[]);
        match core::str::from_utf8(keyword) {
            Ok(DISCOVERY) => Ok(Text::Discovery),
            Ok(RESPONSE) => Ok(Text::Response { hostname: hostname(rest) }),
            Ok(HEARTBEAT) => Ok(Text::Heartbeat { hostname: hostname(rest) }),
            Ok(NODE_INFO) => {
                let (hostname, json) = details(rest);
                Ok(Text::NodeInfo { hostname, json })
            }
            Ok(NODE_UPDATE) => {
                let (hostname, json) = details(rest);
                Ok(Text::NodeUpdate { hostname, json })
            }
            Ok(EVENT) => {
                core::str::from_utf8(rest).map(|json| Text::Event { json }).map_err(|_| DecodeError::Utf8)
            }
            Ok(RAW) => match core::str::from_utf8(rest) {
                Ok(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(Text::Raw { hex }),
                _ => Err(DecodeError::Character),
            },
            _ => Err(DecodeError::Unknown),
        }
    }

    /// Writes the datagram to the start of `out`; its length in bytes.
    ///
    /// # Errors
    /// [`BufferFull`] when `out` is too small. Give it [`crate::MAX_DATAGRAM`] bytes so that C++ nodes can take it.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, BufferFull> {
        match *self {
            Text::Discovery => join(out, &[DISCOVERY]),
            Text::Response { hostname } => join(out, &[RESPONSE, ":", hostname]),
            Text::Heartbeat { hostname } => join(out, &[HEARTBEAT, ":", hostname]),
            Text::NodeInfo { hostname, json } => join(out, &[NODE_INFO, ":", hostname, ":", json]),
            Text::NodeUpdate { hostname, json } => join(out, &[NODE_UPDATE, ":", hostname, ":", json]),
            Text::Event { json } => join(out, &[EVENT, ":", json]),
            Text::Raw { hex } => join(out, &[RAW, ":", hex]),
        }
    }
}

/// What C programs leave at the end of a buffer.
fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let Some((b'\0' | b'\r' | b'\n' | b' ' | b'\t', rest)) = bytes.split_last() {
        bytes = rest;
    }
    bytes
}

/// As much of a name as is printable UTF-8, at most [`HOSTNAME_MAX`] bytes.
fn hostname(bytes: &[u8]) -> &str {
    let text = utf8_prefix(bytes);
    cut(text.find(char::is_control).and_then(|end| text.get(..end)).unwrap_or(text), HOSTNAME_MAX)
}

/// Hostname and JSON. The JSON is an object, so it begins at the first `:{`: a name with a colon stays whole.
fn details(bytes: &[u8]) -> (&str, &str) {
    let brace = bytes.windows(2).position(|pair| pair == b":{");
    let colon = brace.or_else(|| bytes.iter().position(|&b| b == b':'));
    match colon.and_then(|i| bytes.split_at_checked(i)) {
        Some((name, json)) => (hostname(name), utf8_prefix(json.get(1..).unwrap_or(&[]))),
        None => (hostname(bytes), ""),
    }
}

/// The longest prefix that is UTF-8: a C++ node's buffer may have cut a character in two.
fn utf8_prefix(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// Writes `parts` one after the other.
fn join(out: &mut [u8], parts: &[&str]) -> Result<usize, BufferFull> {
    let mut len = 0usize;
    for part in parts {
        let end = len.checked_add(part.len()).ok_or(BufferFull)?;
        out.get_mut(len..end).ok_or(BufferFull)?.copy_from_slice(part.as_bytes());
        len = end;
    }
    Ok(len)
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

    #[test]
    fn padding_is_dropped() {
        assert_eq!(Text::parse(b"CLUSTER_DISCOVERY\r\n\0\0 \t"), Ok(Text::Discovery));
        assert_eq!(Text::parse(b"CLUSTER_HEARTBEAT:esp\0"), Ok(Text::Heartbeat { hostname: "esp" }));
        assert_eq!(Text::parse(b"\0\0"), Err(DecodeError::Empty));
    }

    #[test]
    fn hostnames_are_taken_as_they_come() {
        assert_eq!(Text::parse(b"CLUSTER_RESPONSE"), Ok(Text::Response { hostname: "" }));
        assert_eq!(Text::parse(b"CLUSTER_RESPONSE:"), Ok(Text::Response { hostname: "" }));
        assert_eq!(Text::parse(b"CLUSTER_HEARTBEAT:caf\xe9"), Ok(Text::Heartbeat { hostname: "caf" }));
        assert_eq!(Text::parse(b"CLUSTER_HEARTBEAT:a\x01b"), Ok(Text::Heartbeat { hostname: "a" }));
        let long = [b"CLUSTER_HEARTBEAT:".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(Text::parse(&long), Ok(Text::Heartbeat { hostname: &"x".repeat(32) }));
    }

    #[test]
    fn json_may_hold_colons_and_be_cut() {
        let json = r#"{"sdkVersion":"2.2.2-dev(38a443e)","ip":"a:b"}"#;
        let datagram = format!("CLUSTER_NODE_INFO:esp:x:{json}\n");
        assert_eq!(Text::parse(datagram.as_bytes()), Ok(Text::NodeInfo { hostname: "esp:x", json }));
        assert_eq!(
            Text::parse(b"NODE_UPDATE:esp:{\"a\":\"\xc3"),
            Ok(Text::NodeUpdate { hostname: "esp", json: "{\"a\":\"" })
        );
        assert_eq!(Text::parse(b"NODE_UPDATE:esp"), Ok(Text::NodeUpdate { hostname: "esp", json: "" }));
    }

    #[test]
    fn others_are_refused() {
        assert_eq!(Text::parse(b"CLUSTER_DISCOVERYX"), Err(DecodeError::Unknown));
        assert_eq!(Text::parse(b"cluster_discovery"), Err(DecodeError::Unknown));
        assert_eq!(Text::parse(&[0xd5, 1, 1]), Err(DecodeError::Unknown));
        assert_eq!(Text::parse(b"RAW:12g4"), Err(DecodeError::Character));
        assert_eq!(Text::parse(b"CLUSTER_EVENT:{\xff}"), Err(DecodeError::Utf8));
    }

    #[test]
    fn a_full_buffer_is_told() {
        let mut out = [0; 21];
        assert_eq!(Text::Heartbeat { hostname: "esp" }.emit(&mut out), Ok(21));
        assert_eq!(Text::Heartbeat { hostname: "esp" }.emit(&mut out[..20]), Err(BufferFull));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in "[!-9;-~é]{1,16}", json in "\\{[ -~]{0,40}\\}", hex in "[0-9A-Fa-f]{0,60}") {
            let (hostname, json, hex) = (name.as_str(), json.as_str(), hex.as_str());
            for text in [
                Text::Discovery,
                Text::Response { hostname },
                Text::Heartbeat { hostname },
                Text::NodeInfo { hostname, json },
                Text::NodeUpdate { hostname, json },
                Text::Event { json },
                Text::Raw { hex },
            ] {
                let mut out = [0; 256];
                let len = text.emit(&mut out).unwrap();
                prop_assert_eq!(Text::parse(&out[..len]), Ok(text));
            }
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(which in 0usize..8, mut tail in proptest::collection::vec(any::<u8>(), 0..80)) {
            let keyword = ["", DISCOVERY, RESPONSE, HEARTBEAT, NODE_INFO, NODE_UPDATE, EVENT, RAW][which];
            let mut datagram = keyword.as_bytes().to_vec();
            if !keyword.is_empty() {
                datagram.push(b':');
            }
            datagram.append(&mut tail);
            if let Ok(Text::Heartbeat { hostname } | Text::NodeInfo { hostname, .. }) = Text::parse(&datagram) {
                prop_assert!(hostname.len() <= HOSTNAME_MAX && !hostname.contains(char::is_control));
            }
        }
    }
}
