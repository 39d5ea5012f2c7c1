//! Details and status bodies: cutting the stream changes nothing, and what was read fits and survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::{Details, Found, StatusReader};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Details, Vec<String>, bool) {
    let mut reader = StatusReader::new();
    let mut found = Vec::new();
    for piece in pieces {
        let _ =
            reader.feed(piece, &mut |Found::Endpoint { method, uri }| found.push(format!("{method} {uri}")));
    }
    let complete = reader.is_complete();
    (reader.finish(), found, complete)
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, body)) = data.split_first() else { return };
    let whole = read(std::iter::once(body));
    assert_eq!(read(body.chunks(usize::from(size).max(1))), whole);
    let mut out = vec![0; 8192];
    let len = whole.0.emit_json(&mut out).expect("room");
    assert_eq!(Details::parse(&out[..len]), Ok(whole.0.clone()));
    let len = whole.0.emit_json(&mut out[..usize::from(size) + 2]).expect("room for braces");
    Details::parse(&out[..len]).expect("well-formed however short");
});
