//! What the SDK expects of the IP stack that the firmware brings: 21 functions and 2 objects, with the layouts of lwIP 1.4 as compiled
//! into the vendor's libraries.

use core::ffi::c_void;

use crate::guard;

/// `struct netif`, 68 bytes.
#[repr(C)]
pub struct Netif {
    /// Next interface; belongs to the IP stack.
    pub next: *mut Netif,
    /// Address, network order.
    pub ip: u32,
    /// Mask.
    pub mask: u32,
    /// Gateway.
    pub gateway: u32,
    /// Takes received frames.
    pub input: Option<extern "C" fn(*mut Pbuf, *mut Netif) -> i8>,
    /// Sends IP packets (unused here).
    pub output: Option<unsafe extern "C" fn(*mut Netif, *mut Pbuf, *mut u32) -> i8>,
    /// Sends frames: the SDK's.
    pub linkoutput: Option<extern "C" fn(*mut Netif, *mut Pbuf) -> i8>,
    /// The SDK's.
    pub state: *mut c_void,
    /// DHCP client; belongs to the IP stack.
    pub dhcp: *mut c_void,
    /// DHCP server; belongs to the IP stack.
    pub dhcps_pcb: *mut c_void,
    /// The SDK's.
    pub dhcp_event: *mut c_void,
    /// Name for DHCP.
    pub hostname: *const u8,
    /// Largest IP packet.
    pub mtu: u16,
    /// 6.
    pub hwaddr_len: u8,
    /// Hardware address.
    pub hwaddr: [u8; 6],
    /// Flags of [`flag`].
    pub flags: u8,
    /// Two letters.
    pub name: [u8; 2],
    /// Number.
    pub number: u8,
    /// Multicast filter.
    pub igmp_mac_filter: *mut c_void,
}

/// Flags of an interface.
pub mod flag {
    /// Up.
    pub const UP: u8 = 0x01;
    /// DHCP client runs.
    pub const DHCP: u8 = 0x08;
    /// Link is there: frames are delivered.
    pub const LINK_UP: u8 = 0x10;
    /// What the SDK starts with: broadcast, link, ARP, IGMP.
    pub const INITIAL: u8 = 0xB2;
}

/// `struct pbuf`, 20 bytes.
#[repr(C)]
pub struct Pbuf {
    /// Next of a chain.
    pub next: *mut Pbuf,
    /// Data.
    pub payload: *mut u8,
    /// Length with those that follow.
    pub total: u16,
    /// Length.
    pub length: u16,
    /// 0 RAM, 1 ROM, 2 reference, 3 pool, others private.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// References.
    pub references: u16,
    /// Receive buffer of the SDK that the data lies in.
    pub esf: *mut c_void,
}

/// Layer of `pbuf_alloc`: a frame.
pub const RAW: u32 = 3;
/// Kind of `pbuf_alloc`: refers to memory elsewhere.
pub const REFERENCE: u32 = 2;

/// `struct ip_info`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IpInfo {
    /// Address, network order.
    pub ip: u32,
    /// Mask.
    pub mask: u32,
    /// Gateway.
    pub gateway: u32,
}

const _: () = {
    assert!(core::mem::offset_of!(Netif, input) == 16);
    assert!(core::mem::offset_of!(Netif, linkoutput) == 24);
    assert!(core::mem::offset_of!(Netif, state) == 28);
    assert!(core::mem::offset_of!(Netif, hostname) == 44);
    assert!(core::mem::offset_of!(Netif, mtu) == 48);
    assert!(core::mem::offset_of!(Netif, hwaddr) == 51);
    assert!(core::mem::offset_of!(Netif, flags) == 57);
    assert!(core::mem::offset_of!(Netif, number) == 60);
    assert!(core::mem::offset_of!(Netif, igmp_mac_filter) == 64);
    assert!(size_of::<Netif>() == 68);
    assert!(core::mem::offset_of!(Pbuf, total) == 8);
    assert!(core::mem::offset_of!(Pbuf, length) == 10);
    assert!(core::mem::offset_of!(Pbuf, kind) == 12);
    assert!(core::mem::offset_of!(Pbuf, references) == 14);
    assert!(core::mem::offset_of!(Pbuf, esf) == 16);
    assert!(size_of::<Pbuf>() == 20);
};

/// An initialiser of an interface.
pub type NetifInit = extern "C" fn(*mut Netif) -> i8;
/// A receiver of frames.
pub type NetifInput = unsafe extern "C" fn(*mut Pbuf, *mut Netif) -> i8;

unsafe extern "C" {
    /// The default interface.
    pub static mut netif_default: *mut Netif;
    /// Six bytes of 0xFF.
    pub static ethbroadcast: [u8; 6];

    /// Starts the stack.
    pub fn lwip_init();
    /// Starts Espressif's layer above it.
    pub fn espconn_init();
    /// Timers of the stack: called every `lwip_timer_interval` ms.
    pub fn sys_check_timeouts(argument: *mut c_void);
    /// Adds an interface: stores `state` and `input`, calls `init`, and returns the interface.
    pub fn netif_add(
        netif: *mut Netif,
        ip: *const u32,
        mask: *const u32,
        gateway: *const u32,
        state: *mut c_void,
        init: NetifInit,
        input: NetifInput,
    ) -> *mut Netif;
    /// Takes an interface out.
    pub fn netif_remove(netif: *mut Netif);
    /// Sets addresses.
    pub fn netif_set_addr(netif: *mut Netif, ip: *const u32, mask: *const u32, gateway: *const u32);
    /// Makes an interface the default.
    pub fn netif_set_default(netif: *mut Netif);
    /// Sets flags UP and LINK_UP.
    pub fn netif_set_up(netif: *mut Netif);
    /// Clears them.
    pub fn netif_set_down(netif: *mut Netif);
    /// Begins to ask for an address; sets flags UP and LINK_UP.
    pub fn dhcp_start(netif: *mut Netif) -> i8;
    /// Stops asking.
    pub fn dhcp_stop(netif: *mut Netif);
    /// Gives the address back.
    pub fn dhcp_release(netif: *mut Netif) -> i8;
    /// Frees what the client had.
    pub fn dhcp_cleanup(netif: *mut Netif);
    /// Starts the DHCP server of the access point.
    pub fn dhcps_start(info: *mut IpInfo);
    /// Stops it.
    pub fn dhcps_stop();
    /// Sends an IP packet by ARP.
    pub fn etharp_output(netif: *mut Netif, packet: *mut Pbuf, ip: *mut u32) -> i8;
    /// Takes a received frame.
    pub fn ethernet_input(packet: *mut Pbuf, netif: *mut Netif) -> i8;
    /// A packet buffer.
    pub fn pbuf_alloc(layer: u32, length: u16, kind: u32) -> *mut Pbuf;
    /// Copies one chain into another.
    pub fn pbuf_copy(to: *mut Pbuf, from: *mut Pbuf) -> i8;
    /// Gives up a reference.
    pub fn pbuf_free(packet: *mut Pbuf) -> u8;
    /// Takes a reference.
    pub fn pbuf_ref(packet: *mut Pbuf);
}

/// Starts the stack, after a look at what the linker bound.
pub fn begin() {
    let functions: [*const (); 21] = [
        lwip_init as *const (),
        espconn_init as *const (),
        sys_check_timeouts as *const (),
        netif_add as *const (),
        netif_remove as *const (),
        netif_set_addr as *const (),
        netif_set_default as *const (),
        netif_set_up as *const (),
        netif_set_down as *const (),
        dhcp_start as *const (),
        dhcp_stop as *const (),
        dhcp_release as *const (),
        dhcp_cleanup as *const (),
        dhcps_start as *const (),
        dhcps_stop as *const (),
        etharp_output as *const (),
        ethernet_input as *const (),
        pbuf_alloc as *const (),
        pbuf_copy as *const (),
        pbuf_free as *const (),
        pbuf_ref as *const (),
    ];
    for function in functions {
        if !guard::is_code(function as u32) {
            guard::violation(
                c"a function of the IP stack lies at 0x%08x, which is no code",
                &[function as u32],
            );
        }
    }
    let broadcast = &raw const ethbroadcast;
    // SAFETY: an object of the firmware, initialised before the start.
    if !guard::in_data_ram(broadcast as u32, 6) || unsafe { broadcast.read() } != [0xFF; 6] {
        guard::violation(c"ethbroadcast at 0x%08x is not six bytes 0xFF in data RAM", &[broadcast as u32]);
    }
    guard::callback(c"lwip_init", 0, || {
        // SAFETY: once, before anything else of the stack.
        unsafe { lwip_init() }
    });
    guard::callback(c"espconn_init", 0, || {
        // SAFETY: once, behind lwip_init.
        unsafe { espconn_init() }
    });
}

/// Whether frames may be delivered to an interface.
#[must_use]
pub fn link_is_up(netif: *mut Netif) -> bool {
    // SAFETY: the SDK's interfaces live until netif_remove; null is looked at.
    !netif.is_null() && unsafe { (*netif).flags } & flag::LINK_UP != 0
}
