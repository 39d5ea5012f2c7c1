//! The LAN's DHCP server (RFC 2131).
//!
//! It works on Ethernet frames and answers at once, so it needs no task: [`DhcpDevice`] lets it look at the frames
//! of another device first. An address belongs to a hardware address for good; leases merely tell clients when to
//! ask again, so a node that was away finds its address unchanged.

use crate::Mac;
use crate::switch::{self, Port};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
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

    /// A node's own access point: 192.168.4.100 to .103 in 192.168.4.0/24, as Espressif's SDK does by default.
    pub fn access_point(mac: Mac) -> Self {
        Self {
            mac,
            server: Ipv4Addr::new(192, 168, 4, 1),
            prefix: 24,
            first: Ipv4Addr::new(192, 168, 4, 100),
            last: Ipv4Addr::new(192, 168, 4, 103),
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
        // IPv4 without options, UDP, to port 67: DHCP clients send nothing else.
        frame.get(12..15) == Some(&[0x08, 0x00, 0x45])
            && frame.get(23) == Some(&17)
            && frame.get(36..38) == Some(&DHCP_SERVER_PORT.to_be_bytes())
    }

    /// Takes a frame; returns the frame of the answer, if it deserves one.
    pub fn handle(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        if ip.next_header() != IpProtocol::Udp || !ip.verify_checksum() {
            return None;
        }
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        if udp.dst_port() != DHCP_SERVER_PORT
            || !udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into())
        {
            return None;
        }
        let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
        let request = DhcpRepr::parse(&packet).ok()?;
        if request.server_identifier.is_some_and(|server| server != self.config.server) {
            return None;
        }
        let mac = request.client_hardware_address.0;
        let (kind, address) = match request.message_type {
            DhcpMessageType::Discover => {
                (DhcpMessageType::Offer, Some(self.assign(mac, request.requested_ip)?))
            }
            DhcpMessageType::Request => {
                // Selecting and init-reboot name the address in an option, renewing in the header (RFC 2131, 4.3.2).
                let wanted = request.requested_ip.unwrap_or(request.client_ip);
                let granted = self.assign(mac, Some(wanted))?;
                if granted == wanted {
                    (DhcpMessageType::Ack, Some(granted))
                } else {
                    (DhcpMessageType::Nak, None)
                }
            }
            DhcpMessageType::Release | DhcpMessageType::Decline => {
                self.forget(mac);
                return None;
            }
            _ => return None,
        };
        self.answer(&request, kind, address)
    }

    fn answer(
        &self,
        request: &DhcpRepr<'_>,
        kind: DhcpMessageType,
        address: Option<Ipv4Addr>,
    ) -> Option<Vec<u8>> {
        let config = &self.config;
        let granted = address.is_some();
        let dhcp = DhcpRepr {
            message_type: kind,
            transaction_id: request.transaction_id,
            secs: 0,
            client_hardware_address: request.client_hardware_address,
            client_ip: if granted { request.client_ip } else { Ipv4Addr::UNSPECIFIED },
            your_ip: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: granted.then_some(config.server),
            subnet_mask: granted.then(|| config.mask()),
            relay_agent_ip: request.relay_agent_ip,
            broadcast: request.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(config.server),
            parameter_request_list: None,
            dns_servers: granted.then(|| [config.server].into_iter().collect()),
            max_size: None,
            lease_duration: granted.then_some(config.lease_seconds),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let everybody = request.broadcast || !granted;
        let udp = UdpRepr { src_port: DHCP_SERVER_PORT, dst_port: DHCP_CLIENT_PORT };
        let ip = Ipv4Repr {
            src_addr: config.server,
            dst_addr: address.filter(|_| !everybody).unwrap_or(Ipv4Addr::BROADCAST),
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + dhcp.buffer_len(),
            hop_limit: 64,
        };
        let ethernet = EthernetRepr {
            src_addr: EthernetAddress(config.mac),
            dst_addr: if everybody { EthernetAddress::BROADCAST } else { request.client_hardware_address },
            ethertype: EthernetProtocol::Ipv4,
        };
        let checksums = ChecksumCapabilities::default();
        let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + ip.payload_len];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        ethernet.emit(&mut frame);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &checksums);
        let mut written = Ok(());
        udp.emit(
            &mut UdpPacket::new_unchecked(packet.payload_mut()),
            &ip.src_addr.into(),
            &ip.dst_addr.into(),
            dhcp.buffer_len(),
            |payload| written = dhcp.emit(&mut DhcpPacket::new_unchecked(payload)),
            &checksums,
        );
        written.ok().map(|()| bytes)
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

    /// Serves, and discards all other frames. For a LAN that needs nothing but addresses from its server.
    pub async fn serve(self) {
        loop {
            let frame = self.port.receive().await;
            self.offer(&frame);
        }
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
        let mut server = DhcpServer::new(DhcpConfig::access_point(SERVER));
        for n in 0..4 {
            assert!(server.assign(mac(n), None).is_some());
        }
        assert_eq!(server.assign(mac(4), None), None);
    }

    /// A client's frame, as smoltcp's would send it.
    fn request(kind: DhcpMessageType, wanted: Option<Ipv4Addr>, renewing: Option<Ipv4Addr>) -> Vec<u8> {
        let inner = DhcpRepr {
            message_type: kind,
            transaction_id: 7,
            secs: 0,
            client_hardware_address: EthernetAddress(mac(1)),
            client_ip: renewing.unwrap_or(Ipv4Addr::UNSPECIFIED),
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
        let mut payload = vec![0; inner.buffer_len()];
        inner.emit(&mut DhcpPacket::new_unchecked(&mut payload[..])).unwrap();
        let udp = UdpRepr { src_port: DHCP_CLIENT_PORT, dst_port: DHCP_SERVER_PORT };
        let ip = Ipv4Repr {
            src_addr: inner.client_ip,
            dst_addr: Ipv4Addr::BROADCAST,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + payload.len(),
            hop_limit: 64,
        };
        let checksums = ChecksumCapabilities::default();
        let mut bytes = vec![0; 14 + ip.buffer_len() + ip.payload_len];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_ethertype(EthernetProtocol::Ipv4);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &checksums);
        udp.emit(
            &mut UdpPacket::new_unchecked(packet.payload_mut()),
            &ip.src_addr.into(),
            &ip.dst_addr.into(),
            payload.len(),
            |space| space.copy_from_slice(&payload),
            &checksums,
        );
        bytes
    }

    /// Kind, address and lease of an answer, and whether it goes to everybody.
    fn read(answer: &[u8]) -> (DhcpMessageType, Ipv4Addr, Option<u32>, bool) {
        let frame = EthernetFrame::new_checked(answer).unwrap();
        let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
        let udp = UdpPacket::new_checked(packet.payload()).unwrap();
        let dhcp = DhcpPacket::new_checked(udp.payload()).unwrap();
        let repr = DhcpRepr::parse(&dhcp).unwrap();
        (repr.message_type, repr.your_ip, repr.lease_duration, frame.dst_addr().is_broadcast())
    }

    #[test]
    fn clients_are_offered_granted_and_denied() {
        let mut server = server();
        let first = Ipv4Addr::new(10, 4, 0, 10);
        let mut ask = |kind, wanted, renewing| {
            let frame = request(kind, wanted, renewing);
            assert!(DhcpServer::concerns(&frame));
            server.handle(&frame).map(|answer| read(&answer))
        };
        let offer = ask(DhcpMessageType::Discover, None, None);
        assert_eq!(offer, Some((DhcpMessageType::Offer, first, Some(3_600), false)));
        let ack = Some((DhcpMessageType::Ack, first, Some(3_600), false));
        assert_eq!(ask(DhcpMessageType::Request, Some(first), None), ack);
        assert_eq!(ask(DhcpMessageType::Request, None, Some(first)), ack, "renewal");
        let other = Ipv4Addr::new(192, 168, 1, 7);
        let nak = Some((DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, None, true));
        assert_eq!(ask(DhcpMessageType::Request, Some(other), None), nak, "from another network");
        assert_eq!(ask(DhcpMessageType::Release, None, Some(first)), None);
        assert_eq!(server.address(mac(1)), None);
    }

    proptest::proptest! {
        #[test]
        fn damaged_requests_are_survived(at in 0usize..300, value in 0u8.., cut in 0usize..300) {
            let mut frame = request(DhcpMessageType::Discover, None, None);
            let at = at % frame.len();
            frame[at] = value;
            let mut server = server();
            let _ = server.handle(&frame);
            let _ = server.handle(&frame[..cut % frame.len()]);
        }
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
