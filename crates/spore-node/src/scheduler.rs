//! The cooperative scheduler: runs what `spore_core::tasks` says is due, the node's own tasks and those of services.

use crate::context::Context;
use crate::udp;
use core::cell::RefCell;
use core::fmt::Write as _;
use core::net::Ipv4Addr;
use embassy_futures::select::select;
use embassy_net::udp::UdpSocket;
use embassy_time::Timer;
use spore_core::config::Config;
use spore_core::discovery::Broadcast;
use spore_core::events::Event;
use spore_core::limits::TASK_NAME;
use spore_core::members::{Change, NodeRef, Status};
use spore_core::tasks::{TaskError, TaskId};
use spore_core::time::{Duration, Instant};
use spore_wire::Hostname;

/// The node's own tasks, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// `CLUSTER_DISCOVERY`.
    DiscoverySend,
    /// Looks for datagrams that nothing woke the node for.
    DiscoveryListen,
    /// `CLUSTER_HEARTBEAT`.
    Heartbeat,
    /// Statuses of members by their age; CPU usage.
    StatusUpdate,
    /// Own details to all; details of text members and unknown catalogues are fetched.
    MemberInfo,
    /// One line about the cluster to the log.
    DebugOutput,
}

impl Own {
    const ALL: [(Self, &'static str); 6] = [
        (Self::DiscoverySend, "discovery_send"),
        (Self::DiscoveryListen, "discovery_listen"),
        (Self::Heartbeat, "heartbeat"),
        (Self::StatusUpdate, "status_update"),
        (Self::MemberInfo, "member_info"),
        (Self::DebugOutput, "debug_output"),
    ];

    /// Whether it speaks to all nodes.
    fn broadcasts(self) -> bool {
        matches!(self, Self::DiscoverySend | Self::Heartbeat | Self::MemberInfo)
    }

    /// The interval that the settings give it.
    fn interval_ms(self, config: &Config) -> u32 {
        match self {
            Self::DiscoverySend => config.discovery_interval_ms,
            Self::DiscoveryListen => config.listen_interval_ms,
            Self::Heartbeat => config.heartbeat_interval_ms,
            Self::StatusUpdate => config.status_interval_ms,
            Self::MemberInfo => config.member_info_interval_ms,
            Self::DebugOutput => config.debug_interval_ms,
        }
    }
}

/// Registers all tasks of the node; to be called once. Gives the id of `discovery_listen`.
///
/// # Errors
/// A service's task has a bad name or interval, or there are too many: a mistake of the firmware, found at its first start.
#[inline(never)]
pub(crate) fn register(ctx: &Context<'_>) -> Result<TaskId, TaskError> {
    let now = ctx.now();
    let mut listen = None;
    for (own, name) in Own::ALL {
        let entropy = ctx.with_system(|system| system.entropy());
        let id = ctx.with(|state| {
            let interval = own.interval_ms(&state.config);
            // A hundred nodes that got their power back at the same moment would speak at the same moments for ever, more
            // than a node can hear at once. An arriving node is heard at once anyway, see `run`.
            let phase = if own.broadcasts() { entropy % u64::from(interval.max(1)) } else { 0 };
            state.tasks.register(now + Duration::from_millis(phase), name, interval, true)
        })?;
        if own == Own::DiscoveryListen {
            listen = Some(id);
        }
    }
    for service in ctx.services() {
        for task in service.tasks() {
            let mut name = heapless::String::<TASK_NAME>::new();
            write!(name, "{}.{}", service.name(), task.name).map_err(|_| TaskError::Name)?;
            ctx.with(|state| state.tasks.register(now, &name, task.interval_ms, task.enabled))?;
        }
    }
    listen.ok_or(TaskError::Unknown)
}

/// Applies the settings' intervals to the node's own tasks.
#[inline(never)]
pub(crate) fn apply_intervals(ctx: &Context<'_>) {
    let now = ctx.now();
    ctx.with(|state| {
        for (own, name) in Own::ALL {
            if let Some(id) = state.tasks.find(name) {
                // The ranges of the settings lie within that of the tasks.
                let _ = state.tasks.set_interval(now, id, own.interval_ms(&state.config));
            }
        }
    });
    ctx.schedule.signal(());
}

/// Runs tasks for ever.
pub(crate) async fn run(ctx: &Context<'_>, socket: &RefCell<UdpSocket<'_>>) {
    let mut address = None;
    loop {
        let now = ctx.now();
        let announced = core::mem::replace(&mut address, ctx.ip());
        if address.is_some() && address != announced {
            // Whoever arrives says so at once, and does not wait for the rounds of its tasks.
            for what in [Broadcast::Discovery, Broadcast::Heartbeat, Broadcast::Update] {
                udp::broadcast(ctx, socket, what).await;
            }
        }
        while let Some(id) = ctx.with(|state| state.tasks.poll(now)) {
            let started = embassy_time::Instant::now();
            if !run_task(ctx, socket, id).await {
                continue;
            }
            let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
            ctx.with(|state| state.tasks.finished(id, micros));
        }
        udp::send_events(ctx, socket).await;
        let next = ctx.with(|state| state.tasks.next_due().into_iter().chain(state.outgoing.next_at()).min());
        let due = async {
            match next {
                Some(at) => Timer::at(ctx.clock(at)).await,
                None => core::future::pending().await,
            }
        };
        select(due, ctx.schedule.wait()).await;
    }
}

/// Runs a task; false when another part of the node runs it and keeps its statistics.
async fn run_task(ctx: &Context<'_>, socket: &RefCell<UdpSocket<'_>>, id: TaskId) -> bool {
    let name = ctx.with(|state| {
        state.tasks.get(id).and_then(|task| heapless::String::<TASK_NAME>::try_from(task.name()).ok())
    });
    let Some(name) = name else { return false };
    match Own::ALL.iter().find(|(_, own)| *own == name).map(|(own, _)| *own) {
        Some(Own::DiscoverySend) => udp::broadcast(ctx, socket, Broadcast::Discovery).await,
        Some(Own::Heartbeat) => udp::broadcast(ctx, socket, Broadcast::Heartbeat).await,
        Some(Own::MemberInfo) => {
            udp::broadcast(ctx, socket, Broadcast::Update).await;
            ctx.fetch.signal(());
        }
        Some(Own::DiscoveryListen) => {
            ctx.listen.signal(());
            return false;
        }
        Some(Own::StatusUpdate) => update_statuses(ctx),
        Some(Own::DebugOutput) => print_cluster(ctx),
        None => {
            let mut parts = name.splitn(2, '.');
            if let (Some(service), Some(task)) = (parts.next(), parts.next())
                && let Some(service) = ctx.services().iter().find(|known| known.name() == service)
            {
                service.run_task(ctx, task);
            }
        }
    }
    true
}

/// Changes of members that are told at a time.
const BATCH: usize = 8;

#[inline(never)]
fn update_statuses(ctx: &Context<'_>) {
    let now = ctx.now();
    let busy = ctx.with_system(|system| system.busy_micros());
    ctx.with(|state| {
        state.cpu.sample(now, busy);
        state.discovery.set_crowd(state.members.len());
    });
    while age_members(ctx, now) {}
    ctx.fetch.signal(());
}

/// Tells some changes of members; true when there may be more. Callbacks may ask the context, so they hear of changes only when
/// the table is no longer borrowed.
#[inline(never)]
fn age_members(ctx: &Context<'_>, now: Instant) -> bool {
    let mut changed = heapless::Vec::<Ipv4Addr, BATCH>::new();
    // One more may leave as its name lives on elsewhere.
    let mut left = heapless::Vec::<(Ipv4Addr, Hostname, Status), { BATCH + 1 }>::new();
    let more = ctx.with(|state| {
        state.members.tick(now, BATCH, |change| match change {
            Change::Status { node, .. } => {
                let _ = changed.push(node.ip);
            }
            Change::Left(node) => {
                let _ = left.push((node.ip, Hostname::foreign(node.hostname), node.status));
            }
        })
    });
    for ip in changed {
        udp::fire_about(ctx, ip, udp::News::StatusChanged);
    }
    for (ip, hostname, status) in &left {
        ctx.fire(&Event::NodeLeft(NodeRef { ip: *ip, hostname, status: *status }));
    }
    more
}

#[inline(never)]
fn print_cluster(ctx: &Context<'_>) {
    let (hostname, ip, counts) =
        ctx.with(|state| (state.hostname.clone(), state.address.map(|a| a.ip), state.members.counts()));
    let ip = ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
    ctx.log(format_args!(
        "{hostname} {ip} sees {} active, {} inactive, {} dead",
        counts.active, counts.inactive, counts.dead
    ));
}
