//! A time server, as many routers have one: SNTP (RFC 4330) on port 123.
//!
//! In real time it gives the host's clock. In virtual time every world begins at the same moment, so that runs can be repeated.

use crate::clock::{self, Mode};
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

/// Port of time servers.
pub const PORT: u16 = 123;
/// Seconds from 1970 to the beginning of a world in virtual time: 2026-01-01 00:00:00 UTC.
pub const VIRTUAL_START: u64 = 1_767_225_600;
/// Seconds from 1900 to 1970.
const TO_UNIX: u64 = 2_208_988_800;
/// Length of a packet.
const LEN: usize = 48;
/// Mode of a question and of an answer.
const CLIENT: u8 = 3;
const SERVER: u8 = 4;

/// Milliseconds since 1970 in this world.
pub fn unix_millis() -> u64 {
    match clock::mode() {
        Mode::Real => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }
        Mode::Virtual => VIRTUAL_START * 1000 + embassy_time::Instant::now().as_millis(),
    }
}

/// The answer to a question. `None` if it is none.
fn answer(question: &[u8], unix_millis: u64) -> Option<[u8; LEN]> {
    let question: &[u8; LEN] = question.first_chunk()?;
    if question[0] & 7 != CLIENT {
        return None;
    }
    // Whole eras are left out, as the packet has no room for them.
    let seconds = (unix_millis / 1000 + TO_UNIX) as u32;
    let fraction = ((unix_millis % 1000) << 32).div_ceil(1000) as u32;
    let mut time = [0; 8];
    time[..4].copy_from_slice(&seconds.to_be_bytes());
    time[4..].copy_from_slice(&fraction.to_be_bytes());
    let mut answer = [0; LEN];
    answer[0] = question[0] & 0x38 | SERVER;
    // A server that has its time from another; the precision of a millisecond.
    (answer[1], answer[2], answer[3]) = (2, question[2], (-10i8).cast_unsigned());
    answer[24..32].copy_from_slice(&question[40..]);
    answer[32..40].copy_from_slice(&time);
    answer[40..].copy_from_slice(&time);
    Some(answer)
}

/// Answers for ever.
pub(crate) async fn serve(stack: Stack<'static>) {
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 64], [PacketMetadata::EMPTY; 64]);
    let (mut rx, mut tx) = (vec![0; 64 * LEN], vec![0; 64 * LEN]);
    let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    if socket.bind(PORT).is_err() {
        return;
    }
    let mut question = [0; 128];
    loop {
        // Longer ones have authenticators, which nobody here has keys for.
        let Ok((length, from)) = socket.recv_from(&mut question).await else { continue };
        if let Some(answer) = answer(&question[..length], unix_millis()) {
            // Nobody waits for an answer that cannot be sent.
            let _ = socket.send_to(&answer, from.endpoint).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_with_its_cookie() {
        let mut question = [0; LEN];
        question[0] = 0x23;
        question[40..].copy_from_slice(b"cookies!");
        let answer = answer(&question, 1_795_388_400_500).unwrap();
        assert_eq!((answer[0], answer[1], &answer[24..32]), (0x24, 2, &b"cookies!"[..]));
        let word = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
        assert_eq!((word(40), word(44)), (4_004_377_200, 1 << 31));
        question[0] = 0x24;
        assert_eq!(super::answer(&question, 1), None, "an answer is no question");
        assert_eq!(super::answer(&question[..47], 1), None);
    }
}
