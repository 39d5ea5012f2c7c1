//! The station: joins an access point of the air, watches it, leaves it.

use core::ffi::c_void;

use crate::{
    air::{self, AccessPoint},
    cell::Locked,
    events, guard, heap,
    lwip::{self, IpInfo, Netif, flag},
    parameters::Parameters,
    print,
    timer::{self, EtsTimer},
    wifi::{self, config::StationConfig, interface, scan},
};

/// Values of `wifi_station_get_connect_status`.
mod status {
    pub const IDLE: u8 = 0;
    pub const CONNECTING: u8 = 1;
    pub const WRONG_PASSWORD: u8 = 2;
    pub const NO_AP_FOUND: u8 = 3;
    pub const GOT_IP: u8 = 5;
}

/// Reasons of a disconnection.
mod reason {
    pub const ASSOC_LEAVE: u8 = 8;
    pub const BEACON_TIMEOUT: u8 = 200;
    pub const NO_AP_FOUND: u8 = 201;
    pub const AUTH_FAIL: u8 = 202;
}

/// Who was joined.
#[derive(Clone, Copy)]
struct Joined {
    bssid: [u8; 6],
    channel: u8,
    rssi: i8,
}

/// The state of the station.
#[derive(Clone, Copy)]
pub struct Station {
    /// The network.
    pub config: StationConfig,
    netif: *mut Netif,
    /// Block of the heap that stands for what the vendor's libraries allocate while the station is on.
    memory: u32,
    status: u8,
    joined: Option<Joined>,
    joining: bool,
    /// Whether it joins at start.
    pub auto_connect: bool,
    /// Whether it tries again.
    pub reconnect: bool,
    /// Whether DHCP is used.
    pub dhcp: bool,
    address: IpInfo,
}

const NO_ADDRESS: IpInfo = IpInfo { ip: 0, mask: 0, gateway: 0 };
/// What the vendor's libraries allocate while the station is on: 6 to 9 KB.
const RUN_TIME_MEMORY: u32 = 7_000;
/// Time to find out that an access point is not there, in ms: a scan of all channels.
const SEARCH: u32 = 1_200;
/// Between attempts, in ms.
const PAUSE: u32 = 1_000;
/// Between looks at the air while joined, in ms.
const WATCH: u32 = 1_000;

/// The station.
pub static SELF: Locked<Station> = Locked::new(Station {
    config: StationConfig::EMPTY,
    netif: core::ptr::null_mut(),
    memory: 0,
    status: status::IDLE,
    joined: None,
    joining: false,
    auto_connect: true,
    reconnect: true,
    dhcp: true,
    address: NO_ADDRESS,
});
static JOIN: Locked<EtsTimer> = Locked::new(EtsTimer::new());
static WATCHING: Locked<EtsTimer> = Locked::new(EtsTimer::new());

/// Takes what was stored.
pub fn begin(stored: &Parameters) {
    SELF.with(|own| {
        own.config = stored.station;
        own.auto_connect = stored.auto_connect != 0;
    });
}

/// The interface; null while switched off.
#[must_use]
pub fn netif() -> *mut Netif {
    SELF.with(|own| own.netif)
}

/// Whether frames can be sent.
#[must_use]
pub fn is_joined() -> bool {
    SELF.with(|own| own.joined.is_some())
}

/// The channel of the access point.
#[must_use]
pub fn channel() -> Option<u8> {
    SELF.with(|own| own.joined.map(|joined| joined.channel))
}

/// Fixed addresses.
#[must_use]
pub fn address() -> IpInfo {
    SELF.with(|own| own.address)
}

/// Sets fixed addresses; false while the DHCP client is on.
pub fn set_address(info: IpInfo) -> bool {
    SELF.with(|own| {
        if !own.dhcp {
            own.address = info;
        }
        !own.dhcp
    })
}

/// Switches the station on.
pub fn switch_on() {
    let memory = heap::take(RUN_TIME_MEMORY);
    if memory == 0 {
        guard::violation(c"the heap has no %u bytes for the WiFi libraries", &[RUN_TIME_MEMORY]);
    }
    let own = SELF.get();
    let netif = interface::add(0, if own.dhcp { &NO_ADDRESS } else { &own.address });
    SELF.with(|own| {
        own.netif = netif;
        own.memory = memory;
        own.status = status::IDLE;
    });
    // SAFETY: the interface just added.
    guard::callback(c"netif_set_default", 0, || unsafe { lwip::netif_set_default(netif) });
    timer::ets_timer_setfn(JOIN.address(), Some(attempt), core::ptr::null_mut());
    timer::ets_timer_setfn(WATCHING.address(), Some(watch), core::ptr::null_mut());
}

/// Switches it off.
pub fn switch_off() {
    scan::give_up();
    leave(reason::ASSOC_LEAVE);
    let (netif, memory) = SELF.with(|own| {
        own.status = status::IDLE;
        (core::mem::take(&mut own.netif), core::mem::take(&mut own.memory))
    });
    interface::remove(netif);
    if memory != 0 {
        heap::give(memory);
    }
}

/// Joins by itself, at start.
pub fn auto_connect() {
    if SELF.with(|own| own.auto_connect && own.config.ssid[0] != 0) {
        begin_to_join(0);
    }
}

/// Starts an attempt after a pause.
fn begin_to_join(pause: u32) {
    let config = SELF.get().config;
    let search = if air::best(&config).is_some() { 200 + spore_hidden::random() % 300 } else { SEARCH };
    SELF.with(|own| own.joining = true);
    timer::ets_timer_disarm(JOIN.address());
    timer::ets_timer_arm_new(JOIN.address(), pause + search, 0, 1);
}

/// The time for an attempt is over: how did it go?
extern "C" fn attempt(_: *mut c_void) {
    let config = SELF.get().config;
    let Some(access_point) = air::best(&config) else {
        return fail(&[0; 6], reason::NO_AP_FOUND, status::NO_AP_FOUND);
    };
    let open = access_point.password.is_empty();
    let fits =
        if open { config.open_and_wep_mode_disable == 0 } else { access_point.password == password(&config) };
    if !fits {
        return fail(&access_point.bssid, reason::AUTH_FAIL, status::WRONG_PASSWORD);
    }
    join(&access_point);
}

/// The pass phrase of a configuration: 64 bytes need no zero.
fn password(config: &StationConfig) -> &[u8] {
    air::until_zero(&config.password)
}

/// An attempt failed.
fn fail(bssid: &[u8; 6], reason: u8, status: u8) {
    let again = SELF.with(|own| {
        own.joining = false;
        own.status = status;
        own.reconnect
    });
    tell_disconnected(bssid, reason);
    if again {
        begin_to_join(PAUSE);
    }
}

/// An event about the network of the configuration: name, length, address, and a last byte.
fn tell(number: u32, bssid: &[u8; 6], last: u8) {
    let config = SELF.get().config;
    events::post(number, |info| {
        info[..32].copy_from_slice(&config.ssid);
        info[32] = air::until_zero(&config.ssid).len() as u8;
        info[33..39].copy_from_slice(bssid);
        info[39] = last;
    });
}

fn tell_disconnected(bssid: &[u8; 6], reason: u8) {
    tell(events::number::DISCONNECTED, bssid, reason);
}

/// Joined.
fn join(access_point: &AccessPoint) {
    let own = SELF.with(|own| {
        own.joining = false;
        own.joined = Some(Joined {
            bssid: access_point.bssid,
            channel: access_point.channel,
            rssi: access_point.rssi,
        });
        *own
    });
    tell(events::number::CONNECTED, &access_point.bssid, access_point.channel);
    timer::ets_timer_disarm(WATCHING.address());
    timer::ets_timer_arm_new(WATCHING.address(), WATCH, 1, 1);
    let netif = own.netif;
    if own.dhcp {
        // SAFETY: an interface of the SDK.
        let running = unsafe { (*netif).flags } & flag::DHCP != 0;
        if !running {
            // SAFETY: as above.
            guard::callback(c"dhcp_start", 0, || unsafe { lwip::dhcp_start(netif) });
            interface::expect_link(netif, true, c"dhcp_start");
        }
    } else {
        let before = NO_ADDRESS;
        interface::set_addresses(netif, &own.address);
        // SAFETY: as above.
        guard::callback(c"netif_set_up", 0, || unsafe { lwip::netif_set_up(netif) });
        interface::expect_link(netif, true, c"netif_set_up");
        if own.address.ip != 0 {
            system_station_got_ip_set(
                &raw const before.ip,
                &raw const before.mask,
                &raw const before.gateway,
            );
        }
    }
}

/// Gives up an attempt, or leaves.
fn leave(reason: u8) {
    timer::ets_timer_disarm(JOIN.address());
    timer::ets_timer_disarm(WATCHING.address());
    let own = SELF.with(|own| {
        let before = *own;
        own.joined = None;
        own.joining = false;
        own.status = status::IDLE;
        before
    });
    let Some(joined) = own.joined else {
        if own.joining {
            tell_disconnected(&[0; 6], reason);
        }
        return;
    };
    let netif = own.netif;
    // SAFETY: an interface of the SDK.
    guard::callback(c"netif_set_down", 0, || unsafe { lwip::netif_set_down(netif) });
    interface::expect_link(netif, false, c"netif_set_down");
    guard::callback(c"dhcp_release, dhcp_stop, dhcp_cleanup", 0, || {
        // SAFETY: as above.
        unsafe {
            lwip::dhcp_release(netif);
            lwip::dhcp_stop(netif);
            lwip::dhcp_cleanup(netif);
        }
    });
    tell_disconnected(&joined.bssid, reason);
}

/// Once a second while joined: is the access point still there?
extern "C" fn watch(_: *mut c_void) {
    let own = SELF.get();
    let Some(joined) = own.joined else { return };
    let mut now = None;
    air::each(|access_point| {
        if access_point.bssid == joined.bssid && access_point.ssid == air::until_zero(&own.config.ssid) {
            now = Some(access_point.rssi);
        }
    });
    if let Some(rssi) = now {
        SELF.with(|own| {
            if let Some(joined) = &mut own.joined {
                joined.rssi = rssi;
            }
        });
        return;
    }
    leave(reason::BEACON_TIMEOUT);
    if own.reconnect {
        SELF.with(|own| own.status = status::CONNECTING);
        begin_to_join(PAUSE);
    }
}

/// Begins to join. The station must be switched on and `user_init` over.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_connect() -> bool {
    guard::task_only(c"wifi_station_connect");
    if !wifi::started(c"wifi_station_connect") || !wifi::has(1) {
        return false;
    }
    let own = SELF.get();
    if own.config.ssid[0] == 0 {
        return false;
    }
    if own.joined.is_some() {
        print::print(c"SDK: wifi_station_connect while joined does nothing\n", &[]);
        return true;
    }
    SELF.with(|own| own.status = status::CONNECTING);
    begin_to_join(0);
    true
}

/// Leaves, or gives up an attempt; no other follows.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_disconnect() -> bool {
    guard::task_only(c"wifi_station_disconnect");
    if !wifi::has(1) {
        return false;
    }
    leave(reason::ASSOC_LEAVE);
    true
}

/// How it stands: 0 idle, 1 connecting, 2 wrong password, 3 no access point, 4 failed, 5 has an address.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_get_connect_status() -> u8 {
    SELF.with(|own| own.status)
}

/// Strength in dBm; 31 while not joined.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_station_get_rssi() -> i8 {
    SELF.with(|own| own.joined.map_or(31, |joined| joined.rssi))
}

/// The IP stack tells that the station has an address: it passes the addresses before, the new ones are in the interface.
/// Posts the event GOT_IP if they changed.
#[unsafe(no_mangle)]
pub extern "C" fn system_station_got_ip_set(ip: *const u32, mask: *const u32, gateway: *const u32) {
    guard::task_only(c"system_station_got_ip_set");
    let netif = netif();
    if netif.is_null() || ip.is_null() || mask.is_null() || gateway.is_null() {
        guard::violation(c"system_station_got_ip_set without an interface or with a null pointer", &[]);
    }
    // SAFETY: three words of the caller's, and an interface of the SDK.
    let (old, new) = unsafe { ([*ip, *mask, *gateway], [(*netif).ip, (*netif).mask, (*netif).gateway]) };
    SELF.with(|own| {
        if own.joined.is_some() {
            own.status = status::GOT_IP;
        }
    });
    if old != new {
        events::post(events::number::GOT_IP, |info| {
            for (place, word) in info.as_chunks_mut::<4>().0.iter_mut().zip(new) {
                *place = word.to_le_bytes();
            }
        });
    }
}
