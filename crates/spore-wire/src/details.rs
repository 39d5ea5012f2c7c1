//! What a node says about itself: the JSON of `CLUSTER_NODE_INFO` and `NODE_UPDATE`, and of `GET /api/node/status`.
//!
//! Generations say different things, so every field may be missing. Reading takes keys in any order, skips unknown
//! ones with whatever is nested in them, and ignores values of the wrong type or out of range.
//!
//! # Panics
//! Nothing here panics, on any bytes and any buffer. `parse(emit_json(x)) == x` when everything fitted (see
//! [`Details::emit_json`]) and no string holds more than its limit.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::error::BufferFull;
use crate::json::{JsonError, JsonWriter, Scalar, SliceWriter};
use crate::names::{Hostname, Labels, Short, shorten};
use crate::status::StatusReader;
use core::fmt::{self, Write};
use core::net::Ipv4Addr;

/// What a node says about itself. `None` is: it did not say.
///
/// Values of our own fields (`version` and below) come from Rust nodes only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// `freeHeap`: free heap in bytes.
    pub free_heap: Option<u32>,
    /// `chipId`: the ESP8266's chip id, the last three bytes of its MAC address.
    pub chip_id: Option<u32>,
    /// `sdkVersion`: of the vendor SDK, or what stands in for it. Longer ones are cut.
    pub sdk_version: Option<Short<32>>,
    /// `cpuFreqMHz`: 80 or 160.
    pub cpu_mhz: Option<u16>,
    /// `flashChipSize`: bytes.
    pub flash_bytes: Option<u32>,
    /// `uptime`: ms since the start. C++ nodes start again from 0 after 2³² ms.
    pub uptime_ms: Option<u64>,
    /// `hostname`: what the node calls itself, as [`Hostname::foreign`] takes it.
    pub hostname: Option<Hostname>,
    /// `ip`: what the node believes its address to be; the datagram's source is the better one.
    pub ip: Option<Ipv4Addr>,
    /// `labels`. Those over our limits are left out.
    pub labels: Option<Labels>,
    /// `version` of the node's image. Longer ones are cut.
    pub version: Option<Short<24>>,
    /// `board`: what the image was built for. Longer ones are cut.
    pub board: Option<Short<16>>,
    /// `catalogue`: hash of what the node offers, 8 hexadecimal digits on the wire.
    pub catalogue: Option<u32>,
    /// `boot`: how often the node has started since its flash was new, modulo 2¹⁶; a new one means a restart.
    pub boot: Option<u16>,
    /// `spore`: newest version of the native protocol it speaks ([`crate::native::VERSION`]). Only Rust nodes say it.
    pub spore: Option<u8>,
}

/// The keys of [`Details`] whose value is a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    FreeHeap,
    ChipId,
    SdkVersion,
    CpuMhz,
    FlashBytes,
    Uptime,
    Hostname,
    Ip,
    Version,
    Board,
    Catalogue,
    Boot,
    Spore,
}

impl Key {
    /// In the order in which they are written: what matters most first, should the rest not fit.
    const ALL: [(Key, &'static str); 13] = [
        (Key::Spore, "spore"),
        (Key::Boot, "boot"),
        (Key::Catalogue, "catalogue"),
        (Key::Hostname, "hostname"),
        (Key::Ip, "ip"),
        (Key::FreeHeap, "freeHeap"),
        (Key::ChipId, "chipId"),
        (Key::CpuMhz, "cpuFreqMHz"),
        (Key::FlashBytes, "flashChipSize"),
        (Key::Uptime, "uptime"),
        (Key::Version, "version"),
        (Key::Board, "board"),
        (Key::SdkVersion, "sdkVersion"),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|pair| pair.1 == name).map(|pair| pair.0)
    }
}

impl Details {
    /// Reads an object.
    ///
    /// # Errors
    /// A [`JsonError`] when it is not JSON or not all there.
    pub fn parse(json: &[u8]) -> Result<Self, JsonError> {
        let mut reader = StatusReader::new();
        reader.feed(json, &mut |_| ())?;
        if reader.is_complete() { Ok(reader.finish()) } else { Err(JsonError::Truncated) }
    }

    /// Reads an object as far as it goes: C++ nodes cut datagrams at 512 bytes.
    pub fn parse_lossy(json: &[u8]) -> Self {
        let mut reader = StatusReader::new();
        let _ = reader.feed(json, &mut |_| ());
        reader.finish()
    }

    /// Writes a compact object to the start of `out`; its length in bytes.
    ///
    /// Fields are written as long as they fit, the most important first and labels, one by one, last; what does not
    /// fit is left out. All but labels always fit into 400 bytes if strings need no escapes; with `out` of 469 bytes,
    /// the datagram with the longest keyword and hostname stays within [`crate::MAX_DATAGRAM`].
    ///
    /// # Errors
    /// [`BufferFull`] when `out` has not even room for `{}`.
    pub fn emit_json(&self, out: &mut [u8]) -> Result<usize, BufferFull> {
        // One byte is kept for the closing brace.
        let room = out.len().checked_sub(1).ok_or(BufferFull)?;
        let mut writer = SliceWriter::new(out.get_mut(..room).ok_or(BufferFull)?);
        writer.write_char('{').map_err(|_| BufferFull)?;
        for (key, name) in Key::ALL {
            let started = writer.len() > 1;
            attempt(&mut writer, started, 0, |json| self.write_field(json, key, name));
        }
        if let Some(labels) = &self.labels {
            let started = writer.len() > 1;
            let open = attempt(&mut writer, started, 1, |json| {
                json.key("labels")?;
                json.begin_object()
            });
            if open {
                let empty = writer.len();
                for (key, value) in labels.iter() {
                    let started = writer.len() > empty;
                    attempt(&mut writer, started, 1, |json| json.field(key, value));
                }
                writer.write_char('}').map_err(|_| BufferFull)?;
            }
        }
        let len = writer.len();
        *out.get_mut(len).ok_or(BufferFull)? = b'}';
        Ok(len.saturating_add(1))
    }

    /// Writes the member `name`, or nothing when it is not known.
    fn write_field<W: Write>(&self, json: &mut JsonWriter<W>, key: Key, name: &str) -> fmt::Result {
        let number = match key {
            Key::FreeHeap => self.free_heap.map(u64::from),
            Key::ChipId => self.chip_id.map(u64::from),
            Key::CpuMhz => self.cpu_mhz.map(u64::from),
            Key::FlashBytes => self.flash_bytes.map(u64::from),
            Key::Uptime => self.uptime_ms,
            Key::Boot => self.boot.map(u64::from),
            Key::Spore => self.spore.map(u64::from),
            _ => None,
        };
        if let Some(number) = number {
            return json.field_number(name, number);
        }
        let text = match key {
            Key::SdkVersion => self.sdk_version.as_deref(),
            Key::Hostname => self.hostname.as_deref(),
            Key::Version => self.version.as_deref(),
            Key::Board => self.board.as_deref(),
            _ => None,
        };
        if let Some(text) = text {
            return json.field(name, text);
        }
        match (key, self.ip, self.catalogue) {
            (Key::Ip, Some(ip), _) => {
                json.key(name)?;
                json.display(&ip)
            }
            (Key::Catalogue, _, Some(hash)) => {
                json.key(name)?;
                json.display(&format_args!("{hash:08x}"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a value that was read.
    pub(crate) fn set(&mut self, key: Key, value: Scalar<'_>, quoted: bool) {
        if !quoted {
            let Some(number) = whole_number(value) else { return };
            match key {
                Key::FreeHeap => self.free_heap = number.try_into().ok(),
                Key::ChipId => self.chip_id = number.try_into().ok(),
                Key::CpuMhz => self.cpu_mhz = number.try_into().ok(),
                Key::FlashBytes => self.flash_bytes = number.try_into().ok(),
                Key::Uptime => self.uptime_ms = Some(number),
                Key::Boot => self.boot = number.try_into().ok(),
                Key::Spore => self.spore = number.try_into().ok(),
                _ => {}
            }
            return;
        }
        match key {
            Key::SdkVersion => self.sdk_version = Some(shorten(value.text)),
            Key::Hostname => self.hostname = Some(Hostname::foreign(value.text)),
            Key::Version => self.version = Some(shorten(value.text)),
            Key::Board => self.board = Some(shorten(value.text)),
            Key::Ip => self.ip = value.whole().and_then(|ip| ip.parse().ok()),
            Key::Catalogue => self.catalogue = value.whole().and_then(hash),
            _ => {}
        }
    }
}

/// Eight hexadecimal digits.
fn hash(text: &str) -> Option<u32> {
    let digits = text.len() == 8 && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

/// A number that is not negative; decimals are dropped. None with an exponent, which no node writes.
fn whole_number(value: Scalar<'_>) -> Option<u64> {
    let text = value.whole()?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    decimals.bytes().all(|b| b.is_ascii_digit()).then(|| whole.parse().ok()).flatten()
}

/// Writes one more member, or takes it back when it does not fit or leaves less than `reserve` bytes.
fn attempt<'a, 'b>(
    writer: &'a mut SliceWriter<'b>,
    started: bool,
    reserve: usize,
    write: impl FnOnce(&mut JsonWriter<&'a mut SliceWriter<'b>>) -> fmt::Result,
) -> bool {
    let before = writer.len();
    let mut json = JsonWriter::resume(writer, started);
    let fits = write(&mut json).is_ok();
    let writer = json.into_inner();
    let fits = fits && writer.room() >= reserve;
    if !fits {
        writer.truncate(before);
    }
    fits
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test may panic"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some() -> Details {
        let mut labels = Labels::new();
        labels.set("app", "spore").unwrap();
        labels.set("role", "relay").unwrap();
        Details {
            free_heap: Some(41000),
            hostname: Some(Hostname::new("esp_3f9ec1").unwrap()),
            ip: Some(Ipv4Addr::new(10, 4, 0, 11)),
            catalogue: Some(0x00c0ffee),
            labels: Some(labels),
            ..Details::default()
        }
    }

    #[test]
    fn it_is_written_compactly() {
        let mut out = [0; 256];
        let len = some().emit_json(&mut out).unwrap();
        assert_eq!(
            core::str::from_utf8(&out[..len]).unwrap(),
            r#"{"catalogue":"00c0ffee","hostname":"esp_3f9ec1","ip":"10.4.0.11","freeHeap":41000,"labels":{"app":"spore","role":"relay"}}"#
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut out = [0; 256];
        let full = some().emit_json(&mut out).unwrap();
        for room in 2..=full {
            let len = some().emit_json(&mut out[..room]).unwrap();
            let read = Details::parse(&out[..len]).unwrap();
            assert_eq!(read == some(), room == full, "{room}");
            serde_json::from_slice::<serde_json::Value>(&out[..len]).unwrap();
        }
        assert_eq!(some().emit_json(&mut out[..1]), Err(BufferFull));
        assert_eq!(some().emit_json(&mut []), Err(BufferFull));
    }

    #[test]
    fn the_longest_without_labels_is_below_400_bytes() {
        let details = Details {
            free_heap: Some(u32::MAX),
            chip_id: Some(u32::MAX),
            sdk_version: Some(shorten(&"s".repeat(32))),
            cpu_mhz: Some(u16::MAX),
            flash_bytes: Some(u32::MAX),
            uptime_ms: Some(u64::MAX),
            hostname: Some(Hostname::foreign(&"h".repeat(24))),
            ip: Some(Ipv4Addr::BROADCAST),
            labels: None,
            version: Some(shorten(&"v".repeat(24))),
            board: Some(shorten(&"b".repeat(16))),
            catalogue: Some(u32::MAX),
            boot: Some(u16::MAX),
            spore: Some(u8::MAX),
        };
        let mut out = [0; 400];
        let len = details.emit_json(&mut out).unwrap();
        assert_eq!(Details::parse(&out[..len]), Ok(details));
    }

    #[test]
    fn strange_values_are_ignored() {
        let json = br#" {"freeHeap":-1,"chipId":4294967296,"cpuFreqMHz":"80","flashChipSize":1048576.0,"uptime":1e3,
            "ip":"10.4.0","catalogue":"+0c0ffee","labels":[1],"hostname":7,"boot":null,"version":{"version":"1"},"spore":1} "#;
        let read = Details::parse(json).unwrap();
        let expected = Details { flash_bytes: Some(1048576), spore: Some(1), ..Details::default() };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_cut_object_is_read_as_far_as_it_goes() {
        let cut = br#"{"freeHeap":41000,"chipId":4169409,"sdkVersion":"2.2"#;
        assert_eq!(Details::parse(cut), Err(JsonError::Truncated));
        assert_eq!(Details::parse_lossy(cut).chip_id, Some(4169409));
        assert_eq!(Details::parse(b"nonsense"), Err(JsonError::Syntax));
    }

    prop_compose! {
        fn details()(
            free_heap: Option<u32>, chip_id: Option<u32>, cpu_mhz: Option<u16>, flash_bytes: Option<u32>,
            uptime_ms: Option<u64>, ip: Option<[u8; 4]>, catalogue: Option<u32>, boot: Option<u16>, spore: Option<u8>,
            strings in proptest::collection::vec(proptest::option::of(r"\PC{0,10}"), 4),
            pairs in proptest::option::of(proptest::collection::vec((r#"[a-z"\\é]{1,5}"#, r"\PC{0,6}"), 0..5)),
        ) -> Details {
            Details {
                free_heap, chip_id, cpu_mhz, flash_bytes, uptime_ms, catalogue, boot, spore,
                ip: ip.map(Ipv4Addr::from),
                sdk_version: strings[0].as_deref().map(shorten),
                hostname: strings[1].as_deref().map(Hostname::foreign),
                version: strings[2].as_deref().map(shorten),
                board: strings[3].as_deref().map(shorten),
                labels: pairs.map(|pairs| {
                    let mut labels = Labels::new();
                    pairs.iter().for_each(|(key, value)| { let _ = labels.set(key, value); });
                    labels
                }),
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(details in details(), small in 2usize..300) {
            let mut out = [0; 1024];
            let len = details.emit_json(&mut out).unwrap();
            prop_assert_eq!(Details::parse(&out[..len]), Ok(details.clone()));
            let len = details.emit_json(&mut out[..small]).unwrap();
            prop_assert!(Details::parse(&out[..len]).is_ok());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Details::parse_lossy(&bytes);
        }
    }
}
