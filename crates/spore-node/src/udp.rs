//! Datagrams on port 4210: hears them, lets spore-core decide, answers. Also what the node broadcasts.

use crate::context::Context;
use crate::limits;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::pin::pin;
use core::task::Poll;
use embassy_futures::poll_once;
use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::{Duration, with_timeout};
use spore_core::discovery::{Answer, Broadcast};
use spore_core::events::Event;
use spore_core::limits::EVENT_DATA;
use spore_core::members::{Admission, Evidence, Kind, NodeRef};
use spore_core::tasks::TaskId;
use spore_wire::event::{EventBody, EventId};
use spore_wire::native::{self, Message, Native};
use spore_wire::sntp;
use spore_wire::{Details, Hostname, MAX_DATAGRAM, PORT, StatusReader, Text};

/// Memory of the two sockets. The queues' entries are not zero when they are empty, so they are put in later.
pub(crate) struct Buffers {
    rx: [u8; limits::UDP_RX],
    rx_meta: heapless::Vec<PacketMetadata, { limits::UDP_RX_COUNT }>,
    tx: [u8; limits::UDP_TX],
    tx_meta: heapless::Vec<PacketMetadata, { limits::UDP_TX_COUNT }>,
    // Nobody sends to the port that answers come from.
    answers_rx: [u8; 1],
    answers_rx_meta: heapless::Vec<PacketMetadata, 1>,
    answers_tx: [u8; limits::ANSWERS_TX],
    answers_tx_meta: heapless::Vec<PacketMetadata, { limits::ANSWERS_TX_COUNT }>,
}

impl Buffers {
    /// Room for datagrams.
    pub(crate) const fn new() -> Self {
        Self {
            rx: [0; limits::UDP_RX],
            rx_meta: heapless::Vec::new(),
            tx: [0; limits::UDP_TX],
            tx_meta: heapless::Vec::new(),
            answers_rx: [0; 1],
            answers_rx_meta: heapless::Vec::new(),
            answers_tx: [0; limits::ANSWERS_TX],
            answers_tx_meta: heapless::Vec::new(),
        }
    }
}

/// The sockets for datagrams.
pub(crate) struct Sockets<'s> {
    /// The one on the cluster's port: hears all, says what goes to all.
    pub(crate) socket: RefCell<UdpSocket<'s>>,
    /// The one for answers to single nodes.
    pub(crate) answers: Answers<'s>,
}

impl<'s> Sockets<'s> {
    /// Opens both.
    #[inline(never)]
    pub(crate) fn new(stack: Stack<'s>, memory: &'s mut Buffers) -> Self {
        fn queue<const N: usize>(meta: &mut heapless::Vec<PacketMetadata, N>) -> &mut [PacketMetadata] {
            while meta.push(PacketMetadata::EMPTY).is_ok() {}
            meta
        }
        let Buffers { rx, rx_meta, tx, tx_meta, answers_rx, answers_rx_meta, answers_tx, answers_tx_meta } =
            memory;
        let mut socket = UdpSocket::new(stack, queue(rx_meta), rx, queue(tx_meta), tx);
        let bound = socket.bind(PORT);
        debug_assert!(bound.is_ok(), "a fresh stack has the port free");
        let (rx_meta, tx_meta) = (queue(answers_rx_meta), queue(answers_tx_meta));
        let answers = Answers::new(UdpSocket::new(stack, rx_meta, answers_rx, tx_meta, answers_tx));
        Self { socket: RefCell::new(socket), answers }
    }
}

/// Receives for ever. `discovery_listen` of the scheduler says how long a datagram may wait at most, and whether any is
/// heard; normally it is heard as it arrives.
pub(crate) async fn listen(
    ctx: &Context<'_>,
    socket: &RefCell<UdpSocket<'_>>,
    mut answers: Answers<'_>,
    listen: TaskId,
) {
    loop {
        select(poll_fn(|task| socket.borrow().poll_recv_ready(task)), ctx.listen.wait()).await;
        let enabled = ctx.with(|state| state.tasks.get(listen).is_some_and(|task| task.enabled()));
        let started = embassy_time::Instant::now();
        let mut heard = false;
        while socket.borrow().may_recv() {
            // The datagram stays where it is, in the socket's buffer. So nothing that it leads to may use the network; the
            // answer waits until it is gone.
            let mut due = None;
            let taken = poll_once(socket.borrow_mut().recv_from_with(|datagram, meta| {
                let embassy_net::IpAddress::Ipv4(from) = meta.endpoint.addr;
                if meta.endpoint.port == sntp::PORT {
                    on_time(ctx, from, datagram);
                } else if enabled {
                    due = on_datagram(ctx, from, datagram).map(|answer| (from, answer));
                }
            }));
            if taken.is_pending() {
                break;
            }
            heard = true;
            if let Some((to, answer)) = due {
                answer_to(ctx, &mut answers, to, answer);
            }
        }
        ask_for_time(ctx, &mut answers);
        if heard && enabled {
            let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
            ctx.with(|state| state.tasks.finished(listen, micros));
        }
    }
}

/// Takes in what came from a time server's port.
#[inline(never)]
fn on_time(ctx: &Context<'_>, from: Ipv4Addr, datagram: &[u8]) {
    let now = ctx.now();
    let counted = sntp::parse(datagram)
        .is_some_and(|answer| ctx.with(|state| state.clock.on_answer(now, from, &answer)));
    if !counted {
        ctx.with(|state| state.counters.datagrams_unknown = state.counters.datagrams_unknown.wrapping_add(1));
    }
}

/// Asks a time server, when that is due. The question leaves through the socket of answers, since a server may be as dead as anybody;
/// its answer comes to the one that listens, for both have the same port.
#[inline(never)]
fn ask_for_time(ctx: &Context<'_>, answers: &mut Answers<'_>) {
    let (now, random) = (ctx.now(), ctx.random());
    let question = ctx.with(|state| {
        let chosen = Some(state.config.ntp_server).filter(|server| !server.is_unspecified());
        // Without an address nobody can be asked.
        let server = state.address.and_then(|address| chosen.or(address.gateway()));
        state.clock.poll(now, server, random)
    });
    if let Some(question) = question {
        let packet = sntp::question(question.cookie);
        let sent = answers.send((question.server, sntp::PORT), packet.len(), &mut |out| {
            let fits = out.get_mut(..packet.len());
            fits.map_or(0, |out| {
                out.copy_from_slice(&packet);
                packet.len()
            })
        });
        count(ctx, sent);
    }
}

/// Takes in a datagram; gives the answer that is due.
#[inline(never)]
fn on_datagram(ctx: &Context<'_>, from: Ipv4Addr, datagram: &[u8]) -> Option<Answer> {
    ctx.with(|state| state.counters.datagrams_received = state.counters.datagrams_received.wrapping_add(1));
    if native::is_native(datagram) {
        on_native(ctx, datagram);
        return None;
    }
    let Ok(text) = Text::parse(datagram) else {
        ctx.with(|state| state.counters.datagrams_unknown += 1);
        return None;
    };
    let own = ctx.ip()?;
    if from == own {
        return None;
    }
    let now = ctx.now();
    let reaction = ctx.with(|state| {
        let member = state.members.get(from);
        let reaction = state.discovery.on_text(now, from, own, member, &text);
        if reaction.heard_us {
            state.trial.heard();
        }
        reaction
    });
    let mut answer = reaction.answer;
    match text {
        Text::Discovery => heard(ctx, from, Evidence { discovers: true, ..Evidence::default() }, None),
        Text::Response { hostname } | Text::Heartbeat { hostname } => {
            heard(ctx, from, Evidence { hostname: Some(hostname), ..Evidence::default() }, None);
        }
        Text::NodeInfo { hostname, json } | Text::NodeUpdate { hostname, json } => {
            on_details(ctx, from, hostname, json, &mut answer);
        }
        Text::Event { .. } | Text::Raw { .. } => heard(ctx, from, Evidence::default(), None),
    }
    if let Some(latency) = reaction.latency {
        ctx.with(|state| state.members.latency(from, latency));
    }
    match text {
        Text::Event { json } => on_event(ctx, json),
        Text::Raw { hex } => ctx.fire(&Event::Raw(hex)),
        _ => {}
    }
    answer
}

/// Takes in what a node tells of itself.
#[inline(never)]
fn on_details(ctx: &Context<'_>, from: Ipv4Addr, hostname: &str, json: &str, answer: &mut Option<Answer>) {
    let mut reader = StatusReader::new();
    // C++ nodes cut datagrams at 512 bytes; what came counts.
    let _ = reader.feed(json.as_bytes(), &mut |_| ());
    let details = &*reader.details();
    *answer = answer
        .or_else(|| ctx.with(|state| spore_core::discovery::on_details(state.members.get(from), details)));
    heard(ctx, from, Evidence { hostname: Some(hostname), ..Evidence::default() }, Some(details));
}

/// Notes a sign of life and tells what it changed.
#[inline(never)]
pub(crate) fn heard(ctx: &Context<'_>, from: Ipv4Addr, evidence: Evidence<'_>, details: Option<&Details>) {
    let now = ctx.now();
    let evidence = match details {
        Some(details) if details.spore.is_some() => Evidence { kind: Some(Kind::Rust), ..evidence },
        _ => evidence,
    };
    let (heard, updated) = ctx.with(|state| {
        let heard = state.members.heard(now, from, evidence);
        let updated = details.is_some_and(|details| state.members.details(from, details));
        (heard, updated)
    });
    if let Some(left) = &heard.left {
        ctx.fire(&Event::NodeLeft(left.node()));
    }
    match heard.admission {
        Admission::New => fire_about(ctx, from, News::Discovered),
        Admission::Renamed => fire_about(ctx, from, News::Updated),
        Admission::Known if heard.revived.is_some() => fire_about(ctx, from, News::StatusChanged),
        Admission::Known if updated => fire_about(ctx, from, News::Updated),
        Admission::Known | Admission::Stranger | Admission::Full => {}
    }
}

/// What there is to tell of a member that is in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    Discovered,
    Updated,
    StatusChanged,
}

/// Fires an event about a member, with a copy of its name: callbacks may ask the context.
#[inline(never)]
pub(crate) fn fire_about(ctx: &Context<'_>, ip: Ipv4Addr, news: News) {
    let known = ctx.with(|state| {
        let member = state.members.get(ip)?;
        Some((Hostname::foreign(member.hostname()), member.status()))
    });
    let Some((hostname, status)) = known else { return };
    let node = NodeRef { ip, hostname: &hostname, status };
    ctx.fire(&match news {
        News::Discovered => Event::NodeDiscovered(node),
        News::Updated => Event::NodeUpdated(node),
        News::StatusChanged => Event::NodeStatusChanged(node),
    });
}

#[inline(never)]
fn on_native(ctx: &Context<'_>, datagram: &[u8]) {
    match native::parse(datagram) {
        Ok(Native::Message { message: Message::Event { id, name, data }, .. }) => {
            if is_first(ctx, id) {
                ctx.fire(&Event::User { name, data });
            }
        }
        Ok(Native::Skip(_)) => ctx.with(|state| state.counters.datagrams_skipped += 1),
        Err(_) => ctx.with(|state| state.counters.datagrams_unknown += 1),
    }
}

#[inline(never)]
fn on_event(ctx: &Context<'_>, json: &str) {
    let mut data = [0u8; EVENT_DATA];
    let Ok(body) = EventBody::parse(json) else {
        ctx.with(|state| state.counters.datagrams_unknown += 1);
        return;
    };
    // An event of a C++ node has no id: it is sent once, and every copy counts.
    if body.id.is_some_and(|id| !is_first(ctx, id)) {
        return;
    }
    if let Ok(data) = body.text(&mut data) {
        ctx.fire(&Event::User { name: &body.name, data });
    }
}

/// Whether an event of another node is heard for the first time. Own events were fired when they were accepted.
fn is_first(ctx: &Context<'_>, id: EventId) -> bool {
    ctx.with(|state| state.address.is_none_or(|own| own.ip != id.origin) && state.seen.first_time(id))
}

/// The socket of answers. They have one of their own, because a datagram to a node that has just died waits at the head
/// of its socket's queue for as long as nobody answers ARP (smoltcp 0.13), and would hold up the heartbeats behind it.
pub(crate) struct Answers<'s> {
    socket: UdpSocket<'s>,
    sent: embassy_time::Instant,
}

impl<'s> Answers<'s> {
    /// A datagram that has not left for so long never will.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Takes over an unbound socket.
    pub(crate) fn new(socket: UdpSocket<'s>) -> Self {
        let mut answers = Self { socket, sent: embassy_time::Instant::MIN };
        answers.reopen();
        answers
    }

    /// Empties the queue.
    fn reopen(&mut self) {
        self.socket.close();
        // The cluster's port, as the socket that listens has. That one was made first, and the stack gives a datagram to the first that
        // wants it (smoltcp 0.13): nothing ever arrives here.
        let _ = self.socket.bind(PORT);
    }

    /// Sends a datagram without waiting; false when it was dropped.
    fn send(&mut self, to: (Ipv4Addr, u16), size: usize, write: Write<'_>) -> bool {
        if poll_once(self.socket.flush()).is_pending() && self.sent.elapsed() > Self::PATIENCE {
            self.reopen();
        }
        self.sent = embassy_time::Instant::now();
        let sending = self.socket.send_to_with(size, to, |out| (write(out), ()));
        matches!(poll_once(sending), Poll::Ready(Ok(())))
    }
}

/// Writes a datagram into a socket's buffer and gives its length. The sizes asked for are those of the longest, so it never
/// fails.
type Write<'w> = &'w mut dyn FnMut(&mut [u8]) -> usize;

/// Room for every datagram that consists of a keyword and a hostname.
const SHORT: usize = 64;

/// Sends an answer.
#[inline(never)]
fn answer_to(ctx: &Context<'_>, answers: &mut Answers<'_>, to: Ipv4Addr, answer: Answer) {
    let size = if answer == Answer::Response { SHORT } else { MAX_DATAGRAM };
    let sent = answers.send((to, PORT), size, &mut |out| say(ctx, answer, out));
    count(ctx, sent);
}

fn count(ctx: &Context<'_>, sent: bool) {
    ctx.with(|state| {
        let counter =
            if sent { &mut state.counters.datagrams_sent } else { &mut state.counters.datagrams_unsent };
        *counter = counter.wrapping_add(1);
    });
}

/// Broadcasts what is due and notes when.
pub(crate) async fn broadcast(ctx: &Context<'_>, socket: &RefCell<UdpSocket<'_>>, what: Broadcast) {
    let size = if what == Broadcast::Update { MAX_DATAGRAM } else { SHORT };
    let write: Write<'_> = &mut |out| match what {
        Broadcast::Discovery => Text::Discovery.emit(out).unwrap_or(0),
        Broadcast::Heartbeat => Text::Heartbeat { hostname: &ctx.hostname() }.emit(out).unwrap_or(0),
        Broadcast::Update => say(ctx, Answer::NodeUpdate, out),
    };
    send_to_all(ctx, socket, size, write).await;
    let now = ctx.now();
    ctx.with(|state| state.discovery.sent(now, what));
}

/// Sends the cluster events that are due: the first time as text, which C++ nodes understand, then as native datagrams,
/// which they ignore, so that they hear each event once.
pub(crate) async fn send_events(ctx: &Context<'_>, socket: &RefCell<UdpSocket<'_>>) {
    let now = ctx.now();
    while ctx.with(|state| state.outgoing.next_at().is_some_and(|at| at <= now)) {
        let sent = send_to_all(ctx, socket, MAX_DATAGRAM, &mut |out| event(ctx, now, out)).await;
        if !sent {
            // It has had its turn; the next repetition may fare better.
            ctx.with(|state| {
                state.outgoing.poll(now);
            });
        }
        ctx.with(|state| state.counters.native_sent = state.counters.native_sent.wrapping_add(1));
    }
}

/// Writes the next sending of a cluster event.
#[inline(never)]
fn event(ctx: &Context<'_>, now: spore_core::time::Instant, out: &mut [u8]) -> usize {
    ctx.with(|state| {
        let (sender, boot) = (state.native_sender(), state.boot_number());
        let origin = state.address.map_or(Ipv4Addr::UNSPECIFIED, |address| address.ip);
        let event = state.outgoing.poll(now)?;
        let id = EventId { origin, boot, number: event.number };
        let message = Message::Event { id, name: event.name, data: event.data };
        if event.repeat == 0 {
            let text = spore_wire::event::Event { name: event.name, data: event.data, id: Some(id) };
            // Data that doubles its length by escapes may exceed a datagram as text only.
            if let Ok(length) = text.emit(out) {
                return Some(length);
            }
        }
        native::emit(sender, &message, out).ok()
    })
    .unwrap_or(0)
}

/// Writes an answer, the own details for instance.
#[inline(never)]
fn say(ctx: &Context<'_>, answer: Answer, out: &mut [u8]) -> usize {
    let hostname = &ctx.hostname();
    let start = match answer {
        Answer::Response => return Text::Response { hostname }.emit(out).unwrap_or(0),
        Answer::NodeInfo => Text::NodeInfo { hostname, json: "" },
        Answer::NodeUpdate => Text::NodeUpdate { hostname, json: "" },
    };
    let written =
        start.emit(out).ok().and_then(|start| Some(start + say_details(ctx, out.get_mut(start..)?)?));
    written.unwrap_or(0)
}

#[inline(never)]
fn say_details(ctx: &Context<'_>, out: &mut [u8]) -> Option<usize> {
    let mut details = Details::default();
    ctx.tell(&mut details);
    details.emit_json(out).ok()
}

/// Broadcasts a datagram. Without an address it would only clog the queue, so it is dropped then; the next round says
/// it again.
async fn send_to_all(
    ctx: &Context<'_>,
    socket: &RefCell<UdpSocket<'_>>,
    size: usize,
    write: Write<'_>,
) -> bool {
    let sending = poll_fn(|task| {
        let mut socket = socket.borrow_mut();
        let sending = socket.send_to_with(size, (Ipv4Addr::BROADCAST, PORT), |out| (write(out), ()));
        pin!(sending).poll(task)
    });
    let sent =
        ctx.ip().is_some() && matches!(with_timeout(Duration::from_millis(100), sending).await, Ok(Ok(())));
    count(ctx, sent);
    sent
}
