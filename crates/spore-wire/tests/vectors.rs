//! Every kind of datagram, byte for byte: what is on the air must not change by accident. `docs/protocol.md` describes
//! the same bytes.

use core::net::Ipv4Addr;
use spore_wire::native::{self, Message, Native, Sender};
use spore_wire::{Details, Event, EventBody, EventId, Hostname, Labels, MAX_DATAGRAM, Text};

/// The texts, in the form in which we write them.
#[test]
fn texts() {
    for (datagram, text) in [
        ("CLUSTER_DISCOVERY", Text::Discovery),
        ("CLUSTER_RESPONSE:esp_3f9ec1", Text::Response { hostname: "esp_3f9ec1" }),
        ("CLUSTER_HEARTBEAT:esp_3f9ec1", Text::Heartbeat { hostname: "esp_3f9ec1" }),
        (
            r#"CLUSTER_NODE_INFO:esp_3f9ec1:{"freeHeap":41000}"#,
            Text::NodeInfo { hostname: "esp_3f9ec1", json: r#"{"freeHeap":41000}"# },
        ),
        (
            r#"NODE_UPDATE:esp_3f9ec1:{"uptime":123456}"#,
            Text::NodeUpdate { hostname: "esp_3f9ec1", json: r#"{"uptime":123456}"# },
        ),
        (r#"CLUSTER_EVENT:{"event":"a","data":"b"}"#, Text::Event { json: r#"{"event":"a","data":"b"}"# }),
        ("RAW:ff0000", Text::Raw { hex: "ff0000" }),
    ] {
        assert_eq!(Text::parse(datagram.as_bytes()), Ok(text));
        let mut out = [0; MAX_DATAGRAM];
        let len = text.emit(&mut out).expect("fits");
        assert_eq!(&out[..len], datagram.as_bytes());
    }
}

/// The details with every field set.
#[test]
fn details() {
    let mut labels = Labels::new();
    labels.set("app", "spore").expect("a label");
    let details = Details {
        free_heap: Some(41000),
        chip_id: Some(4169409),
        sdk_version: "2.2.2-dev(38a443e)".try_into().ok(),
        cpu_mhz: Some(80),
        flash_bytes: Some(1048576),
        uptime_ms: Some(123456),
        hostname: Hostname::new("esp_3f9ec1").ok(),
        ip: Some(Ipv4Addr::new(10, 4, 0, 11)),
        labels: Some(labels),
        version: "1.2.0".try_into().ok(),
        board: "virtual".try_into().ok(),
        catalogue: Some(0x1234abcd),
        boot: Some(7),
        spore: Some(1),
    };
    let json = concat!(
        r#"{"spore":1,"boot":7,"catalogue":"1234abcd","hostname":"esp_3f9ec1","ip":"10.4.0.11","freeHeap":41000,"#,
        r#""chipId":4169409,"cpuFreqMHz":80,"flashChipSize":1048576,"uptime":123456,"version":"1.2.0","#,
        r#""board":"virtual","sdkVersion":"2.2.2-dev(38a443e)","labels":{"app":"spore"}}"#
    );
    let mut out = [0; MAX_DATAGRAM];
    let len = details.emit_json(&mut out).expect("fits");
    assert_eq!(std::str::from_utf8(&out[..len]), Ok(json));
    assert_eq!(Details::parse(json.as_bytes()), Ok(details));
}

const ID: EventId = EventId { origin: Ipv4Addr::new(10, 4, 0, 11), boot: 7, number: 42 };

/// A cluster event as text: nested JSON stays nested, other data is a string.
#[test]
fn event_text() {
    for (data, datagram) in [
        (
            r#"{"color":"red"}"#,
            r#"CLUSTER_EVENT:{"event":"light","data":{"color":"red"},"id":"10.4.0.11/7/42"}"#,
        ),
        ("say \"on\"", r#"CLUSTER_EVENT:{"event":"light","data":"say \"on\"","id":"10.4.0.11/7/42"}"#),
    ] {
        let mut out = [0; MAX_DATAGRAM];
        let len = Event { name: "light", data, id: Some(ID) }.emit(&mut out).expect("fits");
        assert_eq!(std::str::from_utf8(&out[..len]), Ok(datagram));
        let Ok(Text::Event { json }) = Text::parse(&out[..len]) else { panic!("an event") };
        let body = EventBody::parse(json).expect("an event");
        assert_eq!((body.name.as_str(), body.id), ("light", Some(ID)));
        assert_eq!(body.text(&mut [0; 512]), Ok(data));
    }
}

/// A cluster event in the native family.
#[test]
fn event_native() {
    let sender = Sender { id: 0x003f9ec1, boot: 7, counter: 300 };
    let message = Message::Event { id: ID, name: "light", data: "on" };
    #[rustfmt::skip]
    let datagram = [
        0xbf, 1, 1, 0, 0, 0, // magic, version, kind, flags, key id, reserved
        0, 38, // length
        0, 7, 0, 0, 1, 44, 0, 0x3f, 0x9e, 0xc1, // boot, counter, id of the sender
        10, 4, 0, 11, 0, 7, 0, 0, 0, 42, // origin, its boot, number
        5, b'l', b'i', b'g', b'h', b't', 0, 2, b'o', b'n',
    ];
    let mut out = [0; MAX_DATAGRAM];
    let len = native::emit(sender, &message, &mut out).expect("fits");
    assert_eq!(out[..len], datagram);
    assert_eq!(native::parse(&datagram), Ok(Native::Message { sender, message }));
}
