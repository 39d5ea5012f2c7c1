//! The WiFi world above the switches: access points, the radios that join them, and their own access points.
//!
//! An access point bridges to a [`Switch`]; a station's port is plugged in there when it has associated. A node's own
//! access point bridges to a little switch of its own; addresses for its guests are the node's business.
//! A node has one network device: its frames go to the network it joined, else to the guests of its own access
//! point; whenever that changes the device's link is seen to go down. All delays are of [`embassy_time`], so virtual time applies.

use crate::Mac;
use crate::executor::{Spawner, Task};
use crate::faults::Rng;
use crate::switch::{PortOptions, SharedCounters, Switch};
use embassy_time::{Duration, Timer};
use spore_core::wifi::{LinkError, Network, Passphrase, RadioCommand, RadioEvent, Signal, Ssid};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

mod device;

use device::Slot;
pub use device::{Device, TxToken};

/// How long a station takes to find and join a network, in milliseconds: at least, and up to so much more.
const JOIN: (u64, u64) = (300, 500);
/// How long it looks for a network that is not there.
const NOT_FOUND: Duration = Duration::from_millis(1_500);
/// How long until it takes the silence after the handshake's second message for a wrong pass phrase.
const WRONG_PASSPHRASE: Duration = Duration::from_millis(2_000);
/// How long a station believes in an access point that is silent.
const BEACONS_LOST: Duration = Duration::from_millis(2_000);
/// How long a look at all channels takes.
const SCAN: Duration = Duration::from_millis(1_300);
/// How long an access point takes to open.
const OPEN: Duration = Duration::from_millis(100);

/// A wireless network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessPoint {
    /// Name.
    pub ssid: Ssid,
    /// Pass phrase, empty for an open network.
    pub passphrase: Passphrase,
    /// Channel, 1 to 14.
    pub channel: u8,
    /// Strength at which radios hear it, in dBm, negative. Each radio hears it up to 6 dB weaker.
    pub rssi: i8,
    /// Its hardware address.
    pub bssid: Mac,
    /// Whether it sends.
    pub on: bool,
}

/// Name of an access point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessPointId(u64);

struct Base {
    access_point: AccessPoint,
    switch: Switch,
    /// Set for a node's own access point, which that node does not see.
    owner: Option<Mac>,
}

struct World {
    next: u64,
    bases: BTreeMap<AccessPointId, Base>,
    radios: Vec<Weak<RefCell<State>>>,
    rng: Rng,
}

/// The WiFi world. Clones are handles to the same one.
#[derive(Clone)]
pub struct Air {
    world: Rc<RefCell<World>>,
    spawner: Spawner,
}

struct State {
    mac: Mac,
    /// How much weaker than others it hears, in dB.
    deafness: i8,
    slot: Slot,
    counters: SharedCounters,
    joined: Option<AccessPointId>,
    events: VecDeque<RadioEvent>,
    /// Why the station last lost its link or got none.
    disconnect_code: u8,
    waker: Option<Waker>,
    /// The own access point.
    own: Option<AccessPointId>,
    /// What goes on in the background; replacing one ends it.
    joining: Option<Task<()>>,
    scanning: Option<Task<()>>,
    opening: Option<Task<()>>,
}

impl State {
    fn report(&mut self, event: RadioEvent) {
        if let RadioEvent::JoinFailed(error) | RadioEvent::Lost(error) = &event {
            self.disconnect_code = code(*error);
        }
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes the station off its network, without a word.
    fn unplug(&mut self) {
        self.joined = None;
        self.slot.leave();
    }
}

/// The number that a chip has for an error (IEEE 802.11-2020, table 9-49, and Espressif's own from 200).
fn code(error: LinkError) -> u8 {
    match error {
        LinkError::NotFound => 201,
        LinkError::WrongPassphrase => 204,
        LinkError::Refused => 2,
        LinkError::BeaconLost => 200,
        // The policy's own; radios do not say so.
        LinkError::TimedOut | LinkError::NoAddress => 1,
    }
}

impl Air {
    /// A world without networks. The seed decides how long things take.
    pub fn new(spawner: &Spawner, seed: u64) -> Self {
        let world = World { next: 0, bases: BTreeMap::new(), radios: Vec::new(), rng: Rng::with_seed(seed) };
        Self { world: Rc::new(RefCell::new(world)), spawner: spawner.clone() }
    }

    /// Adds a network that bridges to a switch.
    pub fn add(&self, access_point: AccessPoint, switch: &Switch) -> AccessPointId {
        self.insert(access_point, switch, None)
    }

    fn insert(&self, access_point: AccessPoint, switch: &Switch, owner: Option<Mac>) -> AccessPointId {
        let mut world = self.world.borrow_mut();
        let id = AccessPointId(world.next);
        world.next += 1;
        world.bases.insert(id, Base { access_point, switch: switch.clone(), owner });
        id
    }

    /// Takes a network away for good; its stations notice by its silence.
    pub fn remove(&self, id: AccessPointId) {
        let base = self.world.borrow_mut().bases.remove(&id);
        if base.is_some() {
            self.fall_silent(id);
        }
    }

    /// Switches a network on or off; its stations notice by its silence.
    pub fn set_on(&self, id: AccessPointId, on: bool) {
        let changed = match self.world.borrow_mut().bases.get_mut(&id) {
            Some(base) => std::mem::replace(&mut base.access_point.on, on) != on,
            None => false,
        };
        if changed && !on {
            self.fall_silent(id);
        }
    }

    /// Changes a network's pass phrase. It sends its stations away at once ([`LinkError::Refused`]), and lets in
    /// only who knows the new one.
    pub fn set_passphrase(&self, id: AccessPointId, passphrase: Passphrase) {
        let changed = match self.world.borrow_mut().bases.get_mut(&id) {
            Some(base) if base.access_point.passphrase != passphrase => {
                base.access_point.passphrase = passphrase;
                true
            }
            _ => false,
        };
        if changed {
            for radio in self.stations(id) {
                let mut state = radio.borrow_mut();
                let noticing = state.joining.take();
                state.unplug();
                state.report(RadioEvent::Lost(LinkError::Refused));
                drop(state);
                drop(noticing);
            }
        }
    }

    /// The networks there are, nodes' own included.
    pub fn access_points(&self) -> Vec<(AccessPointId, AccessPoint)> {
        self.world.borrow().bases.iter().map(|(id, base)| (*id, base.access_point.clone())).collect()
    }

    /// The switch a network bridges to: for a node's own, the one its guests are on.
    pub fn switch_of(&self, id: AccessPointId) -> Option<Switch> {
        self.world.borrow().bases.get(&id).map(|base| base.switch.clone())
    }

    /// The own access point of the node with this hardware address, while it is open.
    pub fn access_point_of(&self, node: Mac) -> Option<AccessPointId> {
        let owned = |(id, base): (&AccessPointId, &Base)| (base.owner == Some(node)).then_some(*id);
        self.world.borrow().bases.iter().find_map(owned)
    }

    /// How many stations a network has.
    pub fn clients(&self, id: AccessPointId) -> usize {
        self.stations(id).len()
    }

    /// A radio with this hardware address, and the network device above it. Dropping the radio takes both off the
    /// air.
    pub fn radio(&self, mac: Mac) -> (Radio, Device) {
        self.radio_with(mac, SharedCounters::new())
    }

    /// The same, its traffic counted in `counters`, which so outlives a reboot.
    pub fn radio_with(&self, mac: Mac, counters: SharedCounters) -> (Radio, Device) {
        let slot = Slot::default();
        let mut world = self.world.borrow_mut();
        let state = Rc::new(RefCell::new(State {
            mac,
            deafness: world.rng.i8(0..=6),
            slot: slot.clone(),
            counters,
            joined: None,
            events: VecDeque::new(),
            disconnect_code: 0,
            waker: None,
            own: None,
            joining: None,
            scanning: None,
            opening: None,
        }));
        world.radios.retain(|radio| radio.strong_count() > 0);
        world.radios.push(Rc::downgrade(&state));
        (Radio { air: self.clone(), state }, Device::new(mac, slot))
    }

    fn stations(&self, id: AccessPointId) -> Vec<Rc<RefCell<State>>> {
        let world = self.world.borrow();
        let radios = world.radios.iter().filter_map(Weak::upgrade);
        radios.filter(|radio| radio.borrow().joined == Some(id)).collect()
    }

    /// Frames stop at once; the stations find out later.
    fn fall_silent(&self, id: AccessPointId) {
        for radio in self.stations(id) {
            let weak = Rc::downgrade(&radio);
            let notice = self.spawner.spawn(async move {
                Timer::after(BEACONS_LOST).await;
                if let Some(radio) = weak.upgrade() {
                    let mut state = radio.borrow_mut();
                    state.unplug();
                    state.report(RadioEvent::Lost(LinkError::BeaconLost));
                }
            });
            let mut state = radio.borrow_mut();
            state.slot.fall_silent();
            state.joining = Some(notice);
        }
    }

    /// The strongest network of a name that a node can hear.
    fn find(&self, ssid: &Ssid, listener: Mac) -> Option<AccessPointId> {
        let world = self.world.borrow();
        let named = world.bases.iter().filter(|(_, base)| {
            base.access_point.on && base.access_point.ssid == *ssid && base.owner != Some(listener)
        });
        named.max_by_key(|(_, base)| base.access_point.rssi).map(|(id, _)| *id)
    }

    fn lets_in(&self, id: AccessPointId, passphrase: &Passphrase) -> bool {
        let world = self.world.borrow();
        world.bases.get(&id).is_some_and(|base| {
            base.access_point.passphrase.is_empty() || base.access_point.passphrase == *passphrase
        })
    }

    /// Tries to join a network; tells how long it took to fail, and why.
    async fn join(&self, radio: &Weak<RefCell<State>>, ssid: &Ssid, passphrase: &Passphrase) -> Option<()> {
        let mac = radio.upgrade()?.borrow().mac;
        let fail = async |error, time, spent| {
            Timer::after(time - spent).await;
            radio.upgrade()?.borrow_mut().report(RadioEvent::JoinFailed(error));
            Some(())
        };
        let time = Duration::from_millis(JOIN.0 + self.world.borrow_mut().rng.u64(0..=JOIN.1));
        Timer::after(time).await;
        let Some(id) = self.find(ssid, mac) else {
            return fail(LinkError::NotFound, NOT_FOUND, time).await;
        };
        if !self.lets_in(id, passphrase) {
            return fail(LinkError::WrongPassphrase, WRONG_PASSPHRASE, time).await;
        }
        let radio = radio.upgrade()?;
        let mut state = radio.borrow_mut();
        let switch = self.switch_of(id)?;
        let options = PortOptions { counters: state.counters.clone(), ..PortOptions::new(mac) };
        let port = switch.attach_with(options);
        state.slot.join(port);
        state.joined = Some(id);
        state.report(RadioEvent::Joined);
        Some(())
    }

    fn networks(&self, listener: Mac, deafness: i8) -> Vec<Network> {
        let world = self.world.borrow();
        let heard = world.bases.values().filter(|base| base.access_point.on && base.owner != Some(listener));
        heard
            .map(|base| Network {
                ssid: base.access_point.ssid.clone(),
                bssid: base.access_point.bssid,
                channel: base.access_point.channel,
                rssi: base.access_point.rssi.saturating_sub(deafness),
                secured: !base.access_point.passphrase.is_empty(),
            })
            .collect()
    }

    fn open(&self, radio: &Weak<RefCell<State>>, ssid: Ssid, passphrase: Passphrase) -> Option<()> {
        let radio = radio.upgrade()?;
        let (mac, counters) = {
            let state = radio.borrow();
            (state.mac, state.counters.clone())
        };
        let switch = Switch::new(self.world.borrow_mut().rng.u64(..));
        // Espressif's chips answer to two addresses, told apart by the bit for local administration.
        let mut bssid = mac;
        bssid[0] ^= 0x02;
        let access_point = AccessPoint { ssid, passphrase, channel: 1, rssi: -40, bssid, on: true };
        let id = self.insert(access_point, &switch, Some(mac));
        let port = switch.attach_with(PortOptions { counters, ..PortOptions::new(mac) });
        let mut state = radio.borrow_mut();
        state.slot.set_guests(Some(port));
        state.own = Some(id);
        state.report(RadioEvent::AccessPointStarted);
        Some(())
    }

    fn close(&self, state: &Rc<RefCell<State>>) {
        let own = {
            let mut state = state.borrow_mut();
            state.slot.set_guests(None);
            state.own.take()
        };
        if let Some(own) = own {
            self.remove(own);
        }
    }
}

/// A node's radio.
pub struct Radio {
    air: Air,
    state: Rc<RefCell<State>>,
}

impl Radio {
    /// Starts an order and returns at once; see [`RadioCommand`].
    pub fn command(&mut self, command: &RadioCommand) {
        let (air, weak) = (self.air.clone(), Rc::downgrade(&self.state));
        match command {
            RadioCommand::Join { ssid, passphrase } => {
                self.leave();
                let (ssid, passphrase) = (ssid.clone(), passphrase.clone());
                let task = self.air.spawner.spawn(async move {
                    air.join(&weak, &ssid, &passphrase).await;
                });
                self.state.borrow_mut().joining = Some(task);
            }
            RadioCommand::Leave => self.leave(),
            RadioCommand::StartAccessPoint { ssid, passphrase } => {
                self.air.close(&self.state);
                let (ssid, passphrase) = (ssid.clone(), passphrase.clone());
                let task = self.air.spawner.spawn(async move {
                    Timer::after(OPEN).await;
                    air.open(&weak, ssid, passphrase);
                });
                self.state.borrow_mut().opening = Some(task);
            }
            RadioCommand::StopAccessPoint => {
                let opening = self.state.borrow_mut().opening.take();
                drop(opening);
                self.air.close(&self.state);
            }
            RadioCommand::Scan => {
                let task = self.air.spawner.spawn(async move {
                    Timer::after(SCAN).await;
                    if let Some(radio) = weak.upgrade() {
                        let mut state = radio.borrow_mut();
                        for network in air.networks(state.mac, state.deafness) {
                            state.report(RadioEvent::Found(network));
                        }
                        state.report(RadioEvent::ScanDone);
                    }
                });
                self.state.borrow_mut().scanning = Some(task);
            }
        }
    }

    fn leave(&mut self) {
        let joining = self.state.borrow_mut().joining.take();
        drop(joining);
        let mut state = self.state.borrow_mut();
        state.unplug();
        // What is still to be heard of the link given up would be taken for news of the next one.
        state.events.retain(|event| {
            !matches!(event, RadioEvent::Joined | RadioEvent::JoinFailed(_) | RadioEvent::Lost(_))
        });
    }

    /// Waits for the next report. Cancel-safe.
    pub async fn event(&mut self) -> RadioEvent {
        poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if let Some(event) = state.events.pop_front() {
                return Poll::Ready(event);
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The station's link, if there is one.
    pub fn signal(&self) -> Option<Signal> {
        let state = self.state.borrow();
        let world = self.air.world.borrow();
        let base = world.bases.get(&state.joined?)?;
        Some(Signal {
            rssi: base.access_point.rssi.saturating_sub(state.deafness),
            channel: base.access_point.channel,
            bssid: base.access_point.bssid,
        })
    }

    /// Why the station last lost its link or got none, as a chip numbers it; 0 when that never happened.
    pub fn disconnect_code(&self) -> u8 {
        self.state.borrow().disconnect_code
    }

    /// How many clients the own access point has.
    pub fn access_point_clients(&self) -> u8 {
        let own = self.state.borrow().own;
        own.map_or(0, |id| u8::try_from(self.air.clients(id)).unwrap_or(u8::MAX))
    }
}

impl Drop for Radio {
    fn drop(&mut self) {
        self.command(&RadioCommand::StopAccessPoint);
        self.leave();
        let scanning = self.state.borrow_mut().scanning.take();
        drop(scanning);
    }
}
