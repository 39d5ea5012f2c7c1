//! Events: what was read and fits a datagram reads the same after writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spore_wire::event::DATA_MAX;
use spore_wire::{Event, EventBody, EventError, MAX_DATAGRAM, Text};

fuzz_target!(|json: &str| {
    let Ok(body) = EventBody::parse(json) else { return };
    let mut buffer = [0; DATA_MAX];
    let data = body.text(&mut buffer).expect("limited");
    let mut out = [0; MAX_DATAGRAM];
    match (Event { name: &body.name, data, id: body.id }).emit(&mut out) {
        Err(error) => assert_eq!(error, EventError::TooLong),
        Ok(len) => {
            let Ok(Text::Event { json }) = Text::parse(&out[..len]) else { panic!("not an event") };
            let again = EventBody::parse(json).expect("well-formed");
            assert_eq!((&again.name, again.id), (&body.name, body.id));
            assert_eq!(again.text(&mut [0; DATA_MAX]), Ok(data));
        }
    }
});
