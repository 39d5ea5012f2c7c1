//! From the SDK's call to a running node.

use crate::board::Esp8266;
use crate::device::WifiDevice;
use crate::handoff::Begin;
use crate::radio::{self, WifiRadio};
use crate::system::ChipSystem;
use core::cell::RefCell;
use core::fmt::Write as _;
use core::future::Future;
use core::pin::pin;
use embassy_executor::raw::TaskStorage;
use embassy_executor::{SpawnToken, Spawner};
use hello::Hello;
#[cfg(feature = "sensor")]
use relay as _;
#[cfg(not(feature = "sensor"))]
use relay::Relay;
use spore_board::Pins;
use spore_boot::rtc::Request;
use spore_node::service::{Sentence, Service, sentence};
use spore_node::{Assembled, Exit, Memory, Network, Node, Parts, Refuser, Start, Worker, limits};
use spore_rt::crash;
use spore_rt::executor::named;
use spore_rt::flash::Flash;
use spore_rt::task_cell::TaskCell;
use spore_rt::{executor, rom, sdk, stack};
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
static BEGIN: StaticCell<Option<Begin>> = StaticCell::new();
static SYSTEM: StaticCell<ChipSystem> = StaticCell::new();
static HELLO: StaticCell<Hello> = StaticCell::new();
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
        pin!(network.run()).await;
    })
}

#[define_opaque(NodeTask)]
fn node_task(node: Node<'static, 'static, Esp8266>) -> NodeTask {
    named(NODE, async move {
        leave(pin!(node.run()).await);
    })
}

#[define_opaque(WorkerTask)]
fn worker_task(worker: Worker<'static, 'static, Esp8266>) -> WorkerTask {
    named(HTTP, async move {
        pin!(worker.run()).await;
    })
}

#[define_opaque(RefuserTask)]
fn refuser_task(refuser: Refuser<'static>) -> RefuserTask {
    named(REFUSER, async move {
        pin!(refuser.run()).await;
    })
}

/// Restarts the chip because the node wants it.
fn leave(exit: Exit) {
    crash::request(match exit {
        Exit::Restart => Request::Restart,
        Exit::TrialFailed => Request::TrialFailed,
        Exit::Sleep(millis) => return sleep(millis),
    });
    // SAFETY: no preconditions. The chip restarts in a moment; nothing of the node is polled again, because this task ends.
    unsafe { sdk::system_restart() };
}

/// Sleeps; the chip knows by itself why it wakes. Restarts if it cannot.
fn sleep(millis: u32) {
    // SAFETY: as in `leave`; option 0 has the radio calibrate as at any start.
    unsafe {
        sdk::system_deep_sleep_set_option(0);
        if !sdk::system_deep_sleep(u64::from(millis) * 1000) {
            sdk::system_restart();
        }
    }
}

/// The SDK's first call of the application. It must return soon: the node begins in [`started`].
#[unsafe(no_mangle)]
extern "C" fn user_init() {
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

/// Where the SDK keeps its own data (`partition_item_t`).
#[repr(C)]
struct Partition {
    kind: u32,
    address: u32,
    size: u32,
}

unsafe extern "C" {
    /// Of SDK 3 only.
    #[linkage = "extern_weak"]
    static system_partition_table_regist: Option<unsafe extern "C" fn(*const Partition, u32, u32) -> bool>;
}

const RF_CALIBRATION: u32 = 4;
const PHY_DATA: u32 = 5;
const SYSTEM_PARAMETERS: u32 = 6;

/// SDK 3: the flash map, by the size nibble of the header at flash 0 (2, 3 and 4 are 1, 2 and 4 MB).
#[unsafe(no_mangle)]
extern "C" fn user_pre_init() {
    // SAFETY: null where the SDK has no such function.
    let Some(register) = (unsafe { system_partition_table_regist }) else { return };
    let bytes = crate::system::flash_bytes();
    let map = match bytes >> 20 {
        1 => 2,
        2 => 3,
        _ => 4,
    };
    let table = [
        Partition { kind: RF_CALIBRATION, address: bytes - 0x5000, size: 0x1000 },
        Partition { kind: PHY_DATA, address: bytes - 0x4000, size: 0x1000 },
        Partition { kind: SYSTEM_PARAMETERS, address: bytes - 0x3000, size: 0x3000 },
    ];
    // SAFETY: a table of three; the SDK copies it.
    unsafe { register(table.as_ptr(), table.len() as u32, map) };
}

/// The SDK is up: puts the node together. In steps, so that no frame holds all of them: the stack has 5 KB.
extern "C" fn started() {
    let flash_bytes = crate::system::flash_bytes();
    let flash: &RefCell<Flash> = FLASH.init(RefCell::new(Flash::new(flash_bytes)));
    let Some(begin) = begin(flash, flash_bytes) else {
        // The bootloader did not start us, or flash went bad since: let it decide anew.
        return fail(sentence!("no handoff from the bootloader"));
    };
    let Some(node) = put_together(flash, flash_bytes, begin) else {
        return fail(sentence!("the node cannot be put together"));
    };
    let spawner = executor::start();
    spawn_network(spawner, node.network);
    spawn_node(spawner, node.node);
    for (storage, worker) in WORKER_TASKS.iter().zip(node.workers) {
        spawn_worker(spawner, storage, worker);
    }
    for (storage, refuser) in REFUSER_TASKS.iter().zip(node.refusers) {
        spawn_refuser(spawner, storage, refuser);
    }
}

#[inline(never)]
fn begin(flash: &RefCell<Flash>, flash_bytes: u32) -> Option<&'static Begin> {
    BEGIN.init_with(|| crate::handoff::read(&mut flash.borrow_mut(), flash_bytes)).as_ref()
}

/// What this node offers. A service of yours goes here, with the pins it needs (docs/services.md).
#[inline(never)]
fn services() -> Option<&'static [&'static dyn Service]> {
    let pins = Pins::take()?;
    Some(SERVICES.init([HELLO.init(Hello::new()), on_pins(pins)]))
}

/// The relay, on the pin of the relay modules for an ESP-01: GPIO0, on at low. GPIO0 is a strap, which must not be low when the chip
/// starts: so it does not switch before the firmware does. For another pin, or one that is on at high, this is the place.
#[cfg(not(feature = "sensor"))]
#[inline(never)]
fn on_pins(pins: Pins) -> &'static dyn Service {
    use spore_board::Output;
    use spore_hal::Inverted;
    use spore_hal::embedded_hal::digital::PinState;

    static RELAY: StaticCell<Relay<Inverted<Output>>> = StaticCell::new();
    RELAY.init(Relay::new(Inverted::new(pins.gpio0.into_output(PinState::High))))
}

/// The example sensor: I2C with the clock on GPIO2 and the data on GPIO0, and the analogue input. A LED on GPIO4 glows, a tenth bright.
#[cfg(feature = "sensor")]
#[inline(never)]
fn on_pins(pins: Pins) -> &'static dyn Service {
    use sensor::Sensor;
    use spore_board::{Adc, Delay, OpenDrain, Pull};
    use spore_hal::I2cMaster;
    use spore_hal::embedded_hal::digital::PinState;
    use spore_hal::embedded_hal::pwm::SetDutyCycle as _;

    static SENSOR: StaticCell<Sensor<Adc, I2cMaster<OpenDrain, OpenDrain, Delay>>> = StaticCell::new();
    if let Some([mut led]) = spore_board::start_pwm([pins.gpio4.into_output(PinState::Low)], 100) {
        let Ok(()) = led.set_duty_cycle_percent(10);
    }
    let i2c =
        I2cMaster::new(pins.gpio2.into_open_drain(Pull::Up), pins.gpio0.into_open_drain(Pull::Up), Delay);
    SENSOR.init(Sensor::new(pins.adc, i2c, None))
}

/// A part of [`started`], whose frame it shares: the deepest stack there is has both.
#[inline(always)]
fn put_together(
    flash: &'static RefCell<Flash>,
    flash_bytes: u32,
    begin: &'static Begin,
) -> Option<Assembled<'static, 'static, Esp8266>> {
    let mut mac = [0u8; 6];
    // SAFETY: a buffer of six bytes.
    unsafe { sdk::wifi_get_macaddr(0, mac.as_mut_ptr()) };
    let system = SYSTEM.init_with(|| ChipSystem::new(BOARD, flash_bytes, &begin.reset_reason));
    // SAFETY: the SDK calls `started` once.
    let memory = unsafe { MEMORY.lend() };
    let parts = Parts { device: WifiDevice { mac }, radio: WifiRadio, flash, system };
    let mut start =
        Start { boot: &begin.boot, factory: None, services: &[], quick_crashes: begin.quick_crashes };
    // What crashed may be the making of a service.
    if !start.is_safe_mode() {
        start.services = services()?;
    }
    spore_node::assemble(memory, parts, start).ok()
}

#[inline(never)]
fn spawn_network(spawner: Spawner, network: Network<'static, Esp8266>) {
    spawn(spawner, NETWORK_TASK.spawn(|| network_task(network)));
}

#[inline(never)]
fn spawn_node(spawner: Spawner, node: Node<'static, 'static, Esp8266>) {
    spawn(spawner, NODE_TASK.spawn(|| node_task(node)));
}

#[inline(never)]
fn spawn_worker(
    spawner: Spawner,
    storage: &'static TaskStorage<WorkerTask>,
    worker: Worker<'static, 'static, Esp8266>,
) {
    spawn(spawner, storage.spawn(|| worker_task(worker)));
}

#[inline(never)]
fn spawn_refuser(spawner: Spawner, storage: &'static TaskStorage<RefuserTask>, refuser: Refuser<'static>) {
    spawn(spawner, storage.spawn(|| refuser_task(refuser)));
}

fn spawn<S, E>(spawner: Spawner, token: Result<SpawnToken<S>, E>) {
    // A task is spawned once, so that its storage is free.
    if let Ok(token) = token {
        spawner.spawn(token);
    }
}

fn fail(why: Sentence) {
    // The line takes everything.
    let _ = writeln!(Line, "{why}\r");
    panic!("the node cannot start");
}

/// The serial line.
struct Line;

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            // SAFETY: no preconditions.
            unsafe { rom::uart_tx_one_char(byte) };
        }
        Ok(())
    }
}
