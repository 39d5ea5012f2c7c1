//! WiFi: modes, addresses, station, access point, scan.

pub mod access_point;
pub mod config;
pub mod interface;
pub mod scan;
pub mod station;
pub mod switches;

use crate::{cell::Locked, events, guard, parameters, print, system};

/// Station and access point by bit: 1 and 2.
static MODE: Locked<u8> = Locked::new(0);
/// Whether the SDK has started: before, modes and configurations are only noted.
static STARTED: Locked<bool> = Locked::new(false);
/// `enum sleep_type`.
static SLEEP: Locked<u32> = Locked::new(2);

/// Whether station (1) or access point (2) are switched on.
#[must_use]
pub fn has(bit: u8) -> bool {
    MODE.get() & bit != 0
}

/// Whether `user_init` is over. Some calls are too early inside it.
pub fn started(function: &core::ffi::CStr) -> bool {
    let started = STARTED.get();
    if !started {
        print::print(
            c"SDK: %s inside user_init does nothing; use system_init_done_cb\n",
            &[function.as_ptr() as u32],
        );
    }
    started
}

/// What was stored, before `user_init`.
pub fn begin() {
    let stored = parameters::get();
    MODE.set(stored.mode);
    station::begin(&stored);
    switches::begin();
    access_point::begin(&stored);
}

/// Switches on what the mode says, behind `user_init`.
pub fn start() {
    STARTED.set(true);
    let mode = MODE.get();
    if mode & 1 != 0 {
        station::switch_on();
        station::auto_connect();
    }
    if mode & 2 != 0 {
        access_point::switch_on();
    }
}

/// The mode now.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_get_opmode() -> u8 {
    MODE.get()
}

/// The mode stored in flash.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_get_opmode_default() -> u8 {
    parameters::get().mode
}

/// Switches station (1), access point (2), both (3) or none (0) on, without storing it.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_set_opmode_current(mode: u8) -> bool {
    guard::task_only(c"wifi_set_opmode_current");
    if mode > 3 {
        return false;
    }
    let old = MODE.set(mode);
    if !STARTED.get() || old == mode {
        return true;
    }
    if old & !mode & 1 != 0 {
        station::switch_off();
    }
    if old & !mode & 2 != 0 {
        access_point::switch_off();
    }
    if mode & !old & 1 != 0 {
        station::switch_on();
    }
    if mode & !old & 2 != 0 {
        access_point::switch_on();
    }
    events::post(events::number::OPMODE_CHANGED, |info| {
        info[0] = old;
        info[1] = mode;
    });
    true
}

/// Switches as [`wifi_set_opmode_current`], and stores it in flash.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_set_opmode(mode: u8) -> bool {
    wifi_set_opmode_current(mode) && parameters::change(|stored| stored.mode = mode)
}

/// Hardware address of the station (0) or the access point (1).
#[unsafe(no_mangle)]
pub extern "C" fn wifi_get_macaddr(interface: u8, to: *mut u8) -> bool {
    if interface > 1 || to.is_null() {
        return false;
    }
    // SAFETY: the caller has room for 6 bytes.
    unsafe { to.cast::<[u8; 6]>().write(system::mac(interface)) };
    true
}

/// The channel in use.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_get_channel() -> u8 {
    station::channel().unwrap_or_else(access_point::channel)
}

/// Power saving: 0 none, 1 light, 2 modem. Noted only.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_set_sleep_type(kind: u32) -> bool {
    let known = kind <= 2;
    if known {
        SLEEP.set(kind);
    }
    known
}

/// Power saving as set.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_get_sleep_type() -> u32 {
    SLEEP.get()
}
