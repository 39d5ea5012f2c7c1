//! The air, as far as networks are concerned: the file `air.txt` of the board, a line for each access point in reach:
//! `ssid<TAB>password<TAB>channel<TAB>rssi`; an empty password is an open network. Lines that are not of this form are skipped.

use crate::wifi::config::StationConfig;

/// Where the file is read to: memory that an ESP8266 does not have.
pub const FILE: u32 = 0x3FFB_9800;
const FILE_ROOM: usize = 8192;
/// The hidden stack of the ROM's stand-in begins behind.
const _: () = assert!(FILE + FILE_ROOM as u32 <= 0x3FFB_C000);

/// An access point in reach.
#[derive(Clone, Copy)]
pub struct AccessPoint {
    /// Name.
    pub ssid: &'static [u8],
    /// Pass phrase; empty if open.
    pub password: &'static [u8],
    /// 1 to 14.
    pub channel: u8,
    /// Strength in dBm.
    pub rssi: i8,
    /// Made from name and channel.
    pub bssid: [u8; 6],
}

impl AccessPoint {
    /// `AUTH_MODE`: 0 open, 3 WPA2 with a pass phrase.
    #[must_use]
    pub const fn auth_mode(&self) -> u32 {
        if self.password.is_empty() { 0 } else { 3 }
    }

    /// Whether a configuration means this one.
    #[must_use]
    pub fn is_meant(&self, config: &StationConfig) -> bool {
        self.ssid == until_zero(&config.ssid)
            && (config.bssid_set != 1 || config.bssid == self.bssid)
            && (config.threshold_rssi == 0 || self.rssi >= config.threshold_rssi)
            && self.auth_mode() >= config.threshold_auth_mode
    }
}

/// The part of a zero-padded field before its first zero.
#[must_use]
pub fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// A decimal number, possibly negative.
fn number(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 4 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i32::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// FNV-1a over name and channel: the same access point has the same address for every board.
fn bssid(ssid: &[u8], channel: u8) -> [u8; 6] {
    let mut hash = 0x811C_9DC5_u32;
    for byte in ssid.iter().chain(core::slice::from_ref(&channel)) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    let [a, b, c, d] = hash.to_be_bytes();
    [0x02, 0xA9, a, b, c, d]
}

fn parse(line: &'static [u8]) -> Option<AccessPoint> {
    let mut fields = line.split(|byte| *byte == b'\t');
    let (ssid, password) = (fields.next()?, fields.next()?);
    let channel = u8::try_from(number(fields.next()?)?).ok()?;
    let rssi = i8::try_from(number(fields.next()?)?).ok()?;
    if ssid.is_empty() || ssid.len() > 32 || password.len() > 64 || !(1..=14).contains(&channel) {
        return None;
    }
    Some(AccessPoint { ssid, password, channel, rssi, bssid: bssid(ssid, channel) })
}

/// Reads the file and shows each access point in reach. What is shown is valid until the next call.
pub fn each(mut show: impl FnMut(&AccessPoint)) {
    // SAFETY: memory of this module, with one user at a time: only tasks come here, and `show` does not come back.
    let room = unsafe { core::slice::from_raw_parts_mut(FILE as *mut u8, FILE_ROOM) };
    let length = spore_hidden::file_read("air.txt", 0, room).unwrap_or(0).min(FILE_ROOM);
    // SAFETY: as above; the bytes read are not written until the next call.
    let text: &'static [u8] = unsafe { core::slice::from_raw_parts(FILE as *const u8, length) };
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(access_point) = parse(line) {
            show(&access_point);
        }
    }
}

/// The strongest access point that a configuration means.
#[must_use]
pub fn best(config: &StationConfig) -> Option<AccessPoint> {
    let mut best: Option<AccessPoint> = None;
    each(|access_point| {
        if access_point.is_meant(config) && best.is_none_or(|other| access_point.rssi > other.rssi) {
            best = Some(*access_point);
        }
    });
    best
}
