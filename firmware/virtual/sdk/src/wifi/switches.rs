//! How the station is to behave: configuration, switches, name.

use crate::{
    cell::Locked,
    guard, parameters, system,
    wifi::{config::StationConfig, station::SELF},
};

/// Name for DHCP.
static HOSTNAME: Locked<[u8; 33]> = Locked::new([0; 33]);

/// Makes a name of the hardware address: ESP_ and the last six digits.
pub fn begin() {
    let mac = system::mac(0);
    HOSTNAME.with(|name| {
        name[..4].copy_from_slice(b"ESP_");
        for (index, byte) in mac[3..].iter().enumerate() {
            for (place, digit) in [(0, byte >> 4), (1, byte & 15)] {
                name[4 + index * 2 + place] = if digit < 10 { b'0' + digit } else { b'A' + digit - 10 };
            }
        }
    });
}

/// The name for DHCP, a C string.
#[must_use]
pub fn hostname() -> *const u8 {
    HOSTNAME.address().cast()
}

/// Configures the station without storing it. Takes effect with the next attempt.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_set_config_current(config: *const StationConfig) -> bool {
    guard::task_only(c"wifi_station_set_config_current");
    // SAFETY: the caller gives 116 bytes.
    let Some(config) = (unsafe { config.as_ref() }) else { return false };
    SELF.with(|own| own.config = *config);
    true
}

/// Configures as [`wifi_station_set_config_current`], and stores it in flash.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_set_config(config: *const StationConfig) -> bool {
    wifi_station_set_config_current(config) && {
        let config = SELF.get().config;
        parameters::change(|stored| stored.station = config)
    }
}

/// The configuration now.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_get_config(config: *mut StationConfig) -> bool {
    if config.is_null() {
        return false;
    }
    // SAFETY: the caller has room for 116 bytes.
    unsafe { config.write(SELF.get().config) };
    true
}

/// Whether the SDK joins at start by itself (stored in flash, as in the vendor's SDK).
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_set_auto_connect(on: u8) -> bool {
    SELF.with(|own| own.auto_connect = on != 0);
    parameters::change(|stored| stored.auto_connect = u8::from(on != 0))
}

/// Whether the SDK joins at start by itself.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_get_auto_connect() -> u8 {
    SELF.with(|own| u8::from(own.auto_connect))
}

/// Whether the SDK tries again by itself.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_set_reconnect_policy(on: bool) -> bool {
    SELF.with(|own| own.reconnect = on);
    true
}

/// Whether the SDK tries again by itself.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_get_reconnect_policy() -> bool {
    SELF.with(|own| own.reconnect)
}

/// Switches the DHCP client on: `dhcp_start` is called when joined.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_dhcpc_start() -> bool {
    SELF.with(|own| own.dhcp = true);
    true
}

/// Switches the DHCP client off: fixed addresses of `wifi_set_ip_info` are used.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_dhcpc_stop() -> bool {
    SELF.with(|own| own.dhcp = false);
    true
}

/// Whether the DHCP client is on (1).
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_dhcpc_status() -> u32 {
    SELF.with(|own| u32::from(own.dhcp))
}

/// Sets the name for DHCP: at most 32 bytes.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_set_hostname(name: *const u8) -> bool {
    if name.is_null() {
        return false;
    }
    let mut new = [0; 33];
    for (index, byte) in new.iter_mut().enumerate() {
        // SAFETY: a C string of the caller's.
        *byte = unsafe { name.add(index).read() };
        if *byte == 0 {
            HOSTNAME.set(new);
            return true;
        }
    }
    false
}

/// The name for DHCP.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_get_hostname() -> *const u8 {
    hostname()
}
