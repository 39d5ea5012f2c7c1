//! Ethernet frames that a node makes and takes beside its IP stack: datagrams to and from the guests of its own access point,
//! and the announcement of its address.
//!
//! # Panics
//! Nothing here panics, on any bytes; room is checked before it is written to.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]

use core::net::Ipv4Addr;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

/// A hardware address.
pub type Mac = [u8; 6];

/// Hardware address of everybody.
pub const EVERYBODY: Mac = [0xff; 6];

/// Bytes of the headers of Ethernet, IPv4 without options, and UDP.
pub const HEADERS: usize = 14 + 20 + 8;

/// Bytes of a frame with an ARP packet.
pub const ANNOUNCEMENT: usize = 14 + 28;

/// One side of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Hardware address.
    pub mac: Mac,
    /// Address.
    pub ip: Ipv4Addr,
    /// UDP port.
    pub port: u16,
}

/// A UDP datagram in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'f> {
    /// Who sent it.
    pub from: End,
    /// Whom it is for.
    pub to: End,
    /// What it carries.
    pub payload: &'f [u8],
}

impl<'f> Datagram<'f> {
    /// Whether a frame may be a datagram to a port: a look at a few bytes, so that others cost nothing.
    pub fn may_be_to(frame: &[u8], port: u16) -> bool {
        // IPv4 without options, UDP, the port.
        frame.get(12..15) == Some(&[0x08, 0x00, 0x45])
            && frame.get(23) == Some(&17)
            && frame.get(36..38) == Some(&port.to_be_bytes())
    }

    /// Reads a frame; `None` when it is no whole IPv4 datagram with right checksums (RFC 791, RFC 768: a checksum of 0 is none).
    pub fn parse(frame: &'f [u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let (src, dst) = (ethernet.src_addr(), ethernet.dst_addr());
        let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        let fragment = ip.more_frags() || ip.frag_offset() != 0;
        if ip.version() != 4 || ip.next_header() != IpProtocol::Udp || fragment || !ip.verify_checksum() {
            return None;
        }
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        let header =
            UdpRepr::parse(&udp, &source.into(), &destination.into(), &ChecksumCapabilities::default());
        let header = header.ok()?;
        Some(Self {
            from: End { mac: src.0, ip: source, port: header.src_port },
            to: End { mac: dst.0, ip: destination, port: header.dst_port },
            payload: udp.payload(),
        })
    }
}

/// Writes a datagram of `length` bytes, which `payload` fills in, to a frame. Gives the frame's length; `None` when it does not
/// fit.
pub fn datagram(
    from: End,
    to: End,
    frame: &mut [u8],
    length: usize,
    payload: impl FnOnce(&mut [u8]),
) -> Option<usize> {
    let total = HEADERS.checked_add(length)?;
    let frame = frame.get_mut(..total)?;
    // Keeps what the checksum covers defined, whatever was there.
    frame.fill(0);
    let udp = UdpRepr { src_port: from.port, dst_port: to.port };
    let ip = Ipv4Repr {
        src_addr: from.ip,
        dst_addr: to.ip,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len().checked_add(length)?,
        hop_limit: 64,
    };
    let checksums = ChecksumCapabilities::default();
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    EthernetRepr {
        src_addr: EthernetAddress(from.mac),
        dst_addr: EthernetAddress(to.mac),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut ethernet);
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &ip.src_addr.into(),
        &ip.dst_addr.into(),
        length,
        payload,
        &checksums,
    );
    Some(total)
}

/// Writes an ARP announcement (RFC 5227, 2.3): whoever has an entry for the address learns its hardware address. Gives its
/// length; `None` when it does not fit.
pub fn announcement(mac: Mac, ip: Ipv4Addr, frame: &mut [u8]) -> Option<usize> {
    let frame = frame.get_mut(..ANNOUNCEMENT)?;
    let mut ethernet = EthernetFrame::new_unchecked(frame);
    EthernetRepr {
        src_addr: EthernetAddress(mac),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    }
    .emit(&mut ethernet);
    ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: EthernetAddress(mac),
        source_protocol_addr: ip,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: ip,
    }
    .emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
    Some(ANNOUNCEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: End = End { mac: [2, 0, 0, 0, 0, 1], ip: Ipv4Addr::new(192, 168, 4, 1), port: 67 };
    const B: End = End { mac: [2, 0, 0, 0, 0, 2], ip: Ipv4Addr::new(192, 168, 4, 100), port: 68 };

    fn written(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xAA; 1514];
        let length = datagram(A, B, &mut frame, payload.len(), |room| room.copy_from_slice(payload)).unwrap();
        frame.truncate(length);
        frame
    }

    #[test]
    fn a_datagram_is_read_as_it_was_written() {
        let frame = written(b"hello");
        assert_eq!(frame.len(), HEADERS + 5);
        let read = Datagram::parse(&frame).unwrap();
        assert_eq!(read, Datagram { from: A, to: B, payload: b"hello" });
        assert!(Datagram::may_be_to(&frame, 68) && !Datagram::may_be_to(&frame, 67));
        assert_eq!(datagram(A, B, &mut [0; HEADERS + 4], 5, |_| ()), None, "no room");
    }

    #[test]
    fn a_flipped_bit_is_no_datagram() {
        let frame = written(b"hello");
        // From the IP header on; Ethernet has its own check, which the hardware makes.
        for at in 14..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Datagram::parse(&damaged), None, "byte {at}");
        }
    }

    #[test]
    fn an_announcement_as_on_the_wire() {
        let mut frame = [0; 64];
        assert_eq!(announcement(A.mac, A.ip, &mut frame), Some(ANNOUNCEMENT));
        let expected = [
            &[0xff; 6][..],
            &A.mac,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &A.mac,
            &[192, 168, 4, 1],
            &[0; 6],
            &[192, 168, 4, 1],
        ]
        .concat();
        assert_eq!(frame[..ANNOUNCEMENT], expected[..]);
        assert_eq!(announcement(A.mac, A.ip, &mut [0; ANNOUNCEMENT - 1]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let _ = Datagram::parse(&bytes);
            // As close to a datagram as can be.
            let frame = written(&bytes);
            bytes.splice(..bytes.len().min(HEADERS), frame[..HEADERS].iter().copied());
            let _ = Datagram::parse(bytes.get(..cut).unwrap_or(&bytes));
            prop_assert_eq!(Datagram::parse(&frame).unwrap().payload, &frame[HEADERS..]);
        }
    }
}
