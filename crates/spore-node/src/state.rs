//! The state of one node, apart from sockets and futures.

use crate::board::System;
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
use spore_core::limits::{EVENT_ORIGINS, MEMBERS, OUTGOING, TASKS};
use spore_core::members::Members;
use spore_core::rng::Rng;
use spore_core::tasks::Tasks;
use spore_core::trial::Trial;
use spore_core::wifi::{Network, Passphrase, Policy, Signal};
use spore_core::{hostname, trial};
use spore_wire::{Hostname, Labels};

/// Cluster events one node may fire: in the long run per second, and at once.
const EVENT_RATE: (u32, u32) = (10, 5);

/// An address and what came with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Own address.
    pub ip: Ipv4Addr,
    /// Mask of the subnet.
    pub netmask: Ipv4Addr,
    /// Router.
    pub gateway: Option<Ipv4Addr>,
    /// Name server.
    pub dns: Option<Ipv4Addr>,
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

/// All of it.
pub struct State {
    /// The executor's clock at boot, in ms.
    pub booted: u64,
    pub hostname: Hostname,
    pub labels: Labels,
    pub config: Config,
    pub identity: Identity,
    pub boot: Boot,
    pub last_update: Option<LastUpdate>,
    pub address: Option<Address>,
    pub members: Members<MEMBERS>,
    /// Catalogues of others.
    pub catalogues: Foreign,
    /// Hash of the own catalogue.
    pub catalogue: u32,
    pub tasks: Tasks<TASKS>,
    pub discovery: Discovery,
    pub seen: Seen<EVENT_ORIGINS>,
    pub outgoing: Outgoing<OUTGOING>,
    pub cpu: CpuUsage,
    pub trial: Trial,
    pub wifi: Policy,
    pub signal: Option<Signal>,
    pub access_point_clients: u8,
    pub networks: Vec<Network, SCAN>,
    pub scanning: bool,
    pub update: Update,
    pub counters: Counters,
}

impl State {
    /// The state at boot.
    pub fn new(
        config: Config,
        boot: Boot,
        mac: [u8; 6],
        system: &mut dyn System,
        services: &[&dyn Service],
    ) -> Self {
        let chip_id = system.chip_id();
        let mut rng = Rng::new(system.entropy());
        let mut state = Self {
            booted: embassy_time::Instant::now().as_millis(),
            hostname: hostname::of_chip(chip_id),
            labels: Labels::new(),
            identity: Identity {
                chip_id,
                mac,
                board: system.board(),
                sdk: system.sdk_version(),
                cpu_mhz: system.cpu_mhz(),
                flash_bytes: system.flash_bytes(),
            },
            last_update: boot.last_update.clone(),
            boot,
            address: None,
            members: Members::new(config.thresholds()),
            catalogues: Foreign::new(),
            catalogue: 0,
            tasks: Tasks::new(),
            discovery: Discovery::new(rng.next_u64()),
            seen: Seen::new(),
            outgoing: Outgoing::new(EVENT_RATE.0, EVENT_RATE.1),
            cpu: CpuUsage::new(),
            trial: Trial::new(trial::DEFAULT_DEADLINE),
            wifi: Policy::new(
                config.wifi(),
                hostname::access_point(chip_id),
                Passphrase::new(),
                rng.next_u64(),
            ),
            signal: None,
            access_point_clients: 0,
            networks: Vec::new(),
            scanning: false,
            update: Update::Idle,
            counters: Counters::default(),
            config,
        };
        state.take_names(services);
        state
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
