//! What a line of the log means: the ROM's messages in words, addresses in code as lines of source.

use crate::output::style::Tone;
use crate::symbols;
use std::path::Path;

/// What begins the ROM's first line.
pub const ROM_BEGINS: &str = "ets Jan";
/// Most addresses of one line that are looked up.
const ADDRESSES: usize = 4;

/// How serious a line is.
pub fn tone(line: &str) -> Tone {
    let line = line.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if is_crash(&line) || says(&["csum err", "no image to start"]) {
        Tone::Bad
    } else if says(&[
        "error",
        "fail",
        "timeout",
        "timed out",
        "going back",
        "reverted",
        "lost",
        "refused",
        "cannot",
    ]) {
        Tone::Doubtful
    } else if line.contains(&ROM_BEGINS.to_ascii_lowercase()) {
        Tone::Faint
    } else {
        Tone::Plain
    }
}

/// Whether a line, in lower case, tells of a crash.
fn is_crash(line: &str) -> bool {
    ["panic at", "exception", "watchdog at", "epc1="].iter().any(|word| line.contains(word))
        || line.contains("wdt reset")
}

/// What to say under a line: nothing for most.
pub fn notes(line: &str, elf: Option<&Path>, root: &Path) -> Vec<String> {
    let mut notes: Vec<String> = rom(line).into_iter().collect();
    if let Some(elf) = elf
        && is_crash(&line.to_ascii_lowercase())
    {
        for address in code_addresses(line).into_iter().take(ADDRESSES) {
            let places = symbols::places(address, elf, root);
            notes.extend(places.into_iter().map(|place| format!("{address:#010x} {place}")));
        }
    }
    notes
}

/// The ROM's first line, as `ets Jan  8 2013,rst cause:2, boot mode:(3,6)`, in words.
fn rom(line: &str) -> Option<String> {
    if line.contains("csum err") {
        return Some(
            "what the ROM read is not what was written: another --mode (dout suits every chip), or too little current".into(),
        );
    }
    let (_, rest) = line.split_once("rst cause:")?;
    let (cause, rest) = rest.split_once(',')?;
    let (_, rest) = rest.split_once("boot mode:(")?;
    let mode: u8 = rest.split(',').next()?.trim().parse().ok()?;
    let cause = match cause.trim() {
        "1" => "power on",
        "2" => "reset by the pin, or woken from deep sleep",
        "3" => "restarted by software",
        "4" => "reset by the hardware watchdog",
        _ => "unknown reason",
    };
    // Bits: GPIO15, GPIO0, GPIO2.
    let mode = match mode & 7 {
        3 => "starts from flash",
        1 => "waits for a program on the serial line: GPIO0 is low",
        0 | 2 => "does not start: GPIO2 is low",
        _ => "does not start from flash: GPIO15 is high",
    };
    Some(format!("{cause}; {mode}"))
}

/// Addresses of code in a text: instruction RAM, and flash as the cache shows it.
fn code_addresses(line: &str) -> Vec<u32> {
    let mut addresses = Vec::new();
    for part in line.split("0x").skip(1) {
        let digits = part.find(|c: char| !c.is_ascii_hexdigit()).map_or(part, |end| &part[..end]);
        let address = if digits.len() == 8 { u32::from_str_radix(digits, 16).ok() } else { None };
        if let Some(address @ (0x4010_0000..0x4011_0000 | 0x4020_0000..0x4030_0000)) = address
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roms_line_in_words() {
        let says = |line: &str| rom(line).unwrap_or_default();
        assert_eq!(
            says(" ets Jan  8 2013,rst cause:4, boot mode:(3,6)"),
            "reset by the hardware watchdog; starts from flash"
        );
        assert!(says(" ets Jan  8 2013,rst cause:1, boot mode:(1,7)").contains("GPIO0 is low"));
        assert!(says("ets Jan  8 2013,rst cause:2, boot mode:(7,7)").contains("GPIO15 is high"));
        assert!(says("csum err").contains("--mode"));
        for line in ["", "rst cause:", "rst cause:1, boot mode:(x", "wifi joined"] {
            assert_eq!(rom(line), None, "{line}");
        }
    }

    #[test]
    fn addresses_of_code_only() {
        let line =
            "epc1=0x40212345, epc2=0x00000000, excvaddr=0x3ffe8000, depc=0x40100004 0x40212345 0x402 0xzz";
        assert_eq!(code_addresses(line), [0x4021_2345, 0x4010_0004]);
    }

    #[test]
    fn tones() {
        assert_eq!(tone("Fatal exception 28(LoadProhibitedCause):"), Tone::Bad);
        assert_eq!(tone("esp_3f9ec1: restart: panic at 0x40212345 in task http"), Tone::Bad);
        assert_eq!(tone("wifi retry home connect timeout"), Tone::Doubtful);
        assert_eq!(tone("wifi connected home"), Tone::Plain);
    }
}
