//! WiFi part of the SDK's interface.

/// `struct station_config`, 116 bytes.
#[repr(C)]
pub struct StationConfig {
    /// Network, zero-padded.
    pub ssid: [u8; 32],
    /// Pass phrase, zero-padded.
    pub password: [u8; 64],
    /// Channel to begin with; 0 looks on all.
    pub channel: u8,
    /// Whether `bssid` counts.
    pub bssid_set: u8,
    /// Access point.
    pub bssid: [u8; 6],
    /// Weakest signal accepted.
    pub threshold_rssi: i8,
    /// Weakest security accepted: 0 any.
    pub threshold_authmode: u32,
    /// Further switches, zero.
    pub switches: [u8; 4],
}

/// `struct softap_config`, 108 bytes.
#[repr(C)]
pub struct SoftApConfig {
    /// Name.
    pub ssid: [u8; 32],
    /// Pass phrase.
    pub password: [u8; 64],
    /// Length of the name.
    pub ssid_len: u8,
    /// Channel, 1 to 13.
    pub channel: u8,
    /// 0 open, 3 WPA2.
    pub authmode: u32,
    /// Whether the name is hidden.
    pub ssid_hidden: u8,
    /// Most clients.
    pub max_connection: u8,
    /// Milliseconds between beacons, 100 to 60000.
    pub beacon_interval: u16,
}

/// `System_Event_t`, 44 bytes.
#[repr(C)]
pub struct SystemEvent {
    /// One of [`event`].
    pub event: u32,
    /// Depends on the event; see its layout there.
    pub info: [u8; 40],
}

/// Numbers of events.
pub mod event {
    /// Associated.
    pub const CONNECTED: u32 = 0;
    /// Link lost or attempt failed; `info`: ssid[32], length, bssid[6], reason.
    pub const DISCONNECTED: u32 = 1;
}

/// Offset of the reason in the `info` of a [`event::DISCONNECTED`].
pub const DISCONNECT_REASON: usize = 39;

/// One network of a scan (`struct bss_info`), as far as it is used.
#[repr(C)]
pub struct BssInfo {
    /// Next of the list.
    pub next: *const BssInfo,
    /// Access point.
    pub bssid: [u8; 6],
    /// Name.
    pub ssid: [u8; 32],
    /// Length of the name.
    pub ssid_len: u8,
    /// Channel.
    pub channel: u8,
    /// Strength in dBm.
    pub rssi: i8,
    /// 0 open, others encrypted.
    pub authmode: u32,
}

const _: () = {
    assert!(core::mem::offset_of!(StationConfig, channel) == 96);
    assert!(core::mem::offset_of!(StationConfig, bssid) == 98);
    assert!(core::mem::offset_of!(StationConfig, threshold_rssi) == 104);
    assert!(core::mem::offset_of!(StationConfig, switches) == 112);
    assert!(size_of::<StationConfig>() == 116);
    assert!(core::mem::offset_of!(SoftApConfig, authmode) == 100);
    assert!(core::mem::offset_of!(SoftApConfig, beacon_interval) == 106);
    assert!(size_of::<SoftApConfig>() == 108);
    assert!(size_of::<SystemEvent>() == 44);
};

unsafe extern "C" {
    /// Switches station (1), access point (2) or both (3) on, without storing it.
    pub fn wifi_set_opmode_current(mode: u8) -> bool;
    /// Sets the station's network, without storing it.
    pub fn wifi_station_set_config_current(config: *const StationConfig) -> bool;
    /// Sets the own access point, without storing it.
    pub fn wifi_softap_set_config_current(config: *const SoftApConfig) -> bool;
    /// Begins to join.
    pub fn wifi_station_connect() -> bool;
    /// Leaves, or gives up an attempt.
    pub fn wifi_station_disconnect() -> bool;
    /// Whether the SDK joins at start by itself.
    pub fn wifi_station_set_auto_connect(on: u8) -> bool;
    /// Whether the SDK joins again by itself.
    pub fn wifi_station_set_reconnect_policy(on: bool) -> bool;
    /// Strength in dBm; 31 when not joined.
    pub fn wifi_station_get_rssi() -> i8;
    /// Channel in use.
    pub fn wifi_get_channel() -> u8;
    /// Hardware address of station (0) or access point (1).
    pub fn wifi_get_macaddr(interface: u8, address: *mut u8) -> bool;
    /// Power saving: 0 none, 1 light, 2 modem.
    pub fn wifi_set_sleep_type(kind: u32) -> bool;
    /// Looks for networks.
    pub fn wifi_station_scan(config: *const u8, done: extern "C" fn(*const BssInfo, u32)) -> bool;
    /// Clients of the own access point.
    pub fn wifi_softap_get_station_num() -> u8;
    /// Whom to tell of events.
    pub fn wifi_set_event_handler_cb(handler: extern "C" fn(*const SystemEvent));
}
