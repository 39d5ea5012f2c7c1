//! The name server of a captive portal (RFC 1035): whatever a guest asks for, the answer is the portal's own address.
//!
//! That is how phones and laptops find out that a network wants to show them a page: they ask for the address of a well-known
//! server and fetch something from there.
//!
//! # Panics
//! Nothing here panics, on any bytes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::net::Ipv4Addr;

/// Port of name servers.
pub const PORT: u16 = 53;
/// Bytes of a message's header.
const HEADER: usize = 12;
/// Most bytes of a question with its header that is answered: names of up to 46 letters, longer than those that systems
/// look for portals with.
pub const QUESTION: usize = 64;
/// Bytes of an answer behind its question.
const ANSWER: usize = 16;
/// Seconds for which an answer holds: the guest will soon be elsewhere.
const LIFETIME: u32 = 5;
/// Type A, an IPv4 address; type ANY; class IN.
const A: u16 = 1;
const ANY: u16 = 255;
const IN: u16 = 1;

/// A question to be answered later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Header and question as they came.
    bytes: [u8; QUESTION],
    length: u8,
    /// It is for an IPv4 address.
    address: bool,
}

impl Question {
    /// Reads a message; `None` when it is not a query with one question that fits.
    pub fn parse(message: &[u8]) -> Option<Self> {
        let (header, _) = message.split_first_chunk::<HEADER>()?;
        // QR and opcode 0: a standard query. One question; what else it brings (EDNS) is not for us.
        if header.get(2)? & 0xF8 != 0 || header.get(4..6)? != [0, 1] {
            return None;
        }
        let mut at = HEADER;
        loop {
            match usize::from(*message.get(at)?) {
                0 => break,
                // A question has no name before it that it could point to.
                length @ 1..=63 => at = at.checked_add(length)?.checked_add(1)?,
                _ => return None,
            }
        }
        let kind = at.checked_add(1)?;
        let &[k1, k2, c1, c2] = message.get(kind..)?.first_chunk()?;
        let end = kind.checked_add(4)?;
        let mut bytes = [0; QUESTION];
        bytes.get_mut(..end)?.copy_from_slice(message.get(..end)?);
        let wanted = [A, ANY].contains(&u16::from_be_bytes([k1, k2]));
        let address = wanted && u16::from_be_bytes([c1, c2]) == IN;
        Some(Self { bytes, length: u8::try_from(end).ok()?, address })
    }

    /// Bytes of the answer.
    pub fn answer_len(&self) -> usize {
        usize::from(self.length).saturating_add(if self.address { ANSWER } else { 0 })
    }

    /// Writes the answer: the address to whoever asks for one, "no such record" to others. `out` has [`Question::answer_len`]
    /// bytes; of less, as much as fits is written.
    pub fn answer(&self, address: Ipv4Addr, out: &mut [u8]) {
        let asked = self.bytes.get(..self.length.into()).unwrap_or_default();
        let mut record = [0; ANSWER];
        let [a, b, c, d] = address.octets();
        let [_, _, t1, t0] = LIFETIME.to_be_bytes();
        // The name is that at byte 12; type, class, lifetime, four bytes of address.
        record.copy_from_slice(&[0xC0, 12, 0, A as u8, 0, IN as u8, 0, 0, t1, t0, 0, 4, a, b, c, d]);
        let record = if self.address { &record[..] } else { &[] };
        for (place, byte) in out.iter_mut().zip(asked.iter().chain(record)) {
            *place = *byte;
        }
        // QR, AA, and RD as it was asked; no recursion, no error.
        let desired = asked.get(2).copied().unwrap_or_default() & 1;
        for (at, byte) in [(2, 0x84 | desired), (3, 0), (7, u8::from(self.address)), (9, 0), (11, 0)] {
            if let Some(place) = out.get_mut(at) {
                *place = byte;
            }
        }
        for at in [6, 8, 10] {
            if let Some(place) = out.get_mut(at) {
                *place = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PORTAL: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        // EDNS, as today's systems send it (RFC 6891).
        message.extend([0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0]);
        message
    }

    fn answer(message: &[u8]) -> Option<Vec<u8>> {
        let question = Question::parse(message)?;
        let mut out = vec![0xEE; question.answer_len()];
        question.answer(PORTAL, &mut out);
        Some(out)
    }

    #[test]
    fn every_name_leads_to_the_portal() {
        let message = query("connectivitycheck.gstatic.com", A);
        let said = answer(&message).unwrap();
        let question = &message[12..message.len() - 11];
        let expected = [
            &[0xAB, 0xCD, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0][..],
            question,
            &[0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 192, 168, 4, 1],
        ]
        .concat();
        assert_eq!(said, expected);
    }

    #[test]
    fn who_asks_for_other_things_hears_that_there_are_none() {
        let message = query("captive.apple.com", 28);
        let said = answer(&message).unwrap();
        assert_eq!(said[..12], [0xAB, 0xCD, 0x85, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(said[12..], message[12..message.len() - 11]);
    }

    #[test]
    fn what_is_no_question_stays_unanswered() {
        assert_eq!(answer(&[]), None);
        let mut response = query("a.b", A);
        response[2] |= 0x80;
        assert_eq!(answer(&response), None, "a response");
        let mut two = query("a.b", A);
        two[5] = 2;
        assert_eq!(answer(&two), None, "two questions");
        let mut pointer = query("a.b", A);
        pointer[12] = 0xC0;
        assert_eq!(answer(&pointer), None, "a name that points elsewhere");
        assert_eq!(answer(&query(&["x"; 60].join("."), A)), None, "longer than there is room");
        let cut = query("a.b", A);
        assert!((0..cut.len() - 11).all(|length| answer(&cut[..length]).is_none()), "cut off");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let mut message = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            message.extend(&bytes);
            for message in [&bytes, &message] {
                if let Some(said) = answer(message) {
                    prop_assert!(said.len() <= QUESTION + ANSWER && said[2] & 0x80 != 0);
                }
            }
        }
    }
}
