//! How an answer begins: its status line and head (RFC 9112, 4), and what goes before a chunk.

use crate::network::ACCESS_POINT_ADDRESS;
use crate::page::Page;
use core::fmt;
use spore_sentence::{Sentence, say, sentence};

/// The lines of an answer's head that depend on its kind.
pub(super) enum Lines {
    Small {
        content_type: &'static str,
        allow: Option<&'static str>,
        length: usize,
    },
    Document(Chunk),
    Page(&'static Page),
    NotModified(&'static Page),
    /// To the choice of a network.
    Elsewhere,
}

/// An answer's head (RFC 9112, 4).
pub(super) struct Start {
    pub status: u16,
    pub persistent: bool,
    pub lines: Lines,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = if self.persistent { sentence!("keep-alive") } else { sentence!("close") };
        say!(f, "HTTP/1.1 ", self.status, " ", reason(self.status), "\r\nConnection: ", connection, "\r\n")?;
        match &self.lines {
            Lines::Small { content_type, allow, length } => {
                if let Some(methods) = allow {
                    say!(f, "Allow: ", methods, "\r\n")?;
                }
                say!(f, "Content-Type: ", content_type, "\r\nContent-Length: ", length)?;
                say!(f, "\r\nCache-Control: no-store\r\n\r\n")
            }
            Lines::Document(chunk) => {
                say!(f, "Content-Type: application/json\r\nCache-Control: no-store\r\n")?;
                if chunk.0.is_some() {
                    say!(f, "Transfer-Encoding: chunked\r\n")?;
                }
                say!(f, "\r\n", chunk)
            }
            Lines::Page(page) => {
                say!(
                    f,
                    "Content-Type: text/html; charset=utf-8\r\nContent-Encoding: gzip\r\nETag: ",
                    page.tag
                )?;
                say!(f, "\r\nCache-Control: no-cache\r\nContent-Length: ", page.length, "\r\n\r\n")
            }
            Lines::NotModified(page) => say!(f, "ETag: ", page.tag, "\r\n\r\n"),
            Lines::Elsewhere => {
                say!(f, "Location: http://", ACCESS_POINT_ADDRESS, "/wifi\r\n")?;
                say!(f, "Cache-Control: no-store\r\nContent-Length: 0\r\n\r\n")
            }
        }
    }
}

/// What is said to a method that a path does not take.
pub(super) struct Takes(pub &'static str);

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say!(f, "this path takes ", self.0)
    }
}

/// The line in front of a chunk, if there is one.
pub(super) struct Chunk(pub Option<usize>);

impl fmt::Display for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |length| write!(f, "{length:x}\r\n"))
    }
}

/// The words beside a status (RFC 9110, 15), as far as the node uses it.
fn reason(status: u16) -> Sentence {
    match status {
        200 => sentence!("OK"),
        302 => sentence!("Found"),
        304 => sentence!("Not Modified"),
        400 => sentence!("Bad Request"),
        404 => sentence!("Not Found"),
        405 => sentence!("Method Not Allowed"),
        409 => sentence!("Conflict"),
        413 => sentence!("Content Too Large"),
        422 => sentence!("Unprocessable Content"),
        503 => sentence!("Service Unavailable"),
        _ => sentence!(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::exchange::ROOM;
    use crate::page;
    use std::string::ToString;

    #[test]
    fn as_on_the_wire() {
        let start = |status, lines| Start { status, persistent: false, lines }.to_string();
        let document = start(200, Lines::Document(Chunk(Some(0x2a))));
        assert_eq!(
            document,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
             Transfer-Encoding: chunked\r\n\r\n2a\r\n"
        );
        let small = Lines::Small { content_type: "text/plain", allow: Some("GET"), length: 7 };
        assert_eq!(
            start(405, small),
            "HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nAllow: GET\r\nContent-Type: text/plain\r\n\
             Content-Length: 7\r\nCache-Control: no-store\r\n\r\n"
        );
        assert!(start(304, Lines::NotModified(&page::NODE)).ends_with("\"\r\n\r\n"));
        let elsewhere = start(302, Lines::Elsewhere);
        assert!(
            elsewhere.contains("302 Found\r\n")
                && elsewhere.contains("\r\nLocation: http://192.168.4.1/wifi\r\n")
        );
    }

    #[test]
    fn the_longest_has_room() {
        let all = [
            Lines::Small {
                content_type: "text/plain; charset=utf-8",
                allow: Some("GET, POST"),
                length: 1024,
            },
            Lines::Document(Chunk(Some(usize::from(u16::MAX)))),
            Lines::Page(&page::NODE),
            Lines::NotModified(&page::NODE),
            Lines::Elsewhere,
        ];
        for lines in all {
            let start = Start { status: 503, persistent: true, lines }.to_string();
            assert!(start.len() <= ROOM, "{start}");
        }
    }
}
