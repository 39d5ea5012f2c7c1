//! One HTTP GET to another node, its body handed on piece by piece: memory does not depend on the answer's length.

use crate::limits::FETCH_RX;
use core::fmt::Write as _;
use core::net::Ipv4Addr;
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, with_timeout};

/// Longest answer head that is taken, in bytes.
const HEAD: u16 = 2048;
/// Longest line of a head that is looked at; those that matter are far shorter.
const LINE: usize = 48;
/// How long one fetch may take in all.
const TIME_OUT: Duration = Duration::from_secs(4);

/// Why a fetch failed. The caller's state is unchanged, apart from what was already handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchError {
    /// No connection.
    Unreachable,
    /// Nothing, or not everything, within the time.
    TimedOut,
    /// The connection broke off before the answer was whole.
    Truncated,
    /// Not HTTP, a head longer than 2,048 bytes, or a transfer coding other than chunked.
    Malformed,
    /// A status other than 200.
    Status(u16),
}

/// Buffers of the connection.
pub struct Buffers {
    rx: [u8; FETCH_RX],
    tx: [u8; 128],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { rx: [0; FETCH_RX], tx: [0; 128] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// Fetches `path` from port 80 of `ip` and hands the body's bytes to `sink`.
pub async fn get(
    stack: Stack<'_>,
    buffers: &mut Buffers,
    ip: Ipv4Addr,
    path: &str,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), FetchError> {
    let mut socket = TcpSocket::new(stack, &mut buffers.rx, &mut buffers.tx);
    let result = with_timeout(TIME_OUT, exchange(&mut socket, ip, path, sink)).await;
    socket.abort();
    result.unwrap_or(Err(FetchError::TimedOut))
}

async fn exchange(
    socket: &mut TcpSocket<'_>,
    ip: Ipv4Addr,
    path: &str,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), FetchError> {
    socket.connect((ip, 80)).await.map_err(|_| FetchError::Unreachable)?;
    // It fits into the empty send buffer, so it needs no other.
    let written = socket.write_with(|buffer| {
        let mut request = Request { buffer, length: 0 };
        let fits = write!(request, "GET {path} HTTP/1.1\r\nHost: {ip}\r\nConnection: close\r\n\r\n").is_ok();
        (if fits { request.length } else { 0 }, fits)
    });
    if !written.await.map_err(|_| FetchError::Truncated)? {
        return Err(FetchError::Malformed);
    }

    let mut answer = Answer::new();
    loop {
        let step = socket.read_with(|bytes| (bytes.len(), answer.feed(bytes, sink))).await;
        match step {
            // embassy-net reports the peer's orderly end as an error of `read_with`.
            Err(_) => return answer.end(),
            Ok(Err(error)) => return Err(error),
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => {}
        }
    }
}

/// A request as it is written into a socket's buffer.
struct Request<'b> {
    buffer: &'b mut [u8],
    length: usize,
}

impl core::fmt::Write for Request<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        self.buffer.get_mut(self.length..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// What is read next. Of a body how its end is known (RFC 9112, 6.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Status,
    Headers,
    Length(u32),
    UntilClose,
    ChunkSize,
    Chunk(u32),
    ChunkEnd,
}

/// Push parser of one answer.
struct Answer {
    place: Place,
    /// How the body ends, as far as the head has said it.
    framing: Place,
    /// Bytes of the head.
    head: u16,
    line: heapless::Vec<u8, LINE>,
    /// The line was longer than there is room for.
    cut: bool,
}

impl Answer {
    const fn new() -> Self {
        Self {
            place: Place::Status,
            framing: Place::UntilClose,
            head: 0,
            line: heapless::Vec::new(),
            cut: false,
        }
    }

    /// Takes the next bytes; true when the answer is whole.
    fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool, FetchError> {
        loop {
            match &mut self.place {
                Place::UntilClose => {
                    if !bytes.is_empty() {
                        sink(bytes);
                    }
                    return Ok(false);
                }
                Place::Length(left) => {
                    take(bytes, left, sink);
                    return Ok(*left == 0);
                }
                Place::Chunk(left) => {
                    bytes = take(bytes, left, sink);
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.place = Place::ChunkEnd;
                }
                Place::Status | Place::Headers | Place::ChunkSize | Place::ChunkEnd => {
                    let Some((&byte, rest)) = bytes.split_first() else { return Ok(false) };
                    bytes = rest;
                    if byte != b'\n' {
                        self.cut |= self.line.push(byte).is_err();
                        if self.cut && self.place != Place::Headers {
                            return Err(FetchError::Malformed);
                        }
                    } else if self.line()? {
                        return Ok(true);
                    } else {
                        self.line.clear();
                        self.cut = false;
                    }
                }
            }
            if matches!(self.place, Place::Status | Place::Headers) {
                self.head = self.head.saturating_add(1);
                if self.head > HEAD {
                    return Err(FetchError::Malformed);
                }
            }
        }
    }

    /// Looks at a whole line; true when it was the last of the answer.
    fn line(&mut self) -> Result<bool, FetchError> {
        let line = core::str::from_utf8(&self.line).unwrap_or("").trim_ascii_end();
        self.place = match self.place {
            Place::Status => {
                let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(number);
                match code {
                    Some(200) => Place::Headers,
                    Some(code) => return Err(FetchError::Status(u16::try_from(code).unwrap_or(0))),
                    None => return Err(FetchError::Malformed),
                }
            }
            Place::Headers if line.is_empty() && !self.cut => self.framing,
            Place::Headers => {
                self.header()?;
                Place::Headers
            }
            Place::ChunkEnd => Place::ChunkSize,
            _ => {
                let digits = line.split(';').next().unwrap_or("").trim_ascii();
                let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                match u32::from_str_radix(digits, 16) {
                    Ok(0) if plain => return Ok(true),
                    Ok(size) if plain => Place::Chunk(size),
                    _ => return Err(FetchError::Malformed),
                }
            }
        };
        Ok(false)
    }

    /// Looks at a line of the head.
    fn header(&mut self) -> Result<(), FetchError> {
        let line = core::str::from_utf8(&self.line).unwrap_or("");
        let Some((name, value)) = line.split_once(':') else { return Ok(()) };
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            if self.cut || !value.eq_ignore_ascii_case("chunked") {
                return Err(FetchError::Malformed);
            }
            self.framing = Place::ChunkSize;
        } else if name.eq_ignore_ascii_case("content-length") && self.framing != Place::ChunkSize {
            let length = number(value).filter(|_| !self.cut).ok_or(FetchError::Malformed)?;
            self.framing = Place::Length(length);
        }
        Ok(())
    }

    /// The peer closed the connection.
    fn end(&self) -> Result<(), FetchError> {
        match self.place {
            Place::UntilClose | Place::Length(0) => Ok(()),
            _ => Err(FetchError::Truncated),
        }
    }
}

/// A number of nothing but digits.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn take<'b>(bytes: &'b [u8], left: &mut u32, sink: &mut dyn FnMut(&[u8])) -> &'b [u8] {
    let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    let (now, later) = bytes.split_at(count);
    if !now.is_empty() {
        sink(now);
    }
    *left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &[u8], piece: usize) -> (Vec<u8>, Result<bool, FetchError>) {
        let mut body = Vec::new();
        let mut parser = Answer::new();
        let mut last = Ok(false);
        for part in answer.chunks(piece) {
            last = parser.feed(part, &mut |bytes| body.extend_from_slice(bytes));
            if last != Ok(false) {
                break;
            }
        }
        (body, last)
    }

    #[test]
    fn every_framing_gives_the_body_however_it_is_cut() {
        let length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        for piece in 1..length.len() {
            assert_eq!(read(length, piece), (b"hello".to_vec(), Ok(true)));
            assert_eq!(read(chunked, piece), (b"hello".to_vec(), Ok(true)));
        }
        let (body, open) = read(b"HTTP/1.0 200 OK\r\n\r\nhello", 4);
        assert_eq!((body.as_slice(), open), (b"hello".as_slice(), Ok(false)));
    }

    #[test]
    fn long_headers_and_any_case_do_no_harm() {
        let mut answer = b"HTTP/1.1 200 OK\r\nX-Long: ".to_vec();
        answer.extend([b'x'; 300]);
        answer.extend(b"\r\ncontent-LENGTH:5 \r\n\r\nhello");
        assert_eq!(read(&answer, 11), (b"hello".to_vec(), Ok(true)));
    }

    #[test]
    fn what_is_not_an_answer_is_refused() {
        assert_eq!(read(b"HTTP/1.1 404 Not Found\r\n\r\n", 7).1, Err(FetchError::Status(404)));
        assert_eq!(read(b"hello there\r\n\r\n", 7).1, Err(FetchError::Malformed));
        assert_eq!(read(&[b'x'; 600], 100).1, Err(FetchError::Malformed));
        let bad_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
        assert_eq!(read(bad_chunk, 9).1, Err(FetchError::Malformed));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", 9).1, Err(FetchError::Malformed));
        let mut long = b"HTTP/1.1 200 OK\r\n".to_vec();
        long.extend([b"X: y\r\n".as_slice(); 400].concat());
        assert_eq!(read(&long, 99).1, Err(FetchError::Malformed));
        let endless =
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), &[b'0'; 60]].concat();
        assert_eq!(read(&endless, 9).1, Err(FetchError::Malformed));
    }

    #[test]
    fn a_broken_connection_is_told_from_the_end() {
        let mut parser = Answer::new();
        assert_eq!(parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", &mut |_| {}), Ok(false));
        assert_eq!(parser.end(), Err(FetchError::Truncated));
        assert_eq!(Answer::new().end(), Err(FetchError::Truncated));
    }
}
