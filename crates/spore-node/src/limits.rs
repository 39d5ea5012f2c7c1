//! Capacities of a node beyond those of `spore_core::limits`, each with what it costs.

/// Receive buffer of an HTTP connection in bytes: one full segment, so that an upload keeps moving.
pub const HTTP_RX: usize = 1536;
/// Send buffer of an HTTP connection in bytes: two full segments, so that a receiver that acknowledges every second one
/// (RFC 1122, 4.2.3.2) never delays.
pub const HTTP_TX: usize = 2 * 1460;
/// Buffer for a request's head and small body, in bytes.
pub const HTTP_BUFFER: usize = 2304;
/// Largest body of a request that is not firmware, in bytes.
pub const BODY: usize = 1024;
/// Receive buffer for datagrams in bytes and in datagrams.
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
/// Bytes of events kept for WebSockets and async subscribers.
pub const EVENT_LOG: usize = 2048;
/// Networks kept of a scan.
pub const SCAN: usize = 16;
/// Connections that only say that all others are busy, 0.8 KB each. Two, so that one listens while the other says it.
pub const REFUSERS: usize = 2;
/// Sockets beside those of HTTP connections: the refusing ones, the fetching one, two for datagrams, DHCP, one spare.
pub const OTHER_SOCKETS: usize = REFUSERS + 5;
/// HTTP connections served at the same time. Each costs its buffers and its future, see the size test of spore-lab.
pub const HTTP_CONNECTIONS: usize = 4;
