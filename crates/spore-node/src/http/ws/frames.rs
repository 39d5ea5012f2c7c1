//! What a WebSocket's client sends, frame by frame (RFC 6455, 5).
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::ops::Range;

/// Largest message, in bytes.
pub const MESSAGE: usize = 700;
/// Largest payload of a control frame, in bytes (RFC 6455, 5.5).
pub const CONTROL: usize = 125;
/// Bytes of the buffer that messages come into: a control frame may come in the middle of a message.
pub const BUFFER: usize = MESSAGE + CONTROL;

const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Something came in whole; ranges are of the buffer, and good until the next byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A text, not yet looked at.
    Text(Range<usize>),
    /// Bytes that are no text.
    Binary,
    /// A question whether the node is there, to be sent back.
    Ping(Range<usize>),
    /// The answer to such a question.
    Pong,
    /// The client ends the conversation.
    Close,
    /// The client breaks the rules: close with that status (RFC 6455, 7.4.1).
    Fault(u16),
}

/// The rules were broken.
const PROTOCOL: Received = Received::Fault(1002);
/// The message is too large.
const TOO_LARGE: Received = Received::Fault(1009);

/// Reads one client's frames.
#[derive(Debug)]
pub struct Frames {
    /// A frame's head as it comes in: two bytes, up to eight of a longer length, four of the mask.
    head: heapless::Vec<u8, 14, u8>,
    /// Payload of the current frame still to come; `None` between frames.
    left: Option<u16>,
    /// Where the next byte of payload goes.
    at: u16,
    /// Bytes of the message that have come.
    length: u16,
    /// What the message is that began and has not ended.
    message: Option<u8>,
}

impl Frames {
    /// Before the first frame.
    pub const fn new() -> Self {
        Self { head: heapless::Vec::new(), left: None, at: 0, length: 0, message: None }
    }

    /// Takes bytes until something is whole; gives how many were taken, and what it is. After a fault nothing more makes
    /// sense.
    pub fn feed(&mut self, bytes: &[u8], buffer: &mut [u8]) -> (usize, Option<Received>) {
        let mut taken = 0usize;
        for byte in bytes {
            taken = taken.saturating_add(1);
            if let Some(received) = self.step(*byte, buffer) {
                return (taken, Some(received));
            }
        }
        (taken, None)
    }

    fn step(&mut self, byte: u8, buffer: &mut [u8]) -> Option<Received> {
        let Some(left) = self.left else {
            let _ = self.head.push(byte);
            return match self.begin() {
                Ok(false) => None,
                Ok(true) if self.left == Some(0) => self.end(),
                Ok(true) => None,
                Err(fault) => Some(fault),
            };
        };
        let key = self.head.len().saturating_sub(4).saturating_add(usize::from(self.seen() & 3));
        let mask = self.head.get(key).copied().unwrap_or(0);
        let Some(place) = buffer.get_mut(usize::from(self.at)) else { return Some(TOO_LARGE) };
        *place = byte ^ mask;
        self.at = self.at.saturating_add(1);
        self.left = Some(left.saturating_sub(1));
        if left <= 1 { self.end() } else { None }
    }

    /// Bytes of the current frame's payload that have come.
    fn seen(&self) -> u16 {
        self.at.saturating_sub(self.length)
    }

    fn opcode(&self) -> u8 {
        self.head.first().map_or(0, |first| first & 0x0f)
    }

    fn last(&self) -> bool {
        self.head.first().is_some_and(|first| first & 0x80 != 0)
    }

    /// Looks at the head so far; true when it is whole.
    fn begin(&mut self) -> Result<bool, Received> {
        let [first, second, rest @ ..] = self.head.as_slice() else { return Ok(false) };
        let control = first & 0x08 != 0;
        let short = second & 0x7f;
        // No extension was agreed on; clients mask; control frames are short and whole.
        if first & 0x70 != 0 || second & 0x80 == 0 || control && (first & 0x80 == 0 || short > 125) {
            return Err(PROTOCOL);
        }
        let known = match first & 0x0f {
            CONTINUATION => self.message.is_some(),
            TEXT | BINARY => self.message.is_none(),
            CLOSE | PING | PONG => true,
            _ => false,
        };
        if !known {
            return Err(PROTOCOL);
        }
        let (extended, length): (usize, _) = match short {
            126 => (2, rest.get(..2)),
            127 => (8, rest.get(..8)),
            _ => (0, None),
        };
        if rest.len() < extended.saturating_add(4) {
            return Ok(false);
        }
        let length = length
            .map_or(u64::from(short), |bytes| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
        let room = if control { CONTROL } else { MESSAGE.saturating_sub(usize::from(self.length)) };
        match u16::try_from(length) {
            Ok(length) if usize::from(length) <= room => self.left = Some(length),
            _ => return Err(TOO_LARGE),
        }
        if matches!(first & 0x0f, TEXT | BINARY) {
            self.message = Some(first & 0x0f);
        }
        self.at = self.length;
        Ok(true)
    }

    /// A frame is whole.
    fn end(&mut self) -> Option<Received> {
        let (start, end) = (usize::from(self.length), usize::from(self.at));
        let (opcode, last) = (self.opcode(), self.last());
        self.head.clear();
        self.left = None;
        match opcode {
            PING => Some(Received::Ping(start..end)),
            PONG => Some(Received::Pong),
            CLOSE => Some(Received::Close),
            _ => {
                self.length = self.at;
                if !last {
                    return None;
                }
                self.length = 0;
                let text = self.message.take() == Some(TEXT);
                Some(if text { Received::Text(0..end) } else { Received::Binary })
            }
        }
    }
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

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// What comes in, with its bytes, up to a fault.
    fn read(stream: &[u8], piece: usize) -> Vec<(Received, Vec<u8>)> {
        let (mut frames, mut buffer, mut all) = (Frames::new(), [0; BUFFER], Vec::new());
        for mut part in stream.chunks(piece) {
            while !part.is_empty() {
                let (taken, received) = frames.feed(part, &mut buffer);
                part = &part[taken..];
                if let Some(received) = received {
                    let bytes = match &received {
                        Received::Text(range) | Received::Ping(range) => buffer[range.clone()].to_vec(),
                        _ => Vec::new(),
                    };
                    let fault = matches!(received, Received::Fault(_));
                    all.push((received, bytes));
                    if fault {
                        return all;
                    }
                }
            }
        }
        all
    }

    #[test]
    fn messages_come_whole_with_questions_between_their_parts() {
        let long = vec![b'x'; MESSAGE];
        let stream = [
            frame(0x81, b"one"),
            frame(0x01, b"tw"),
            frame(0x89, &[b'p'; CONTROL]),
            frame(0x00, b""),
            frame(0x8a, b""),
            frame(0x80, b"o"),
            frame(0x81, &long),
            frame(0x81, b""),
            frame(0x82, b"bytes"),
            frame(0x88, b"\x03\xe8"),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 100, 2000] {
            let all = read(&stream, piece);
            let texts: Vec<_> = all
                .iter()
                .filter(|(kind, _)| matches!(kind, Received::Text(_)))
                .map(|(_, text)| text)
                .collect();
            assert_eq!(texts, [&b"one".to_vec(), &b"two".to_vec(), &long, &Vec::new()]);
            assert!(all.contains(&(Received::Ping(2..2 + CONTROL), vec![b'p'; CONTROL])));
            assert_eq!(all.iter().filter(|(kind, _)| *kind == Received::Pong).count(), 1);
            assert_eq!(all[all.len() - 2..], [(Received::Binary, vec![]), (Received::Close, vec![])]);
        }
    }

    #[test]
    fn broken_rules_are_told() {
        for (stream, status) in [
            (vec![0x81, 0x03, b'o', b'n', b'e'], 1002),
            (frame(0xc1, b"x"), 1002),
            (frame(0x80, b"x"), 1002),
            (frame(0x83, b"x"), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x89, &[0; 126]), 1002),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
            (frame(0x81, &[b'x'; MESSAGE + 1]), 1009),
            ([frame(0x01, &[b'x'; MESSAGE]), frame(0x80, b"y")].concat(), 1009),
            (vec![0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1009),
        ] {
            assert_eq!(read(&stream, 5).last().unwrap().0, Received::Fault(status), "{:?}", &stream[..2]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_cutting_does_not_matter(
            stream in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x81), Just(0x80), Just(0x82)], 0..300),
            piece in 1usize..50,
        ) {
            prop_assert_eq!(read(&stream, piece), read(&stream, 1));
        }
    }
}
