//! Heads of requests: cutting the stream changes nothing, and no long number passes for a length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::http_head::{Head, collect};

fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let (mut one, mut many) = ([0; 512], [0; 512]);
    let (mut filled, mut collected) = (0, 0);
    let (_, whole) = collect(&mut one, &mut filled, stream);
    let mut ended = false;
    for piece in stream.chunks(usize::from(size).max(1)) {
        let (taken, end) = collect(&mut many, &mut collected, piece);
        ended = end;
        if end || taken < piece.len() {
            break;
        }
    }
    assert_eq!((whole, filled), (ended, collected));
    assert_eq!(one, many);
    if let Ok(head) = Head::parse(&one[..filled]) {
        assert!(head.length <= 999_999_999 && !head.method.is_empty());
        assert!(head.header("transfer-encoding").is_none());
    }
});
