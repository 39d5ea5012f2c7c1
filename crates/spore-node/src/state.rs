//! The state of one node, apart from sockets and futures.

use crate::board::System;
use crate::later::Later;
use crate::limits::SCAN;
use crate::service::Service;
use core::net::Ipv4Addr;
use heapless::Vec;
use spore_boot::{Boot, LastUpdate};
use spore_core::catalogue::Foreign;
use spore_core::config::Config;
use spore_core::cpu::CpuUsage;
use spore_core::discovery::Discovery;
use spore_core::events::{Outgoing, Seen};
use spore_core::limits::{EVENT_ORIGINS, MEMBERS, OUTGOING, OUTGOING_BYTES, TASKS};
use spore_core::members::{Members, Thresholds};
use spore_core::rng::Rng;
use spore_core::sntp;
use spore_core::tasks::Tasks;
use spore_core::time::Duration;
use spore_core::trial::Trial;
use spore_core::wifi::{Network, Policy, Settings, Signal};
use spore_core::{hostname, trial};
use spore_wire::{Hostname, Labels};

/// An address and what came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Own address.
    pub ip: Ipv4Addr,
    /// Mask of the subnet.
    pub netmask: Ipv4Addr,
    /// Router; 0.0.0.0 for none.
    gateway: Ipv4Addr,
    /// Name server; 0.0.0.0 for none.
    dns: Ipv4Addr,
}

impl Address {
    /// An address with its router and name server.
    pub fn new(ip: Ipv4Addr, netmask: Ipv4Addr, gateway: Option<Ipv4Addr>, dns: Option<Ipv4Addr>) -> Self {
        let gateway = gateway.unwrap_or(Ipv4Addr::UNSPECIFIED);
        Self { ip, netmask, gateway, dns: dns.unwrap_or(Ipv4Addr::UNSPECIFIED) }
    }

    /// Router.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        Some(self.gateway).filter(|ip| !ip.is_unspecified())
    }

    /// Name server.
    pub fn dns(&self) -> Option<Ipv4Addr> {
        Some(self.dns).filter(|ip| !ip.is_unspecified())
    }
}

/// What does not change while the node runs.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Low three bytes of the hardware address.
    pub chip_id: u32,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Board's name.
    pub board: &'static str,
    /// SDK's version.
    pub sdk: &'static str,
    /// CPU clock.
    pub cpu_mhz: u8,
    /// Flash chip.
    pub flash_bytes: u32,
}

/// What an update is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Nothing.
    Idle,
    /// An image is coming in.
    Receiving {
        /// Bytes so far.
        received: u32,
        /// Bytes expected.
        size: u32,
    },
    /// An image was installed; the node restarts.
    Restarting,
}

/// Things counted since boot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Datagrams received on port 4210.
    pub datagrams_received: u32,
    /// Of these, not understood.
    pub datagrams_unknown: u32,
    /// Of these, native ones from the future.
    pub datagrams_skipped: u32,
    /// Datagrams sent.
    pub datagrams_sent: u32,
    /// Datagrams that could not be sent.
    pub datagrams_unsent: u32,
    /// Native datagrams sent.
    pub native_sent: u32,
    /// HTTP requests served.
    pub requests: u32,
}

impl Counters {
    const ZERO: Self = Self {
        datagrams_received: 0,
        datagrams_unknown: 0,
        datagrams_skipped: 0,
        datagrams_sent: 0,
        datagrams_unsent: 0,
        native_sent: 0,
        requests: 0,
    };
}

/// All of it. Before [`State::begin`] it is nothing but zero bytes, see [`Later`].
pub struct State<'a> {
    /// The executor's clock at boot, in ms.
    pub booted: u64,
    pub hostname: Hostname,
    pub labels: Labels,
    pub config: Later<Config>,
    pub identity: Later<Identity>,
    pub boot: Later<&'a Boot>,
    /// The running image is on trial still.
    pub on_trial: bool,
    pub last_update: Later<Option<LastUpdate>>,
    pub address: Option<Address>,
    pub members: Members<MEMBERS>,
    /// Catalogues of others.
    pub catalogues: Foreign,
    /// Hash of the own catalogue.
    pub catalogue: u32,
    pub tasks: Tasks<TASKS>,
    pub discovery: Later<Discovery>,
    pub seen: Seen<EVENT_ORIGINS>,
    pub outgoing: Outgoing<OUTGOING, OUTGOING_BYTES>,
    pub cpu: CpuUsage,
    pub trial: Later<Trial>,
    pub wifi: Later<Policy>,
    pub signal: Option<Signal>,
    pub access_point_clients: u8,
    /// See [`crate::board::Radio::disconnect_code`].
    pub disconnect_code: u8,
    pub networks: Vec<Network, SCAN>,
    pub scanning: bool,
    pub update: Update,
    pub counters: Counters,
    /// The time of day.
    pub clock: sntp::Clock,
}

impl State<'_> {
    /// Room for a state.
    pub const fn new() -> Self {
        let never = Thresholds {
            inactive_after: Duration::ZERO,
            dead_after: Duration::ZERO,
            forget_after: Duration::ZERO,
        };
        Self {
            booted: 0,
            hostname: Hostname::EMPTY,
            labels: Labels::new(),
            config: Later::new(),
            identity: Later::new(),
            boot: Later::new(),
            on_trial: false,
            last_update: Later::new(),
            address: None,
            members: Members::new(never),
            catalogues: Foreign::new(),
            catalogue: 0,
            tasks: Tasks::new(),
            discovery: Later::new(),
            seen: Seen::new(),
            outgoing: Outgoing::new(),
            cpu: CpuUsage::new(),
            trial: Later::new(),
            wifi: Later::new(),
            signal: None,
            access_point_clients: 0,
            disconnect_code: 0,
            networks: Vec::new(),
            scanning: false,
            update: Update::Idle,
            counters: Counters::ZERO,
            clock: sntp::Clock::new(),
        }
    }

    /// The state at boot, as far as it does not depend on the settings; to be called once.
    #[inline(never)]
    pub fn begin(&mut self, mac: [u8; 6], system: &mut dyn System) {
        let mut rng = Rng::new(system.entropy());
        self.booted = embassy_time::Instant::now().as_millis();
        self.identity.set(Identity {
            chip_id: system.chip_id(),
            mac,
            board: system.board(),
            sdk: system.sdk_version(),
            cpu_mhz: system.cpu_mhz(),
            flash_bytes: system.flash_bytes(),
        });
        self.discovery.set(Discovery::new(rng.next_u64()));
        self.trial.set(Trial::new(trial::DEFAULT_DEADLINE));
        let access_point = hostname::access_point(self.identity.chip_id);
        self.wifi.set(Policy::new(Settings::DEFAULT, access_point, rng.next_u64()));
    }

    /// What depends on the settings, once they are read.
    pub fn configured(&mut self, services: &[&dyn Service]) {
        self.members.set_thresholds(self.config.thresholds());
        self.wifi.set_settings(self.config.wifi());
        self.take_names(services);
    }

    /// Takes hostname and labels from the settings; services' labels come first, so that the owner's win.
    pub fn take_names(&mut self, services: &[&dyn Service]) {
        self.hostname =
            self.config.hostname.clone().unwrap_or_else(|| hostname::of_chip(self.identity.chip_id));
        self.labels.clear();
        let offered = services.iter().flat_map(|service| service.labels()).copied();
        for (key, value) in offered.chain(self.config.labels.iter()) {
            // There is room for eight; those of the settings were checked.
            let _ = self.labels.set(key, value);
        }
    }

    /// The boot number as datagrams carry it.
    pub fn boot_number(&self) -> u16 {
        // Modulo 2^16 is meant: it only has to differ from the last ones.
        self.boot.boot_count as u16
    }

    /// The sender of the next native datagram.
    pub fn native_sender(&self) -> spore_wire::native::Sender {
        spore_wire::native::Sender {
            id: self.identity.chip_id,
            boot: self.boot_number(),
            counter: self.counters.native_sent,
        }
    }
}
