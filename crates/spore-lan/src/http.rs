//! A small HTTP/1.1 client that lives on the LAN, so that tests can ask nodes under virtual time.

use embassy_net::tcp::TcpSocket;
use embassy_net::{IpEndpoint, Stack};
use embassy_time::Duration;
use std::fmt;
use std::net::SocketAddrV4;

/// Bytes of a response, head and body, at most.
const LIMIT: usize = 4 * 1024 * 1024;
/// Header lines of a response at most.
const HEADERS: usize = 64;
/// Bytes of each of a connection's buffers.
const BUFFER: usize = 8 * 1024;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names and values in the order they came.
    pub headers: Vec<(String, String)>,
    /// Body, chunks put together.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header; case of the name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpError {
    /// No connection came about: nobody there, or nobody listens.
    NoConnection,
    /// The connection broke, or ended before the response did.
    Broken,
    /// The response is not HTTP, or longer than 4 MiB.
    Malformed,
    /// It took too long.
    TimedOut,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoConnection => "no connection",
            Self::Broken => "connection broken",
            Self::Malformed => "malformed response",
            Self::TimedOut => "timed out",
        })
    }
}

impl std::error::Error for HttpError {}

/// Sends a request on a connection of its own and reads the whole response.
///
/// `Host`, `Connection: close` and, with a body or a method that usually has one, `Content-Length` are added.
/// Dropping the call closes the connection.
///
/// # Errors
/// See [`HttpError`]; there is no time-out beyond TCP's own.
pub async fn request(
    stack: Stack<'_>,
    to: SocketAddrV4,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Response, HttpError> {
    let (mut rx, mut tx) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut socket = TcpSocket::new(stack, &mut rx, &mut tx);
    socket.set_nagle_enabled(false);
    socket.set_timeout(Some(Duration::from_secs(20)));
    let endpoint = IpEndpoint::new((*to.ip()).into(), to.port());
    socket.connect(endpoint).await.map_err(|_| HttpError::NoConnection)?;

    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", to.ip());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    head += "\r\n";
    // A server may answer before it has read all; the answer counts, so a broken upload is not yet an error.
    let sent = async {
        for mut part in [head.as_bytes(), body] {
            while !part.is_empty() {
                part = &part[socket.write(part).await?..];
            }
        }
        socket.flush().await
    }
    .await;

    let mut received = Vec::new();
    let mut buffer = [0; 2_048];
    loop {
        let read = socket.read(&mut buffer).await;
        let ended = !matches!(read, Ok(n) if n > 0);
        received.extend_from_slice(&buffer[..read.unwrap_or(0)]);
        match parse(&received, method, ended)? {
            Some(response) => {
                socket.close();
                // Lets the FIN out; what the other side makes of it does not matter.
                let _ = embassy_time::with_timeout(Duration::from_secs(1), socket.flush()).await;
                return Ok(response);
            }
            None if ended || sent.is_err() && received.is_empty() => return Err(HttpError::Broken),
            None if received.len() > LIMIT => return Err(HttpError::Malformed),
            None => {}
        }
    }
}

/// The response in `bytes`, if complete. `ended` tells that no more will come.
fn parse(bytes: &[u8], method: &str, ended: bool) -> Result<Option<Response>, HttpError> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Response::new(&mut lines);
    let start = match head.parse(bytes).map_err(|_| HttpError::Malformed)? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial => return Ok(None),
    };
    let mut response = Response {
        status: head.code.ok_or(HttpError::Malformed)?,
        headers: head
            .headers
            .iter()
            .map(|line| (line.name.to_owned(), String::from_utf8_lossy(line.value).into_owned()))
            .collect(),
        body: Vec::new(),
    };
    let rest = &bytes[start..];
    if matches!(response.status, 100 | 102..=199) {
        // Interim (RFC 9110, 15.2): the response proper follows.
        return parse(rest, method, ended);
    }
    let bodiless = method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304);
    let chunked = response
        .header("Transfer-Encoding")
        .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    let length = response.header("Content-Length").map(|value| value.trim().parse::<usize>());
    let body = if bodiless {
        Some(Vec::new())
    } else if chunked {
        unchunk(rest)?
    } else if let Some(length) = length {
        let length = length.map_err(|_| HttpError::Malformed)?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        ended.then(|| rest.to_vec())
    };
    Ok(body.map(|body| {
        response.body = body;
        response
    }))
}

/// Puts chunks together (RFC 9112, 7.1), if all are there. Trailers are ignored.
fn unchunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, HttpError> {
    let mut body = Vec::new();
    loop {
        let (start, size) = match httparse::parse_chunk_size(bytes).map_err(|_| HttpError::Malformed)? {
            httparse::Status::Complete(found) => found,
            httparse::Status::Partial => return Ok(None),
        };
        if size == 0 {
            return Ok(Some(body));
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= LIMIT).ok_or(HttpError::Malformed)?;
        let end = start + size;
        let Some(chunk) = bytes.get(start..end) else { return Ok(None) };
        body.extend_from_slice(chunk);
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => bytes = &bytes[end + 2..],
            Some(_) => return Err(HttpError::Malformed),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: &[u8], ended: bool) -> Result<Option<Vec<u8>>, HttpError> {
        Ok(parse(bytes, "GET", ended)?.map(|response| response.body))
    }

    #[test]
    fn bodies_end_where_they_say() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(body(sized, false), Ok(Some(b"abc".to_vec())));
        let open = b"HTTP/1.1 200 OK\r\n\r\nab";
        assert_eq!(body(open, false), Ok(None));
        assert_eq!(body(open, true), Ok(Some(b"ab".to_vec())));
        let none = parse(b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n", "GET", false).unwrap().unwrap();
        assert_eq!((none.status, none.header("X-A")), (204, Some("b")));
        let interim = [b"HTTP/1.1 100 Continue\r\n\r\n", &sized[..]].concat();
        assert_eq!(body(&interim, false), Ok(Some(b"abc".to_vec())));
        assert_eq!(parse(sized, "HEAD", false).unwrap().unwrap().body, b"");
    }

    #[test]
    fn chunks_are_put_together_and_no_prefix_is_enough() {
        let all = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n";
        assert_eq!(body(all, false), Ok(Some(b"abc0123456789abcdef".to_vec())));
        for len in 0..all.len() - 4 {
            assert_eq!(body(&all[..len], true), Ok(None), "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn chunks_come_out_as_they_went_in(chunks in proptest::collection::vec(proptest::collection::vec(0u8.., 1..40), 0..8)) {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            proptest::prop_assert_eq!(body(&bytes, false), Ok(Some(chunks.concat())));
        }

        #[test]
        fn no_bytes_upset_it(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let whole = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat();
            let _ = (body(&bytes, true), body(&whole, true));
        }
    }

    #[test]
    fn nonsense_is_told_from_what_is_merely_unfinished() {
        assert_eq!(body(b"SSH-2.0-x\r\n", false), Err(HttpError::Malformed));
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false), Err(HttpError::Malformed));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(body(format!("{chunked}zz\r\n").as_bytes(), false), Err(HttpError::Malformed));
        assert_eq!(body(format!("{chunked}1\r\nabc\r\n").as_bytes(), false), Err(HttpError::Malformed));
        assert_eq!(body(format!("{chunked}ffffffffffffff\r\n").as_bytes(), false), Err(HttpError::Malformed));
    }
}
