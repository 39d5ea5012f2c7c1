//! Looking for networks.

use core::ffi::c_void;

use crate::{
    air::{self, AccessPoint},
    cell::Locked,
    guard, heap,
    timer::{self, EtsTimer},
    wifi,
};

/// `struct bss_info` of SDK 2.1 and later, 80 bytes: a network found.
#[repr(C)]
struct BssInfo {
    next: *mut BssInfo,
    bssid: [u8; 6],
    ssid: [u8; 32],
    ssid_len: u8,
    channel: u8,
    rssi: i8,
    auth_mode: u32,
    is_hidden: u8,
    freq_offset: i16,
    freqcal_val: i16,
    mesh_element: *mut u8,
    simple_pair: u8,
    pairwise_cipher: u32,
    group_cipher: u32,
    phy: u32,
}

const _: () = {
    assert!(core::mem::offset_of!(BssInfo, bssid) == 4);
    assert!(core::mem::offset_of!(BssInfo, ssid) == 10);
    assert!(core::mem::offset_of!(BssInfo, ssid_len) == 42);
    assert!(core::mem::offset_of!(BssInfo, channel) == 43);
    assert!(core::mem::offset_of!(BssInfo, rssi) == 44);
    assert!(core::mem::offset_of!(BssInfo, auth_mode) == 48);
    assert!(core::mem::offset_of!(BssInfo, is_hidden) == 52);
    assert!(core::mem::offset_of!(BssInfo, freqcal_val) == 56);
    assert!(core::mem::offset_of!(BssInfo, mesh_element) == 60);
    assert!(core::mem::offset_of!(BssInfo, simple_pair) == 64);
    assert!(core::mem::offset_of!(BssInfo, pairwise_cipher) == 68);
    assert!(core::mem::offset_of!(BssInfo, phy) == 76);
    assert!(size_of::<BssInfo>() == 80);
};

/// `CIPHER_CCMP`.
const CIPHER_CCMP: u32 = 4;
/// 802.11 b, g and n.
const PHY_BGN: u32 = 7;

/// `struct scan_config`, as far as it is used: the first 12 bytes are the same in all versions.
#[repr(C)]
struct ScanConfig {
    ssid: *const u8,
    bssid: *const [u8; 6],
    channel: u8,
    show_hidden: u8,
}

type Done = extern "C" fn(*mut c_void, u32);

/// What is looked for.
#[derive(Clone, Copy)]
struct Scan {
    done: Option<Done>,
    ssid: Option<[u8; 33]>,
    bssid: Option<[u8; 6]>,
    channel: u8,
}

static SCAN: Locked<Scan> = Locked::new(Scan { done: None, ssid: None, bssid: None, channel: 0 });
static TIMER: Locked<EtsTimer> = Locked::new(EtsTimer::new());

/// Time on one channel, and on all 13, in ms.
const ONE_CHANNEL: u32 = 100;
const ALL_CHANNELS: u32 = 900;

/// Looks for networks: calls `done(list, 0)` with a list of `struct bss_info` that is gone when it returns. The station must be
/// switched on, and `user_init` over. False while a scan is under way.
#[unsafe(no_mangle)]
extern "C" fn wifi_station_scan(config: *const ScanConfig, done: Option<Done>) -> bool {
    guard::task_only(c"wifi_station_scan");
    if !wifi::started(c"wifi_station_scan") || !wifi::has(1) || done.is_none() {
        return false;
    }
    let mut scan = Scan { done, ssid: None, bssid: None, channel: 0 };
    // SAFETY: null, or a configuration of the caller's whose pointers are null or valid.
    unsafe {
        if let Some(config) = config.as_ref() {
            scan.channel = config.channel;
            scan.bssid = config.bssid.as_ref().copied();
            if !config.ssid.is_null() {
                let mut name = [0; 33];
                for (index, byte) in name.iter_mut().take(32).enumerate() {
                    *byte = config.ssid.add(index).read();
                    if *byte == 0 {
                        break;
                    }
                }
                scan.ssid = Some(name);
            }
        }
    }
    if SCAN.get().done.is_some() {
        return false;
    }
    SCAN.set(scan);
    timer::ets_timer_setfn(TIMER.address(), Some(finish), core::ptr::null_mut());
    timer::ets_timer_arm_new(
        TIMER.address(),
        if scan.channel == 0 { ALL_CHANNELS } else { ONE_CHANNEL },
        0,
        1,
    );
    true
}

/// Gives up a scan when the station is switched off: the caller is told that it failed.
pub fn give_up() {
    timer::ets_timer_disarm(TIMER.address());
    let scan = SCAN.set(Scan { done: None, ssid: None, bssid: None, channel: 0 });
    if let Some(done) = scan.done {
        guard::callback(c"the callback of wifi_station_scan", 1, || done(core::ptr::null_mut(), 1));
    }
}

impl Scan {
    fn shows(&self, access_point: &AccessPoint) -> bool {
        self.ssid.is_none_or(|name| air::until_zero(&name) == access_point.ssid)
            && self.bssid.is_none_or(|bssid| bssid == access_point.bssid)
            && (self.channel == 0 || self.channel == access_point.channel)
    }
}

/// An access point as an element of the list; null without memory.
fn element(access_point: &AccessPoint) -> *mut BssInfo {
    let at = heap::take(size_of::<BssInfo>() as u32) as *mut BssInfo;
    // SAFETY: null, or a zeroed block of that size, aligned to 8.
    if let Some(info) = unsafe { at.as_mut() } {
        info.bssid = access_point.bssid;
        for (to, from) in info.ssid.iter_mut().zip(access_point.ssid) {
            *to = *from;
        }
        info.ssid_len = access_point.ssid.len() as u8;
        info.channel = access_point.channel;
        info.rssi = access_point.rssi;
        info.auth_mode = access_point.auth_mode();
        let cipher = if info.auth_mode == 0 { 0 } else { CIPHER_CCMP };
        info.pairwise_cipher = cipher;
        info.group_cipher = cipher;
        info.phy = PHY_BGN;
    }
    at
}

/// The time is over.
extern "C" fn finish(_: *mut c_void) {
    let scan = SCAN.set(Scan { done: None, ssid: None, bssid: None, channel: 0 });
    let Some(done) = scan.done else { return };
    let mut head: *mut BssInfo = core::ptr::null_mut();
    let mut tail: *mut *mut BssInfo = &raw mut head;
    air::each(|access_point| {
        if scan.shows(access_point) {
            let new = element(access_point);
            if !new.is_null() {
                // SAFETY: the head, or `next` of the last element; the new element is valid.
                unsafe {
                    *tail = new;
                    tail = &raw mut (*new).next;
                }
            }
        }
    });
    guard::callback(c"the callback of wifi_station_scan", 0, || done(head.cast(), 0));
    while !head.is_null() {
        // SAFETY: an element of the list; the firmware must not have kept or freed it.
        let next = unsafe { (*head).next };
        heap::give(head as u32);
        head = next;
    }
}
