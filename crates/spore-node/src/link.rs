//! The board's network device with what the IP stack leaves out: it announces the node's address, and serves the guests of the
//! node's own access point addresses and names, so that their systems open its page by themselves (a captive portal).
//!
//! A frame for one of these services is answered with at most one frame, later: when the device can send. What must be kept
//! for that has a few words. Guests repeat what stays unanswered, so that one place for it is enough.

use crate::network::ACCESS_POINT_ADDRESS;
use core::cell::{Cell, RefCell};
use core::net::Ipv4Addr;
use core::task::Context;
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken as Rx, TxToken as Tx};
use embassy_sync::waitqueue::WakerRegistration;
use spore_core::leases::Leases;
use spore_wire::dhcp::{self, Answer, Server};
use spore_wire::frame::{self, ANNOUNCEMENT, Datagram, End, HEADERS, Mac};
use spore_wire::portal::{self, Question};

/// First address that a guest gets; the others follow.
const FIRST_GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 100);
/// Guests with an address of their own: twice as many as boards let in at a time, so that a newcomer does not get the address of
/// somebody who is still there when another has left.
const GUESTS: usize = 8;
/// Mask of the access point's network.
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
/// Seconds until a guest asks for its address again.
const LEASE: u32 = 3_600;

/// What the device and the node's WiFi share: nothing but zero bytes at first.
pub struct Shared {
    waker: RefCell<WakerRegistration>,
    /// Guests are served.
    serves: Cell<bool>,
    /// The address to be announced; none is all zero.
    announce: Cell<Ipv4Addr>,
    desk: RefCell<Desk>,
}

struct Desk {
    leases: Leases<GUESTS>,
    pending: Pending,
}

/// What is to be sent to a guest.
enum Pending {
    Nothing,
    Address(Answer),
    Name(End, Question),
}

impl Shared {
    /// Neither guests nor an address.
    pub const fn new() -> Self {
        Self {
            waker: RefCell::new(WakerRegistration::new()),
            serves: Cell::new(false),
            announce: Cell::new(Ipv4Addr::UNSPECIFIED),
            desk: RefCell::new(Desk { leases: Leases::new(), pending: Pending::Nothing }),
        }
    }

    /// Serves the guests of the own access point from now on, or no more.
    pub fn serve_guests(&self, serves: bool) {
        self.serves.set(serves);
    }

    /// Announces the node's address to everybody on its network (RFC 5227, 2.3).
    pub fn announce(&self, ip: Ipv4Addr) {
        self.announce.set(ip);
        self.waker.borrow_mut().wake();
    }

    /// Takes a frame if it is for one of the services.
    fn take(&self, frame: &[u8]) -> bool {
        if !self.serves.get() {
            return false;
        }
        if Datagram::may_be_to(frame, dhcp::SERVER_PORT) {
            self.desk.borrow_mut().lease(frame);
        } else if Datagram::may_be_to(frame, portal::PORT) {
            self.desk.borrow_mut().look_up(frame);
        } else {
            return false;
        }
        self.waker.borrow_mut().wake();
        true
    }
}

impl Desk {
    #[inline(never)]
    fn lease(&mut self, frame: &[u8]) {
        let Self { leases, pending } = self;
        let request = dhcp::Request::parse(frame);
        let assign = |guest, _| leases.assign(FIRST_GUEST, guest);
        if let Some(answer) = request.and_then(|request| request.answer(ACCESS_POINT_ADDRESS, assign)) {
            *pending = Pending::Address(answer);
        }
    }

    #[inline(never)]
    fn look_up(&mut self, frame: &[u8]) {
        let datagram = Datagram::parse(frame).filter(|datagram| datagram.to.ip == ACCESS_POINT_ADDRESS);
        if let Some(datagram) = datagram
            && let Some(question) = Question::parse(datagram.payload)
        {
            self.pending = Pending::Name(datagram.from, question);
        }
    }
}

/// A network device that does more than the one in it.
pub struct Link<'s, D> {
    device: D,
    shared: &'s Shared,
}

impl<'s, D: Driver> Link<'s, D> {
    /// Puts a device to work.
    pub fn new(device: D, shared: &'s Shared) -> Self {
        Self { device, shared }
    }

    /// Sends what is to be sent beside the IP stack's frames, as far as the device takes it now.
    fn send(&mut self, cx: &mut Context<'_>) {
        let announced = self.shared.announce.get();
        if announced.is_unspecified() && matches!(self.shared.desk.borrow().pending, Pending::Nothing) {
            return;
        }
        let HardwareAddress::Ethernet(mac) = self.device.hardware_address() else { return };
        if !announced.is_unspecified()
            && let Some(token) = self.device.transmit(cx)
        {
            self.shared.announce.set(Ipv4Addr::UNSPECIFIED);
            token.consume(ANNOUNCEMENT, |frame| frame::announcement(mac, announced, frame));
        }
        if matches!(self.shared.desk.borrow().pending, Pending::Nothing) {
            return;
        }
        let Some(token) = self.device.transmit(cx) else { return };
        let desk = &mut *self.shared.desk.borrow_mut();
        answer(&desk.pending, mac, token);
        desk.pending = Pending::Nothing;
    }
}

/// Sends an answer to a guest.
#[inline(never)]
fn answer(pending: &Pending, mac: Mac, token: impl Tx) {
    let ip = ACCESS_POINT_ADDRESS;
    match pending {
        Pending::Nothing => {}
        Pending::Address(answer) => {
            let server = Server { mac, ip, mask: MASK, lease: LEASE };
            token.consume(dhcp::ANSWER, |frame| answer.emit(&server, frame));
        }
        Pending::Name(guest, question) => {
            let from = End { mac, ip, port: portal::PORT };
            let length = question.answer_len();
            token.consume(HEADERS.saturating_add(length), |frame| {
                frame::datagram(from, *guest, frame, length, |room| question.answer(ip, room))
            });
        }
    }
}

impl<'s, D: Driver> Driver for Link<'s, D> {
    type RxToken<'a>
        = RxToken<'s, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.shared.waker.borrow_mut().register(cx.waker());
        self.send(cx);
        let (token, transmit) = self.device.receive(cx)?;
        Some((RxToken { token, shared: self.shared }, transmit))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.send(cx);
        self.device.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.device.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.device.hardware_address()
    }
}

/// The right to take one received frame.
pub struct RxToken<'s, T> {
    token: T,
    shared: &'s Shared,
}

impl<T: Rx> Rx for RxToken<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let shared = self.shared;
        // The IP stack finds nothing in a frame without bytes.
        self.token.consume(|frame| if shared.take(frame) { f(&mut []) } else { f(frame) })
    }
}
