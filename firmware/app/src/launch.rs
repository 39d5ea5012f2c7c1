//! From the SDK's call to a running node.

use crate::board::Esp8266;
use crate::device::WifiDevice;
use crate::radio::{self, WifiRadio};
use crate::system::ChipSystem;
use core::cell::RefCell;
use core::future::Future;
use embassy_executor::raw::TaskStorage;
use embassy_executor::{SpawnToken, Spawner};
use hello::Hello;
use relay::{Relay, Simulated};
use spore_node::service::Service;
use spore_node::{Config, Exit, Memory, Network, Node, Parts, Refuser, Start, Worker, limits};
use spore_boot::rtc::Request;
use spore_rt::crash;
use spore_rt::executor::named;
use spore_rt::flash::Flash;
use spore_rt::{executor, rom, sdk, stack};
use spore_rt::task_cell::TaskCell;
use static_cell::StaticCell;

/// Clock of the UART's divisor in Hz, and the log's speed.
const UART_CLOCK: u32 = 80_000_000;
const BAUD: u32 = 115_200;

/// Name of the board in image headers: `esp8266` with Espressif's SDK, `esp8266-qemu` with the stand-ins. The build says which.
const BOARD: &str = match option_env!("SPORE_BOARD") {
    Some(board) => board,
    None => "esp8266-qemu",
};

/// Tasks as a crash names them; 0 is the SDK.
const TASKS: [&str; 5] = ["sdk", "network", "node", "http", "refuser"];
const NETWORK: u32 = 1;
const NODE: u32 = 2;
const HTTP: u32 = 3;
const REFUSER: u32 = 4;

static MEMORY: TaskCell<Memory<'static>> = TaskCell::new(Memory::new());
static FLASH: StaticCell<RefCell<Flash>> = StaticCell::new();
static SYSTEM: StaticCell<ChipSystem> = StaticCell::new();
static HELLO: StaticCell<Hello> = StaticCell::new();
static RELAY: StaticCell<Relay<Simulated>> = StaticCell::new();
static SERVICES: StaticCell<[&'static dyn Service; 2]> = StaticCell::new();

/// Asked by a crash.
#[unsafe(no_mangle)]
pub extern "Rust" fn spore_task_name(task: u32) -> &'static str {
    TASKS.get(task as usize).copied().unwrap_or_default()
}

type NetworkTask = impl Future<Output = ()>;
type NodeTask = impl Future<Output = ()>;
type WorkerTask = impl Future<Output = ()>;
type RefuserTask = impl Future<Output = ()>;

static NETWORK_TASK: TaskStorage<NetworkTask> = TaskStorage::new();
static NODE_TASK: TaskStorage<NodeTask> = TaskStorage::new();
static WORKER_TASKS: [TaskStorage<WorkerTask>; limits::HTTP_CONNECTIONS] =
    [const { TaskStorage::new() }; limits::HTTP_CONNECTIONS];
static REFUSER_TASKS: [TaskStorage<RefuserTask>; limits::REFUSERS] =
    [const { TaskStorage::new() }; limits::REFUSERS];

#[define_opaque(NetworkTask)]
fn network_task(network: Network<'static, Esp8266>) -> NetworkTask {
    named(NETWORK, async move {
        network.run().await;
    })
}

#[define_opaque(NodeTask)]
fn node_task(node: Node<'static, 'static, Esp8266>) -> NodeTask {
    named(NODE, async move {
        leave(node.run().await);
    })
}

#[define_opaque(WorkerTask)]
fn worker_task(worker: Worker<'static, 'static, Esp8266>) -> WorkerTask {
    named(HTTP, async move {
        worker.run().await;
    })
}

#[define_opaque(RefuserTask)]
fn refuser_task(refuser: Refuser<'static>) -> RefuserTask {
    named(REFUSER, async move {
        refuser.run().await;
    })
}

/// Restarts the chip because the node wants it.
fn leave(exit: Exit) {
    crash::request(match exit {
        Exit::Restart => Request::Restart,
        Exit::TrialFailed => Request::TrialFailed,
    });
    // SAFETY: no preconditions. The chip restarts in a moment; nothing of the node is polled again, because this task ends.
    unsafe { sdk::system_restart() };
}

/// The SDK's first call of the application. It must return soon: the node begins in [`started`].
#[unsafe(no_mangle)]
extern "C" fn user_init() {
    crash::install();
    stack::paint();
    // SAFETY: the SDK's functions, in task context; the callback is a static function.
    unsafe {
        sdk::uart_div_modify(0, UART_CLOCK / BAUD);
        radio::init();
        sdk::system_init_done_cb(started);
    }
}

/// SDK 2: the sector for RF calibration, below the last four, for 1, 2 and 4 MB.
#[unsafe(no_mangle)]
extern "C" fn user_rf_cal_sector_set() -> u32 {
    crate::system::flash_bytes() / 4096 - 5
}

/// The SDK is up: puts the node together.
extern "C" fn started() {
    let flash_bytes = crate::system::flash_bytes();
    let mut mac = [0u8; 6];
    // SAFETY: a buffer of six bytes.
    unsafe { sdk::wifi_get_macaddr(0, mac.as_mut_ptr()) };
    let flash = FLASH.init(RefCell::new(Flash::new(flash_bytes)));
    let Some(begin) = crate::handoff::read(&mut flash.borrow_mut(), flash_bytes) else {
        // The bootloader did not start us, or flash went bad since: let it decide anew.
        return fail("no handoff from the bootloader");
    };
    let system = SYSTEM.init_with(|| ChipSystem::new(BOARD, flash_bytes, begin.reset_reason));
    let services = SERVICES.init([HELLO.init(Hello::new()), RELAY.init(Relay::new(Simulated::default()))]);
    let parts = Parts::<Esp8266> { device: WifiDevice { mac }, radio: WifiRadio, flash, system };
    let start = Start { boot: begin.boot, factory: Config::default(), services };
    // SAFETY: the SDK calls this function once.
    let memory = unsafe { MEMORY.lend() };
    match spore_node::assemble(memory, parts, start) {
        Ok(node) => {
            let spawner = executor::start();
            spawn(spawner, NETWORK_TASK.spawn(|| network_task(node.network)));
            spawn(spawner, NODE_TASK.spawn(|| node_task(node.node)));
            for (storage, worker) in WORKER_TASKS.iter().zip(node.workers) {
                spawn(spawner, storage.spawn(|| worker_task(worker)));
            }
            for (storage, refuser) in REFUSER_TASKS.iter().zip(node.refusers) {
                spawn(spawner, storage.spawn(|| refuser_task(refuser)));
            }
        }
        Err(_) => fail("the node cannot be put together"),
    }
}

fn spawn<S, E>(spawner: Spawner, token: Result<SpawnToken<S>, E>) {
    // A task is spawned once, so that its storage is free.
    if let Ok(token) = token {
        spawner.spawn(token);
    }
}

fn fail(why: &str) {
    for byte in why.bytes().chain(*b"\r\n") {
        // SAFETY: no preconditions.
        unsafe { rom::uart_tx_one_char(byte) };
    }
    panic!("the node cannot start");
}
