//! Uploads: cutting the stream changes nothing. The first byte is the size of the pieces, the boundary is `b`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::Multipart;
use spore_wire::multipart::{MultipartError, boundary_of};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Result<(), MultipartError>) {
    let mut reader = Multipart::new("b").expect("a boundary");
    let mut file = Vec::new();
    for piece in pieces {
        let _ = reader.feed(piece, &mut |bytes| file.extend_from_slice(bytes));
    }
    (file, reader.finish())
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, body)) = data.split_first() else { return };
    assert_eq!(read(body.chunks(usize::from(size).max(1))), read(std::iter::once(body)));
    if let Ok(text) = std::str::from_utf8(body)
        && let Some(boundary) = boundary_of(text)
    {
        Multipart::new(boundary).expect("what is found is usable");
    }
});
