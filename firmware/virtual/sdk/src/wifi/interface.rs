//! The two network interfaces that the IP stack is given.

use core::ffi::{CStr, c_void};

use crate::{
    guard, heap,
    lwip::{self, IpInfo, Netif, flag},
    system, transmit,
    wifi::{access_point, station, switches},
};

/// What the SDK passes as `state`: an object of its own that nobody else looks into.
static STATE: [u8; 2] = [0, 1];

/// Called by `netif_add`.
extern "C" fn begin(netif: *mut Netif) -> i8 {
    // SAFETY: the IP stack gives back the interface it got.
    let netif = unsafe { &mut *netif };
    netif.output = Some(lwip::etharp_output);
    netif.linkoutput = Some(transmit::low_level_output);
    netif.mtu = 1500;
    netif.hwaddr_len = 6;
    netif.flags = flag::INITIAL;
    0
}

/// Makes an interface (0 station, 1 access point) and adds it to the IP stack.
pub fn add(index: u8, info: &IpInfo) -> *mut Netif {
    let netif = heap::take(size_of::<Netif>() as u32) as *mut Netif;
    if netif.is_null() {
        guard::violation(c"no memory for a network interface", &[]);
    }
    let state = (&raw const STATE).cast::<u8>().wrapping_add(usize::from(index)).cast_mut().cast::<c_void>();
    // SAFETY: a zeroed block of that size.
    unsafe {
        (*netif).hwaddr = system::mac(index);
        (*netif).name = if index == 0 { *b"ew" } else { *b"ap" };
        (*netif).number = index;
        (*netif).hostname = switches::hostname();
    }
    let result = guard::callback(c"netif_add", u32::from(index), || {
        // SAFETY: pointers that live long enough; functions of these types.
        unsafe {
            lwip::netif_add(
                netif,
                &raw const info.ip,
                &raw const info.mask,
                &raw const info.gateway,
                state,
                begin,
                lwip::ethernet_input,
            )
        }
    });
    // SAFETY: the SDK's own block.
    let after = unsafe { &*netif };
    if !core::ptr::eq(result, netif) {
        guard::violation(
            c"netif_add returned 0x%08x instead of the interface 0x%08x",
            &[result as u32, netif as u32],
        );
    }
    if !core::ptr::eq(after.state, state) || after.linkoutput.is_none() {
        guard::violation(c"netif_add did not store state, or did not call init", &[]);
    }
    if !after.input.is_some_and(|input| guard::is_code(input as usize as u32)) {
        guard::violation(c"netif_add did not store input", &[]);
    }
    if after.ip != info.ip || after.mask != info.mask || after.gateway != info.gateway {
        guard::violation(c"netif_add did not store the addresses", &[]);
    }
    netif
}

/// Takes an interface out of the IP stack and frees it.
pub fn remove(netif: *mut Netif) {
    if netif.is_null() {
        return;
    }
    // SAFETY: an interface of `add`.
    guard::callback(c"netif_remove", 0, || unsafe { lwip::netif_remove(netif) });
    // SAFETY: an object of the firmware's.
    if core::ptr::eq(unsafe { lwip::netif_default }, netif) {
        guard::violation(c"netif_remove left netif_default at the interface that is gone", &[]);
    }
    heap::give(netif as u32);
}

/// Looks whether the IP stack put the link up, or down, as it was told.
pub fn expect_link(netif: *mut Netif, up: bool, function: &CStr) {
    // SAFETY: an interface of `add`.
    let flags = unsafe { (*netif).flags } & (flag::LINK_UP | flag::UP);
    let expected = if up { flag::LINK_UP | flag::UP } else { 0 };
    if flags != expected {
        guard::violation(
            c"after %s flags UP (01) and LINK_UP (10) are %02x instead of %02x",
            &[function.as_ptr() as u32, u32::from(flags), u32::from(expected)],
        );
    }
}

/// The interface of the station (0) or the access point (1); null while switched off.
#[unsafe(no_mangle)]
pub extern "C" fn eagle_lwip_getif(index: u8) -> *mut Netif {
    match index {
        0 => station::netif(),
        1 => access_point::netif(),
        _ => core::ptr::null_mut(),
    }
}

/// Addresses of an interface.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_get_ip_info(index: u8, info: *mut IpInfo) -> bool {
    if index > 1 || info.is_null() {
        return false;
    }
    let netif = eagle_lwip_getif(index);
    let value = if netif.is_null() {
        if index == 0 { station::address() } else { access_point::address() }
    } else {
        // SAFETY: an interface of `add`.
        unsafe { IpInfo { ip: (*netif).ip, mask: (*netif).mask, gateway: (*netif).gateway } }
    };
    // SAFETY: the caller has room for 12 bytes.
    unsafe { info.write(value) };
    true
}

/// Sets fixed addresses. The station's DHCP client, or the access point's server, must be stopped before.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_set_ip_info(index: u8, info: *const IpInfo) -> bool {
    guard::task_only(c"wifi_set_ip_info");
    if index > 1 || info.is_null() {
        return false;
    }
    // SAFETY: the caller gives 12 bytes.
    let info = unsafe { info.read() };
    let stopped = if index == 0 { station::set_address(info) } else { access_point::set_address(info) };
    let netif = eagle_lwip_getif(index);
    if stopped && !netif.is_null() {
        set_addresses(netif, &info);
    }
    stopped
}

/// Gives an interface its addresses.
pub fn set_addresses(netif: *mut Netif, info: &IpInfo) {
    guard::callback(c"netif_set_addr", 0, || {
        // SAFETY: an interface of `add`, and three words.
        unsafe {
            lwip::netif_set_addr(netif, &raw const info.ip, &raw const info.mask, &raw const info.gateway)
        }
    });
}
