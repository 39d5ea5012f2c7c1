//! The LAN's DHCP server (RFC 2131).
//!
//! It works on Ethernet frames and answers at once, so it needs no task: [`DhcpDevice`] lets it look at the frames
//! of another device first. An address belongs to a hardware address for good; leases merely tell clients when to
//! ask again, so a node that was away finds its address unchanged.

use crate::Mac;
use crate::switch::{self, Port};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use spore_wire::dhcp::{ANSWER, Request, SERVER_PORT, Server, Wish};
use spore_wire::frame::Datagram;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::task::Context;

/// What a server gives out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpConfig {
    /// Hardware address it answers from.
    pub mac: Mac,
    /// Its own address, also the gateway and name server it names.
    pub server: Ipv4Addr,
    /// Bits of the network part.
    pub prefix: u8,
    /// First address given out.
    pub first: Ipv4Addr,
    /// Last address given out.
    pub last: Ipv4Addr,
    /// Seconds until a client has to ask again.
    pub lease_seconds: u32,
}

impl DhcpConfig {
    /// The virtual LAN: 10.4.0.10 to 10.4.255.254 in 10.4.0.0/16, so that a thousand nodes fit.
    pub fn lan(mac: Mac) -> Self {
        Self {
            mac,
            server: Ipv4Addr::new(10, 4, 0, 1),
            prefix: 16,
            first: Ipv4Addr::new(10, 4, 0, 10),
            last: Ipv4Addr::new(10, 4, 255, 254),
            lease_seconds: 3_600,
        }
    }

    fn mask(&self) -> Ipv4Addr {
        let host_bits = 32 - u32::from(self.prefix.min(32));
        Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
    }
}

/// Addresses given out and how to answer clients. Time plays no part.
pub struct DhcpServer {
    config: DhcpConfig,
    by_mac: HashMap<Mac, Ipv4Addr>,
    by_ip: BTreeMap<Ipv4Addr, Mac>,
}

impl DhcpServer {
    /// A server that has given nothing out.
    pub fn new(config: DhcpConfig) -> Self {
        Self { config, by_mac: HashMap::new(), by_ip: BTreeMap::new() }
    }

    /// Its configuration.
    pub fn config(&self) -> &DhcpConfig {
        &self.config
    }

    /// The address of a client, if it has one.
    pub fn address(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.by_mac.get(&mac).copied()
    }

    /// The clients and their addresses, by address.
    pub fn leases(&self) -> impl Iterator<Item = (Ipv4Addr, Mac)> {
        self.by_ip.iter().map(|(ip, mac)| (*ip, *mac))
    }

    /// Gives a client an address before it asks: the one it has, else `wanted` if free, else the first free one.
    /// `None` when all are taken.
    pub fn assign(&mut self, mac: Mac, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if let Some(ip) = self.address(mac) {
            return Some(ip);
        }
        let range = self.config.first..=self.config.last;
        let wanted = wanted.filter(|ip| range.contains(ip) && !self.by_ip.contains_key(ip));
        let ip = wanted.or_else(|| {
            // The taken addresses in order, walked until the first gap.
            let mut candidate = u32::from(self.config.first);
            for (&taken, _) in self.by_ip.range(self.config.first..) {
                if u32::from(taken) != candidate {
                    break;
                }
                candidate = candidate.checked_add(1)?;
            }
            Some(Ipv4Addr::from(candidate)).filter(|ip| range.contains(ip))
        })?;
        self.by_mac.insert(mac, ip);
        self.by_ip.insert(ip, mac);
        Some(ip)
    }

    /// Forgets a client, so that its address is free again. Says whether it had one.
    pub fn forget(&mut self, mac: Mac) -> bool {
        let ip = self.by_mac.remove(&mac);
        ip.is_some_and(|ip| self.by_ip.remove(&ip).is_some())
    }

    /// Whether a frame is a DHCP client's and so is nobody else's business.
    pub fn concerns(frame: &[u8]) -> bool {
        Datagram::may_be_to(frame, SERVER_PORT)
    }

    /// Takes a frame; returns the frame of the answer, if it deserves one.
    pub fn handle(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let config = self.config;
        let request = Request::parse(frame)?;
        if request.wish == Wish::Release && request.server.is_none_or(|server| server == config.server) {
            self.forget(request.mac);
        }
        let answer = request.answer(config.server, |mac, wished| self.assign(mac, wished))?;
        let server =
            Server { mac: config.mac, ip: config.server, mask: config.mask(), lease: config.lease_seconds };
        let mut bytes = vec![0; ANSWER];
        answer.emit(&server, &mut bytes)?;
        Some(bytes)
    }
}

/// A port whose DHCP requests are answered by a server before its owner sees them.
pub struct DhcpDevice {
    port: Port,
    server: Rc<RefCell<DhcpServer>>,
}

impl DhcpDevice {
    /// Puts a server in front of a port.
    pub fn new(port: Port, server: Rc<RefCell<DhcpServer>>) -> Self {
        Self { port, server }
    }

    /// Lets the server have a frame; says whether it was for it.
    fn offer(&self, frame: &[u8]) -> bool {
        let concerned = DhcpServer::concerns(frame);
        if concerned && let Some(answer) = self.server.borrow_mut().handle(frame) {
            self.port.send(&answer);
        }
        concerned
    }
}

impl Driver for DhcpDevice {
    type RxToken<'a> = switch::RxToken<'a>;
    type TxToken<'a> = switch::TxToken<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(switch::RxToken<'_>, switch::TxToken<'_>)> {
        let frame = loop {
            let frame = self.port.poll_receive(cx)?;
            if !self.offer(&frame) {
                break frame;
            }
        };
        Some(self.port.tokens(&frame))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<switch::TxToken<'_>> {
        self.port.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.port.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.port.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.port.hardware_address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress};
    use spore_wire::frame::{EVERYBODY, End, datagram};

    const SERVER: Mac = [2, 0, 0, 0, 0, 1];

    fn server() -> DhcpServer {
        DhcpServer::new(DhcpConfig::lan(SERVER))
    }

    fn mac(n: u8) -> Mac {
        [2, 0, 0, 0, 1, n]
    }

    #[test]
    fn addresses_are_stable_and_gaps_are_filled() {
        let mut server = server();
        let first = server.assign(mac(1), None).unwrap();
        assert_eq!(first, Ipv4Addr::new(10, 4, 0, 10));
        assert_eq!(server.assign(mac(2), None), Some(Ipv4Addr::new(10, 4, 0, 11)));
        assert_eq!(server.assign(mac(1), Some(Ipv4Addr::new(10, 4, 9, 9))), Some(first), "what it has");
        let wish = Ipv4Addr::new(10, 4, 0, 13);
        assert_eq!(server.assign(mac(3), Some(wish)), Some(wish));
        assert_eq!(server.assign(mac(4), Some(wish)), Some(Ipv4Addr::new(10, 4, 0, 12)), "taken");
        assert_eq!(
            server.assign(mac(5), Some(Ipv4Addr::new(10, 4, 0, 1))),
            Some(Ipv4Addr::new(10, 4, 0, 14))
        );
        assert!(server.forget(mac(1)) && !server.forget(mac(1)));
        assert_eq!(server.assign(mac(6), None), Some(first));
        assert_eq!(server.leases().count(), 5);
    }

    #[test]
    fn a_full_range_gives_nothing_more() {
        let last = Ipv4Addr::new(10, 4, 0, 13);
        let mut server = DhcpServer::new(DhcpConfig { last, ..DhcpConfig::lan(SERVER) });
        for n in 0..4 {
            assert!(server.assign(mac(n), None).is_some());
        }
        assert_eq!(server.assign(mac(4), None), None);
    }

    /// A client's frame, as smoltcp's would send it.
    fn request(kind: DhcpMessageType, wanted: Option<Ipv4Addr>) -> Vec<u8> {
        let message = DhcpRepr {
            message_type: kind,
            transaction_id: 7,
            secs: 0,
            client_hardware_address: EthernetAddress(mac(1)),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: wanted,
            client_identifier: None,
            server_identifier: None,
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let from = End { mac: mac(1), ip: Ipv4Addr::UNSPECIFIED, port: 68 };
        let to = End { mac: EVERYBODY, ip: Ipv4Addr::BROADCAST, port: SERVER_PORT };
        let mut bytes = vec![0; 600];
        let length = datagram(from, to, &mut bytes, message.buffer_len(), |room| {
            message.emit(&mut DhcpPacket::new_unchecked(room)).unwrap();
        });
        bytes.truncate(length.unwrap());
        bytes
    }

    #[test]
    fn clients_come_and_go() {
        let mut server = server();
        let first = Ipv4Addr::new(10, 4, 0, 10);
        let mut ask = |kind, wanted| {
            let frame = request(kind, wanted);
            assert!(DhcpServer::concerns(&frame));
            let answer = server.handle(&frame)?;
            let datagram = Datagram::parse(&answer).unwrap();
            let packet = DhcpPacket::new_checked(datagram.payload).unwrap();
            let said = DhcpRepr::parse(&packet).unwrap();
            assert_eq!(
                (said.subnet_mask, said.lease_duration),
                (Some(Ipv4Addr::new(255, 255, 0, 0)), Some(3_600))
            );
            Some((said.message_type, said.your_ip))
        };
        assert_eq!(ask(DhcpMessageType::Discover, None), Some((DhcpMessageType::Offer, first)));
        assert_eq!(ask(DhcpMessageType::Request, Some(first)), Some((DhcpMessageType::Ack, first)));
        assert_eq!(ask(DhcpMessageType::Release, None), None);
        assert_eq!(server.address(mac(1)), None);
    }

    #[test]
    fn foreign_bytes_are_not_answered() {
        let mut server = server();
        let mut frame = vec![0xff; 400];
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        for len in 0..frame.len() {
            assert_eq!(server.handle(&frame[..len]), None);
        }
    }
}
