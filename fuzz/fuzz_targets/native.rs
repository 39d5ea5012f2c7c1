//! Native datagrams: a message that was read is written again to the bytes it was read from, padding aside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::native::{Native, emit, parse};

fuzz_target!(|data: &[u8]| {
    if let Ok(Native::Message { sender, message }) = parse(data) {
        let mut out = [0; spore_wire::MAX_DATAGRAM];
        let len = emit(sender, &message, &mut out).expect("within the limits");
        assert_eq!(out[8..len], data[8..len]);
        assert_eq!(parse(&out[..len]), Ok(Native::Message { sender, message }));
    }
});
