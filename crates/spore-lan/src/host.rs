//! An ordinary host on the LAN: an embassy-net stack with what tests and bridges need of it.

use crate::executor::{Spawner, Task};
use crate::http::{self, HttpError, Response};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Config, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver::Driver;
use embassy_time::{Duration, Timer, with_timeout};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How a host comes by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// It asks by DHCP.
    Dhcp,
    /// It has this one in a network of so many bits, and no gateway.
    Static(Ipv4Addr, u8),
}

/// A host. Dropping it takes it off the LAN.
///
/// Its stack's memory (about half a kilobyte for each socket) lives as long as the process, since stacks lend it to
/// sockets without limit: make few hosts with many sockets.
pub struct Host {
    stack: Stack<'static>,
    spawner: Spawner,
    _runner: Task<()>,
}

impl Host {
    /// Puts a host with room for so many sockets (one is DHCP's) on a device.
    pub fn new<const SOCKETS: usize>(
        spawner: &Spawner,
        device: impl Driver + 'static,
        address: Address,
        seed: u64,
    ) -> Self {
        let config = match address {
            Address::Dhcp => Config::dhcpv4(embassy_net::DhcpConfig::default()),
            Address::Static(ip, prefix) => Config::ipv4_static(StaticConfigV4 {
                address: Ipv4Cidr::new(ip, prefix),
                gateway: None,
                dns_servers: Default::default(),
            }),
        };
        let resources = Box::leak(Box::new(StackResources::<SOCKETS>::new()));
        let (stack, mut runner) = embassy_net::new(device, config, resources, seed);
        let task = spawner.spawn(async move { runner.run().await });
        Self { stack, spawner: spawner.clone(), _runner: task }
    }

    /// Its stack.
    pub fn stack(&self) -> Stack<'static> {
        self.stack
    }

    /// Its address, if it has one now.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.stack.config_v4().map(|config| config.address.address())
    }

    /// Waits until it has an address.
    pub async fn up(&self) -> Ipv4Addr {
        self.stack.wait_config_up().await;
        self.ip().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Asks an HTTP server on port 80; see [`crate::http::request`]. Gives up after 30 seconds of the LAN's time.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn request(
        &self,
        ip: Ipv4Addr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, HttpError> {
        let to = SocketAddrV4::new(ip, 80);
        let call = http::request(self.stack, to, method, path, headers, body);
        with_timeout(Duration::from_secs(30), call).await.unwrap_or(Err(HttpError::TimedOut))
    }

    /// Opens a UDP port.
    ///
    /// # Panics
    /// When `port` is 0.
    pub fn udp(&self, port: u16) -> UdpPeer {
        assert_ne!(port, 0, "UDP port 0 cannot be bound");
        let shared = Rc::new(RefCell::new(Datagrams::default()));
        let (theirs, stack) = (shared.clone(), self.stack);
        // The socket borrows its buffers, so a task owns both.
        let task = self.spawner.spawn(async move {
            let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 64], [PacketMetadata::EMPTY; 64]);
            let (mut rx, mut tx) = (vec![0; 32 * 1024], vec![0; 32 * 1024]);
            let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
            if socket.bind(port).is_ok() {
                carry(&mut socket, port, &theirs).await;
            }
        });
        UdpPeer { shared, _task: task }
    }
}

/// Datagrams between a [`UdpPeer`] and the task that owns its socket.
#[derive(Default)]
struct Datagrams {
    received: VecDeque<(SocketAddrV4, Vec<u8>)>,
    to_send: VecDeque<(SocketAddrV4, Vec<u8>)>,
    receiver: Option<Waker>,
    carrier: Option<Waker>,
}

/// Datagrams a peer keeps for a reader that does not come; the oldest go first.
const UNREAD: usize = 4_096;

/// How long the neighbour of a datagram is looked for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Moves datagrams between a socket and its peer for ever.
///
/// smoltcp keeps a datagram whose neighbour does not answer, or that has no route, at the head of its queue for good.
/// So the socket gets one at a time, and is opened anew when that one does not leave.
async fn carry(socket: &mut UdpSocket<'_>, port: u16, shared: &RefCell<Datagrams>) {
    let mut buffer = [0; 2_048];
    let mut stuck: Option<Timer> = None;
    poll_fn(|cx| {
        while let Poll::Ready(result) = socket.poll_recv_from(&mut buffer, cx) {
            let Ok((len, meta)) = result else { continue };
            let embassy_net::IpAddress::Ipv4(ip) = meta.endpoint.addr;
            let mut shared = shared.borrow_mut();
            if shared.received.len() == UNREAD {
                shared.received.pop_front();
            }
            shared.received.push_back((SocketAddrV4::new(ip, meta.endpoint.port), buffer[..len].to_vec()));
            if let Some(waker) = shared.receiver.take() {
                waker.wake();
            }
        }
        loop {
            if pin!(socket.flush()).poll(cx).is_pending() {
                let timer = stuck.get_or_insert_with(|| Timer::after(PATIENCE));
                if Pin::new(timer).poll(cx).is_pending() {
                    break;
                }
                socket.close();
                // It was bound before, so it can be again.
                let _ = socket.bind(port);
            }
            stuck = None;
            let mut shared = shared.borrow_mut();
            let Some((to, bytes)) = shared.to_send.pop_front() else {
                shared.carrier = Some(cx.waker().clone());
                break;
            };
            // Refused for want of an address or length: lost, as UDP may.
            let _ = socket.poll_send_to(&bytes, to, cx);
        }
        Poll::<()>::Pending
    })
    .await;
}

/// A UDP port of a [`Host`]. Dropping it closes the port.
pub struct UdpPeer {
    shared: Rc<RefCell<Datagrams>>,
    _task: Task<()>,
}

impl UdpPeer {
    /// Sends a datagram of up to 1,472 bytes; never waits. Longer ones are lost, and so is what is sent before the
    /// host has an address. One to an address where nobody answers is given up after 3 seconds; those behind it wait.
    pub fn send(&self, to: SocketAddrV4, bytes: &[u8]) {
        let mut shared = self.shared.borrow_mut();
        shared.to_send.push_back((to, bytes.to_vec()));
        if let Some(waker) = shared.carrier.take() {
            waker.wake();
        }
    }

    /// Sends a datagram to this port of everybody on the LAN.
    pub fn broadcast(&self, port: u16, bytes: &[u8]) {
        self.send(SocketAddrV4::new(Ipv4Addr::BROADCAST, port), bytes);
    }

    /// Waits for the next datagram and tells its sender. Cancel-safe.
    pub async fn receive(&self) -> (SocketAddrV4, Vec<u8>) {
        poll_fn(|cx| {
            let mut shared = self.shared.borrow_mut();
            if let Some(datagram) = shared.received.pop_front() {
                return Poll::Ready(datagram);
            }
            shared.receiver = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The next datagram, if one is there.
    pub fn try_receive(&self) -> Option<(SocketAddrV4, Vec<u8>)> {
        self.shared.borrow_mut().received.pop_front()
    }
}
