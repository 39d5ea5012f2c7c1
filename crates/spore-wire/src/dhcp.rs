//! The messages of a DHCP server (RFC 2131): a client's request as far as a server needs it, and the answers.
//!
//! Which address a client gets is the caller's matter. Everything a server must keep between request and answer is an
//! [`Answer`] of a few words, so that it can be sent later.
//!
//! # Panics
//! Nothing here panics, on any bytes.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use crate::frame::{Datagram, EVERYBODY, End, HEADERS, Mac, datagram};
use core::net::Ipv4Addr;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
};

/// Port that servers listen on.
pub const SERVER_PORT: u16 = DHCP_SERVER_PORT;
/// Bytes of a message: there are clients that take none that is shorter than BOOTP's (RFC 951, 3).
const MESSAGE: usize = 300;
/// Bytes of a frame with an answer.
pub const ANSWER: usize = HEADERS + MESSAGE;

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// DHCPDISCOVER: which address could it have? It names one it would like.
    Offer(Option<Ipv4Addr>),
    /// DHCPREQUEST: may it use this address?
    Grant(Ipv4Addr),
    /// DHCPRELEASE and DHCPDECLINE: it does not use its address any more, or somebody else does.
    Release,
}

/// A client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub mac: Mac,
    /// What for.
    pub wish: Wish,
    /// The server that is meant; none means all.
    pub server: Option<Ipv4Addr>,
    transaction: u32,
    client: Ipv4Addr,
    relay: Ipv4Addr,
    broadcast: bool,
}

impl Request {
    /// Reads a frame; `None` when it is no client's message.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let datagram = Datagram::parse(frame).filter(|datagram| datagram.to.port == DHCP_SERVER_PORT)?;
        let packet = DhcpPacket::new_checked(datagram.payload).ok()?;
        let message = DhcpRepr::parse(&packet).ok()?;
        let wish = match message.message_type {
            DhcpMessageType::Discover => Wish::Offer(message.requested_ip),
            // Selecting and init-reboot name the address in an option, renewing in the header (RFC 2131, 4.3.2).
            DhcpMessageType::Request => Wish::Grant(message.requested_ip.unwrap_or(message.client_ip)),
            DhcpMessageType::Release | DhcpMessageType::Decline => Wish::Release,
            _ => return None,
        };
        Some(Self {
            mac: message.client_hardware_address.0,
            wish,
            server: message.server_identifier,
            transaction: message.transaction_id,
            client: message.client_ip,
            relay: message.relay_agent_ip,
            broadcast: message.broadcast,
        })
    }

    /// The answer of the server with this address, if the request deserves one. `assign` gives an address to a hardware address,
    /// the wished one if it can, or none; it is asked only when one is wanted.
    pub fn answer(
        &self,
        server: Ipv4Addr,
        assign: impl FnOnce(Mac, Option<Ipv4Addr>) -> Option<Ipv4Addr>,
    ) -> Option<Answer> {
        if self.server.is_some_and(|meant| meant != server) {
            return None;
        }
        let (kind, address) = match self.wish {
            Wish::Offer(wished) => (Kind::Offer, assign(self.mac, wished)?),
            Wish::Grant(wished) => match assign(self.mac, Some(wished))? {
                granted if granted == wished => (Kind::Grant, granted),
                _ => (Kind::Refusal, Ipv4Addr::UNSPECIFIED),
            },
            Wish::Release => return None,
        };
        Some(Answer { request: *self, kind, address })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Offer,
    Grant,
    Refusal,
}

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Its hardware address.
    pub mac: Mac,
    /// Its address; also that of the router and name server it names.
    pub ip: Ipv4Addr,
    /// Mask of the network.
    pub mask: Ipv4Addr,
    /// Seconds until a client has to ask again.
    pub lease: u32,
}

/// An answer that has yet to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    request: Request,
    kind: Kind,
    address: Ipv4Addr,
}

impl Answer {
    /// Writes its frame of [`ANSWER`] bytes; `None` when that does not fit.
    #[inline(never)]
    pub fn emit(&self, server: &Server, frame: &mut [u8]) -> Option<()> {
        let request = &self.request;
        let granted = self.kind != Kind::Refusal;
        let message = DhcpRepr {
            message_type: match self.kind {
                Kind::Offer => DhcpMessageType::Offer,
                Kind::Grant => DhcpMessageType::Ack,
                Kind::Refusal => DhcpMessageType::Nak,
            },
            transaction_id: request.transaction,
            secs: 0,
            client_hardware_address: EthernetAddress(request.mac),
            client_ip: if granted { request.client } else { Ipv4Addr::UNSPECIFIED },
            your_ip: self.address,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: granted.then_some(server.ip),
            subnet_mask: granted.then_some(server.mask),
            relay_agent_ip: request.relay,
            broadcast: request.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(server.ip),
            parameter_request_list: None,
            dns_servers: granted.then(|| [server.ip].into_iter().collect()),
            max_size: None,
            lease_duration: granted.then_some(server.lease),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        let everybody = request.broadcast || !granted;
        let from = End { mac: server.mac, ip: server.ip, port: DHCP_SERVER_PORT };
        let to = End {
            mac: if everybody { EVERYBODY } else { request.mac },
            ip: if everybody { Ipv4Addr::BROADCAST } else { self.address },
            port: DHCP_CLIENT_PORT,
        };
        let mut written = Ok(());
        datagram(from, to, frame, MESSAGE, |room| {
            written = message.emit(&mut DhcpPacket::new_unchecked(room));
        })?;
        written.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SERVER: Server = Server {
        mac: [2, 0, 0, 0, 0, 1],
        ip: Ipv4Addr::new(192, 168, 4, 1),
        mask: Ipv4Addr::new(255, 255, 255, 0),
        lease: 3_600,
    };
    const CLIENT: Mac = [2, 0, 0, 0, 1, 1];
    const FIRST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 100);

    /// A client's frame, as smoltcp's would send it.
    fn asked(kind: DhcpMessageType, wanted: Option<Ipv4Addr>, renewing: Option<Ipv4Addr>) -> Vec<u8> {
        let message = DhcpRepr {
            message_type: kind,
            transaction_id: 7,
            secs: 0,
            client_hardware_address: EthernetAddress(CLIENT),
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
        let mut frame = vec![0; 600];
        let from = End { mac: CLIENT, ip: message.client_ip, port: DHCP_CLIENT_PORT };
        let to = End { mac: EVERYBODY, ip: Ipv4Addr::BROADCAST, port: DHCP_SERVER_PORT };
        let length = datagram(from, to, &mut frame, message.buffer_len(), |room| {
            message.emit(&mut DhcpPacket::new_unchecked(room)).unwrap();
        });
        frame.truncate(length.unwrap());
        frame
    }

    /// Kind, address and lease of what a server that gives out [`FIRST`] answers, and to whom.
    fn answered(frame: &[u8]) -> Option<(DhcpMessageType, Ipv4Addr, Option<u32>, Mac)> {
        let answer = Request::parse(frame)?.answer(SERVER.ip, |mac, _| (mac == CLIENT).then_some(FIRST))?;
        let mut room = [0xEE; ANSWER];
        answer.emit(&SERVER, &mut room).unwrap();
        assert_eq!(answer.emit(&SERVER, &mut [0; ANSWER - 1]), None);
        let datagram = Datagram::parse(&room).unwrap();
        assert_eq!((datagram.from.mac, datagram.from.ip, datagram.from.port), (SERVER.mac, SERVER.ip, 67));
        let packet = DhcpPacket::new_checked(datagram.payload).unwrap();
        let message = DhcpRepr::parse(&packet).unwrap();
        assert_eq!((message.transaction_id, message.server_identifier), (7, Some(SERVER.ip)));
        let granted = message.message_type != DhcpMessageType::Nak;
        assert_eq!(message.router, granted.then_some(SERVER.ip));
        Some((message.message_type, message.your_ip, message.lease_duration, datagram.to.mac))
    }

    #[test]
    fn a_client_is_led_to_its_address() {
        let offered = answered(&asked(DhcpMessageType::Discover, None, None));
        assert_eq!(offered, Some((DhcpMessageType::Offer, FIRST, Some(3_600), CLIENT)));
        let granted = answered(&asked(DhcpMessageType::Request, Some(FIRST), None));
        assert_eq!(granted, Some((DhcpMessageType::Ack, FIRST, Some(3_600), CLIENT)));
        let renewed = answered(&asked(DhcpMessageType::Request, None, Some(FIRST)));
        assert_eq!(renewed, Some((DhcpMessageType::Ack, FIRST, Some(3_600), CLIENT)));
        let foreign = Ipv4Addr::new(10, 0, 0, 7);
        let refused = answered(&asked(DhcpMessageType::Request, Some(foreign), None));
        assert_eq!(refused, Some((DhcpMessageType::Nak, Ipv4Addr::UNSPECIFIED, None, EVERYBODY)));
        assert_eq!(answered(&asked(DhcpMessageType::Release, None, Some(FIRST))), None);
        assert_eq!(answered(&asked(DhcpMessageType::Inform, None, Some(FIRST))), None);
    }

    #[test]
    fn another_servers_business_and_a_full_house_are_met_with_silence() {
        let request = Request {
            server: Some(FIRST),
            ..Request::parse(&asked(DhcpMessageType::Discover, None, None)).unwrap()
        };
        assert_eq!(request.answer(SERVER.ip, |_, _| Some(FIRST)), None);
        let request = Request { server: None, ..request };
        assert_eq!(request.answer(SERVER.ip, |_, _| None), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..300) {
            let _ = Request::parse(&bytes);
            let mut frame = asked(DhcpMessageType::Discover, Some(FIRST), None);
            // Behind a UDP header whose checksum says "none".
            frame[40..42].fill(0);
            for (place, byte) in frame.iter_mut().skip(42 + at).zip(&bytes) {
                *place = *byte;
            }
            if let Some(answer) = Request::parse(&frame).and_then(|r| r.answer(SERVER.ip, |_, _| Some(FIRST))) {
                let mut room = [0; ANSWER];
                prop_assert!(answer.emit(&SERVER, &mut room).is_some());
            }
        }
    }
}
