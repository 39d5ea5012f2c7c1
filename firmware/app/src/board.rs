//! The ESP8266 as a bundle of types.

use crate::device::WifiDevice;
use crate::radio::WifiRadio;
use crate::system::ChipSystem;
use spore_node::Board;
use spore_rt::flash::Flash;

/// The board, whichever link of the SDK it has.
pub struct Esp8266;

impl Board for Esp8266 {
    type Device = WifiDevice;
    type Radio = WifiRadio;
    type Flash = Flash;
    type System = ChipSystem;
}
