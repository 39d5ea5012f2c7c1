//! The SDK's frames as embassy-net's device.

use crate::contract;
use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

/// The network device. Frames lie with the SDK and in `contract`; this is only the way to them.
pub struct WifiDevice {
    /// Hardware address of the station, for as long as there is no link.
    pub mac: [u8; 6],
}

/// The right to take one received frame.
pub struct Received;

/// The right to send one frame.
pub struct Sending;

impl Driver for WifiDevice {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Sending)> {
        contract::register(cx.waker());
        (contract::frame_waits() && contract::can_send()).then_some((Received, Sending))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Sending> {
        contract::register(cx.waker());
        contract::can_send().then_some(Sending)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        contract::register(cx.waker());
        if contract::link_up() { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = contract::MAX_FRAME;
        // What one round of the stack may take and send before the others get their turn.
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(contract::hardware_address().unwrap_or(self.mac))
    }
}

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        contract::receive(f)
    }
}

impl TxToken for Sending {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        contract::send(length, f)
    }
}
