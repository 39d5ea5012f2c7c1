//! Text datagrams: what was read can be written, and reads the same again unless it was lenience that read it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::{Details, Hostname, Text};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = Text::parse(data) else { return };
    if let Text::NodeInfo { hostname, json } | Text::NodeUpdate { hostname, json } = text {
        assert!(hostname.len() <= spore_wire::text::HOSTNAME_MAX && !hostname.contains(char::is_control));
        assert!(hostname.starts_with(&*Hostname::foreign(hostname)));
        let _ = Details::parse_lossy(json.as_bytes());
    }
    let mut out = vec![0; data.len() + 2];
    let len = text.emit(&mut out).expect("no longer than what was read, but for colons");
    let again = Text::parse(&out[..len]).expect("well-formed");
    assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&text));
});
