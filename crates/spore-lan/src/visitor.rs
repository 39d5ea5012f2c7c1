//! A guest of a node's own access point: how the host reaches a node that is not, or no longer, on the LAN.

use crate::Mac;
use crate::air::{AccessPointId, Air};
use crate::bridge::Way;
use crate::executor::Spawner;
use crate::host::{Address, Host};
use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Address of a node on its own access point, as Espressif's SDK has it.
const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);
/// The guest's address, outside what the node's DHCP server gives out.
const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 2);
/// The guest's hardware address.
const MAC: Mac = [0x02, 0x53, 0x50, 0x4f, 0x01, 0x01];
/// Connections at the same time, and one socket to spare.
const SOCKETS: usize = 9;

/// Visits one node's access point whenever that is open.
pub struct Visitor {
    air: Air,
    spawner: Spawner,
    node: Mac,
    visit: RefCell<Option<(AccessPointId, Host)>>,
}

impl Visitor {
    /// A visitor of the node with this hardware address.
    pub fn new(spawner: &Spawner, air: &Air, node: Mac) -> Self {
        Self { air: air.clone(), spawner: spawner.clone(), node, visit: RefCell::default() }
    }

    /// The way to a port of the node over its access point; `None` while that is closed.
    pub fn way(&self, port: u16) -> Option<Way> {
        let id = self.air.access_point_of(self.node);
        let mut visit = self.visit.borrow_mut();
        if visit.as_ref().map(|(there, _)| *there) != id {
            // The host of a closed access point goes; its connections end with the time-outs of their sockets.
            *visit = id.and_then(|id| {
                let port = self.air.switch_of(id)?.attach(MAC);
                Some((id, Host::new::<SOCKETS>(&self.spawner, port, Address::Static(GUEST, 24), 1)))
            });
        }
        let (_, host) = visit.as_ref()?;
        Some(Way { stack: host.stack(), to: SocketAddrV4::new(NODE, port) })
    }
}
