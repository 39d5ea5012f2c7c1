//! Capacities of a node beyond those of `spore_core::limits`, each with what it costs. Where the ESP8266 cannot afford
//! what other boards can, the feature `esp8266` chooses.

pub use size::*;

/// Largest body of a request that is not firmware, in bytes.
pub const BODY: usize = 1024;
/// Sockets beside those of HTTP connections: the refusing ones, the fetching one, two for datagrams, DHCP.
pub const OTHER_SOCKETS: usize = REFUSERS + 4;

/// Boards with 200 KB of RAM and more.
#[cfg(not(feature = "esp8266"))]
mod size {
    /// Receive buffer of an HTTP connection in bytes: one full segment, so that an upload keeps moving.
    pub const HTTP_RX: usize = 1536;
    /// Send buffer of an HTTP connection in bytes: two full segments, so that a receiver that acknowledges every second one
    /// (RFC 1122, 4.2.3.2) never delays.
    pub const HTTP_TX: usize = 2 * 1460;
    /// Buffer of an HTTP connection in bytes, for a request's head, then its query and body, then the answer's head and body.
    pub const HTTP_BUFFER: usize = 2304;
    /// HTTP connections served at the same time. Each costs its buffers and its future, see the size test of spore-lab.
    pub const HTTP_CONNECTIONS: usize = 4;
    /// Connections that only say that all others are busy, 0.8 KB each. Two, so that one listens while the other says it.
    pub const REFUSERS: usize = 2;
    /// Receive buffer of these: what a client sends is read away while it takes the answer in.
    pub const REFUSER_RX: usize = 512;
    /// Receive buffer for datagrams in bytes. Longer datagrams than we send exist: a pixel frame in RAW: is 1,540 bytes.
    pub const UDP_RX: usize = 6 * 1024;
    /// Datagrams that wait to be read.
    pub const UDP_RX_COUNT: usize = 24;
    /// Send buffer for datagrams in bytes.
    pub const UDP_TX: usize = 2 * 1024;
    /// Datagrams that wait to be sent.
    pub const UDP_TX_COUNT: usize = 8;
    /// Send buffer for answers to single nodes in bytes.
    pub const ANSWERS_TX: usize = 2 * 1024;
    /// Answers that wait to be sent.
    pub const ANSWERS_TX_COUNT: usize = 32;
    /// Receive buffer for what is fetched from other nodes, in bytes.
    pub const FETCH_RX: usize = 1024;
    /// Bytes of events kept for WebSockets and async subscribers.
    pub const EVENT_LOG: usize = 2048;
    /// Readers of the event log that can wait at the same time: WebSockets and [`crate::Subscription`]s.
    pub const EVENT_WAITERS: usize = 8;
    /// Networks kept of a scan.
    pub const SCAN: usize = 16;
}

/// The ESP8266: 80 KB, of which 35 are ours.
#[cfg(feature = "esp8266")]
mod size {
    /// Receive buffer of an HTTP connection in bytes: two segments of 536 bytes.
    pub const HTTP_RX: usize = 1072;
    /// Send buffer of an HTTP connection in bytes: a segment as large as the driver sends it (960 bytes) and a bit, see there.
    pub const HTTP_TX: usize = 1024;
    /// Buffer of an HTTP connection in bytes, for a request's head, then its query and body, then the answer's head and body.
    pub const HTTP_BUFFER: usize = 1280;
    /// HTTP connections served at the same time, 4.5 KB each.
    pub const HTTP_CONNECTIONS: usize = 2;
    /// Connections that only say that all others are busy, 0.8 KB each.
    pub const REFUSERS: usize = 1;
    /// Receive buffer of these: what a client sends is read away while it takes the answer in.
    pub const REFUSER_RX: usize = 128;
    /// Receive buffer for datagrams in bytes. Longer datagrams than we send exist: a pixel frame in RAW: is 1,540 bytes.
    pub const UDP_RX: usize = 1544;
    /// Datagrams that wait to be read.
    pub const UDP_RX_COUNT: usize = 8;
    /// Send buffer for datagrams in bytes.
    pub const UDP_TX: usize = 576;
    /// Datagrams that wait to be sent.
    pub const UDP_TX_COUNT: usize = 3;
    /// Send buffer for answers to single nodes in bytes.
    pub const ANSWERS_TX: usize = 576;
    /// Answers that wait to be sent.
    pub const ANSWERS_TX_COUNT: usize = 4;
    /// Receive buffer for what is fetched from other nodes, in bytes.
    pub const FETCH_RX: usize = 536;
    /// Bytes of events kept for WebSockets and async subscribers.
    pub const EVENT_LOG: usize = 768;
    /// Readers of the event log that can wait at the same time: WebSockets and [`crate::Subscription`]s.
    pub const EVENT_WAITERS: usize = 5;
    /// Networks kept of a scan.
    pub const SCAN: usize = 6;
}
