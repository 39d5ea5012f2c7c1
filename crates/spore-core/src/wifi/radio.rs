//! What the WiFi policy tells a radio and hears from it. Boards translate these to their hardware.

use core::fmt;
use heapless::String;

/// A network name: 1 to 32 bytes (IEEE 802.11-2020, 9.4.2.2).
pub type Ssid = String<32>;
/// A WPA2 pass phrase: empty for an open network, else 8 to 63 bytes (IEEE 802.11-2020, J.4).
pub type Passphrase = String<64>;

/// An order to the radio. Orders never block; what comes of them is heard as [`RadioEvent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RadioCommand {
    /// Associate with a network; replaces an attempt under way. Answered by `Joined` or `JoinFailed`.
    Join {
        /// Network to join.
        ssid: Ssid,
        /// Pass phrase, empty for an open network.
        passphrase: Passphrase,
    },
    /// Give up the station link or the attempt under way. Not answered.
    Leave,
    /// Open an access point beside the station. Answered by `AccessPointStarted`.
    StartAccessPoint {
        /// Name to announce.
        ssid: Ssid,
        /// Pass phrase, empty for an open network.
        passphrase: Passphrase,
    },
    /// Close the access point. Not answered.
    StopAccessPoint,
    /// Look for networks. Answered by `Found` for each and `ScanDone`.
    Scan,
}

/// Why a station is not, or no longer, on its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkError {
    /// No network of that name is in reach.
    NotFound,
    /// The network refused the pass phrase.
    WrongPassphrase,
    /// The network refused for another reason, or full.
    Refused,
    /// The network stopped answering (beacons lost).
    BeaconLost,
    /// No outcome within the time-out of the policy.
    TimedOut,
    /// No address from DHCP within the time-out of the policy.
    NoAddress,
}

impl LinkError {
    /// The word used in JSON and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::WrongPassphrase => "wrong passphrase",
            Self::Refused => "refused",
            Self::BeaconLost => "beacon lost",
            Self::TimedOut => "timed out",
            Self::NoAddress => "no address",
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A network seen by a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Name.
    pub ssid: Ssid,
    /// Hardware address of the access point.
    pub bssid: [u8; 6],
    /// Channel, 1 to 14.
    pub channel: u8,
    /// Received strength in dBm, negative.
    pub rssi: i8,
    /// Whether a pass phrase is needed.
    pub secured: bool,
}

/// What the radio reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RadioEvent {
    /// The station is associated; the link is up, an address may still be missing.
    Joined,
    /// The attempt ended without a link.
    JoinFailed(LinkError),
    /// The link of a joined station is gone.
    Lost(LinkError),
    /// The access point is open.
    AccessPointStarted,
    /// One network of a running scan.
    Found(Network),
    /// The scan is over.
    ScanDone,
}

/// The quality of the station's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Received strength in dBm, negative.
    pub rssi: i8,
    /// Channel, 1 to 14.
    pub channel: u8,
    /// Hardware address of the access point.
    pub bssid: [u8; 6],
}
