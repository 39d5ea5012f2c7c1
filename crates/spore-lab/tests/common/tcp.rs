//! A TCP connection a test holds in its hands: bytes go out as they are, responses come in one by one.

use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_time::Duration;
use spore_lan::http::Response;
use std::net::SocketAddrV4;

/// A connection. Dropping it leaves the other side without a word, as a client that loses its power does.
pub struct Tcp {
    socket: TcpSocket<'static>,
    received: Vec<u8>,
}

impl Tcp {
    /// Connects; `None` when nobody answers.
    pub async fn connect(stack: Stack<'static>, to: SocketAddrV4) -> Option<Self> {
        // Sockets on a stack without end want buffers without end; a test makes few.
        let (rx, tx) = (vec![0; 8192].leak(), vec![0; 8192].leak());
        let mut socket = TcpSocket::new(stack, rx, tx);
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(Duration::from_secs(20)));
        let connected = socket.connect((*to.ip(), to.port())).await;
        connected.inspect_err(|error| println!("not connected: {error:?}")).ok()?;
        Some(Self { socket, received: Vec::new() })
    }

    /// Sends; false when the connection broke before all was taken.
    pub async fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Ok(count @ 1..) = self.socket.write(bytes).await else { return false };
            bytes = &bytes[count..];
        }
        self.socket.flush().await.is_ok()
    }

    /// Waits for bytes; false when the other side has ended the connection.
    async fn more(&mut self) -> bool {
        let mut buffer = [0; 2048];
        match self.socket.read(&mut buffer).await {
            Ok(count @ 1..) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            end => {
                println!("{} ms: the connection ended: {end:?}", embassy_time::Instant::now().as_millis());
                false
            }
        }
    }

    /// Takes exactly so many bytes; `None` when the connection ends before.
    pub async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.received.len() < count {
            if !self.more().await {
                return None;
            }
        }
        Some(self.received.drain(..count).collect())
    }

    /// Takes bytes up to `end` and with it.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|bytes| bytes == end) {
                return self.take(at + end.len()).await;
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next response; `None` when the connection ends before it is whole.
    pub async fn response(&mut self) -> Option<Response> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        });
        let mut response = Response { status, headers: headers.collect(), body: Vec::new() };
        if status == 304 || status == 101 {
            return Some(response);
        }
        if let Some(length) = response.header("content-length") {
            response.body = self.take(length.parse().unwrap()).await?;
            return Some(response);
        }
        assert_eq!(response.header("transfer-encoding"), Some("chunked"), "{head}");
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            response.body.extend(self.take(size).await?);
            self.take(2).await?;
            if size == 0 {
                return Some(response);
            }
        }
    }

    /// Waits until the other side ends the connection, whatever it sends before.
    pub async fn ended(&mut self) {
        while self.more().await {}
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self) {
        self.socket.close();
    }

    /// Ends the connection; returns when the other side knows that and has ended it, too.
    pub async fn hang_up(&mut self) {
        self.close();
        self.ended().await;
        let _ = self.socket.flush().await;
    }
}
