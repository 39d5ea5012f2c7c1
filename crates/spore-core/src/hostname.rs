//! Names a node gives itself when nobody gave it one.

use crate::wifi::Ssid;
use core::fmt::Write;
use heapless::String;
use spore_wire::Hostname;

/// The hostname of a node without a configured one: `esp_` and six hex digits, the low three bytes of the chip id.
pub fn of_chip(chip_id: u32) -> Hostname {
    let mut name = String::<10>::new();
    // Exactly 10 bytes of the allowed alphabet, so neither step can fail.
    let _ = write!(name, "esp_{:06x}", chip_id & 0x00ff_ffff);
    Hostname::new(&name).unwrap_or_default()
}

/// The name of the node's own access point: `spore-` and the same six digits.
pub fn access_point(chip_id: u32) -> Ssid {
    let mut name = Ssid::new();
    // 12 bytes of 32: always fits.
    let _ = write!(name, "spore-{:06x}", chip_id & 0x00ff_ffff);
    name
}

/// The start of `text` that fits in `max` bytes, cut between characters.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_low_three_bytes() {
        assert_eq!(&*of_chip(4_169_409), "esp_3f9ec1");
        assert_eq!(&*of_chip(0xff00_0001), "esp_000001");
        assert_eq!(access_point(0x003f_9ec1), "spore-3f9ec1");
    }

    #[test]
    fn clip_cuts_between_characters() {
        assert_eq!(clip("abc", 5), "abc");
        assert_eq!(clip("abc", 2), "ab");
        assert_eq!(clip("aä", 2), "a");
        assert_eq!(clip("ä", 0), "");
    }
}
