//! One HTTP GET to another node, its body handed on piece by piece: memory does not depend on the answer's length.

use core::fmt::Write as _;
use core::net::Ipv4Addr;
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_time::{Duration, with_timeout};
use embedded_io_async::Write as _;

/// Longest answer head that is understood, in bytes.
const HEAD: usize = 512;
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
    /// Not HTTP, a head longer than 512 bytes, or a transfer coding other than chunked.
    Malformed,
    /// A status other than 200.
    Status(u16),
}

/// Buffers of the connection.
pub struct Buffers {
    rx: [u8; 1024],
    tx: [u8; 128],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { rx: [0; 1024], tx: [0; 128] }
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
    let mut request = heapless::String::<128>::new();
    write!(request, "GET {path} HTTP/1.1\r\nHost: {ip}\r\nConnection: close\r\n\r\n")
        .map_err(|_| FetchError::Malformed)?;
    socket.write_all(request.as_bytes()).await.map_err(|_| FetchError::Truncated)?;

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

/// How the end of a body is known (RFC 9112, 6.3).
enum Framing {
    Length(u32),
    UntilClose,
    ChunkSize,
    Chunk(u32),
    ChunkEnd,
}

/// Push parser of one answer.
struct Answer {
    head: heapless::Vec<u8, HEAD>,
    framing: Option<Framing>,
    line: heapless::Vec<u8, 20>,
}

impl Answer {
    const fn new() -> Self {
        Self { head: heapless::Vec::new(), framing: None, line: heapless::Vec::new() }
    }

    /// Takes the next bytes; true when the answer is whole.
    fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<bool, FetchError> {
        while self.framing.is_none() {
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(false) };
            bytes = rest;
            self.head.push(byte).map_err(|_| FetchError::Malformed)?;
            if self.head.ends_with(b"\r\n\r\n") {
                self.framing = Some(framing(&self.head)?);
            }
        }
        loop {
            match self.framing.as_mut() {
                None => return Ok(false),
                Some(Framing::UntilClose) => {
                    if !bytes.is_empty() {
                        sink(bytes);
                    }
                    return Ok(false);
                }
                Some(Framing::Length(left)) => {
                    take(bytes, left, sink);
                    return Ok(*left == 0);
                }
                Some(Framing::Chunk(left)) => {
                    bytes = take(bytes, left, sink);
                    if *left > 0 {
                        return Ok(false);
                    }
                    self.framing = Some(Framing::ChunkEnd);
                }
                Some(state) => {
                    let Some((&byte, rest)) = bytes.split_first() else { return Ok(false) };
                    bytes = rest;
                    self.line.push(byte).map_err(|_| FetchError::Malformed)?;
                    if byte != b'\n' {
                        continue;
                    }
                    if let Framing::ChunkEnd = state {
                        *state = Framing::ChunkSize;
                    } else {
                        *state = match httparse::parse_chunk_size(&self.line) {
                            Ok(httparse::Status::Complete((_, 0))) => return Ok(true),
                            Ok(httparse::Status::Complete((_, size))) => {
                                Framing::Chunk(u32::try_from(size).map_err(|_| FetchError::Malformed)?)
                            }
                            _ => return Err(FetchError::Malformed),
                        };
                    }
                    self.line.clear();
                }
            }
        }
    }

    /// The peer closed the connection.
    fn end(&self) -> Result<(), FetchError> {
        match self.framing {
            Some(Framing::UntilClose | Framing::Length(0)) => Ok(()),
            _ => Err(FetchError::Truncated),
        }
    }
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

fn framing(head: &[u8]) -> Result<Framing, FetchError> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).map_err(|_| FetchError::Malformed)?;
    match response.code {
        Some(200) => {}
        Some(code) => return Err(FetchError::Status(code)),
        None => return Err(FetchError::Malformed),
    }
    let value = |name: &str| {
        response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    if let Some(coding) = value("transfer-encoding") {
        return if coding.eq_ignore_ascii_case(b"chunked") {
            Ok(Framing::ChunkSize)
        } else {
            Err(FetchError::Malformed)
        };
    }
    match value("content-length") {
        None => Ok(Framing::UntilClose),
        Some(digits) => core::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .map(Framing::Length)
            .ok_or(FetchError::Malformed),
    }
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
    fn what_is_not_an_answer_is_refused() {
        assert_eq!(read(b"HTTP/1.1 404 Not Found\r\n\r\n", 7).1, Err(FetchError::Status(404)));
        assert_eq!(read(b"hello there\r\n\r\n", 7).1, Err(FetchError::Malformed));
        assert_eq!(read(&[b'x'; 600], 100).1, Err(FetchError::Malformed));
        let bad_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n";
        assert_eq!(read(bad_chunk, 9).1, Err(FetchError::Malformed));
        let endless =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000000000000000001\r\n";
        assert_eq!(read(endless, 9).1, Err(FetchError::Malformed));
    }

    #[test]
    fn a_broken_connection_is_told_from_the_end() {
        let mut parser = Answer::new();
        assert_eq!(parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", &mut |_| {}), Ok(false));
        assert_eq!(parser.end(), Err(FetchError::Truncated));
        assert_eq!(Answer::new().end(), Err(FetchError::Truncated));
    }
}
