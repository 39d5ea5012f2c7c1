//! What crosses a wire: SPORE's datagrams and HTTP bodies.
//!
//! This crate knows bytes and nothing else: no socket, no clock, no allocation. Everything a stranger can send is
//! parsed here, so that the rest of the node works on values that are already bounded and well-formed.
//!
//! # The protocol in one page
//!
//! Everything below IP is UDP on [`PORT`] and HTTP on port 80. Two families of datagrams share the UDP port and are
//! told apart by their first byte:
//!
//! * **Text** ([`text`]), first byte ASCII: what the C++ SPORE speaks, in all its generations. A node shouts
//!   `CLUSTER_DISCOVERY`, whoever hears it answers `CLUSTER_RESPONSE:<hostname>`; later generations shout
//!   `CLUSTER_HEARTBEAT:<hostname>` and are answered with what the listener says about itself
//!   ([`details`], as `CLUSTER_NODE_INFO` or `NODE_UPDATE`). Events of the whole cluster travel as
//!   `CLUSTER_EVENT:{json}` ([`event`]).
//! * **Native** ([`native`]), first byte [`native::MAGIC`] (0x80 or above, so never text): what Rust nodes say among
//!   themselves. Versioned; what is newer than the reader is skipped, never misread.
//!
//! A member that speaks only text may have to be asked over HTTP what it offers. Its answer is read as it streams in,
//! in constant memory, by [`status::StatusReader`] on top of [`json::Scanner`]. The node's own HTTP side is helped by
//! [`http_head`], [`form`] and [`multipart`]. The time of day comes by [`sntp`].
//!
//! Beside its IP stack a node announces its address ([`frame`]) and serves the guests of its own access point addresses
//! ([`dhcp`]) and names ([`portal`]).
//!
//! `docs/protocol.md` has every datagram as a table.
//!
//! # Panics
//!
//! No function of this crate panics, whatever bytes it is given: indexing, unchecked arithmetic and `unwrap` are
//! denied at compile time in every module that reads outside bytes, and each parser is tested on arbitrary bytes.
//! Each module's documentation states what else it guarantees.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod details;
pub mod dhcp;
pub mod error;
pub mod event;
pub mod form;
pub mod frame;
pub mod http_head;
pub mod json;
pub mod multipart;
pub mod names;
pub mod native;
pub mod portal;
pub mod sntp;
pub mod status;
pub mod text;

pub use details::Details;
pub use error::{BufferFull, DecodeError};
pub use event::{Event, EventBody, EventError, EventId};
pub use multipart::Multipart;
pub use names::{Hostname, Labels, Method, NameError, Short, shorten};
pub use status::{Found, StatusReader};
pub use text::Text;

/// The UDP port every SPORE node listens on and sends to, C++ and Rust alike.
pub const PORT: u16 = 4210;

/// The largest datagram a node sends, in bytes, and the least a receive buffer must hold. The C++ node's receive
/// buffer is this large (`ClusterProtocol::UDP_BUF_SIZE`); longer datagrams are cut there.
pub const MAX_DATAGRAM: usize = 512;
