//! The LAN's own host: 10.4.0.1, which gives out addresses, tells the time and leads from the host's loopback to nodes.

use crate::Mac;
use crate::bridge::{Bridge, Room, Target, Way};
use crate::clock_server;
use crate::dhcp::{DhcpConfig, DhcpDevice, DhcpServer};
use crate::executor::{Spawner, Task};
use crate::host::{Address, Host};
use crate::switch::{PortOptions, Switch};
use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// Hardware address of the gateway.
pub const MAC: Mac = [0x02, 0x53, 0x50, 0x4f, 0x00, 0x01];
/// Address of the gateway.
pub const IP: Ipv4Addr = Ipv4Addr::new(10, 4, 0, 1);
/// Sockets of a usual gateway's stack.
const SOCKETS: usize = 256;
/// Sockets that bridges leave for requests and datagrams.
const OWN_SOCKETS: usize = 16;
/// Frames that wait for it at most; it hears every node.
const QUEUE: usize = 2_048;

/// The gateway. Dropping it takes it off the LAN, which breaks what its bridges carry: drop those first.
pub struct Gateway {
    host: Host,
    dhcp: Rc<RefCell<DhcpServer>>,
    spawner: Spawner,
    room: Room,
    _clock: Task<()>,
}

impl Gateway {
    /// Puts a gateway on a switch, with room for 240 bridged connections.
    pub fn new(spawner: &Spawner, switch: &Switch, seed: u64) -> Self {
        Self::with_sockets::<SOCKETS>(spawner, switch, seed)
    }

    /// The same with so many sockets, all but 16 of them for bridged connections; for simulations without bridges,
    /// since a stack's memory is never given back (see [`Host`]).
    pub fn with_sockets<const N: usize>(spawner: &Spawner, switch: &Switch, seed: u64) -> Self {
        let config = DhcpConfig::lan(MAC);
        let dhcp = Rc::new(RefCell::new(DhcpServer::new(config)));
        let port = switch.attach_with(PortOptions { queue: QUEUE, ..PortOptions::new(MAC) });
        let device = DhcpDevice::new(port, dhcp.clone());
        let host = Host::new::<N>(spawner, device, Address::Static(IP, config.prefix), seed);
        let clock = spawner.spawn(clock_server::serve(host.stack()));
        Self {
            host,
            dhcp,
            spawner: spawner.clone(),
            _clock: clock,
            room: Room::new(N.saturating_sub(OWN_SOCKETS)),
        }
    }

    /// Its stack, to speak from.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The address of a node, if it has been given one.
    pub fn address(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.dhcp.borrow().address(mac)
    }

    /// Gives a node its address before it asks. `None` when all are taken.
    pub fn reserve(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.dhcp.borrow_mut().assign(mac, None)
    }

    /// Leads TCP connections to `listen`, an address of the host (port 0: any free one), to a node. Real time only:
    /// the host's clients do not live in a virtual one.
    ///
    /// # Errors
    /// When the host refuses the address.
    pub fn bridge(&self, listen: SocketAddr, target: Target) -> io::Result<Bridge> {
        self.bridge_with(listen, target, || None)
    }

    /// The same, but a connection takes the `detour` whenever there is one.
    ///
    /// # Errors
    /// When the host refuses the address.
    pub fn bridge_with(
        &self,
        listen: SocketAddr,
        target: Target,
        detour: impl Fn() -> Option<Way> + 'static,
    ) -> io::Result<Bridge> {
        let (dhcp, stack) = (self.dhcp.clone(), self.host.stack());
        let direct = move || Some(Way { stack, to: target.resolve(&dhcp.borrow())? });
        let resolve = move || detour().or_else(&direct);
        Bridge::open(&self.spawner, listen, resolve, self.room.clone())
    }

    /// How many bridged connections there are now.
    pub fn connections(&self) -> usize {
        self.room.taken()
    }
}
