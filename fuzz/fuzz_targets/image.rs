//! Images: cutting the stream changes nothing, and what is accepted says about itself what it is. The first byte is the size
//! of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_image::{Behaviour, Header, Verifier, VIRTUAL_BOARD};

const SLOT: u32 = 8192;

fuzz_target!(|data: &[u8]| {
    let Some((&size, image)) = data.split_first() else { return };
    let read = |piece: usize| {
        let mut verifier = Verifier::new(VIRTUAL_BOARD, SLOT);
        for chunk in image.chunks(piece.max(1)) {
            verifier.update(chunk).map_err(|error| error.fault())?;
        }
        verifier.finish().map(|verified| verified.header).map_err(|error| error.fault())
    };
    let whole = read(image.len());
    assert_eq!(read(usize::from(size)), whole);
    if let Ok(header) = whole {
        assert_eq!(header.image_length() as usize, image.len());
        assert_eq!(Header::parse(&header.emit().expect("it was read")).as_ref(), Ok(&header));
    }
    let _ = Behaviour::parse(image);
});
