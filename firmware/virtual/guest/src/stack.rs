//! The IP stack that the SDK expects, as small as it can be: a fixed address, ARP, an echo of UDP; and its mistakes, by case.

use core::ffi::c_void;
use core::ptr::{addr_of_mut, null_mut};

use crate::{case, cases, say, sdk};
use sdk::{Netif, Pbuf};

/// 10.0.0.2 of 24 bits, behind 10.0.0.1; network order.
const ADDRESS: [u32; 3] = [0x0200_000A, 0x00FF_FFFF, 0x0100_000A];
const OWN_IP: [u8; 4] = [10, 0, 0, 2];

#[unsafe(no_mangle)]
static mut netif_default: *mut Netif = null_mut();
/// In data RAM, as the SDK wants it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.ethbroadcast")]
static ethbroadcast: [u8; 6] = [0xFF; 6];

const EMPTY: Pbuf = Pbuf {
    next: null_mut(),
    payload: null_mut(),
    total: 0,
    length: 0,
    kind: 0,
    flags: 0,
    references: 0,
    esf: null_mut(),
};

/// Packets that refer to receive buffers.
static mut REFERENCES: [Pbuf; 16] = [EMPTY; 16];

/// A buffer to send from.
#[repr(C, align(4))]
pub struct Sending {
    pub pbuf: Pbuf,
    pub data: [u8; 64 + 1514],
}

pub static mut SENDING: [Sending; 3] = [const { Sending { pbuf: EMPTY, data: [0; 64 + 1514] } }; 3];
/// Private kind of packets to send.
const KIND: u8 = 9;
const FREE: u8 = 0;

/// Frames that the guest keeps (case `HOLD`).
static mut HELD: [*mut Pbuf; 16] = [null_mut(); 16];

#[unsafe(no_mangle)]
extern "C" fn lwip_init() {
    say!(c"lwip_init\n");
}

#[unsafe(no_mangle)]
extern "C" fn espconn_init() {
    say!(c"espconn_init\n");
}

#[unsafe(no_mangle)]
extern "C" fn sys_check_timeouts(_: *mut c_void) {
    cases::tick();
}

#[unsafe(no_mangle)]
extern "C" fn netif_add(
    netif: *mut Netif,
    ip: *const u32,
    mask: *const u32,
    gateway: *const u32,
    state: *mut c_void,
    init: extern "C" fn(*mut Netif) -> i8,
    input: extern "C" fn(*mut Pbuf, *mut Netif) -> i8,
) -> *mut Netif {
    // SAFETY: the SDK gives an interface and addresses.
    unsafe {
        (*netif).ip = *ip;
        (*netif).mask = *mask;
        (*netif).gateway = *gateway;
        (*netif).state = state;
        (*netif).input = Some(input);
        assert!(init(netif) == 0);
        say!(
            c"netif_add %u flags %02x mtu %u ip %08x\n",
            (*netif).number,
            u32::from((*netif).flags),
            u32::from((*netif).mtu),
            *ip
        );
        if case() == cases::ADD_FORGETS_STATE {
            (*netif).state = null_mut();
        }
    }
    netif
}

#[unsafe(no_mangle)]
extern "C" fn netif_remove(netif: *mut Netif) {
    say!(c"netif_remove\n");
    // SAFETY: one thread.
    unsafe {
        if netif_default == netif {
            netif_default = null_mut();
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_addr(netif: *mut Netif, ip: *const u32, mask: *const u32, gateway: *const u32) {
    // SAFETY: as in netif_add.
    unsafe {
        (*netif).ip = *ip;
        (*netif).mask = *mask;
        (*netif).gateway = *gateway;
        say!(c"netif_set_addr %08x\n", *ip);
    }
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_default(netif: *mut Netif) {
    // SAFETY: one thread.
    unsafe { netif_default = netif };
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_up(netif: *mut Netif) {
    say!(c"netif_set_up\n");
    // SAFETY: an interface of the SDK.
    unsafe { (*netif).flags |= 0x11 };
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_down(netif: *mut Netif) {
    say!(c"netif_set_down\n");
    if case() != cases::DOWN_STAYS_UP {
        // SAFETY: an interface of the SDK.
        unsafe { (*netif).flags &= !0x11 };
    }
}

#[unsafe(no_mangle)]
extern "C" fn dhcp_start(netif: *mut Netif) -> i8 {
    say!(c"dhcp_start\n");
    if case() == cases::DHCP_WITHOUT_LINK {
        return 0;
    }
    // SAFETY: an interface of the SDK.
    unsafe {
        (*netif).flags |= 0x11;
        let before = [(*netif).ip, (*netif).mask, (*netif).gateway];
        [(*netif).ip, (*netif).mask, (*netif).gateway] = ADDRESS;
        sdk::system_station_got_ip_set(&before[0], &before[1], &before[2]);
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn dhcp_stop(netif: *mut Netif) {
    // SAFETY: an interface of the SDK.
    unsafe { [(*netif).ip, (*netif).mask, (*netif).gateway] = [0; 3] };
}

#[unsafe(no_mangle)]
extern "C" fn dhcp_release(_: *mut Netif) -> i8 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn dhcp_cleanup(_: *mut Netif) {
    say!(c"dhcp_cleanup\n");
}

#[unsafe(no_mangle)]
extern "C" fn dhcps_start(info: *const [u32; 3]) {
    // SAFETY: 12 bytes of the SDK.
    say!(c"dhcps_start %08x\n", unsafe { (*info)[0] });
}

#[unsafe(no_mangle)]
extern "C" fn dhcps_stop() {
    say!(c"dhcps_stop\n");
}

#[unsafe(no_mangle)]
extern "C" fn etharp_output(_: *mut Netif, _: *mut Pbuf, _: *mut u32) -> i8 {
    -1
}

#[unsafe(no_mangle)]
extern "C" fn pbuf_copy(_: *mut Pbuf, _: *mut Pbuf) -> i8 {
    -1
}

#[unsafe(no_mangle)]
extern "C" fn pbuf_alloc(layer: u32, length: u16, kind: u32) -> *mut Pbuf {
    assert!(layer == 3 && kind == 2);
    match case() {
        cases::ALLOC_NULL => return null_mut(),
        cases::ALLOC_NOT_RAM => return core::ptr::without_provenance_mut(0x4010_7F00),
        _ => {}
    }
    // SAFETY: one thread; a reference is free while it has no references.
    unsafe {
        for packet in &mut *addr_of_mut!(REFERENCES) {
            if packet.references == 0 {
                *packet = Pbuf { total: length, length, kind: 2, references: 1, ..EMPTY };
                return packet;
            }
        }
    }
    null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn pbuf_ref(packet: *mut Pbuf) {
    // SAFETY: a packet of the caller's.
    unsafe { (*packet).references += 1 };
}

#[unsafe(no_mangle)]
extern "C" fn pbuf_free(packet: *mut Pbuf) -> u8 {
    // SAFETY: a packet of this module.
    unsafe {
        (*packet).references -= 1;
        if (*packet).references != 0 {
            return 0;
        }
        if !(*packet).esf.is_null() {
            sdk::system_pp_recycle_rx_pkt((*packet).esf);
            (*packet).esf = null_mut();
        }
        if (*packet).kind == KIND {
            (*packet).kind = FREE;
            cases::freed();
        }
    }
    1
}

/// A frame to be filled: a packet and its data.
pub fn frame(length: usize) -> Option<(*mut Pbuf, &'static mut [u8])> {
    // SAFETY: one thread; a buffer is free while its kind says so.
    unsafe {
        for sending in &mut *addr_of_mut!(SENDING) {
            if sending.pbuf.kind == FREE {
                let data = sending.data.get_mut(64..64 + length)?;
                sending.pbuf = Pbuf {
                    payload: data.as_mut_ptr(),
                    total: length as u16,
                    length: length as u16,
                    kind: KIND,
                    ..EMPTY
                };
                return Some((&raw mut sending.pbuf, data));
            }
        }
    }
    None
}

/// Sends a packet of [`frame`] on interface `index`; returns what the SDK says.
pub fn send(index: u8, packet: *mut Pbuf) -> i8 {
    // SAFETY: an interface and a packet that are valid.
    unsafe {
        let netif = sdk::eagle_lwip_getif(index);
        let result = (*netif).linkoutput.map_or(-1, |output| output(netif, packet));
        if result != 0 {
            (*packet).kind = FREE;
        }
        result
    }
}

fn answer(packet: &[u8], own: [u8; 6]) -> Option<()> {
    let kind = packet.get(12..14)?;
    let is_arp = kind == [8, 6] && packet.get(20..22)? == [0, 1] && packet.get(38..42)? == OWN_IP;
    let is_udp = kind == [8, 0]
        && packet.get(23)? == &17
        && packet.get(30..34)? == OWN_IP
        && packet.get(36..38)? == [0, 7];
    if !is_arp && !is_udp {
        return None;
    }
    let (sending, frame) = frame(packet.len())?;
    frame.copy_from_slice(packet);
    frame[0..6].copy_from_slice(&packet[6..12]);
    frame[6..12].copy_from_slice(&own);
    if is_arp {
        frame[21] = 2;
        frame[22..28].copy_from_slice(&own);
        frame[28..32].copy_from_slice(&OWN_IP);
        frame[32..42].copy_from_slice(&packet[22..32]);
    } else {
        frame[26..30].copy_from_slice(&packet[30..34]);
        frame[30..34].copy_from_slice(&packet[26..30]);
        frame[34..36].copy_from_slice(&packet[36..38]);
        frame[36..38].copy_from_slice(&packet[34..36]);
        // No checksum of UDP.
        frame[40..42].fill(0);
    }
    send(0, sending);
    Some(())
}

#[unsafe(no_mangle)]
extern "C" fn ethernet_input(packet: *mut Pbuf, netif: *mut Netif) -> i8 {
    if case() == cases::HOLD {
        // SAFETY: one thread.
        unsafe {
            let held = &mut *addr_of_mut!(HELD);
            if let Some(place) = held.iter_mut().find(|place| place.is_null()) {
                *place = packet;
            }
        }
        say!(c"held\n");
        return 0;
    }
    // SAFETY: the SDK gives a packet of pbuf_alloc whose payload is a frame.
    unsafe {
        let bytes = core::slice::from_raw_parts((*packet).payload, usize::from((*packet).length));
        let _ = answer(bytes, (*netif).hwaddr);
        let esf = (*packet).esf;
        (*packet).esf = null_mut();
        sdk::system_pp_recycle_rx_pkt(esf);
        if case() == cases::RECYCLE_TWICE {
            sdk::system_pp_recycle_rx_pkt(esf);
        }
        pbuf_free(packet);
    }
    0
}

/// Gives back what was kept.
pub fn release() {
    // SAFETY: one thread.
    unsafe {
        for place in &mut *addr_of_mut!(HELD) {
            if !place.is_null() {
                pbuf_free(*place);
                *place = null_mut();
            }
        }
    }
}
