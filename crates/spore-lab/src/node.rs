//! The life of a virtual node: power, boot stage, image, crash, watchdog, restart.

use crate::board::{BOARD, VirtualBoard, VirtualFlash, VirtualRadio, VirtualSystem};
use crate::observer::Observer;
use crate::pins::{LabPin, Pins};
use crate::view::{Order, Orders, Phase, View, chip_id};
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Timer};
use embedded_storage::nor_flash::ReadNorFlash;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hello::Hello;
use relay::Relay;
use spore_boot::crashes::{self, Streak};
use spore_boot::{Boot, ResetCause};
use spore_hal::Inverted;
use spore_image::behaviour::{Act, Behaviour, RECORD_BYTES};
use spore_image::{FlashMap, HEADER_BYTES};
use spore_lan::Mac;
use spore_lan::air::Air;
use spore_lan::executor::{Spawner, Task};
use spore_lan::flash::Flash;
use spore_lan::switch::SharedCounters;
use spore_node::service::Service;
use spore_node::{Config, Exit, Memory, Parts, Start};
use std::cell::RefCell;
use std::rc::Rc;

/// Size of a virtual node's flash chip.
pub const FLASH_BYTES: u32 = 1024 * 1024;
/// Time from reset to the image's first instruction, as on an ESP-01.
const BOOT_TIME: Duration = Duration::from_millis(250);
/// Time after which the watchdog bites an image that hangs, about that of the ESP8266's hardware watchdog.
const WATCHDOG: Duration = Duration::from_secs(6);

/// Makes a service of a virtual node beside the usual ones, on the pins of its board.
pub type ExtraService = fn(&Pins) -> Box<dyn Service>;

/// The pin of the relay: as on the relay modules for an ESP-01, and as in the firmware, GPIO0, on at low.
fn relay_pin(pins: &Pins) -> LabPin {
    pins.output(0, true).expect("a start lets go of all pins, and this is the first to take one")
}

/// What a virtual node is made of and stays the same through its restarts.
pub(crate) struct Body {
    pub(crate) mac: Mac,
    pub(crate) flash: Flash,
    pub(crate) view: Rc<View>,
    pub(crate) counters: SharedCounters,
    /// Settings it starts with as long as it has none stored.
    pub(crate) factory: Config,
    pub(crate) air: Air,
    pub(crate) spawner: Spawner,
    pub(crate) extra: Option<ExtraService>,
    pub(crate) seed: u64,
}

impl Body {
    /// Plugs the node in; its life ends when the task is dropped.
    pub(crate) fn live(self, orders: Orders) -> Task<()> {
        self.spawner.clone().spawn(live(self, orders))
    }
}

/// How an image ended.
enum End {
    Reset(ResetCause, String),
    Ordered(Order),
}

async fn live(body: Body, orders: Orders) {
    let view = &body.view;
    let (mut cause, mut reason) = (ResetCause::PowerOn, "power on".to_owned());
    loop {
        view.start(&reason);
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
                view.stop(Phase::Off);
                view.log.line("-- power off --");
                while matches!(orders.receive().await, Order::PowerOff | Order::Crash) {}
                (ResetCause::PowerOn, "power on".to_owned())
            }
            End::Ordered(Order::PowerCut | Order::PowerCutAt(_)) => {
                (ResetCause::PowerOn, "power on".to_owned())
            }
            End::Ordered(Order::Crash) => (ResetCause::Exception, "exception: ordered crash".to_owned()),
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
    let quick_crashes = crashes::quick_crashes(view.streak.get(), cause, boot.update_ended);
    view.streak.set(Some(Streak::Quick(quick_crashes)));
    let mut node = image(body, boot, quick_crashes, reason, script.act == Act::NoNetwork);
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
        Either::First(Ok(Exit::Sleep(millis))) => {
            view.stop(Phase::Asleep);
            view.log.line(&format!("-- asleep for {millis} ms --"));
            Timer::after(Duration::from_millis(millis.into())).await;
            End::Reset(ResetCause::PowerOn, "deep sleep".to_owned())
        }
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
fn image(body: &Body, boot: Boot, quick_crashes: u8, reason: &str, deaf: bool) -> Task<Exit> {
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
    let extra = body.extra;
    let node = async move {
        let hello = Hello::new();
        let relay = Relay::new(Inverted::new(relay_pin(&view.pins)));
        let observer = Observer::new(view.seen.clone());
        let extra = extra.map(|extra| extra(&view.pins));
        let services: Vec<&dyn Service> =
            [&hello as &dyn Service, &relay, &observer].into_iter().chain(extra.as_deref()).collect();
        let mut memory = Box::new(Memory::new());
        let mut start = Start { boot: &boot, factory: Some(&factory), services: &services, quick_crashes };
        if start.is_safe_mode() {
            // The lab wants to know whom it sees all the same.
            start.services = &services[2..3];
        }
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
