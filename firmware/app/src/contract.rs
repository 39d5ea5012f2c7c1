//! The IP stack that the SDK's libraries are linked against: lwIP 1.4's names and layouts, as far as the libraries use
//! them (21 functions and 2 objects; facts: disassembled NONOS SDK 2.2.1, 2.2.2-dev and 3.0.5), carried out on embassy-net.
//!
//! Frames are not copied on their way in: the SDK's receive buffer waits in a short queue until the stack has looked at it, and goes
//! back at once when the queue is full. On their way out they are written into buffers of ours which the SDK rewrites in
//! place, 36 bytes of headroom included, and hands back through `pbuf_free`.

use core::ffi::c_void;
use core::ptr;
use core::task::Waker;
use spore_rt::task_cell::TaskCell;

/// Frames received that wait for the stack. The SDK has about eight buffers; those held here are missing there.
const RX_QUEUE: usize = 4;
/// Descriptors for received frames: the SDK does not survive a missing one.
const RX_PBUFS: usize = 10;
/// Frames on their way out.
const TX_BUFFERS: usize = 1;
/// Room before a frame that the SDK writes its own headers to.
const HEADROOM: usize = 36;
/// Longest frame sent, Ethernet header included. Its segments of 960 bytes are shorter than a connection's send buffer (1,024), so
/// that a second one follows and the other side need not be waited for: it acknowledges one segment late, two at once (RFC 1122,
/// 4.2.3.2). Longer frames are received all the same.
pub const MAX_FRAME: usize = 14 + 40 + 960;

/// `struct netif`, 68 bytes, allocated by the SDK.
#[repr(C)]
pub struct Netif {
    next: *mut Netif,
    ip: u32,
    mask: u32,
    gateway: u32,
    input: Option<extern "C" fn(*mut Pbuf, *mut Netif) -> i8>,
    output: *mut c_void,
    linkoutput: Option<extern "C" fn(*mut Netif, *mut Pbuf) -> i8>,
    state: *mut c_void,
    dhcp: *mut c_void,
    dhcps_pcb: *mut c_void,
    dhcp_event: *mut c_void,
    hostname: *mut u8,
    mtu: u16,
    hwaddr_len: u8,
    hwaddr: [u8; 6],
    flags: u8,
    name: [u8; 2],
    num: u8,
    igmp_mac_filter: *mut c_void,
}

/// `struct pbuf`, 20 bytes.
#[repr(C)]
pub struct Pbuf {
    next: *mut Pbuf,
    payload: *mut u8,
    tot_len: u16,
    len: u16,
    kind: u8,
    flags: u8,
    refs: u16,
    eb: *mut c_void,
}

const _: () = {
    assert!(core::mem::offset_of!(Netif, input) == 16);
    assert!(core::mem::offset_of!(Netif, linkoutput) == 24);
    assert!(core::mem::offset_of!(Netif, mtu) == 48);
    assert!(core::mem::offset_of!(Netif, flags) == 57);
    assert!(size_of::<Netif>() == 68);
    assert!(core::mem::offset_of!(Pbuf, kind) == 12);
    assert!(core::mem::offset_of!(Pbuf, eb) == 16);
    assert!(size_of::<Pbuf>() == 20);
};

const FLAG_UP: u8 = 0x01;
const FLAG_LINK_UP: u8 = 0x10;
/// `PBUF_RAM`: the payload follows the descriptor in one block of the SDK's heap.
const KIND_RAM: u8 = 0;
/// `PBUF_REF`: the payload is the SDK's.
const KIND_REF: u8 = 2;
/// Ours; anything but 0, which the SDK takes for its own.
const KIND_TX: u8 = 0x53;
/// Free descriptor.
const KIND_FREE: u8 = 0xFF;

impl Pbuf {
    const FREE: Self = Self {
        next: ptr::null_mut(),
        payload: ptr::null_mut(),
        tot_len: 0,
        len: 0,
        kind: KIND_FREE,
        flags: 0,
        refs: 0,
        eb: ptr::null_mut(),
    };

    fn reset(&mut self, kind: u8, payload: *mut u8, len: u16, refs: u16) {
        *self = Self { payload, tot_len: len, len, kind, refs, ..Self::FREE };
    }
}

/// A frame on its way out. The SDK needs the frame aligned to 4 less 2, as lwIP has it, so that the IP header lies on a word.
#[repr(C, align(4))]
struct TxBuffer {
    pbuf: Pbuf,
    pad: [u8; 2],
    headroom: [u8; HEADROOM],
    frame: [u8; MAX_FRAME],
}

impl TxBuffer {
    const EMPTY: Self =
        Self { pbuf: Pbuf::FREE, pad: [0; 2], headroom: [0; HEADROOM], frame: [0; MAX_FRAME] };
}

struct Link {
    station: *mut Netif,
    access_point: *mut Netif,
    station_up: bool,
    access_point_up: bool,
    received: [*mut Pbuf; RX_QUEUE],
    waiting: usize,
    waker: Option<Waker>,
}

static LINK: TaskCell<Link> = TaskCell::new(Link {
    station: ptr::null_mut(),
    access_point: ptr::null_mut(),
    station_up: false,
    access_point_up: false,
    received: [ptr::null_mut(); RX_QUEUE],
    waiting: 0,
    waker: None,
});
static RX: TaskCell<[Pbuf; RX_PBUFS]> = TaskCell::new([const { Pbuf::FREE }; RX_PBUFS]);
static TX: TaskCell<[TxBuffer; TX_BUFFERS]> = TaskCell::new([const { TxBuffer::EMPTY }; TX_BUFFERS]);

unsafe extern "C" {
    fn system_pp_recycle_rx_pkt(eb: *mut c_void);
    fn system_station_got_ip_set(ip: *const u32, mask: *const u32, gateway: *const u32) -> bool;
    /// SDK 2 takes the first three arguments, SDK 3 all four; the fourth does no harm there.
    fn pvPortMalloc(size: u32, file: *const u8, line: u32, iram: bool) -> *mut c_void;
    fn vPortFree(block: *mut c_void, file: *const u8, line: u32);
}

/// Name under which the SDK's heap books our blocks.
static OWNER: [u8; 4] = *b"ip\0\0";

impl Link {
    fn up(&self) -> bool {
        self.station_up || self.access_point_up
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

// --- what the device asks ---

/// Whether frames can be sent and received.
pub fn link_up() -> bool {
    LINK.with(|link| link.up())
}

/// Whom to wake when a frame came, a buffer came back or the link changed.
pub fn register(waker: &Waker) {
    LINK.with(|link| match &link.waker {
        Some(known) if known.will_wake(waker) => {}
        _ => link.waker = Some(waker.clone()),
    });
}

/// Whether a received frame waits.
pub fn frame_waits() -> bool {
    LINK.with(|link| link.waiting > 0)
}

/// Lends the oldest received frame to a closure and gives its buffer back to the SDK.
pub fn receive<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let pbuf = LINK.with(|link| {
        let first = link.received[0];
        link.received.copy_within(1.., 0);
        link.received[RX_QUEUE - 1] = ptr::null_mut();
        link.waiting = link.waiting.saturating_sub(1);
        first
    });
    if pbuf.is_null() {
        // Not reached: the device asks `frame_waits` first.
        return f(&mut []);
    }
    // SAFETY: queued by `input`, where payload and length were the SDK's, and not freed since.
    let frame = unsafe { core::slice::from_raw_parts_mut((*pbuf).payload, usize::from((*pbuf).len)) };
    let result = f(frame);
    give_back(pbuf);
    result
}

fn give_back(pbuf: *mut Pbuf) {
    // SAFETY: a descriptor of `RX`, whose buffer is the SDK's until it is recycled here, once.
    unsafe {
        let eb = core::mem::take(&mut (*pbuf).eb);
        if !eb.is_null() {
            system_pp_recycle_rx_pkt(eb);
        }
    }
    pbuf_free(pbuf);
}

/// Hardware address that frames are sent from and taken for: that of the own access point while only that is up. The two
/// interfaces of the chip have different ones.
pub fn hardware_address() -> Option<[u8; 6]> {
    LINK.with(|link| {
        let netif = if link.station_up { link.station } else { link.access_point };
        // SAFETY: the SDK's netif, used in task context only.
        unsafe { netif.as_ref() }.map(|netif| netif.hwaddr)
    })
}

/// Whether a frame can be taken for sending.
pub fn can_send() -> bool {
    LINK.with(|link| link.up())
        && TX.with(|buffers| buffers.iter().any(|buffer| buffer.pbuf.kind == KIND_FREE))
}

/// Has a closure write a frame of so many bytes and hands it to the SDK. Call only when [`can_send`].
pub fn send<R>(length: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    let length = length.min(MAX_FRAME);
    let free = TX.with(|buffers| {
        let buffer = buffers.iter_mut().find(|buffer| buffer.pbuf.kind == KIND_FREE)?;
        let payload = buffer.frame.as_mut_ptr();
        buffer.pbuf.reset(KIND_TX, payload, length as u16, 0);
        Some(ptr::from_mut(buffer))
    });
    // Not reached: the device asks `can_send` first.
    let Some(buffer) = free else { panic!("no buffer to send from") };
    // SAFETY: the buffer is marked as taken, so nothing else uses its frame until the SDK gives it back.
    let result = f(unsafe { &mut (&mut (*buffer).frame)[..length] });
    let netif = LINK.with(|link| if link.station_up { link.station } else { link.access_point });
    // SAFETY: the SDK's netif; `linkoutput` was set by the SDK's init function.
    let taken = unsafe {
        match netif.as_ref().and_then(|netif| netif.linkoutput) {
            Some(output) => output(netif, &raw mut (*buffer).pbuf) == 0,
            None => false,
        }
    };
    if !taken {
        // SAFETY: the SDK refused the frame, so the buffer is ours again (unless it freed it by itself, which is the same).
        unsafe { (*buffer).pbuf = Pbuf::FREE };
    }
    result
}

/// Tells the SDK the address that DHCP gave us, so that its own state follows (all zero: none).
pub fn set_address(ip: [u8; 4], mask: [u8; 4], gateway: [u8; 4]) {
    let netif = LINK.with(|link| link.station);
    if netif.is_null() {
        return;
    }
    // SAFETY: the SDK's netif, used in task context only.
    unsafe {
        let old = ((*netif).ip, (*netif).mask, (*netif).gateway);
        (*netif).ip = u32::from_ne_bytes(ip);
        (*netif).mask = u32::from_ne_bytes(mask);
        (*netif).gateway = u32::from_ne_bytes(gateway);
        system_station_got_ip_set(&old.0, &old.1, &old.2);
    }
}

fn set_link(netif: *mut Netif, up: bool) {
    if netif.is_null() {
        return;
    }
    // SAFETY: the SDK's netif, used in task context only.
    unsafe {
        if up {
            (*netif).flags |= FLAG_UP | FLAG_LINK_UP;
        } else {
            (*netif).flags &= !(FLAG_UP | FLAG_LINK_UP);
        }
    }
    let station = LINK.with(|link| {
        let station = netif == link.station;
        if station {
            link.station_up = up;
        } else {
            link.access_point_up = up;
        }
        link.wake();
        station
    });
    if station {
        crate::radio::link_changed(up);
    }
}

// --- what the SDK calls ---

/// `FF:FF:FF:FF:FF:FF`, which the SDK reads byte-wise.
#[unsafe(no_mangle)]
pub static ethbroadcast: [u8; 6] = [0xFF; 6];

/// The interface that packets without a better one go to; set by the SDK and by us, read by nobody here.
#[unsafe(no_mangle)]
pub static netif_default: TaskCell<*mut Netif> = TaskCell::new(ptr::null_mut());

#[unsafe(no_mangle)]
extern "C" fn lwip_init() {}

#[unsafe(no_mangle)]
extern "C" fn espconn_init() {}

/// Called every 25 ms by a timer of the SDK.
#[unsafe(no_mangle)]
extern "C" fn sys_check_timeouts(_: *mut c_void) {
    spore_rt::executor::nudge();
}

#[unsafe(no_mangle)]
extern "C" fn netif_add(
    netif: *mut Netif,
    ip: *const u32,
    mask: *const u32,
    gateway: *const u32,
    state: *mut c_void,
    init: extern "C" fn(*mut Netif) -> i8,
    _input: extern "C" fn(*mut Pbuf, *mut Netif) -> i8,
) -> *mut Netif {
    // SAFETY: the SDK's own structure and addresses, alive for ever.
    unsafe {
        (*netif).ip = ip.as_ref().copied().unwrap_or(0);
        (*netif).mask = mask.as_ref().copied().unwrap_or(0);
        (*netif).gateway = gateway.as_ref().copied().unwrap_or(0);
        (*netif).state = state;
        (*netif).input = Some(ethernet_input);
        (*netif).flags = 0;
        if init(netif) != 0 {
            return ptr::null_mut();
        }
    }
    LINK.with(|link| {
        // The station's interface is the one whose address is the station's.
        if is_station(netif) { link.station = netif } else { link.access_point = netif }
    });
    netif
}

/// Which of the two interfaces this is, by its hardware address.
fn is_station(netif: *mut Netif) -> bool {
    let mut mac = [0u8; 6];
    // SAFETY: a buffer of six bytes; the SDK's init function has set the interface's address.
    unsafe { spore_rt::sdk::wifi_get_macaddr(0, mac.as_mut_ptr()) && (*netif).hwaddr == mac }
}

#[unsafe(no_mangle)]
extern "C" fn netif_remove(netif: *mut Netif) {
    set_link(netif, false);
    netif_default.with(|default| {
        if *default == netif {
            *default = ptr::null_mut();
        }
    });
    LINK.with(|link| {
        if link.station == netif {
            link.station = ptr::null_mut();
        } else if link.access_point == netif {
            link.access_point = ptr::null_mut();
        }
    });
    netif_default.with(|default| {
        if *default == netif {
            *default = ptr::null_mut();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_addr(netif: *mut Netif, ip: *const u32, mask: *const u32, gateway: *const u32) {
    // SAFETY: as for `netif_add`.
    unsafe {
        (*netif).ip = ip.as_ref().copied().unwrap_or(0);
        (*netif).mask = mask.as_ref().copied().unwrap_or(0);
        (*netif).gateway = gateway.as_ref().copied().unwrap_or(0);
    }
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_default(netif: *mut Netif) {
    netif_default.with(|default| *default = netif);
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_up(netif: *mut Netif) {
    set_link(netif, true);
}

#[unsafe(no_mangle)]
extern "C" fn netif_set_down(netif: *mut Netif) {
    set_link(netif, false);
}

/// The station is associated and authenticated: the link is up. The address comes from our own DHCP client.
#[unsafe(no_mangle)]
extern "C" fn dhcp_start(netif: *mut Netif) -> i8 {
    set_link(netif, true);
    0
}

#[unsafe(no_mangle)]
extern "C" fn dhcp_stop(_: *mut Netif) {}

#[unsafe(no_mangle)]
extern "C" fn dhcp_release(_: *mut Netif) -> i8 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn dhcp_cleanup(_: *mut Netif) {}

#[unsafe(no_mangle)]
extern "C" fn dhcps_start(_: *mut c_void) {}

#[unsafe(no_mangle)]
extern "C" fn dhcps_stop() {}

/// The SDK's own IP output, which nothing uses.
#[unsafe(no_mangle)]
extern "C" fn etharp_output(_: *mut Netif, _: *mut Pbuf, _: *mut u32) -> i8 {
    0
}

/// `netif->input`: a received frame.
#[unsafe(no_mangle)]
extern "C" fn ethernet_input(pbuf: *mut Pbuf, netif: *mut Netif) -> i8 {
    let queued = LINK.with(|link| {
        // With both links up the station's counts: one stack has one address.
        let wanted = if link.station_up { netif == link.station } else { netif == link.access_point };
        if !wanted {
            return false;
        }
        match link.received.get_mut(link.waiting) {
            Some(place) => {
                *place = pbuf;
                link.waiting += 1;
                link.wake();
                true
            }
            None => false,
        }
    });
    if !queued {
        give_back(pbuf);
    }
    0
}

/// Never null for `PBUF_REF`: the SDK does not check.
#[unsafe(no_mangle)]
extern "C" fn pbuf_alloc(_layer: u32, length: u16, kind: u32) -> *mut Pbuf {
    if kind == u32::from(KIND_RAM) {
        let room = (size_of::<Pbuf>() + HEADROOM + 4) as u32;
        // SAFETY: the SDK's heap, in task context.
        let block =
            unsafe { pvPortMalloc(room + u32::from(length), OWNER.as_ptr(), 0, false) }.cast::<Pbuf>();
        if !block.is_null() {
            // SAFETY: a fresh block of `room` and the payload, aligned to 4 at least.
            unsafe { (*block).reset(KIND_RAM, block.cast::<u8>().add(room as usize), length, 1) };
        }
        return block;
    }
    let free = RX.with(|pool| {
        let pbuf = pool.iter_mut().find(|pbuf| pbuf.kind == KIND_FREE)?;
        pbuf.reset(KIND_REF, ptr::null_mut(), length, 1);
        Some(ptr::from_mut(pbuf))
    });
    match free {
        Some(pbuf) => pbuf,
        // The SDK has fewer buffers than there are descriptors; if it had more, it would write through a null pointer.
        None => panic!("no descriptor for a received frame"),
    }
}

#[unsafe(no_mangle)]
extern "C" fn pbuf_ref(pbuf: *mut Pbuf) {
    // SAFETY: a descriptor of ours that the SDK holds.
    unsafe { (*pbuf).refs = (*pbuf).refs.wrapping_add(1) };
}

#[unsafe(no_mangle)]
extern "C" fn pbuf_free(pbuf: *mut Pbuf) -> u8 {
    if pbuf.is_null() {
        return 0;
    }
    // SAFETY: a descriptor of ours, of one of the three kinds.
    unsafe {
        (*pbuf).refs = (*pbuf).refs.saturating_sub(1);
        if (*pbuf).refs > 0 {
            return 0;
        }
        match (*pbuf).kind {
            KIND_TX => {
                *pbuf = Pbuf::FREE;
                LINK.with(|link| link.wake());
            }
            KIND_REF => {
                let eb = core::mem::take(&mut (*pbuf).eb);
                if !eb.is_null() {
                    system_pp_recycle_rx_pkt(eb);
                }
                *pbuf = Pbuf::FREE;
            }
            KIND_RAM => {
                let eb = core::mem::take(&mut (*pbuf).eb);
                if !eb.is_null() {
                    system_pp_recycle_rx_pkt(eb);
                }
                vPortFree(pbuf.cast(), OWNER.as_ptr(), 0);
            }
            _ => panic!("a descriptor was freed twice"),
        }
    }
    1
}

/// Copies one packet's bytes into another of at least its length.
#[unsafe(no_mangle)]
extern "C" fn pbuf_copy(to: *mut Pbuf, from: *mut Pbuf) -> i8 {
    if to.is_null() || from.is_null() {
        return -14;
    }
    // SAFETY: both are descriptors with their payloads; lengths are compared before.
    unsafe {
        if (*to).len < (*from).len {
            return -14;
        }
        ptr::copy((*from).payload, (*to).payload, usize::from((*from).len));
    }
    0
}
