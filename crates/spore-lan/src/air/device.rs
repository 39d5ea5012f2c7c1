//! A node's network device, which its radio plugs in here and there.

use crate::Mac;
use crate::switch::{self, Port};
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, TxToken as NetTxToken};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

/// What a network device is plugged into; shared between a radio and its [`Device`].
#[derive(Clone, Default)]
pub(super) struct Slot(Rc<RefCell<Plugs>>);

#[derive(Default)]
struct Plugs {
    station: Option<Port>,
    /// The station is on a network, for all it knows: one whose access point went silent has no port any more.
    believes: bool,
    guests: Option<Port>,
    waker: Option<Waker>,
    /// The device moved to another network since its owner last asked for the link.
    moved: bool,
}

impl Plugs {
    fn active(&mut self) -> Option<&mut Port> {
        if self.believes { self.station.as_mut() } else { self.guests.as_mut() }
    }
}

impl Slot {
    /// The station is on a network.
    pub(super) fn join(&self, port: Port) {
        self.change(true, |plugs| {
            plugs.believes = true;
            plugs.station.replace(port)
        });
    }

    /// The station's network is silent, and it does not know yet.
    pub(super) fn fall_silent(&self) {
        self.change(false, |plugs| plugs.station.take());
    }

    /// The station is on no network.
    pub(super) fn leave(&self) {
        let was = self.0.borrow().believes;
        self.change(was, |plugs| {
            plugs.believes = false;
            plugs.station.take()
        });
    }

    /// The own access point opens or closes, which is felt only when the station is on no network.
    pub(super) fn set_guests(&self, port: Option<Port>) {
        let felt = {
            let plugs = self.0.borrow();
            !plugs.believes && (plugs.guests.is_some() || port.is_some())
        };
        self.change(felt, |plugs| std::mem::replace(&mut plugs.guests, port));
    }

    /// Changes the plugs; the port that is no longer needed and the waker act when nothing is borrowed.
    fn change(&self, moves: bool, change: impl FnOnce(&mut Plugs) -> Option<Port>) {
        let (port, waker) = {
            let mut plugs = self.0.borrow_mut();
            let port = change(&mut plugs);
            plugs.moved |= moves;
            (port, if moves { plugs.waker.take() } else { None })
        };
        drop(port);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A node's network device.
pub struct Device {
    mac: Mac,
    slot: Slot,
    scratch: Vec<u8>,
}

/// Leave to send a frame to wherever the device is plugged in at that moment.
pub struct TxToken<'a>(&'a Slot);

impl NetTxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        // Without a port, as when the access point fell silent, the frame is lost on the air.
        if let Some(port) = self.0.0.borrow_mut().active() {
            port.send(&frame);
        }
        result
    }
}

impl Device {
    pub(super) fn new(mac: Mac, slot: Slot) -> Self {
        Self { mac, slot, scratch: Vec::new() }
    }
}

impl Driver for Device {
    type RxToken<'a> = switch::RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(switch::RxToken<'_>, TxToken<'_>)> {
        let mut plugs = self.slot.0.borrow_mut();
        plugs.waker = Some(cx.waker().clone());
        let frame = plugs.active()?.poll_receive(cx)?;
        drop(plugs);
        self.scratch.clear();
        self.scratch.extend_from_slice(&frame);
        Some((switch::RxToken::new(&mut self.scratch), TxToken(&self.slot)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<TxToken<'_>> {
        Some(TxToken(&self.slot))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let mut plugs = self.slot.0.borrow_mut();
        plugs.waker = Some(cx.waker().clone());
        if std::mem::take(&mut plugs.moved) {
            // Down for one look, even if it is up again, so that a stack asks for an address anew.
            cx.waker().wake_by_ref();
            return LinkState::Down;
        }
        let up = plugs.believes || plugs.guests.is_some();
        if up { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        switch::capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}
