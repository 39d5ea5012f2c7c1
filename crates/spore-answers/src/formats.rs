//! Text, JSON, postcard, CRC, image headers.

use crate::{Fold, Numbers};
use core::fmt::{self, Write};
use core::hint::black_box;
use serde::{Deserialize, Serialize};
use spore_wire::Details;
use spore_wire::json::{JsonWriter, Members, SliceWriter};

impl Write for Fold {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

pub(crate) fn numbers() -> u32 {
    let (mut fold, mut numbers) = (Fold::new(), Numbers::new(12));
    for _ in 0..100 {
        let (a, wide) = (numbers.u32(), numbers.u64());
        let written = write!(
            fold,
            "{a} {:>8} {:08x} {:#X} {} {} {wide} {}",
            a & 0xFFF,
            a,
            a >> 3,
            a.cast_signed(),
            (wide >> 7).cast_signed(),
            char::from(b'a' + (a % 26) as u8),
        );
        if written.is_err() {
            return 1;
        }
        let mut text = [0u8; 20];
        let mut out = SliceWriter::new(&mut text);
        let parsed = write!(out, "{wide}").ok().and_then(|()| out.into_str().parse::<u64>().ok());
        if parsed != Some(wide) {
            return 2;
        }
    }
    fold.end()
}

/// The check value of CRC-32/ISO-HDLC.
pub(crate) fn crc() -> u32 {
    spore_image::crc32(black_box(b"123456789"))
}

pub(crate) fn json() -> u32 {
    let mut fold = Fold::new();
    let status = r#"{"freeHeap":48712,"chipId":4169409,"sdkVersion":"2.2.2-dev(38a443e)","cpuFreqMHz":80,"flashChipSize":1048576,"more":{"list":[1,2.5e3,-7,"a\u00e9\n",null,true]}}"#;
    let Ok(details) = Details::parse(black_box(status.as_bytes())) else { return 1 };
    fold.u32(details.free_heap.unwrap_or(1));
    fold.u32(details.chip_id.unwrap_or(1));
    let mut text = [0u8; 512];
    let Ok(length) = details.emit_json(&mut text) else { return 2 };
    fold.bytes(text.get(..length).unwrap_or_default());
    let Ok(members) = Members::new(status) else { return 3 };
    let mut name = [0u8; 32];
    let Some(Ok(version)) = members.get("sdkVersion").map(|value| value.text(&mut name)) else { return 4 };
    fold.bytes(version.as_bytes());
    let mut json = JsonWriter::new(&mut fold);
    let written = json
        .begin_object()
        .and_then(|()| json.field("quote", "\"\\\u{1}é"))
        .and_then(|()| json.field_number("n", u64::MAX))
        .and_then(|()| json.key("t"))
        .and_then(|()| json.tenths(-15))
        .and_then(|()| json.end_object());
    if written.is_err() {
        return 5;
    }
    fold.end()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Message<'a> {
    Nothing,
    Pair(u16, i64),
    Text { text: &'a str, bytes: &'a [u8], maybe: Option<u32>, flag: bool },
}

pub(crate) fn postcard() -> u32 {
    let mut fold = Fold::new();
    let mut numbers = Numbers::new(13);
    for _ in 0..100 {
        let a = numbers.u32();
        let message = match a % 3 {
            0 => Message::Nothing,
            1 => Message::Pair(a as u16, numbers.u64().cast_signed()),
            _ => Message::Text {
                text: "spore",
                bytes: &[1, 2, 255],
                maybe: (a & 8 == 0).then_some(a),
                flag: a & 4 == 0,
            },
        };
        let mut buffer = [0u8; 64];
        let Ok(bytes) = postcard::to_slice(&message, &mut buffer) else { return 1 };
        fold.bytes(bytes);
        if postcard::from_bytes::<Message<'_>>(bytes) != Ok(message) {
            return 2;
        }
    }
    fold.end()
}

pub(crate) fn header() -> u32 {
    let mut fold = Fold::new();
    let Ok(version) = black_box("1.20.3-rc.1+7").parse() else { return 1 };
    let Ok(mut header) = spore_image::Header::new("esp8266", "answers", version) else { return 2 };
    header.payload_length = 4096;
    let Ok(bytes) = header.emit() else { return 3 };
    fold.bytes(&bytes);
    if spore_image::Header::parse(&bytes).as_ref() != Ok(&header) {
        return 4;
    }
    fold.end()
}
