//! The own access point. Unless `board.txt` says `guests=1`, nobody can join it in the emulator: its interface is up, has no clients, and
//! what is sent to all is heard by none. With guests its frames are on the same wire as the station's, told apart by the chip's
//! second hardware address; guests send what is for everybody to that address, too.

use crate::{
    cell::Locked,
    guard,
    lwip::{self, IpInfo, Netif},
    parameters::{self, Parameters},
    wifi::{self, config::SoftApConfig, interface},
};

#[derive(Clone, Copy)]
struct AccessPoint {
    config: SoftApConfig,
    netif: *mut Netif,
    address: IpInfo,
    dhcps: bool,
    guests: bool,
}

/// 192.168.4.1 of 24 bits, in network order.
const ADDRESS: IpInfo = IpInfo { ip: 0x0104_A8C0, mask: 0x00FF_FFFF, gateway: 0x0104_A8C0 };

static SELF: Locked<AccessPoint> = Locked::new(AccessPoint {
    config: SoftApConfig::EMPTY,
    netif: core::ptr::null_mut(),
    address: ADDRESS,
    dhcps: true,
    guests: false,
});

/// Takes what was stored.
pub fn begin(stored: &Parameters) {
    let mut value = [0; 1];
    let guests = spore_hidden::board("guests", &mut value) == Some(1) && value == *b"1";
    SELF.with(|own| (own.config, own.guests) = (stored.access_point, guests));
}

/// The interface; null while switched off.
#[must_use]
pub fn netif() -> *mut Netif {
    SELF.with(|own| own.netif)
}

/// The interface, if this frame is a guest's and the access point is open.
#[must_use]
pub fn hears(frame: &[u8]) -> *mut Netif {
    let own = SELF.get();
    if own.guests && frame.get(..6) == Some(&crate::system::mac(1)[..]) {
        own.netif
    } else {
        core::ptr::null_mut()
    }
}

/// Whether what it sends is heard by anybody: there are guests, or it is for everybody.
#[must_use]
pub fn is_heard(frame: &[u8]) -> bool {
    has_guests() || frame.first().is_some_and(|byte| byte & 1 != 0)
}

/// Whether there may be guests.
#[must_use]
pub fn has_guests() -> bool {
    SELF.with(|own| own.guests)
}

/// Channel as configured.
#[must_use]
pub fn channel() -> u8 {
    SELF.with(|own| own.config.channel)
}

/// Addresses as set.
#[must_use]
pub fn address() -> IpInfo {
    SELF.with(|own| own.address)
}

/// Sets addresses; false while the DHCP server runs.
pub fn set_address(info: IpInfo) -> bool {
    SELF.with(|own| {
        if !own.dhcps {
            own.address = info;
        }
        !own.dhcps
    })
}

/// Opens it.
pub fn switch_on() {
    let own = SELF.get();
    let netif = interface::add(1, &own.address);
    SELF.with(|own| own.netif = netif);
    // SAFETY: the interface just added.
    guard::callback(c"netif_set_up", 1, || unsafe { lwip::netif_set_up(netif) });
    interface::expect_link(netif, true, c"netif_set_up");
    if !wifi::has(1) {
        // SAFETY: as above.
        guard::callback(c"netif_set_default", 1, || unsafe { lwip::netif_set_default(netif) });
    }
    if own.dhcps {
        start_server();
    }
}

/// Closes it.
pub fn switch_off() {
    let netif = SELF.with(|own| core::mem::take(&mut own.netif));
    if netif.is_null() {
        return;
    }
    // SAFETY: the interface of `switch_on`.
    guard::callback(c"netif_set_down", 1, || unsafe { lwip::netif_set_down(netif) });
    interface::expect_link(netif, false, c"netif_set_down");
    // SAFETY: takes nothing.
    guard::callback(c"dhcps_stop", 1, || unsafe { lwip::dhcps_stop() });
    interface::remove(netif);
}

fn start_server() {
    let mut info = address();
    // SAFETY: 12 bytes that outlive the call.
    guard::callback(c"dhcps_start", 1, || unsafe { lwip::dhcps_start(&raw mut info) });
}

/// Configures the access point without storing it.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_softap_set_config_current(config: *const SoftApConfig) -> bool {
    guard::task_only(c"wifi_softap_set_config_current");
    // SAFETY: the caller gives 108 bytes.
    let Some(config) = (unsafe { config.as_ref() }) else { return false };
    let password = crate::air::until_zero(&config.password).len();
    let protected = config.auth_mode != 0;
    // The vendor's SDK refuses these as well.
    if config.ssid_len > 32
        || config.auth_mode == 1
        || config.auth_mode > 4
        || !(1..=13).contains(&config.channel)
        || (protected && password < 8)
        || !(1..=8).contains(&config.max_connection)
        || !(100..=60_000).contains(&config.beacon_interval)
    {
        return false;
    }
    SELF.with(|own| own.config = *config);
    true
}

/// Configures as [`wifi_softap_set_config_current`], and stores it in flash.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_softap_set_config(config: *const SoftApConfig) -> bool {
    wifi_softap_set_config_current(config) && {
        let config = SELF.get().config;
        parameters::change(|stored| stored.access_point = config)
    }
}

/// The configuration now.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_softap_get_config(config: *mut SoftApConfig) -> bool {
    if config.is_null() {
        return false;
    }
    // SAFETY: the caller has room for 108 bytes.
    unsafe { config.write(SELF.get().config) };
    true
}

/// Clients joined: one or none.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_softap_get_station_num() -> u8 {
    u8::from(has_guests() && !netif().is_null())
}

/// Starts the DHCP server, now and whenever the access point is opened.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_softap_dhcps_start() -> bool {
    guard::task_only(c"wifi_softap_dhcps_start");
    let before = SELF.with(|own| core::mem::replace(&mut own.dhcps, true));
    if !before && !netif().is_null() {
        start_server();
    }
    true
}

/// Stops the DHCP server; it is not started when the access point is opened.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_softap_dhcps_stop() -> bool {
    guard::task_only(c"wifi_softap_dhcps_stop");
    let before = SELF.with(|own| core::mem::replace(&mut own.dhcps, false));
    if before && !netif().is_null() {
        // SAFETY: takes nothing.
        guard::callback(c"dhcps_stop", 1, || unsafe { lwip::dhcps_stop() });
    }
    true
}
