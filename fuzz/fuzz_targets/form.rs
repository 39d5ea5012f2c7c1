//! Forms: decoded pairs read the same after encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::form::{Pairs, encode};

fuzz_target!(|form: &str| {
    for (key, value) in Pairs::new(form) {
        let mut buffer = vec![0; form.len()];
        let Ok(text) = value.decode(&mut buffer) else { continue };
        let mut again = String::from("k=");
        encode(text, &mut again).expect("strings do not fail");
        assert!(Pairs::new(&again).get("k").expect("one pair").is(text));
        let _ = key.to_text::<8>();
    }
});
