//! Events kept as bytes, for readers that come when they can.
//!
//! A ring of `BYTES` bytes. The writer never waits: when the ring is full the oldest events go, and a reader that was
//! overtaken is told how many it missed.

use super::Event;
use crate::hostname::clip;
use crate::limits;
use core::fmt::{self, Write};

/// Who put an event in, so that a WebSocket client does not get its own back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(pub u8);

impl Origin {
    /// The node itself; equal to no client.
    pub const NODE: Self = Self(u8::MAX);
}

/// A reader's place in a [`Log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    number: u64,
    /// Bytes ever written before the event of that number.
    position: u64,
}

/// One event read from a [`Log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'b> {
    /// Which event since boot, from 0.
    pub number: u64,
    /// Who put it in.
    pub origin: Origin,
    /// Its name.
    pub name: &'b str,
    /// Its payload as [`Event::write_payload`] gave it.
    pub payload: &'b str,
    /// Events this reader missed just before this one.
    pub missed: u64,
    /// The payload was cut, here or when it was logged.
    pub truncated: bool,
}

/// Payload length (2 bytes, top bit: cut), name length, origin.
const HEADER: usize = 4;
const CUT: u16 = 0x8000;

/// The ring. `BYTES` must hold at least one largest event: 548 bytes.
#[derive(Debug)]
pub struct Log<const BYTES: usize> {
    bytes: [u8; BYTES],
    oldest: Cursor,
    next: Cursor,
}

impl<const BYTES: usize> Log<BYTES> {
    /// An empty log.
    pub const fn new() -> Self {
        const { assert!(BYTES >= HEADER + limits::EVENT_NAME + limits::EVENT_DATA && BYTES < 1 << 15) };
        let start = Cursor { number: 0, position: 0 };
        Self { bytes: [0; BYTES], oldest: start, next: start }
    }

    /// Where a reader starts that wants only what is to come.
    pub fn now(&self) -> Cursor {
        self.next
    }

    /// Where a reader starts that wants all that is still there.
    pub fn oldest(&self) -> Cursor {
        self.oldest
    }

    /// Appends an event; gives its number. Names are cut to [`limits::EVENT_NAME`] bytes, payloads to
    /// [`limits::EVENT_DATA`].
    pub fn push(&mut self, event: &Event<'_>, origin: Origin) -> u64 {
        let mut measure = Measure::default();
        // Measuring only fails when cut, and that is noted.
        let _ = event.write_payload(&mut measure);
        let name = clip(event.name(), limits::EVENT_NAME);
        let need = HEADER.saturating_add(name.len()).saturating_add(measure.length);
        self.make_room(need);
        let length = u16::try_from(measure.length).unwrap_or(0) | if measure.cut { CUT } else { 0 };
        let [low, high] = length.to_le_bytes();
        let number = self.next.number;
        let mut writer = Writer { log: self, left: need };
        writer.put(&[low, high, u8::try_from(name.len()).unwrap_or(0), origin.0]);
        writer.put(name.as_bytes());
        // Stops where the measure stopped, so what was measured is what is written.
        let _ = event.write_payload(&mut writer);
        self.next.number = number.saturating_add(1);
        number
    }

    fn make_room(&mut self, need: usize) {
        let room =
            |log: &Self| (BYTES as u64).saturating_sub(log.next.position.saturating_sub(log.oldest.position));
        while room(self) < need as u64 && self.oldest.number < self.next.number {
            let (_, _, end) = self.header(self.oldest);
            self.oldest = end;
        }
    }

    fn at(&self, position: u64) -> u8 {
        let index = position.checked_rem(BYTES as u64).unwrap_or(0);
        usize::try_from(index).ok().and_then(|index| self.bytes.get(index)).copied().unwrap_or(0)
    }

    /// Header bytes, where the name starts, and the cursor behind the event.
    fn header(&self, cursor: Cursor) -> ([u8; HEADER], u64, Cursor) {
        let mut header = [0; HEADER];
        self.copy(cursor.position, &mut header);
        let [low, high, name, _] = header;
        let payload = u16::from_le_bytes([low, high]) & !CUT;
        let start = cursor.position.saturating_add(HEADER as u64);
        let position = start.saturating_add(u64::from(name)).saturating_add(u64::from(payload));
        (header, start, Cursor { number: cursor.number.saturating_add(1), position })
    }

    fn copy(&self, from: u64, to: &mut [u8]) {
        for (position, byte) in (from..).zip(to) {
            *byte = self.at(position);
        }
    }

    /// The event at `cursor`, copied into `buf`, and the next cursor; `None` when the reader is up to date.
    ///
    /// `buf` needs [`limits::EVENT_NAME`] + [`limits::EVENT_DATA`] bytes; what exceeds a smaller one is cut.
    pub fn read<'b>(&self, cursor: Cursor, buf: &'b mut [u8]) -> Option<(Entry<'b>, Cursor)> {
        let from = if cursor.number < self.oldest.number { self.oldest } else { cursor };
        // A cursor from another log could lie ahead; it is up to date then.
        if from.number >= self.next.number {
            return None;
        }
        let missed = from.number.saturating_sub(cursor.number);
        let ([low, high, name, origin], start, next) = self.header(from);
        let length = u16::from_le_bytes([low, high]);
        let name = usize::from(name);
        let total = name.saturating_add(usize::from(length & !CUT));
        let fits = total.min(buf.len());
        let buf = buf.get_mut(..fits)?;
        self.copy(start, buf);
        let (name, payload) = buf.split_at_checked(name).unwrap_or((buf, &[]));
        let entry = Entry {
            number: from.number,
            origin: Origin(origin),
            name: valid(name),
            payload: valid(payload),
            missed,
            truncated: length & CUT != 0 || fits < total,
        };
        Some((entry, next))
    }
}

impl<const BYTES: usize> Default for Log<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// The longest start of `bytes` that is text.
fn valid(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            bytes.get(..error.valid_up_to()).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or("")
        }
    }
}

/// Counts the bytes of a payload up to the limit.
#[derive(Default)]
struct Measure {
    length: usize,
    cut: bool,
}

impl Write for Measure {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = clip(text, limits::EVENT_DATA.saturating_sub(self.length)).len();
        self.length = self.length.saturating_add(fits);
        self.cut |= fits < text.len();
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Appends bytes to the ring, no more than were made room for.
struct Writer<'l, const BYTES: usize> {
    log: &'l mut Log<BYTES>,
    left: usize,
}

impl<const BYTES: usize> Writer<'_, BYTES> {
    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().take(self.left) {
            let index = self.log.next.position.checked_rem(BYTES as u64).unwrap_or(0);
            if let Some(place) = usize::try_from(index).ok().and_then(|index| self.log.bytes.get_mut(index)) {
                *place = *byte;
            }
            self.log.next.position = self.log.next.position.saturating_add(1);
        }
        self.left = self.left.saturating_sub(bytes.len());
    }
}

impl<const BYTES: usize> Write for Writer<'_, BYTES> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(clip(text, self.left).as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user<'a>(name: &'a str, data: &'a str) -> Event<'a> {
        Event::User { name, data }
    }

    #[test]
    fn reads_in_order_with_origin() {
        let mut log = Log::<600>::new();
        let mut cursor = log.now();
        log.push(&user("a", "1"), Origin::NODE);
        log.push(&user("b", "2"), Origin(3));
        let mut buf = [0; 544];
        let (entry, next) = log.read(cursor, &mut buf).unwrap();
        assert_eq!((entry.name, entry.payload, entry.origin, entry.number), ("a", "1", Origin::NODE, 0));
        cursor = next;
        let (entry, next) = log.read(cursor, &mut buf).unwrap();
        assert_eq!((entry.name, entry.payload, entry.origin, entry.missed), ("b", "2", Origin(3), 0));
        assert_eq!(log.read(next, &mut buf), None);
    }

    #[test]
    fn too_much_is_cut_between_characters_and_told() {
        let mut log = Log::<600>::new();
        let long = "ä".repeat(400);
        log.push(&user(&long, &long), Origin::NODE);
        let mut buf = [0; 544];
        let (entry, _) = log.read(log.oldest(), &mut buf).unwrap();
        assert_eq!((entry.name.len(), entry.payload.len(), entry.truncated), (32, 512, true));
        let mut small = [0; 35];
        let (entry, _) = log.read(log.oldest(), &mut small).unwrap();
        assert_eq!((entry.name.len(), entry.payload, entry.truncated), (32, "ä", true));
    }

    proptest! {
        #[test]
        fn agrees_with_a_list(
            ops in prop::collection::vec((any::<bool>(), "[a-z]{1,32}", "[a-zä]{0,250}", any::<u8>()), 1..60)
        ) {
            let mut log = Log::<700>::new();
            let mut all: Vec<(String, String, u8)> = Vec::new();
            let mut cursor = log.now();
            let mut reader = 0usize;
            let mut buf = [0; 544];
            for (read, name, data, origin) in ops {
                prop_assert_eq!(log.push(&user(&name, &data), Origin(origin)), all.len() as u64);
                all.push((name, data, origin));
                while read && let Some((entry, next)) = log.read(cursor, &mut buf) {
                    reader += entry.missed as usize;
                    let (name, data, origin) = &all[reader];
                    prop_assert_eq!((entry.name, entry.payload), (name.as_str(), data.as_str()));
                    prop_assert_eq!(entry.origin.0, *origin);
                    prop_assert_eq!(entry.number, reader as u64);
                    prop_assert!(!entry.truncated);
                    reader += 1;
                    cursor = next;
                }
                prop_assert!(!read || reader == all.len());
            }
        }
    }
}
