//! The life of a virtual node: power, boot stage, image, crash, watchdog, restart.

use crate::board::{BOARD, Log, VirtualBoard, VirtualFlash, VirtualRadio, VirtualSystem};
use crate::observer::{Observer, Seen};
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Timer};
use embedded_storage::nor_flash::ReadNorFlash;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hello::Hello;
use relay::{Relay, Simulated};
use spore_boot::{Boot, ResetCause};
use spore_image::behaviour::{Act, Behaviour, RECORD_BYTES};
use spore_image::{FlashMap, HEADER_BYTES};
use spore_lan::Mac;
use spore_lan::air::Air;
use spore_lan::executor::{Spawner, Task, Usage};
use spore_lan::flash::Flash;
use spore_lan::switch::SharedCounters;
use spore_node::service::Service;
use spore_node::{Config, Exit, Memory, Parts, Start};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Size of a virtual node's flash chip.
pub const FLASH_BYTES: u32 = 1024 * 1024;
/// Time from reset to the image's first instruction, as on an ESP-01.
const BOOT_TIME: Duration = Duration::from_millis(250);
/// Time after which the watchdog bites an image that hangs, about that of the ESP8266's hardware watchdog.
const WATCHDOG: Duration = Duration::from_secs(6);

/// What a node is doing, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No power.
    Off,
    /// Power, no image running yet.
    Booting,
    /// The image runs.
    Running,
    /// The image does nothing; the watchdog will bite.
    Hanging,
    /// The boot stage found nothing to run.
    Bricked,
}

impl Phase {
    /// The word of the control socket.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Booting => "booting",
            Self::Running => "running",
            Self::Hanging => "hanging",
            Self::Bricked => "bricked",
        }
    }
}

/// Something done to a node from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Pull the plug.
    PowerOff,
    /// Pull the plug and put it back at once.
    PowerCut,
    /// Plug in, or press reset.
    Restart,
}

/// What the outside knows of a node.
pub struct View {
    /// What it is doing.
    pub phase: Cell<Phase>,
    /// Version of the image it runs.
    pub version: RefCell<String>,
    /// Why it last started.
    pub reset_reason: RefCell<String>,
    /// Starts since it was added.
    pub boots: Cell<u32>,
    /// Members it holds for ACTIVE.
    pub seen: Seen,
    /// Its log.
    pub log: Log,
    /// Host CPU time spent on it.
    pub usage: Usage,
    /// Bytes of memory the node takes: buffers, state and futures.
    pub bytes: Cell<usize>,
}

/// A virtual node under power, or not.
pub struct VirtualNode {
    /// Hardware address.
    pub mac: Mac,
    /// Its flash chip.
    pub flash: Flash,
    /// What can be seen.
    pub view: Rc<View>,
    /// Traffic of all its lives.
    pub counters: SharedCounters,
    orders: Rc<Channel<NoopRawMutex, Order, 4>>,
    _life: Task<()>,
}

/// What a node is made of and stays the same through its restarts.
struct Body {
    mac: Mac,
    flash: Flash,
    view: Rc<View>,
    counters: SharedCounters,
    factory: Config,
    air: Air,
    spawner: Spawner,
    seed: u64,
}

impl VirtualNode {
    /// Plugs a node in. `factory` are the settings it starts with as long as it has none stored.
    pub fn new(spawner: &Spawner, air: &Air, mac: Mac, flash: Flash, factory: Config, seed: u64) -> Self {
        let view = Rc::new(View {
            phase: Cell::new(Phase::Booting),
            version: RefCell::default(),
            reset_reason: RefCell::default(),
            boots: Cell::new(0),
            seen: Seen::default(),
            log: Log::default(),
            usage: Usage::new(),
            bytes: Cell::new(0),
        });
        let orders = Rc::new(Channel::new());
        let counters = SharedCounters::new();
        let body = Body {
            mac,
            flash: flash.clone(),
            view: view.clone(),
            counters: counters.clone(),
            factory,
            air: air.clone(),
            spawner: spawner.clone(),
            seed,
        };
        let life = spawner.spawn(live(body, orders.clone()));
        Self { mac, flash, view, counters, orders, _life: life }
    }

    /// The chip id: the low three bytes of the hardware address.
    pub fn chip_id(&self) -> u32 {
        chip_id(self.mac)
    }

    /// Does something to the node; false when it has not yet taken in the last orders.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

fn chip_id(mac: Mac) -> u32 {
    u32::from_be_bytes([0, mac[3], mac[4], mac[5]])
}

/// How an image ended.
enum End {
    Reset(ResetCause, String),
    Ordered(Order),
}

async fn live(body: Body, orders: Rc<Channel<NoopRawMutex, Order, 4>>) {
    let view = &body.view;
    let (mut cause, mut reason) = (ResetCause::PowerOn, "power on".to_owned());
    loop {
        view.phase.set(Phase::Booting);
        view.boots.set(view.boots.get() + 1);
        view.seen.borrow_mut().clear();
        view.version.borrow_mut().clear();
        view.reset_reason.replace(reason.clone());
        view.log.line(&format!("-- {reason} --"));
        let end = match select(start(&body, cause, &reason), orders.receive()).await {
            Either::First(end) => end,
            Either::Second(order) => End::Ordered(order),
        };
        // The power comes back before anything reads the flash again.
        if body.flash.is_dark() {
            view.log.line("-- power lost in a flash operation --");
            body.flash.restore_power();
        }
        (cause, reason) = match end {
            End::Reset(cause, reason) => (cause, reason),
            End::Ordered(Order::PowerOff) => {
                view.phase.set(Phase::Off);
                view.version.borrow_mut().clear();
                view.seen.borrow_mut().clear();
                view.log.line("-- power off --");
                while orders.receive().await == Order::PowerOff {}
                (ResetCause::PowerOn, "power on".to_owned())
            }
            End::Ordered(Order::PowerCut) => (ResetCause::PowerOn, "power on".to_owned()),
            End::Ordered(Order::Restart) => (ResetCause::PowerOn, "external reset".to_owned()),
        };
    }
}

/// The boot stage, and what its image does.
async fn start(body: &Body, cause: ResetCause, reason: &str) -> End {
    let view = &body.view;
    Timer::after(BOOT_TIME).await;
    let map = match FlashMap::for_size(FLASH_BYTES) {
        Ok(map) => map,
        Err(error) => {
            view.log.line(&format!("boot: {error}"));
            return core::future::pending().await;
        }
    };
    let boot = match spore_boot::select(&mut body.flash.clone(), &map, BOARD, cause) {
        Ok(boot) => boot,
        // A cut in the boot stage's own write: the node simply starts again.
        Err(_) if body.flash.is_dark() => return End::Reset(ResetCause::PowerOn, "power on".to_owned()),
        Err(error) => {
            view.phase.set(Phase::Bricked);
            view.log.line(&format!("boot: {error}"));
            return core::future::pending().await;
        }
    };
    let script = script(&body.flash, &map, &boot);
    view.version.replace(boot.header.version.as_str().to_owned());
    let after = Timer::after(Duration::from_millis(script.after_ms.into()));
    match script.act {
        Act::Hang if script.after_ms == 0 => {
            view.phase.set(Phase::Hanging);
            Timer::after(WATCHDOG).await;
            return End::Reset(ResetCause::Watchdog, "watchdog".to_owned());
        }
        Act::Crash if script.after_ms == 0 => {
            return End::Reset(ResetCause::Exception, "exception: scripted crash".to_owned());
        }
        _ => {}
    }
    view.phase.set(Phase::Running);
    let mut node = image(body, boot, reason, script.act == Act::NoNetwork);
    let scripted = async {
        after.await;
        match script.act {
            Act::Crash => End::Reset(ResetCause::Exception, "exception: scripted crash".to_owned()),
            Act::Hang => End::Reset(ResetCause::Watchdog, "watchdog".to_owned()),
            Act::Healthy | Act::NoNetwork => core::future::pending().await,
        }
    };
    match select(node.join(), scripted).await {
        Either::First(Ok(Exit::Restart)) => End::Reset(ResetCause::Restart, "restart".to_owned()),
        Either::First(Ok(Exit::TrialFailed)) => {
            End::Reset(ResetCause::TrialFailed, "trial failed".to_owned())
        }
        Either::First(Err(_)) if body.flash.is_dark() => {
            End::Reset(ResetCause::PowerOn, "power on".to_owned())
        }
        Either::First(Err(stopped)) => End::Reset(ResetCause::Exception, format!("exception: {stopped}")),
        Either::Second(end) => end,
    }
}

/// What the image at hand is scripted to do. One without a script is healthy.
fn script(flash: &Flash, map: &FlashMap, boot: &Boot) -> Behaviour {
    let mut record = [0u8; RECORD_BYTES];
    let start = map.slot(boot.slot).offset + HEADER_BYTES as u32;
    let read = flash.clone().read(start, &mut record);
    read.ok().and_then(|()| Behaviour::parse(&record).ok()).unwrap_or_default()
}

/// Starts the node proper: the very code that runs on a chip.
fn image(body: &Body, boot: Boot, reason: &str, deaf: bool) -> Task<Exit> {
    let view = body.view.clone();
    let (radio, device) = body.air.radio_with(body.mac, body.counters.clone());
    let random = fastrand::Rng::with_seed(body.seed ^ u64::from(boot.boot_count) << 32);
    let mut system = VirtualSystem {
        chip_id: chip_id(body.mac),
        reset_reason: reason.to_owned(),
        busy_before: VirtualSystem::busy(&view),
        random,
        view: view.clone(),
    };
    let flash = RefCell::new(VirtualFlash(body.flash.clone()));
    let factory = body.factory.clone();
    let usage = view.usage.clone();
    let node = async move {
        let hello = Hello::new();
        let relay = Relay::new(Simulated::default());
        let observer = Observer::new(view.seen.clone());
        let services: [&dyn Service; 3] = [&hello, &relay, &observer];
        let mut memory = Box::new(Memory::new());
        let start = Start { boot, factory, services: &services };
        let radio = VirtualRadio { radio, deaf };
        let parts: Parts<'_, VirtualBoard> = Parts { device, radio, flash: &flash, system: &mut system };
        let node =
            spore_node::assemble(&mut memory, parts, start).expect("the device and the services are sound");
        // Each a task with a waker of its own: see `assemble`.
        let mut tasks = Tasks { bytes: size_of::<Memory<'_>>(), tasks: FuturesUnordered::new() };
        tasks.add(async { node.network.run().await });
        for worker in node.workers {
            tasks.add(async { worker.run().await });
        }
        for refuser in node.refusers {
            tasks.add(async { refuser.run().await });
        }
        tasks.add(node.node.run());
        view.bytes.set(tasks.bytes);
        tasks.tasks.next().await.unwrap_or(Exit::Restart)
    };
    body.spawner.spawn_metered(&usage, node)
}

/// The tasks of a node, and how many bytes they and its memory take.
struct Tasks<'n> {
    bytes: usize,
    tasks: FuturesUnordered<LocalBoxFuture<'n, Exit>>,
}

impl<'n> Tasks<'n> {
    fn add(&mut self, task: impl Future<Output = Exit> + 'n) {
        self.bytes += size_of_val(&task);
        self.tasks.push(Box::pin(task));
    }
}
