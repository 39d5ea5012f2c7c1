//! The SPORE node: `spore-core`'s decisions carried out over sockets, HTTP and flash, on any [`board::Board`].
//!
//! A firmware makes the [`Parts`] of its board and has a node put together by [`assemble`]: the tasks of [`Assembled`] for
//! its executor. Dropping them stops the node at once. Nothing allocates; what is large lies in [`Memory`] and is never
//! moved.
#![cfg_attr(not(test), no_std)]
// On the chip alone a static is put into a section of its own, which counts as unsafe.
#![cfg_attr(not(target_arch = "xtensa"), forbid(unsafe_code))]
#![cfg_attr(target_arch = "xtensa", deny(unsafe_code))]

pub mod board;
mod context;
mod details;
mod fetch;
mod http;
mod later;
pub mod limits;
mod link;
mod network;
pub mod page;
mod scheduler;
pub mod service;
mod state;
pub mod store;
mod udp;

pub use board::{Board, Exit, Parts};
pub use context::{Context, EventBuffer, LONGEST_SLEEP, OnTrial, Subscription};
pub use http::ROUTES;
pub use http::Route;
pub use spore_core::config::Config;
pub use spore_core::events::{Event, SubscriberId};

use board::System as _;
use core::cell::RefCell;
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::Poll;
use embassy_net::driver::{Driver, HardwareAddress};
use embassy_net::{Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use embedded_storage::nor_flash::NorFlash;
use link::Link;
use service::Service;
use spore_boot::Boot;
use spore_core::tasks::{TaskError, TaskId};
use spore_core::time::Instant;
use spore_core::trial::Verdict;
use spore_image::FlashMap;
use spore_sentence::{say, sentence};

/// Sockets of a node.
const SOCKETS: usize = limits::HTTP_CONNECTIONS + limits::OTHER_SOCKETS;

/// Time for answers to leave before the node restarts.
const FAREWELL: Duration = Duration::from_millis(400);

/// When a node has settled.
const SETTLED: Instant = Instant::from_millis(spore_boot::crashes::SETTLED_SECONDS * 1000);

/// The memory of a node that is not in its tasks: state, buffers, sockets.
pub struct Memory<'a> {
    context: Context<'a>,
    sockets: StackResources<SOCKETS>,
    http: http::Shared,
    link: link::Shared,
    buffers: Buffers,
}

impl Memory<'_> {
    /// Room for a node: nothing but zero bytes, so that a static costs RAM only.
    pub const fn new() -> Self {
        Self {
            context: Context::new(),
            sockets: StackResources::new(),
            http: http::Shared::new(),
            link: link::Shared::new(),
            buffers: Buffers::new(),
        }
    }
}

impl Default for Memory<'_> {
    fn default() -> Self {
        Self::new()
    }
}

struct Buffers {
    connections: [http::Connection; limits::HTTP_CONNECTIONS],
    overflow: [http::Overflow; limits::REFUSERS],
    fetch: fetch::Buffers,
    udp: udp::Buffers,
}

impl Buffers {
    const fn new() -> Self {
        Self {
            connections: [const { http::Connection::new() }; limits::HTTP_CONNECTIONS],
            overflow: [const { http::Overflow::new() }; limits::REFUSERS],
            fetch: fetch::Buffers::new(),
            udp: udp::Buffers::new(),
        }
    }
}

/// What a node starts with beside its board.
pub struct Start<'a> {
    /// What the boot stage chose.
    pub boot: &'a Boot,
    /// Settings of a node that has none stored yet, if not the usual ones: credentials known at flash time, for instance.
    pub factory: Option<&'a Config>,
    /// What this node offers beyond what every node does: nothing in safe mode ([`Start::is_safe_mode`]), where a board does
    /// not even make its services.
    pub services: &'a [&'a dyn Service],
    /// Quick crashes in a row before this start, see [`spore_boot::crashes`].
    pub quick_crashes: u8,
}

impl Start<'_> {
    /// Whether the node starts in safe mode: with network, API and update only.
    pub const fn is_safe_mode(&self) -> bool {
        spore_boot::crashes::safe_mode(self.quick_crashes, self.boot.trial)
    }
}

/// Puts a node together, in place: fills in `memory` and gives the node's tasks, handles of a few words each.
///
/// ```text
/// let node = assemble(memory, parts, start)?;
/// spawn(node.network.run());                              // -> !     the IP stack
/// spawn(node.node.run());                                 // -> Exit  everything below HTTP, see Node
/// for worker in node.workers { spawn(worker.run()); }     // -> !     an HTTP connection each
/// for refuser in node.refusers { spawn(refuser.run()); }  // -> !     "all connections are busy"
/// ```
///
/// Each must be a *task of its own* (or at least have a waker of its own): every use of a socket wakes the network, so that
/// one task of all would wake itself for ever. All are to be polled until [`Node::run`] gives its [`Exit`]; then the board
/// restarts, or drops them all. On a chip `memory` is a static, which has no bytes in the image: [`Memory::new`] is all
/// zeros.
///
/// Settings are read and services started here.
///
/// # Errors
/// [`AssembleError`]; the memory is used up then.
// Part of its caller's frame: nothing at a start is deeper.
#[inline(always)]
pub fn assemble<'m, 'a: 'm, B: Board>(
    memory: &'m mut Memory<'a>,
    parts: Parts<'a, B>,
    start: Start<'a>,
) -> Result<Assembled<'m, 'a, B>, AssembleError> {
    let Parts { device, radio, flash, system } = parts;
    let HardwareAddress::Ethernet(mac) = device.hardware_address() else {
        return Err(AssembleError::NotEthernet);
    };
    let Memory { context, sockets, http, link, buffers } = memory;
    let (shared, link, seed) = (&*http, &*link, system.entropy());
    // Parts that need much stack for a moment stand apart.
    let flash_bytes = system.flash_bytes();
    context.begin(start, mac, system);
    context.configure(|config| read_settings(&mut *flash.borrow_mut(), flash_bytes, config));
    let ctx = &*context;
    let (stack, runner) = connect(Link::new(device, link), sockets, seed);
    let udp = udp::Sockets::new(stack, &mut buffers.udp);
    let listen = scheduler::register(ctx).map_err(AssembleError::ServiceTask)?;
    for service in ctx.services() {
        service.start(ctx);
    }
    greet(ctx);
    tell_reverted(ctx);
    Ok(Assembled {
        network: Network { runner },
        node: Node { ctx, stack, link, radio, flash, udp, listen, fetch: &mut buffers.fetch },
        workers: buffers.connections.each_mut().map(|memory| Worker { ctx, flash, stack, shared, memory }),
        refusers: buffers.overflow.each_mut().map(|memory| Refuser { stack, shared, memory }),
    })
}

/// Why a node was not put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssembleError {
    /// The board's network device does not carry Ethernet frames.
    NotEthernet,
    /// A service's task cannot be registered (see [`service::ServiceTask`]): a mistake of the firmware that shows at its
    /// first start. Panic or restart then; the trial goes back to the image before.
    ServiceTask(TaskError),
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEthernet => say!(f, "the network device is not Ethernet"),
            Self::ServiceTask(error) => say!(f, "service task: ", error),
        }
    }
}

impl core::error::Error for AssembleError {}

/// The tasks of a node, see [`assemble`].
pub struct Assembled<'m, 'a, B: Board> {
    /// The IP stack.
    pub network: Network<'m, B>,
    /// The node itself.
    pub node: Node<'m, 'a, B>,
    /// HTTP, a connection each.
    pub workers: [Worker<'m, 'a, B>; limits::HTTP_CONNECTIONS],
    /// Those who tell clients that all connections are busy.
    pub refusers: [Refuser<'m>; limits::REFUSERS],
}

/// The task of the IP stack.
pub struct Network<'m, B: Board> {
    runner: Runner<'m, Link<'m, B::Device>>,
}

impl<B: Board> Network<'_, B> {
    /// Moves packets for ever.
    pub async fn run(mut self) -> ! {
        self.runner.run().await
    }
}

/// A task that serves one HTTP connection after the other.
pub struct Worker<'m, 'a, B: Board> {
    ctx: &'m Context<'a>,
    flash: &'a RefCell<B::Flash>,
    stack: Stack<'m>,
    shared: &'m http::Shared,
    memory: &'m mut http::Connection,
}

impl<B: Board> Worker<'_, '_, B> {
    /// Serves for ever.
    pub async fn run(self) -> ! {
        http::apart(pin!(http::serve(self.ctx, self.flash, self.stack, self.shared, self.memory))).await
    }
}

/// A task that answers while all workers are busy.
pub struct Refuser<'m> {
    stack: Stack<'m>,
    shared: &'m http::Shared,
    memory: &'m mut http::Overflow,
}

impl Refuser<'_> {
    /// Refuses for ever.
    pub async fn run(self) -> ! {
        http::apart(pin!(http::refuse(self.stack, self.shared, self.memory))).await
    }
}

/// The node without its IP stack and HTTP: WiFi, datagrams, scheduler, what is fetched from others, the trial.
pub struct Node<'m, 'a, B: Board> {
    ctx: &'m Context<'a>,
    stack: Stack<'m>,
    link: &'m link::Shared,
    radio: B::Radio,
    flash: &'a RefCell<B::Flash>,
    udp: udp::Sockets<'m>,
    listen: TaskId,
    fetch: &'m mut fetch::Buffers,
}

impl<B: Board> Node<'_, '_, B> {
    /// Runs the node until it wants a restart.
    pub async fn run(self) -> Exit {
        self.run_with(async |_| ()).await
    }

    /// The same with an application of your own beside the node: async code with the node's context, for instance to wait
    /// for events with [`Context::subscribe`]. When it ends the node goes on.
    pub async fn run_with(self, application: impl AsyncFnOnce(&Context<'_>)) -> Exit {
        let Self { ctx, stack, link, mut radio, flash, udp, listen, fetch } = self;
        let udp::Sockets { socket, answers } = udp;
        // Each lies where it is made: an array or a tuple of futures would be moved there over the stack.
        let wifi = pin!(network::run(ctx, &mut radio, stack, link));
        let heard = pin!(udp::listen(ctx, &socket, answers, listen));
        let tasks = pin!(scheduler::run(ctx, &socket));
        let details = pin!(details::run(ctx, stack, fetch));
        let trial = pin!(trial(ctx, flash));
        let application = pin!(application(ctx));
        let mut parts: [Option<Pin<&mut dyn Future<Output = ()>>>; 6] =
            [Some(wifi), Some(heard), Some(tasks), Some(details), Some(trial), Some(application)];
        let mut leaving = None;
        let mut exit = pin!(ctx.exit.wait());
        poll_fn(|task| {
            for part in &mut parts {
                if part.as_mut().is_some_and(|part| part.as_mut().poll(task).is_ready()) {
                    *part = None;
                }
            }
            if leaving.is_none()
                && let Poll::Ready(exit) = exit.as_mut().poll(task)
            {
                leaving = Some((exit, Timer::after(FAREWELL)));
            }
            match &mut leaving {
                Some((exit, farewell)) => Pin::new(farewell).poll(task).map(|()| *exit),
                None => Poll::Pending,
            }
        })
        .await
    }
}

#[inline(never)]
fn connect<D: Driver>(
    device: D,
    sockets: &mut StackResources<SOCKETS>,
    seed: u64,
) -> (Stack<'_>, Runner<'_, D>) {
    embassy_net::new(device, embassy_net::Config::default(), sockets, seed)
}

/// Replaces the settings by the stored ones, if there are any.
fn read_settings<F: NorFlash>(flash: &mut F, flash_bytes: u32, config: &mut Config) {
    if let Ok(area) = FlashMap::for_size(flash_bytes).map(|map| map.config()) {
        store::load(flash, area.offset..area.end(), config);
    }
}

/// The first line of the log.
#[inline(never)]
fn greet(ctx: &Context<'_>) {
    let (version, slot, boot, trial) = ctx.with(|state| {
        let boot = &state.boot;
        (boot.header.version.clone(), boot.slot, boot.boot_count, boot.trial)
    });
    let hostname = ctx.hostname();
    let trial = if trial { " on trial" } else { "" };
    ctx.log(format_args!("{hostname} version {version} slot {slot} boot {boot}{trial}"));
    if ctx.is_safe_mode() {
        let (why, crashes) =
            (sentence!("safe mode: no services until a restart; quick crashes: "), ctx.quick_crashes());
        ctx.log(format_args!("{why}{crashes}"));
    }
}

/// Tells of an update that was taken back at this start.
#[inline(never)]
fn tell_reverted(ctx: &Context<'_>) {
    let ended = ctx.with(|state| state.last_update.clone().filter(|_| state.boot.update_ended));
    let Some(last) = ended else { return };
    let mut reason = heapless::String::<64>::new();
    // The longest reason has 56 bytes.
    let _ = core::fmt::write(&mut reason, format_args!("{}", last.reason));
    let version = last.version.as_ref().map_or("", |version| version.as_str());
    let outcome = last.outcome.as_str();
    ctx.log(format_args!("update: {version} {outcome}: {reason}"));
    ctx.fire(&Event::UpdateFinished { version, outcome, reason: Some(&reason) });
}

/// Sees a trial through: confirms the image or gives it up. Then it tells the board when the node has settled: in the same
/// future, because it needs no room of its own there.
async fn trial<F: NorFlash>(ctx: &Context<'_>, flash: &RefCell<F>) {
    while ctx.with(|state| state.on_trial) {
        Timer::after(Duration::from_millis(500)).await;
        let now = ctx.now();
        match ctx.with(|state| state.trial.poll(now)) {
            None => {}
            Some(Verdict::GiveUp) => {
                let why = sentence!("trial: nobody heard this image in time; going back");
                ctx.log(format_args!("{why}"));
                ctx.exit.signal(Exit::TrialFailed);
                return;
            }
            Some(Verdict::Confirm) => {
                let Ok(map) = FlashMap::for_size(ctx.with(|state| state.identity.flash_bytes)) else {
                    return;
                };
                if !confirm(ctx, &mut *flash.borrow_mut(), &map) {
                    // Left on trial, the boot stage goes back at the next start: the safe side.
                    let why = sentence!("trial: the boot record cannot be written");
                    ctx.log(format_args!("{why}"));
                    return;
                }
                tell_confirmed(ctx);
            }
        }
    }
    Timer::at(ctx.clock(SETTLED)).await;
    ctx.with_system(|system| system.settled());
}

/// Confirms the image; false when the flash refuses.
#[inline(never)]
fn confirm<F: NorFlash>(ctx: &Context<'_>, flash: &mut F, map: &FlashMap) -> bool {
    if spore_boot::confirm(flash, map).is_err() {
        return false;
    }
    let record = spore_boot::record::read(flash, map);
    ctx.with(|state| {
        state.on_trial = false;
        if let Ok(record) = record {
            state.last_update.set(record.and_then(|record| record.last_update));
        }
    });
    true
}

#[inline(never)]
fn tell_confirmed(ctx: &Context<'_>) {
    let version = ctx.with(|state| state.boot.header.version.clone());
    ctx.log(format_args!("trial: {version} confirmed"));
    let outcome = spore_boot::Outcome::Confirmed.as_str();
    ctx.fire(&Event::UpdateFinished { version: version.as_str(), outcome, reason: None });
}

#[cfg(all(test, feature = "esp8266"))]
mod tests {
    use super::*;

    /// Sizes on this host, where pointers take twice the room: what they are on the chip the firmware's bill says.
    #[test]
    fn the_small_node_is_small() {
        let state = size_of::<Context<'_>>();
        let (udp, fetch) = (size_of::<udp::Buffers>(), size_of::<fetch::Buffers>());
        println!("state {state}, datagrams {udp}, fetching {fetch} bytes");
        assert!(state <= 22 * 1024 && udp + fetch <= 3800);
    }
}
