//! A cluster on one thread: nodes, their LAN, its faults. Lives in the time of its [`World`], real or virtual.

mod orders;

use crate::control::{NodeStatus, Status};
use crate::emulated::{self, Emulator, Home, Warden};
use crate::member::Node;
use crate::node::{ExtraService, FLASH_BYTES};
use crate::view::{Order, Phase, View};
use anyhow::{Context as _, Result, anyhow, ensure};
use embassy_time::{Duration, Timer};
use spore_core::wifi::{Passphrase, Ssid};
use spore_image::{Behaviour, FlashMap, Slot, Version};
use spore_lan::Mac;
use spore_lan::air::{AccessPoint, AccessPointId, Air};
use spore_lan::bridge::{Bridge, Target};
use spore_lan::clock::{self, Mode};
use spore_lan::executor::{Spawner, World};
use spore_lan::faults::RuleId;
use spore_lan::flash::Flash;
use spore_lan::gateway::Gateway;
use spore_lan::switch::{SharedCounters, Switch};
use spore_lan::visitor::Visitor;
use spore_node::Config;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

/// Network of a lab unless it is given another.
pub const DEFAULT_WIFI: (&str, &str) = ("spore-lab", "spore-lab-passphrase");
/// Most nodes of a lab: as many as a node has places for members, and itself.
pub const MAX_NODES: usize = 255;
/// Size of the image that new nodes are born with.
const FACTORY_IMAGE: usize = 32 * 1024;
/// First port that is tried for a node on the host's loopback.
const FIRST_PORT: u16 = 8801;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Virtual nodes at the start; with the emulated ones 255 at most.
    pub nodes: u16,
    /// Emulated nodes at the start, after the virtual ones.
    pub emulated: u16,
    /// What emulated nodes are made of; without it there are none.
    pub emulator: Option<Emulator>,
    /// Whether the lab asks emulated nodes over HTTP whom they see. Without that it never finds them converged.
    pub ask_emulated: bool,
    /// Folder for flash files; without one flashes are in memory and gone with the cluster, and there are no emulated
    /// nodes.
    pub state_dir: Option<PathBuf>,
    /// Whether nodes get ports on the host's loopback.
    pub bridges: bool,
    /// First such port; 8801 and what is free from there when not given.
    pub port_base: Option<u16>,
    /// Name of a TAP interface to put the host on the LAN (Linux, root).
    pub tap: Option<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Network name and pass phrase.
    pub wifi: Option<(String, String)>,
    /// A service of virtual nodes beside the usual ones.
    pub extra: Option<ExtraService>,
}

impl Options {
    /// A cluster in memory, unreachable from the host: what tests in virtual time want.
    pub fn in_memory(nodes: u16, seed: u64) -> Self {
        Self {
            nodes,
            emulated: 0,
            emulator: None,
            ask_emulated: true,
            state_dir: None,
            bridges: false,
            port_base: None,
            tap: None,
            seed,
            wifi: None,
            extra: None,
        }
    }
}

/// One node and its way to the host.
struct Member {
    node: Node,
    bridge: Option<Bridge>,
}

/// A cluster under way.
pub struct Cluster {
    members: Vec<Member>,
    options: Options,
    wifi: (Ssid, Passphrase),
    access_point: AccessPointId,
    air: Air,
    faults: Vec<(RuleId, String)>,
    #[cfg(target_os = "linux")]
    tap: Option<spore_lan::tap::Tap>,
    /// Started with the first emulated node.
    warden: Option<Rc<Warden>>,
    gateway: Gateway,
    switch: Switch,
    spawner: Spawner,
    started: embassy_time::Instant,
}

impl Cluster {
    /// Starts a cluster in a world.
    ///
    /// # Errors
    /// When a flash file, a port or the TAP interface cannot be had, or a name is too long.
    pub fn new(world: &World, options: Options) -> Result<Self> {
        let spawner = world.spawner();
        let switch = Switch::new(options.seed);
        let gateway = if options.bridges {
            Gateway::new(&spawner, &switch, options.seed)
        } else {
            Gateway::with_sockets::<32>(&spawner, &switch, options.seed)
        };
        let air = Air::new(&spawner, options.seed);
        let (ssid, passphrase) = options.wifi.clone().unwrap_or_else(|| {
            let (ssid, passphrase) = DEFAULT_WIFI;
            (ssid.to_owned(), passphrase.to_owned())
        });
        let mut config = Config::new();
        config.set("wifiSsid", &ssid).map_err(|error| anyhow!("WIFI_SSID: {error}"))?;
        config.set("wifiPassphrase", &passphrase).map_err(|error| anyhow!("WIFI_PASSWORD: {error}"))?;
        let wifi = (config.wifi_ssid.clone(), config.wifi_passphrase.clone());
        let access_point = AccessPoint {
            ssid: wifi.0.clone(),
            passphrase: wifi.1.clone(),
            channel: 6,
            rssi: -50,
            bssid: [0x02, 0, 0, 0, 0, 1],
            on: true,
        };
        let access_point = air.add(access_point, &switch);
        let (nodes, emulated) = (options.nodes, options.emulated);
        let mut cluster = Self {
            members: Vec::new(),
            wifi,
            access_point,
            air,
            faults: Vec::new(),
            #[cfg(target_os = "linux")]
            tap: None,
            warden: None,
            gateway,
            switch,
            spawner,
            started: embassy_time::Instant::now(),
            options,
        };
        cluster.open_tap()?;
        cluster.add(nodes, false)?;
        cluster.add(emulated, true)?;
        Ok(cluster)
    }

    #[cfg(target_os = "linux")]
    fn open_tap(&mut self) -> Result<()> {
        if let Some(name) = &self.options.tap {
            let port = self.switch.attach([0x02, 0x53, 0x50, 0x4f, 0, 2]);
            let tap = spore_lan::tap::Tap::new(&self.spawner, port, name)
                .with_context(|| format!("--tap {name} (needs root and /dev/net/tun)"))?;
            self.tap = Some(tap);
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn open_tap(&mut self) -> Result<()> {
        ensure!(self.options.tap.is_none(), "--tap works on Linux only");
        Ok(())
    }

    /// The host's side of the LAN, to speak to nodes from.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The LAN itself.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The WiFi world.
    pub fn air(&self) -> &Air {
        &self.air
    }

    /// The nodes in the order they were added.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.members.iter().map(|member| &member.node)
    }

    /// Address of a node, once it has one.
    pub fn address(&self, node: &Node) -> Option<Ipv4Addr> {
        self.gateway.address(node.mac)
    }

    /// Adds nodes, virtual or emulated; gives their hostnames.
    ///
    /// # Errors
    /// When there would be too many, or a flash file, an emulator or a port cannot be had. Those added before stay.
    pub fn add(&mut self, count: u16, emulated: bool) -> Result<Vec<String>> {
        ensure!(
            self.members.len() + usize::from(count) <= MAX_NODES,
            "a lab has at most {MAX_NODES} nodes; {} are there",
            self.members.len()
        );
        let mut added = Vec::new();
        for _ in 0..count {
            let number = self.members.len() + 1;
            let mac = hardware_address(self.options.seed, number);
            let mut factory = Config::new();
            (factory.wifi_ssid, factory.wifi_passphrase) = self.wifi.clone();
            // Nothing that refuses a label of these lengths exists; a node without it works as well.
            let _ = factory.labels.set("app", "spore");
            let seed = self.options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64);
            let node = if emulated {
                self.emulated(number, mac, &factory, seed)?
            } else {
                let file =
                    self.options.state_dir.as_ref().map(|folder| folder.join(format!("node-{number}.flash")));
                let flash = match &file {
                    Some(file) => Flash::file(file, FLASH_BYTES)
                        .with_context(|| format!("cannot use the flash file {}", file.display()))?,
                    None => Flash::ram(FLASH_BYTES),
                };
                burn_factory_image(&flash)?;
                self.gateway.reserve(mac);
                Node::new_virtual(
                    &self.spawner,
                    &self.air,
                    mac,
                    (flash, file),
                    factory,
                    self.options.extra,
                    seed,
                )
            };
            let bridge = if self.options.bridges { Some(self.bridge(mac, number)?) } else { None };
            added.push(node.hostname());
            self.members.push(Member { node, bridge });
        }
        Ok(added)
    }

    /// Makes an emulated node.
    fn emulated(&mut self, number: usize, mac: Mac, factory: &Config, seed: u64) -> Result<Node> {
        ensure!(clock::mode() == Mode::Real, "emulators live in real time only");
        let emulator = self.options.emulator.clone();
        let emulator =
            emulator.context("this lab has no emulator; start one with `spore up --emulated 1`")?;
        let folder =
            self.options.state_dir.as_ref().context("emulated nodes need a folder for their files")?;
        let home = Home::make(&folder.join(format!("node-{number}")), &emulator, factory)?;
        home.hear(&self.networks()).context("cannot write air.txt")?;
        let warden = match &self.warden {
            Some(warden) => warden.clone(),
            None => Rc::new(Warden::new().context("cannot start /bin/sh to watch over emulators")?),
        };
        self.warden = Some(warden.clone());
        let body = emulated::Body {
            mac,
            home: Rc::new(home),
            emulator,
            view: Rc::new(View::new()),
            counters: SharedCounters::new(),
            switch: self.switch.clone(),
            stack: self.gateway.host().stack(),
            ip: self.gateway.reserve(mac),
            spawner: self.spawner.clone(),
            warden,
            seed,
            ask: self.options.ask_emulated,
        };
        Ok(Node::new_emulated(&self.spawner, body))
    }

    /// The networks that lead to the LAN. Those of nodes' own access points do not.
    fn networks(&self) -> Vec<AccessPoint> {
        let all = self.air.access_points().into_iter();
        all.filter(|(id, _)| *id == self.access_point).map(|(_, network)| network).collect()
    }

    /// Tells emulated nodes what is on the air; virtual ones hear it.
    fn radiate(&self) {
        let networks = self.networks();
        for node in self.nodes() {
            if let Some(Err(error)) = node.home().map(|home| home.hear(&networks)) {
                node.view.log.line(&format!("-- air.txt cannot be written: {error} --"));
            }
        }
    }

    /// Takes the power of emulated nodes and waits until their processes are gone, so that nobody writes to their files
    /// when the lab has ended.
    pub(crate) async fn end_emulators(&self) {
        let emulated: Vec<&Node> = self.nodes().filter(|node| node.home().is_some()).collect();
        for _ in 0..200 {
            let mut alive = false;
            for node in emulated.iter().filter(|node| node.view.phase.get() != Phase::Off) {
                // One with too many orders before this is told again.
                node.order(Order::PowerOff);
                alive = true;
            }
            if !alive {
                return;
            }
            Timer::after(Duration::from_millis(10)).await;
        }
    }

    /// A way from the host's loopback to the node, over the LAN or, where it is not on it, over its own access point.
    fn bridge(&self, mac: Mac, number: usize) -> Result<Bridge> {
        let offset = u16::try_from(number - 1)?;
        let visitor = Rc::new(Visitor::new(&self.spawner, &self.air, mac));
        let open = |port: u16| {
            let visitor = visitor.clone();
            let listen = SocketAddr::from(([127, 0, 0, 1], port));
            self.gateway.bridge_with(listen, Target::Node(mac, 80), move || visitor.way(80))
        };
        match self.options.port_base {
            Some(base) => {
                let port = base.checked_add(offset).context("--port-base leaves no room for this node")?;
                open(port).with_context(|| format!("port {port} is taken; choose another --port-base"))
            }
            // Another lab may run beside this one: any free port will do then.
            None => open(FIRST_PORT + offset).or_else(|_| open(0)).context("no port is free on the loopback"),
        }
    }

    /// Whether every running node sees every other running node ACTIVE, and all that have power run.
    pub fn converged(&self) -> bool {
        let powered =
            || self.nodes().filter(|node| !matches!(node.view.phase.get(), Phase::Off | Phase::Asleep));
        let count = powered().count();
        powered().all(|node| node.view.phase.get() == Phase::Running && self.sees(node) + 1 == count)
    }

    /// How many other running nodes of this cluster a node sees ACTIVE.
    fn sees(&self, node: &Node) -> usize {
        let seen = node.view.seen.borrow();
        let others = self.nodes().filter(|other| {
            other.mac != node.mac
                && other.view.phase.get() == Phase::Running
                && self.address(other).is_some_and(|ip| seen.contains(&ip))
        });
        others.count()
    }

    /// How everything stands.
    pub fn status(&self) -> Status {
        let counters = self.switch.counters();
        let nodes = self.members.iter().map(|member| {
            let (node, view) = (&member.node, &member.node.view);
            let local = member
                .bridge
                .as_ref()
                .map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)), |bridge| bridge.local());
            NodeStatus {
                hostname: node.hostname(),
                ip: self.address(node),
                local,
                url: format!("http://{local}/"),
                kind: node.kind().to_owned(),
                board: node.board().to_owned(),
                version: view.version.borrow().clone(),
                state: view.phase.get().as_str().to_owned(),
                sees: u16::try_from(self.sees(node)).unwrap_or(u16::MAX),
                boots: view.boots.get(),
                reset_reason: view.reset_reason.borrow().clone(),
                cpu_millis: u64::try_from(view.cpu().as_millis()).unwrap_or(u64::MAX),
                flash: node.flash_file().map(|file| file.display().to_string()).unwrap_or_default(),
            }
        });
        Status {
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            ssid: self.wifi.0.as_str().to_owned(),
            converged: self.converged(),
            frames: counters.delivered_frames,
            bytes: counters.delivered_bytes,
            sent_frames: counters.sent_frames,
            sent_bytes: counters.sent_bytes,
            node_bytes: self.nodes().map(|node| node.view.bytes.get() as u64).max().unwrap_or(0),
            faults: self.faults_in_force(),
            tap: self.options.tap.clone(),
            nodes: nodes.collect(),
        }
    }
}

/// Hardware address of the n-th node of a lab: Espressif's prefix, the rest from the seed, no two alike.
fn hardware_address(seed: u64, number: usize) -> Mac {
    let base = fastrand::Rng::with_seed(seed).u32(..);
    // An odd factor permutes the 24-bit numbers, so different nodes get different chip ids.
    let chip = base.wrapping_add((number as u32).wrapping_mul(0x9e_3779)) & 0xff_ffff;
    let [_, a, b, c] = chip.to_be_bytes();
    [0x5c, 0xcf, 0x7f, a, b, c]
}

/// Gives a chip that was never used its first image.
fn burn_factory_image(flash: &Flash) -> Result<()> {
    let map = FlashMap::for_size(FLASH_BYTES).map_err(|error| anyhow!("{error}"))?;
    let status = spore_boot::status(&mut flash.clone(), &map).map_err(|error| anyhow!("{error}"))?;
    if status.slots.iter().any(|slot| slot.header.is_some()) {
        return Ok(());
    }
    let version = Version::parse(env!("CARGO_PKG_VERSION")).map_err(|error| anyhow!("{error}"))?;
    let image = spore_image::build::virtual_image("spore", version, Behaviour::default(), FACTORY_IMAGE)
        .map_err(|error| anyhow!("{error}"))?;
    flash.burn(map.slot(Slot::A).offset, &image).map_err(|error| anyhow!("{error}"))
}
