//! SNTP answers: what is read lies between 1970 and 2104, and bytes that follow a packet change nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::sntp::{LEN, parse};

fuzz_target!(|data: &[u8]| {
    let read = parse(data);
    if let Some(answer) = read {
        assert!(answer.unix_millis < 4_260_000_000_000);
        assert_eq!(parse(&data[..LEN]), read);
    }
});
