//! The node's orders to the WiFi, and what the SDK reports of it.

use crate::contract;
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::task::{Poll, Waker};
use heapless::{Deque, Vec};
use spore_core::wifi::{LinkError, Network, Passphrase, RadioCommand, RadioEvent, Signal, Ssid};
use spore_node::board::Radio;
use spore_rt::sdk;
use spore_rt::task_cell::TaskCell;

const STATION: u8 = 1;
const STATION_AND_ACCESS_POINT: u8 = 3;
/// What `wifi_station_get_rssi` says without a link.
const NO_RSSI: i8 = 31;
/// Networks of a scan that wait to be told, the strongest: as many as the node keeps.
const FOUND: usize = spore_node::limits::SCAN;
/// Milliseconds between beacons of the own access point, the SDK's usual.
const BEACON_INTERVAL: u16 = 100;
/// Clients that the own access point takes: the SDK's most.
const CLIENTS: u8 = 4;
/// Channel of the own access point while the station has none.
const CHANNEL: u8 = 1;

/// Reports that need no memory of their own.
#[derive(Clone, Copy)]
enum Report {
    Joined,
    JoinFailed(LinkError),
    Lost(LinkError),
    AccessPointStarted,
    ScanDone,
}

/// A network as the SDK tells of it.
#[derive(Clone, Copy)]
struct Found {
    bssid: [u8; 6],
    ssid: [u8; 32],
    ssid_len: u8,
    channel: u8,
    rssi: i8,
    secured: bool,
}

struct State {
    reports: Deque<Report, 8>,
    found: Vec<Found, FOUND>,
    waker: Option<Waker>,
    /// An attempt to join is under way.
    joining: bool,
    joined: bool,
    access_point: bool,
    bssid: [u8; 6],
    /// The SDK's reason for the last disconnect.
    disconnect_code: u8,
}

static STATE: TaskCell<State> = TaskCell::new(State {
    reports: Deque::new(),
    found: Vec::new(),
    waker: None,
    joining: false,
    joined: false,
    access_point: false,
    bssid: [0; 6],
    disconnect_code: 0,
});

impl State {
    fn report(&mut self, report: Report) {
        // The policy asks for one thing at a time, so that eight are never waiting; the oldest would be the stalest.
        if self.reports.is_full() {
            self.reports.pop_front();
        }
        let _ = self.reports.push_back(report);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Sets the SDK's WiFi up: station, no power saving (the seed's nodes answer within milliseconds), no attempts of its own.
pub fn init() {
    // SAFETY: the SDK's own functions, in task context; the handler is a static function.
    unsafe {
        sdk::wifi_set_opmode_current(STATION);
        sdk::wifi_station_set_auto_connect(0);
        sdk::wifi_station_set_reconnect_policy(false);
        sdk::wifi_set_sleep_type(0);
        sdk::wifi_set_event_handler_cb(happened);
    }
}

/// The station's link came up or went down, told by the SDK's calls of the IP stack.
pub fn link_changed(up: bool) {
    STATE.with(|state| {
        if up && !state.joined {
            state.joined = true;
            state.joining = false;
            state.report(Report::Joined);
        }
    });
}

/// What the SDK's reasons (IEEE 802.11-2020, table 9-49, and Espressif's own from 200) mean to a node.
const fn meaning(reason: u8) -> LinkError {
    match reason {
        // Authentication expired, handshake time-out, pass phrase not confirmed, authentication failed.
        2 | 15 | 202 | 204 => LinkError::WrongPassphrase,
        200 => LinkError::BeaconLost,
        201 => LinkError::NotFound,
        _ => LinkError::Refused,
    }
}

extern "C" fn happened(event: *const sdk::SystemEvent) {
    // SAFETY: the SDK's structure, alive during this call.
    let event = unsafe { &*event };
    match event.event {
        // ssid[32], length, bssid[6], channel
        sdk::event::CONNECTED => STATE.with(|state| state.bssid.copy_from_slice(&event.info[33..39])),
        sdk::event::DISCONNECTED => {
            let code = event.info[sdk::DISCONNECT_REASON];
            let error = meaning(code);
            STATE.with(|state| {
                state.disconnect_code = code;
                if core::mem::take(&mut state.joined) {
                    state.report(Report::Lost(error));
                } else if core::mem::take(&mut state.joining) {
                    state.report(Report::JoinFailed(error));
                }
            });
        }
        _ => {}
    }
}

extern "C" fn scanned(list: *const sdk::BssInfo, status: u32) {
    STATE.with(|state| {
        state.found.clear();
        let mut next = if status == 0 { list } else { core::ptr::null() };
        // SAFETY: a list of the SDK's, alive during this call.
        while let Some(bss) = unsafe { next.as_ref() } {
            next = bss.next;
            let found = Found {
                bssid: bss.bssid,
                ssid: bss.ssid,
                ssid_len: bss.ssid_len.min(32),
                channel: bss.channel,
                rssi: bss.rssi,
                secured: bss.authmode != 0,
            };
            if state.found.is_full() {
                let Some(weakest) = state.found.iter_mut().min_by_key(|found| found.rssi) else { break };
                if weakest.rssi < found.rssi {
                    *weakest = found;
                }
            } else {
                let _ = state.found.push(found);
            }
        }
        state.report(Report::ScanDone);
    });
}

/// Copies a text into a zero-padded field that is long enough for it.
fn fill<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    for (to, from) in field.iter_mut().zip(text.as_bytes()) {
        *to = *from;
    }
    field
}

/// The station's radio and the own access point.
pub struct WifiRadio;

impl WifiRadio {
    fn join(ssid: &Ssid, passphrase: &Passphrase) {
        let config = sdk::StationConfig {
            ssid: fill(ssid),
            password: fill(passphrase),
            channel: 0,
            bssid_set: 0,
            bssid: [0; 6],
            threshold_rssi: -127,
            threshold_authmode: 0,
            switches: [0; 4],
        };
        // A disconnect that this order causes is no report.
        STATE.with(|state| (state.joined, state.joining) = (false, false));
        // SAFETY: the configuration lives during the call; the SDK copies it.
        let started = unsafe {
            sdk::wifi_station_disconnect();
            sdk::wifi_station_set_config_current(&config) && sdk::wifi_station_connect()
        };
        STATE.with(|state| {
            state.joining = started;
            if !started {
                state.report(Report::JoinFailed(LinkError::Refused));
            }
        });
    }

    fn open(ssid: &Ssid, passphrase: &Passphrase) {
        let config = sdk::SoftApConfig {
            ssid: fill(ssid),
            password: fill(passphrase),
            ssid_len: ssid.len() as u8,
            channel: CHANNEL,
            // WPA2, or open.
            authmode: if passphrase.is_empty() { 0 } else { 3 },
            ssid_hidden: 0,
            max_connection: CLIENTS,
            beacon_interval: BEACON_INTERVAL,
        };
        // SAFETY: as for `join`.
        let opened = unsafe {
            sdk::wifi_set_opmode_current(STATION_AND_ACCESS_POINT)
                && sdk::wifi_softap_set_config_current(&config)
        };
        STATE.with(|state| {
            state.access_point = opened;
            if opened {
                state.report(Report::AccessPointStarted);
            }
        });
    }
}

impl Radio for WifiRadio {
    fn command(&mut self, command: &RadioCommand) {
        match command {
            RadioCommand::Join { ssid, passphrase } => Self::join(ssid, passphrase),
            RadioCommand::Leave => {
                STATE.with(|state| (state.joined, state.joining) = (false, false));
                // SAFETY: no preconditions.
                unsafe { sdk::wifi_station_disconnect() };
            }
            RadioCommand::StartAccessPoint { ssid, passphrase } => Self::open(ssid, passphrase),
            RadioCommand::StopAccessPoint => {
                STATE.with(|state| state.access_point = false);
                // SAFETY: no preconditions.
                unsafe { sdk::wifi_set_opmode_current(STATION) };
            }
            RadioCommand::Scan => {
                // SAFETY: null means "all networks"; the callback is a static function.
                if !unsafe { sdk::wifi_station_scan(core::ptr::null(), scanned) } {
                    STATE.with(|state| state.report(Report::ScanDone));
                }
            }
        }
    }

    async fn event(&mut self) -> RadioEvent {
        poll_fn(|cx| {
            STATE.with(|state| {
                // What a scan found comes before its end.
                if matches!(state.reports.front(), Some(Report::ScanDone))
                    && let Some(found) = state.found.pop()
                {
                    return Poll::Ready(RadioEvent::Found(network(&found)));
                }
                match state.reports.pop_front() {
                    Some(report) => Poll::Ready(match report {
                        Report::Joined => RadioEvent::Joined,
                        Report::JoinFailed(error) => RadioEvent::JoinFailed(error),
                        Report::Lost(error) => RadioEvent::Lost(error),
                        Report::AccessPointStarted => RadioEvent::AccessPointStarted,
                        Report::ScanDone => RadioEvent::ScanDone,
                    }),
                    None => {
                        state.waker = Some(cx.waker().clone());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }

    fn signal(&self) -> Option<Signal> {
        if !contract::link_up() || !STATE.with(|state| state.joined) {
            return None;
        }
        // SAFETY: no preconditions.
        let (rssi, channel) = unsafe { (sdk::wifi_station_get_rssi(), sdk::wifi_get_channel()) };
        (rssi != NO_RSSI).then(|| Signal { rssi, channel, bssid: STATE.with(|state| state.bssid) })
    }

    fn address(&mut self, address: Option<[Ipv4Addr; 3]>) {
        let [ip, mask, gateway] = address.unwrap_or([Ipv4Addr::UNSPECIFIED; 3]);
        contract::set_address(ip.octets(), mask.octets(), gateway.octets());
    }

    fn disconnect_code(&self) -> u8 {
        STATE.with(|state| state.disconnect_code)
    }

    fn access_point_clients(&self) -> u8 {
        if !STATE.with(|state| state.access_point) {
            return 0;
        }
        // SAFETY: no preconditions.
        unsafe { sdk::wifi_softap_get_station_num() }
    }
}

fn network(found: &Found) -> Network {
    let mut ssid = Ssid::new();
    // Names that are no text are shown as far as they are.
    let bytes = found.ssid.get(..usize::from(found.ssid_len)).unwrap_or_default();
    let text = match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    let _ = ssid.push_str(text);
    Network { ssid, bssid: found.bssid, channel: found.channel, rssi: found.rssi, secured: found.secured }
}
