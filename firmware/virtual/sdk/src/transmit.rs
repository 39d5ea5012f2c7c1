//! Frames from the IP stack: checked, sent, rewritten in place, and given back later.

use crate::{
    cell::Locked,
    eth,
    guard::{self, COUNTERS},
    heap,
    lwip::{self, Netif, Pbuf},
    share, tasks, wifi,
};

/// What the radio's headers need before a frame: LLC and SNAP (8), the 802.11 header (26), encryption (16), less the Ethernet header (14).
pub const HEADROOM: u32 = 36;
/// Frames that may be under way.
const UNDER_WAY: usize = 8;
/// Errors of lwIP: no memory, not connected, wrong argument.
const ERR_MEMORY: i8 = -1;
const ERR_NOT_CONNECTED: i8 = -11;

/// What a frame is overwritten with.
const REWRITTEN: u8 = 0xDB;

/// Every how many bytes of a frame under way are looked at: all would cost more than sending does.
const LOOK: usize = 8;

/// A frame under way.
#[derive(Clone, Copy)]
struct Sending {
    packet: *mut Pbuf,
    start: u32,
    length: u32,
}

static SENDING: Locked<[Option<Sending>; UNDER_WAY]> = Locked::new([None; UNDER_WAY]);

/// `linkoutput` of the interfaces: 0 if accepted; else the frame is not sent and stays the caller's.
pub extern "C" fn low_level_output(netif: *mut Netif, packet: *mut Pbuf) -> i8 {
    guard::task_only(c"linkoutput");
    let range = look_at(packet);
    let is_station = core::ptr::eq(netif, wifi::station::netif());
    let is_access_point = core::ptr::eq(netif, wifi::access_point::netif());
    if netif.is_null() || !(is_station || is_access_point) {
        guard::violation(c"linkoutput with 0x%08x, which is no interface", &[netif as u32]);
    }
    let (start, length) = range;
    // SAFETY: data RAM, as looked at.
    let frame = unsafe {
        core::slice::from_raw_parts_mut((start + HEADROOM) as *mut u8, (length - HEADROOM) as usize)
    };
    let heard = if is_station { wifi::station::is_joined() } else { wifi::access_point::is_heard(frame) };
    if !heard {
        COUNTERS.with(|c| c.refused += 1);
        return ERR_NOT_CONNECTED;
    }
    let entered = SENDING.with(|sending| {
        if sending.iter().flatten().any(|other| core::ptr::eq(other.packet, packet)) {
            return None;
        }
        let place = sending.iter_mut().find(|place| place.is_none());
        Some(place.map(|place| *place = Some(Sending { packet, start, length })).is_some())
    });
    match entered {
        None => {
            guard::violation(c"linkoutput of the pbuf 0x%08x, which is still being sent", &[packet as u32])
        }
        Some(false) => {
            COUNTERS.with(|c| c.busy += 1);
            return ERR_MEMORY;
        }
        Some(true) => {}
    }
    // SAFETY: a function of the firmware's; the packet is valid.
    guard::callback(c"pbuf_ref", 0, || unsafe { lwip::pbuf_ref(packet) });
    // SAFETY: as above.
    let references = unsafe { (*packet).references };
    if references != 1 {
        guard::violation(
            c"after pbuf_ref the pbuf 0x%08x has %u references instead of 1",
            &[packet as u32, u32::from(references)],
        );
    }
    if is_station || wifi::access_point::has_guests() {
        eth::send(frame);
    }
    COUNTERS.with(|c| c.sent += 1);
    // The radio's headers go over the Ethernet header and the headroom; the rest is encrypted in place.
    // SAFETY: data RAM, as looked at.
    unsafe { core::slice::from_raw_parts_mut(start as *mut u8, length as usize) }.fill(REWRITTEN);
    if !tasks::post(tasks::PP, tasks::PP_SENT, packet as u32) {
        guard::violation(c"the queue of the packet processor is full", &[]);
    }
    0
}

/// In the task of the packet processor: the frame has left, its buffer goes back.
pub fn sent(packet: u32) {
    let packet = packet as *mut Pbuf;
    let Some(frame) = SENDING.with(|sending| {
        sending
            .iter_mut()
            .find(|place| place.is_some_and(|frame| core::ptr::eq(frame.packet, packet)))
            .and_then(Option::take)
    }) else {
        return;
    };
    // SAFETY: the range was looked at when the frame was accepted.
    let bytes = unsafe { core::slice::from_raw_parts(frame.start as *const u8, frame.length as usize) };
    if bytes.iter().step_by(LOOK).any(|byte| *byte != REWRITTEN) {
        guard::violation(
            c"the buffer of the pbuf 0x%08x was written while it was being sent",
            &[packet as u32],
        );
    }
    // SAFETY: as above.
    if unsafe { (*packet).references } != 1 {
        guard::violation(
            c"the references of the pbuf 0x%08x were changed while it was being sent",
            &[packet as u32],
        );
    }
    guard::callback(c"pbuf_free", 0, || {
        // SAFETY: the one reference taken when it was accepted.
        unsafe { lwip::pbuf_free(packet) }
    });
}

/// Looks whether a packet is as the vendor's code needs it; start (with headroom) and length of the memory that it will rewrite.
fn look_at(packet: *mut Pbuf) -> (u32, u32) {
    let at = packet as u32;
    if at & 3 != 0 || !guard::in_data_ram(at, size_of::<Pbuf>() as u32) {
        guard::violation(c"linkoutput with a pbuf at 0x%08x, which is not data RAM", &[at]);
    }
    // SAFETY: aligned data RAM.
    let p = unsafe { &*packet };
    let payload = p.payload as u32;
    let length = u32::from(p.length);
    if !p.next.is_null() {
        guard::violation(c"linkoutput with a chain: next of the pbuf 0x%08x is 0x%08x", &[at, p.next as u32]);
    }
    if p.kind == 0 {
        guard::violation(c"linkoutput with type 0 in the pbuf 0x%08x: the SDK would write its eb", &[at]);
    }
    if p.references != 0 {
        guard::violation(
            c"linkoutput with %u references to the pbuf 0x%08x instead of 0",
            &[u32::from(p.references), at],
        );
    }
    if !p.esf.is_null() {
        guard::violation(
            c"linkoutput with eb 0x%08x in the pbuf 0x%08x instead of null",
            &[p.esf as u32, at],
        );
    }
    if p.total != p.length || length < 14 || length > eth::LONGEST as u32 {
        guard::violation(
            c"linkoutput with length %u, total %u in the pbuf 0x%08x",
            &[length, u32::from(p.total), at],
        );
    }
    if payload >= 0x4000_0000 {
        guard::violation(c"linkoutput with a payload at 0x%08x: not below 0x40000000", &[payload]);
    }
    let Some(start) =
        payload.checked_sub(HEADROOM).filter(|start| guard::in_data_ram(*start, HEADROOM + length))
    else {
        guard::violation(
            c"linkoutput with a payload at 0x%08x: it and the 36 bytes before are not all data RAM",
            &[payload],
        )
    };
    if share::contains(p) {
        guard::violation(c"linkoutput with a payload at 0x%08x, in a buffer of the SDK", &[payload]);
    }
    match heap::block_of(payload) {
        Some(Ok((from, to))) if start >= from && payload + length <= to => {}
        Some(_) => guard::violation(
            c"linkoutput with a payload at 0x%08x: it and the 36 bytes before are not in one block of the heap",
            &[payload],
        ),
        None => {}
    }
    if start < at + size_of::<Pbuf>() as u32 && at < payload + length {
        guard::violation(c"linkoutput with the pbuf 0x%08x inside the memory that is rewritten", &[at]);
    }
    (start, HEADROOM + length)
}
