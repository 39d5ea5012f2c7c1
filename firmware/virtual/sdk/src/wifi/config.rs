//! Layouts of the SDK's configurations.

/// `struct station_config`, 116 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StationConfig {
    /// Name, zero-padded.
    pub ssid: [u8; 32],
    /// Pass phrase, zero-padded.
    pub password: [u8; 64],
    /// Channel to begin with.
    pub channel: u8,
    /// 1 if `bssid` counts.
    pub bssid_set: u8,
    /// Address of the access point.
    pub bssid: [u8; 6],
    /// Weakest strength accepted; 0 any.
    pub threshold_rssi: i8,
    /// Weakest security accepted.
    pub threshold_auth_mode: u32,
    /// Whether open networks are refused.
    pub open_and_wep_mode_disable: u8,
    /// Whether all channels are looked at.
    pub all_channel_scan: u8,
}

impl StationConfig {
    /// No network.
    pub const EMPTY: Self = Self {
        ssid: [0; 32],
        password: [0; 64],
        channel: 0,
        bssid_set: 0,
        bssid: [0; 6],
        threshold_rssi: 0,
        threshold_auth_mode: 0,
        open_and_wep_mode_disable: 0,
        all_channel_scan: 0,
    };
}

/// `struct softap_config`, 108 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SoftApConfig {
    /// Name.
    pub ssid: [u8; 32],
    /// Pass phrase.
    pub password: [u8; 64],
    /// Length of the name; 0: until the first zero.
    pub ssid_len: u8,
    /// 1 to 13.
    pub channel: u8,
    /// `AUTH_MODE`: 0 open, 2 WPA, 3 WPA2, 4 both.
    pub auth_mode: u32,
    /// Whether the name is hidden.
    pub ssid_hidden: u8,
    /// Most clients, up to 4 (8 in 3.x).
    pub max_connection: u8,
    /// Milliseconds between beacons, 100 to 60000.
    pub beacon_interval: u16,
}

impl SoftApConfig {
    /// An open network without a name.
    pub const EMPTY: Self = Self {
        ssid: [0; 32],
        password: [0; 64],
        ssid_len: 0,
        channel: 1,
        auth_mode: 0,
        ssid_hidden: 0,
        max_connection: 4,
        beacon_interval: 100,
    };
}

const _: () = {
    assert!(core::mem::offset_of!(StationConfig, password) == 32);
    assert!(core::mem::offset_of!(StationConfig, channel) == 96);
    assert!(core::mem::offset_of!(StationConfig, bssid) == 98);
    assert!(core::mem::offset_of!(StationConfig, threshold_rssi) == 104);
    assert!(core::mem::offset_of!(StationConfig, threshold_auth_mode) == 108);
    assert!(core::mem::offset_of!(StationConfig, open_and_wep_mode_disable) == 112);
    assert!(core::mem::offset_of!(StationConfig, all_channel_scan) == 113);
    assert!(size_of::<StationConfig>() == 116);
    assert!(core::mem::offset_of!(SoftApConfig, ssid_len) == 96);
    assert!(core::mem::offset_of!(SoftApConfig, auth_mode) == 100);
    assert!(core::mem::offset_of!(SoftApConfig, ssid_hidden) == 104);
    assert!(core::mem::offset_of!(SoftApConfig, beacon_interval) == 106);
    assert!(size_of::<SoftApConfig>() == 108);
};
