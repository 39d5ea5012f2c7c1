//! The binary datagrams Rust nodes exchange among themselves.
//!
//! All numbers are big-endian. Every datagram begins with the same 18 bytes:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | [`MAGIC`] |
//! | 1 | 1 | version of the format, [`VERSION`] |
//! | 2 | 1 | kind of message |
//! | 3 | 1 | flags: bit 0 sealed, the others 0 |
//! | 4 | 1 | key id when sealed, else 0 |
//! | 5 | 1 | reserved, 0; ignored when read |
//! | 6 | 2 | length of the whole datagram |
//! | 8 | 2 | boot number of the sender |
//! | 10 | 4 | counter: datagrams sent in this boot |
//! | 14 | 4 | id of the sender, its chip id |
//!
//! then the message, then 16 bytes of tag when sealed. Sender, boot and counter never repeat together, so they are the
//! nonce of the seal (ChaCha20-Poly1305, the first 18 bytes authenticated), and the counter feeds the replay window.
//! Sealing is not implemented yet; its room is kept free in every datagram, so that limits do not change with it.
//!
//! **What is newer is skipped, not misread** ([`Skip`]): a higher version, an unknown kind, an unknown flag. Within a
//! version fields may be added at a message's end; readers ignore what follows the fields they know.
//!
//! # Panics
//! Nothing here panics, on any bytes and any buffer. `parse(emit(x)) == x`.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::MAX_DATAGRAM;
use crate::error::DecodeError;
use crate::event::{EventError, EventId, check_name};
use core::net::Ipv4Addr;

/// First byte of every native datagram. Not ASCII, so never the start of a text datagram, and never the start of a
/// UTF-8 character either.
pub const MAGIC: u8 = 0xbf;

/// Version of the format written here, and newest that is read.
pub const VERSION: u8 = 1;

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 18;

/// Bytes kept free for the tag of the seal.
pub const TAG_LEN: usize = 16;

/// Longest name and data of an event together, in bytes.
pub const EVENT_MAX: usize = MAX_DATAGRAM - HEADER_LEN - TAG_LEN - 13;

const KIND_EVENT: u8 = 1;
const FLAG_SEALED: u8 = 1;

/// Who sends, and which of its datagrams it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Chip id: the last three bytes of the MAC address.
    pub id: u32,
    /// Boot number, modulo 2¹⁶.
    pub boot: u16,
    /// Native datagrams the sender has sent before in this boot.
    pub counter: u32,
}

/// What a native datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Kind 1: an event of the whole cluster. Origin address (4 bytes), its boot (2), number (4), length of the name
    /// (1), name, length of the data (2), data; texts are UTF-8.
    Event {
        /// Which event it is; the origin need not be the sender.
        id: EventId,
        /// 1 to [`crate::event::NAME_MAX`] bytes.
        name: &'a str,
        /// With the name at most [`EVENT_MAX`] bytes.
        data: &'a str,
    },
}

/// Why a datagram of a native kind is of no use to this reader although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// A newer version of the format: the one given.
    Version(u8),
    /// An unknown kind of message: the one given.
    Kind(u8),
    /// Flags that are not known: those given.
    Flags(u8),
    /// Sealed with the key of this id, which this reader does not have.
    Sealed(u8),
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native<'a> {
    /// A message.
    Message {
        /// From whom.
        sender: Sender,
        /// What.
        message: Message<'a>,
    },
    /// Not for this reader.
    Skip(Skip),
}

/// Whether a datagram belongs to the native family.
pub fn is_native(datagram: &[u8]) -> bool {
    datagram.first() == Some(&MAGIC)
}

/// Reads a datagram. Bytes after the length the header tells are ignored.
///
/// # Errors
/// [`DecodeError`]: `Empty`; `Unknown` when the magic byte is another; `Length` when it is cut; `Utf8` and `Range`
/// for an event's texts.
pub fn parse(datagram: &[u8]) -> Result<Native<'_>, DecodeError> {
    match datagram.first() {
        None => return Err(DecodeError::Empty),
        Some(&MAGIC) => {}
        Some(_) => return Err(DecodeError::Unknown),
    }
    // The version decides what the rest means, so nothing else is looked at before it.
    let mut rest = Reader(datagram.get(1..).unwrap_or(&[]));
    let version = rest.u8()?;
    if version == 0 || version > VERSION {
        return Ok(Native::Skip(Skip::Version(version)));
    }
    let [kind, flags, key, _reserved] = rest.array()?;
    let len = usize::from(rest.u16()?);
    let sender = Sender { boot: rest.u16()?, counter: rest.u32()?, id: rest.u32()? };
    let body = datagram.get(HEADER_LEN..len).ok_or(DecodeError::Length)?;
    if flags & !FLAG_SEALED != 0 {
        return Ok(Native::Skip(Skip::Flags(flags)));
    }
    if flags & FLAG_SEALED != 0 {
        return Ok(Native::Skip(Skip::Sealed(key)));
    }
    let mut body = Reader(body);
    let message = match kind {
        KIND_EVENT => {
            let id = EventId { origin: Ipv4Addr::from(body.u32()?), boot: body.u16()?, number: body.u32()? };
            let name_len = usize::from(body.u8()?);
            let name = body.text(name_len)?;
            let data_len = usize::from(body.u16()?);
            let data = body.text(data_len)?;
            check_name(name).map_err(|_| DecodeError::Range)?;
            if name.len().saturating_add(data.len()) > EVENT_MAX {
                return Err(DecodeError::Range);
            }
            Message::Event { id, name, data }
        }
        other => return Ok(Native::Skip(Skip::Kind(other))),
    };
    Ok(Native::Message { sender, message })
}

/// Writes a datagram to the start of `out`; its length in bytes, at most [`MAX_DATAGRAM`] less [`TAG_LEN`].
///
/// # Errors
/// [`EventError::Name`]; [`EventError::TooLong`] when name and data exceed [`EVENT_MAX`] or `out` is too small.
pub fn emit(sender: Sender, message: &Message<'_>, out: &mut [u8]) -> Result<usize, EventError> {
    let Message::Event { id, name, data } = message;
    check_name(name)?;
    if name.len().saturating_add(data.len()) > EVENT_MAX {
        return Err(EventError::TooLong);
    }
    let name_len = u8::try_from(name.len()).map_err(|_| EventError::Name)?;
    let data_len = u16::try_from(data.len()).map_err(|_| EventError::TooLong)?;
    let len = HEADER_LEN.saturating_add(13).saturating_add(name.len()).saturating_add(data.len());
    let total = u16::try_from(len).map_err(|_| EventError::TooLong)?;
    let mut rest = out.get_mut(..len).ok_or(EventError::TooLong)?;
    let parts: [&[u8]; 12] = [
        &[MAGIC, VERSION, KIND_EVENT, 0, 0, 0],
        &total.to_be_bytes(),
        &sender.boot.to_be_bytes(),
        &sender.counter.to_be_bytes(),
        &sender.id.to_be_bytes(),
        &id.origin.octets(),
        &id.boot.to_be_bytes(),
        &id.number.to_be_bytes(),
        &[name_len],
        name.as_bytes(),
        &data_len.to_be_bytes(),
        data.as_bytes(),
    ];
    for part in parts {
        let (room, after) = rest.split_at_mut_checked(part.len()).ok_or(EventError::TooLong)?;
        room.copy_from_slice(part);
        rest = after;
    }
    Ok(len)
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Length)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Length)?;
        self.0 = rest;
        core::str::from_utf8(field).map_err(|_| DecodeError::Utf8)
    }
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
    use crate::text::Text;
    use proptest::prelude::*;

    const SENDER: Sender = Sender { id: 0x3f9ec1, boot: 7, counter: 42 };
    const ID: EventId = EventId { origin: Ipv4Addr::new(10, 4, 0, 11), boot: 7, number: 42 };

    fn datagram() -> Vec<u8> {
        let mut out = [0; MAX_DATAGRAM];
        let len = emit(SENDER, &Message::Event { id: ID, name: "light", data: "on" }, &mut out).unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn what_is_newer_is_skipped() {
        for (at, value, skip) in [
            (1, 2, Skip::Version(2)),
            (1, 0, Skip::Version(0)),
            (2, 9, Skip::Kind(9)),
            (3, 2, Skip::Flags(2)),
            (3, 1, Skip::Sealed(0)),
        ] {
            let mut newer = datagram();
            newer[at] = value;
            assert_eq!(parse(&newer), Ok(Native::Skip(skip)));
        }
        assert_eq!(parse(&[MAGIC, 2]), Ok(Native::Skip(Skip::Version(2))), "a newer header may be shorter");
    }

    #[test]
    fn fields_may_be_added() {
        let mut longer = datagram();
        longer.extend([1, 2, 3]);
        assert_eq!(parse(&longer), parse(&datagram()), "after the datagram");
        let len = u16::try_from(longer.len()).unwrap();
        longer[6..8].copy_from_slice(&len.to_be_bytes());
        assert_eq!(parse(&longer), parse(&datagram()), "within the message");
    }

    #[test]
    fn what_is_cut_is_refused() {
        let whole = datagram();
        for len in 1..whole.len() {
            assert_eq!(parse(&whole[..len]), Err(DecodeError::Length), "{len}");
        }
        assert_eq!(parse(&[]), Err(DecodeError::Empty));
        assert_eq!(parse(b"CLUSTER_DISCOVERY"), Err(DecodeError::Unknown));
        assert_eq!(Text::parse(&whole), Err(DecodeError::Unknown));
    }

    #[test]
    fn the_longest_event_leaves_room_for_the_seal() {
        let mut out = [0; MAX_DATAGRAM];
        let data = "x".repeat(EVENT_MAX);
        let event = |data| Message::Event { id: ID, name: "n", data };
        assert_eq!(emit(SENDER, &event(&data[1..]), &mut out), Ok(MAX_DATAGRAM - TAG_LEN));
        assert_eq!(emit(SENDER, &event(&data), &mut out), Err(EventError::TooLong));
        assert_eq!(emit(SENDER, &event(""), &mut out[..31]), Err(EventError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            id: u32, boot: u16, counter: u32, origin: [u8; 4], number: u32,
            name in "[!-~é]{1,16}", data in proptest::string::string_regex(r"(?s).{0,100}").unwrap(),
        ) {
            let sender = Sender { id, boot, counter };
            let message = Message::Event { id: EventId { origin: origin.into(), boot, number }, name: &name, data: &data };
            let mut out = [0; MAX_DATAGRAM];
            let len = emit(sender, &message, &mut out).unwrap();
            prop_assert_eq!(parse(&out[..len]), Ok(Native::Message { sender, message }));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), valid: bool) {
            if valid && bytes.len() > HEADER_LEN {
                let len = u8::try_from(bytes.len()).unwrap();
                bytes[..8].copy_from_slice(&[MAGIC, VERSION, KIND_EVENT, 0, 0, 0, 0, len]);
            }
            let _ = parse(&bytes);
        }
    }
}
