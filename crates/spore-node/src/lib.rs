//! The SPORE node: `spore-core`'s decisions carried out over sockets, HTTP and flash, on any [`board::Board`].
//!
//! A firmware makes the [`Parts`] of its board and has a node put together by [`assemble`]: a network runner and a
//! [`Node`], two tasks for its executor. Dropping them stops the node at once. Nothing allocates; what is large lies in
//! [`Memory`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod board;
mod context;
mod details;
mod fetch;
mod http;
pub mod limits;
mod network;
pub mod page;
mod scheduler;
pub mod service;
mod state;
mod store;
mod udp;

pub use board::{Board, Exit, Parts};
pub use context::{Context, EventBuffer, Subscription};
pub use http::ROUTES;
pub use http::Route;
pub use spore_core::config::Config;
pub use spore_core::events::{Event, SubscriberId};

use board::System;
use core::cell::RefCell;
use embassy_futures::join::{join, join_array, join3, join5};
use embassy_futures::select::{Either, select};
use embassy_net::driver::{Driver as _, HardwareAddress};
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use embedded_storage::nor_flash::NorFlash;
use service::Service;
use spore_boot::Boot;
use spore_core::trial::Verdict;
use spore_image::FlashMap;
use state::State;

/// Sockets of a node.
const SOCKETS: usize = limits::HTTP_CONNECTIONS + limits::OTHER_SOCKETS;

/// Time for answers to leave before the node restarts.
const FAREWELL: Duration = Duration::from_millis(400);

/// The memory of a node that is not in its futures.
pub struct Memory {
    sockets: StackResources<SOCKETS>,
    buffers: Buffers,
}

impl Memory {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { sockets: StackResources::new(), buffers: Buffers::new() }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

struct Buffers {
    connections: [http::Connection; limits::HTTP_CONNECTIONS],
    overflow: [http::Overflow; limits::REFUSERS],
    fetch: fetch::Buffers,
    udp_rx: [u8; limits::UDP_RX],
    udp_tx: [u8; limits::UDP_TX],
    udp_rx_meta: [PacketMetadata; limits::UDP_RX_COUNT],
    udp_tx_meta: [PacketMetadata; limits::UDP_TX_COUNT],
    // Nobody sends to the port that answers come from.
    answers_rx: [u8; 1],
    answers_rx_meta: [PacketMetadata; 1],
    answers_tx: [u8; limits::ANSWERS_TX],
    answers_tx_meta: [PacketMetadata; limits::ANSWERS_TX_COUNT],
}

impl Buffers {
    const fn new() -> Self {
        Self {
            connections: [const { http::Connection::new() }; limits::HTTP_CONNECTIONS],
            overflow: [const { http::Overflow::new() }; limits::REFUSERS],
            fetch: fetch::Buffers::new(),
            udp_rx: [0; limits::UDP_RX],
            udp_tx: [0; limits::UDP_TX],
            udp_rx_meta: [PacketMetadata::EMPTY; limits::UDP_RX_COUNT],
            udp_tx_meta: [PacketMetadata::EMPTY; limits::UDP_TX_COUNT],
            answers_rx: [0; 1],
            answers_rx_meta: [PacketMetadata::EMPTY; 1],
            answers_tx: [0; limits::ANSWERS_TX],
            answers_tx_meta: [PacketMetadata::EMPTY; limits::ANSWERS_TX_COUNT],
        }
    }
}

/// What a node starts with beside its board.
pub struct Start<'a> {
    /// What the boot stage chose.
    pub boot: Boot,
    /// Settings of a node that has none stored yet: credentials known at flash time, for instance.
    pub factory: Config,
    /// What this node offers beyond what every node does.
    pub services: &'a [&'a dyn Service],
}

/// Puts a node together: its network stack, to be driven by `Runner::run`, and the node itself.
///
/// The two must be *different tasks* of the executor (or at least have different wakers): every use of a socket wakes the
/// runner, so that one task of both would wake itself for ever.
///
/// # Errors
/// [`NotEthernet`].
pub fn assemble<B: Board>(
    memory: &mut Memory,
    parts: Parts<B>,
) -> Result<(Runner<'_, B::Device>, Node<'_, B>), NotEthernet> {
    let Parts { device, radio, flash, mut system } = parts;
    let HardwareAddress::Ethernet(mac) = device.hardware_address() else { return Err(NotEthernet) };
    let Memory { sockets, buffers } = memory;
    let (stack, runner) = embassy_net::new(device, embassy_net::Config::default(), sockets, system.entropy());
    Ok((runner, Node { stack, buffers, mac, radio, flash, system }))
}

/// The board's network device does not carry Ethernet frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotEthernet;

/// A node that has not yet started, see [`assemble`].
pub struct Node<'m, B: Board> {
    stack: Stack<'m>,
    buffers: &'m mut Buffers,
    mac: [u8; 6],
    radio: B::Radio,
    flash: B::Flash,
    system: B::System,
}

impl<B: Board> Node<'_, B> {
    /// Runs the node until it wants a restart.
    ///
    /// # Panics
    /// When a service's tasks cannot be registered (see [`service::ServiceTask`]): a mistake of the firmware that shows at
    /// its first start, and that a trial answers by going back to the image before.
    pub async fn run(self, start: Start<'_>) -> Exit {
        self.run_with(start, async |_| ()).await
    }

    /// The same with an application of your own beside the node: async code with the node's context, for instance to wait
    /// for events with [`Context::subscribe`]. When it ends the node goes on.
    ///
    /// # Panics
    /// As [`Node::run`].
    pub async fn run_with(self, start: Start<'_>, application: impl AsyncFnOnce(&Context<'_>)) -> Exit {
        let Self { stack, buffers: memory, mac, mut radio, mut flash, mut system } = self;
        let map = FlashMap::for_size(system.flash_bytes());
        let config = map
            .ok()
            .and_then(|map| store::load(&mut flash, map.config().offset..map.config().end()))
            .unwrap_or(start.factory);
        let state = State::new(config, start.boot, mac, &mut system, start.services);
        let ctx = Context::new(state, &mut system, start.services);
        let flash = RefCell::new(flash);

        let mut socket = UdpSocket::new(
            stack,
            &mut memory.udp_rx_meta,
            &mut memory.udp_rx,
            &mut memory.udp_tx_meta,
            &mut memory.udp_tx,
        );
        let bound = socket.bind(spore_wire::PORT);
        debug_assert!(bound.is_ok(), "a fresh stack has the port free");
        let answers = udp::Answers::new(UdpSocket::new(
            stack,
            &mut memory.answers_rx_meta,
            &mut memory.answers_rx,
            &mut memory.answers_tx_meta,
            &mut memory.answers_tx,
        ));
        let listen = scheduler::register(&ctx).unwrap_or_else(|error| panic!("service task: {error}"));
        for service in start.services {
            service.start(&ctx);
        }
        ctx.log(format_args!(
            "{} version {} slot {} boot {}{}",
            ctx.hostname(),
            ctx.with(|state| state.boot.header.version.clone()),
            ctx.with(|state| state.boot.slot),
            ctx.with(|state| state.boot.boot_count),
            if ctx.with(|state| state.boot.trial) { " on trial" } else { "" },
        ));

        tell_reverted(&ctx);

        let vacancy = http::Vacancy::new();
        let connections = memory
            .connections
            .each_mut()
            .map(|connection| http::serve(&ctx, &flash, stack, &vacancy, connection));
        let node = join5(
            network::run(&ctx, &mut radio, stack),
            join(udp::listen(&ctx, &socket, answers, listen), scheduler::run(&ctx, &socket)),
            join3(details::run(&ctx, stack, &mut memory.fetch), trial(&ctx, &flash), application(&ctx)),
            join_array(connections),
            join_array(memory.overflow.each_mut().map(|memory| http::refuse(stack, &vacancy, memory))),
        );
        let leave = async {
            let exit = ctx.exit.wait().await;
            Timer::after(FAREWELL).await;
            exit
        };
        match select(leave, node).await {
            Either::First(exit) => exit,
            // The parts of the node run for ever.
            Either::Second(_) => Exit::Restart,
        }
    }
}

/// Tells of an update that was taken back at this start.
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

/// Sees a trial through: confirms the image or gives it up.
async fn trial<F: NorFlash>(ctx: &Context<'_>, flash: &RefCell<F>) {
    while ctx.with(|state| state.boot.trial) {
        Timer::after(Duration::from_millis(500)).await;
        let now = ctx.now();
        match ctx.with(|state| state.trial.poll(now)) {
            None => {}
            Some(Verdict::GiveUp) => {
                ctx.log(format_args!("trial: nobody heard this image in time; going back"));
                ctx.exit.signal(Exit::TrialFailed);
                return;
            }
            Some(Verdict::Confirm) => {
                let Ok(map) = FlashMap::for_size(ctx.with(|state| state.identity.flash_bytes)) else {
                    return;
                };
                let confirmed = spore_boot::confirm(&mut *flash.borrow_mut(), &map).is_ok();
                let status = spore_boot::status(&mut *flash.borrow_mut(), &map).ok();
                if !confirmed {
                    // Left on trial, the boot stage goes back at the next start: the safe side.
                    ctx.log(format_args!("trial: the boot record cannot be written"));
                    return;
                }
                let version = ctx.with(|state| {
                    state.boot.trial = false;
                    if let Some(status) = status {
                        state.last_update = status.last_update;
                    }
                    state.boot.header.version.clone()
                });
                ctx.log(format_args!("trial: {version} confirmed"));
                let outcome = spore_boot::Outcome::Confirmed.as_str();
                ctx.fire(&Event::UpdateFinished { version: version.as_str(), outcome, reason: None });
            }
        }
    }
}
