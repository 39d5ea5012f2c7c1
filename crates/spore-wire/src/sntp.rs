//! The time of day: SNTP version 4, client mode (RFC 4330; the packet is that of RFC 5905, 7.3).
//!
//! A question and an answer have 48 bytes. Of the question only the first byte and the last eight mean something; those eight come back,
//! so that an answer can be told from one that nobody asked for: they are random here, and no time.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | leap indicator (2 bits; 3: the server has no time itself), version (3 bits), mode (3 bits: 3 asks, 4 answers) |
//! | 1 | 1 | stratum: 1 to 15; 0 is a refusal |
//! | 24 | 8 | originate timestamp: what the question had at 40 |
//! | 40 | 8 | transmit timestamp: seconds since 1900 and their fraction, 32 bits each |
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

/// The UDP port of servers.
pub const PORT: u16 = 123;
/// Length of a packet without authentication.
pub const LEN: usize = 48;

/// No leap second announced, version 4, client.
const QUESTION: u8 = 4 << 3 | 3;
const SERVER: u8 = 4;
const NO_TIME: u8 = 3;
/// Seconds from 1900 to 1970.
const TO_UNIX: u64 = 2_208_988_800;

/// A question with this cookie.
pub fn question(cookie: u64) -> [u8; LEN] {
    let mut packet = [0; LEN];
    if let Some(first) = packet.first_mut() {
        *first = QUESTION;
    }
    if let Some(place) = packet.last_chunk_mut() {
        *place = cookie.to_be_bytes();
    }
    packet
}

/// What an answer says that is worth something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The cookie of the question.
    pub cookie: u64,
    /// Milliseconds since 1970, UTC, when the answer was sent; from 1968 to 2104.
    pub unix_millis: u64,
}

/// Reads an answer. `None` for whatever is none: too short, not from a server, a refusal (stratum 0, "kiss of death"), from a server that
/// does not know the time itself, or without a time.
pub fn parse(packet: &[u8]) -> Option<Answer> {
    let word = |at: usize| {
        let bytes = packet.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    };
    let (first, stratum) = (*packet.first()?, *packet.get(1)?);
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    if packet.len() < LEN || leap == NO_TIME || !(1..=4).contains(&version) || mode != SERVER {
        return None;
    }
    if !(1..=15).contains(&stratum) {
        return None;
    }
    let cookie = u64::from(word(24)?) << 32 | u64::from(word(28)?);
    let (seconds, fraction) = (word(40)?, word(44)?);
    // RFC 4330, 3: the highest bit clear means a time after 7 February 2036. Zero is no time.
    let era = if seconds >> 31 == 0 { 1u64 << 32 } else { 0 };
    let since_1900 = u64::from(seconds).wrapping_add(era);
    if seconds == 0 && fraction == 0 {
        return None;
    }
    // Before 1970: nobody's time.
    let seconds = since_1900.checked_sub(TO_UNIX)?;
    let millis = u64::from(fraction).wrapping_mul(1000) >> 32;
    Some(Answer { cookie, unix_millis: seconds.wrapping_mul(1000).wrapping_add(millis) })
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

    fn answer(seconds: u32, fraction: u32, cookie: u64) -> [u8; LEN] {
        let mut packet = [0; LEN];
        packet[0] = 0x24;
        packet[1] = 2;
        packet[24..32].copy_from_slice(&cookie.to_be_bytes());
        packet[40..44].copy_from_slice(&seconds.to_be_bytes());
        packet[44..].copy_from_slice(&fraction.to_be_bytes());
        packet
    }

    #[test]
    fn a_question() {
        let packet = question(0x0102_0304_0506_0708);
        assert_eq!(packet[0], 0x23);
        assert_eq!(packet[1..40], [0; 39]);
        assert_eq!(packet[40..], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(parse(&packet), None, "is no answer");
    }

    #[test]
    fn known_times() {
        let millis =
            |seconds, fraction| parse(&answer(seconds, fraction, 7)).map(|answer| answer.unix_millis);
        // 2026-11-22 23:00:00 UTC is 1795388400.
        assert_eq!(millis(4_004_377_200, 1 << 31), Some(1_795_388_400_500));
        assert_eq!(millis(u32::MAX, u32::MAX), Some(2_085_978_495_999), "the last second of the first era");
        assert_eq!(millis(0, 1 << 30), Some(2_085_978_496_250), "and the first of the next");
        assert_eq!(millis(1, 0), Some(2_085_978_497_000));
        assert_eq!(millis(0, 0), None, "no time");
        assert_eq!(millis(2_208_988_800, 0), Some(0));
        assert_eq!(millis(2_208_988_799, 0), None, "before 1970");
    }

    #[test]
    fn what_is_no_answer() {
        let good = answer(4_004_377_200, 0, 7);
        assert_eq!(parse(&good).unwrap().cookie, 7);
        let mut long = good.to_vec();
        long.extend([0; 20]);
        assert_eq!(parse(&long), parse(&good), "an authenticator may follow");
        for length in 0..LEN {
            assert_eq!(parse(&good[..length]), None);
        }
        // Leap indicator and mode, then strata.
        for first in [0xe4, 0x23, 0x25, 0x26, 0x00, 0x04, 0x2c] {
            assert_eq!(parse(&[&[first], &good[1..]].concat()), None, "{first:#x}");
        }
        for stratum in [0, 16, 255] {
            assert_eq!(parse(&[&[0x24, stratum], &good[2..]].concat()), None, "{stratum}");
        }
        for (first, stratum) in [(0x1c, 1), (0x64, 15), (0xa4, 3)] {
            assert!(parse(&[&[first, stratum], &good[2..]].concat()).is_some());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn cookie_and_time_come_through(cookie: u64, seconds: u32, fraction in 1u32..) {
            let read = parse(&answer(seconds, fraction, cookie));
            if let Some(read) = read {
                prop_assert_eq!(read.cookie, cookie);
                prop_assert!(read.unix_millis < 4_260_000_000_000);
            } else {
                prop_assert!((1 << 31..2_208_988_800).contains(&seconds));
            }
        }
    }
}
