//! Received frames on their way to the IP stack.

use crate::{
    guard::{self, COUNTERS},
    lwip::{self, Netif, Pbuf},
    rom::Event,
    share, tasks, wifi,
};

/// A frame has come over the air (`ieee80211_deliver_data`), in the task of the packet processor.
pub fn received(frame: &[u8]) {
    let own = wifi::access_point::hears(frame);
    let (netif, task) = if own.is_null() {
        (wifi::station::netif(), tasks::RX_STATION)
    } else {
        (own, tasks::RX_ACCESS_POINT)
    };
    if frame.len() < 14 || (own.is_null() && !wifi::station::is_joined()) {
        return;
    }
    if !lwip::link_is_up(netif) {
        COUNTERS.with(|c| c.link_down += 1);
        return;
    }
    let Some((handle, payload)) = share::fill(frame) else {
        COUNTERS.with(|c| c.no_buffer += 1);
        return;
    };
    let length = frame.len() as u16;
    // SAFETY: a function of the firmware's, with this signature.
    let packet =
        guard::callback(c"pbuf_alloc", 0, || unsafe { lwip::pbuf_alloc(lwip::RAW, length, lwip::REFERENCE) });
    look_at(packet, length);
    // SAFETY: looked at just now.
    unsafe {
        (*packet).payload = payload;
        (*packet).esf = handle;
    }
    COUNTERS.with(|c| c.received += 1);
    if !tasks::post(task, 0, packet as u32) {
        COUNTERS.with(|c| c.queue_full += 1);
        guard::callback(c"pbuf_free", 0, || {
            // SAFETY: a packet that the firmware gave and has not seen again. It recycles the buffer.
            unsafe { lwip::pbuf_free(packet) }
        });
    }
}

/// The vendor's code uses what `pbuf_alloc` returns without a look.
fn look_at(packet: *mut Pbuf, length: u16) {
    let at = packet as u32;
    if packet.is_null() {
        guard::violation(
            c"pbuf_alloc(RAW, %u, REF) returned null, which the SDK would write to",
            &[u32::from(length)],
        );
    }
    if at & 3 != 0 || !guard::in_data_ram(at, size_of::<Pbuf>() as u32) {
        guard::violation(
            c"pbuf_alloc(RAW, %u, REF) returned 0x%08x, which is not data RAM",
            &[u32::from(length), at],
        );
    }
    // SAFETY: aligned data RAM.
    let (own, total) = unsafe { ((*packet).length, (*packet).total) };
    if own != length || total != length {
        guard::violation(
            c"pbuf_alloc(RAW, %u, REF) returned a pbuf of length %u, total %u",
            &[u32::from(length), u32::from(own), u32::from(total)],
        );
    }
    if let Some(Err(())) = crate::heap::block_of(at) {
        guard::violation(
            c"pbuf_alloc(RAW, %u, REF) returned 0x%08x, a part of the heap not in use",
            &[u32::from(length), at],
        );
    }
}

/// Gives a packet to the stack.
fn deliver(event: *mut Event, netif: *mut Netif) {
    // SAFETY: the ROM gives a valid event.
    let packet = unsafe { (*event).parameter } as *mut Pbuf;
    // SAFETY: interfaces of the SDK; null is looked at.
    let input = if netif.is_null() { None } else { unsafe { (*netif).input } };
    let Some(input) = input else {
        guard::callback(c"pbuf_free", 0, || {
            // SAFETY: a packet that the firmware gave and has not seen again.
            unsafe { lwip::pbuf_free(packet) }
        });
        return;
    };
    guard::callback(c"ethernet_input", 0, || input(packet, netif));
}

/// Task of received frames, station.
pub extern "C" fn station_task(event: *mut Event) {
    deliver(event, wifi::station::netif());
}

/// Task of received frames, access point.
pub extern "C" fn access_point_task(event: *mut Event) {
    deliver(event, wifi::access_point::netif());
}
