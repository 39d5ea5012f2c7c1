//! Frames of an access point's guests: what is answered is a datagram that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::dhcp::{ANSWER, Request, Server};
use spore_wire::frame::{Datagram, End, datagram};
use spore_wire::portal::Question;
use std::net::Ipv4Addr;

const IP: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);

/// The bytes as a datagram's payload, in a frame with right checksums: no fuzzer would guess them.
fn framed(payload: &[u8], port: u16) -> Option<Vec<u8>> {
    let end = |port| End { mac: [2, 0, 0, 0, 0, 1], ip: IP, port };
    let mut frame = vec![0; 1514];
    let length = datagram(end(68), end(port), &mut frame, payload.len(), |room| room.copy_from_slice(payload))?;
    frame.truncate(length);
    Some(frame)
}

fuzz_target!(|data: &[u8]| {
    let _ = Datagram::parse(data);
    let Some(frame) = framed(data, 67) else { return };
    assert_eq!(Datagram::parse(&frame).expect("as it was written").payload, data);
    if let Some(answer) = Request::parse(&frame).and_then(|request| request.answer(IP, |_, wished| wished.or(Some(IP)))) {
        let server = Server { mac: [2, 0, 0, 0, 0, 2], ip: IP, mask: Ipv4Addr::new(255, 255, 255, 0), lease: 60 };
        let mut out = [0; ANSWER];
        answer.emit(&server, &mut out).expect("it fits");
        assert_eq!(Datagram::parse(&out).expect("well-formed").from.ip, IP);
    }
    if let Some(question) = Question::parse(data) {
        let mut out = vec![0; question.answer_len()];
        question.answer(IP, &mut out);
        assert_eq!((out[..2].to_vec(), out[2] & 0x80), (data[..2].to_vec(), 0x80));
    }
});
