//! The guard of request heads: cutting the stream changes nothing, and no long number is left in a length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::HeadGuard;

fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let (mut whole, mut cut) = (stream.to_vec(), stream.to_vec());
    let (mut one, mut many) = (HeadGuard::new(), HeadGuard::new());
    one.filter(&mut whole);
    cut.chunks_mut(usize::from(size).max(1)).for_each(|piece| many.filter(piece));
    assert_eq!(whole, cut);
    assert_eq!(format!("{one:?}"), format!("{many:?}"));
    // Defusing what is defused already changes nothing.
    let mut twice = whole.clone();
    HeadGuard::new().filter(&mut twice);
    assert_eq!(twice, whole);
});
