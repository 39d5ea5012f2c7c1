//! An Ethernet switch inside the process.
//!
//! Sending is synchronous: a frame is in its receivers' queues when the sender's call returns. A broadcast is shared
//! by all receivers, not copied. Queues are bounded; what does not fit is dropped and counted. A frame that
//! [`crate::faults`] delay lies in its receiver's port until it is due, and the receiver's own task is woken then.

use crate::Mac;
use crate::clock;
use crate::faults::{Faults, Passage, Rng};
use embassy_net_driver::{
    Capabilities, Driver, HardwareAddress, LinkState, RxToken as NetRxToken, TxToken as NetTxToken,
};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// The longest frame, Ethernet header included, checksum not (IEEE 802.3 with 1,500 bytes of payload).
pub const MAX_FRAME: usize = 1_514;
/// The shortest: two addresses and a type.
const MIN_FRAME: usize = 14;
/// Frames a port holds for its receiver, unless said otherwise.
pub const DEFAULT_QUEUE: usize = 128;
/// Addresses a switch learns; frames to others are flooded.
const LEARNED: usize = 8_192;

/// A frame shared by all who are to receive it.
pub type Frame = Rc<[u8]>;

/// Traffic of a port or of a whole switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames sent.
    pub sent_frames: u64,
    /// Bytes sent, Ethernet headers included.
    pub sent_bytes: u64,
    /// Frames put into a receiver's queue; a broadcast counts once for each.
    pub delivered_frames: u64,
    /// Bytes of those.
    pub delivered_bytes: u64,
    /// Frames lost to [`crate::faults`].
    pub lost: u64,
    /// Frames lost because the receiver's queue was full.
    pub overrun: u64,
    /// Frames refused: longer than [`MAX_FRAME`], shorter than a header, or sent without link.
    pub refused: u64,
}

/// Counters that outlive the port they count for.
#[derive(Debug, Clone, Default)]
pub struct SharedCounters(Rc<Cell<Counters>>);

impl SharedCounters {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// What they show now.
    pub fn get(&self) -> Counters {
        self.0.get()
    }

    fn update(&self, change: impl Fn(&mut Counters)) {
        let mut counters = self.0.get();
        change(&mut counters);
        self.0.set(counters);
    }
}

/// How to attach a port.
#[derive(Debug, Clone)]
pub struct PortOptions {
    /// Address of the port.
    pub mac: Mac,
    /// Frames it holds for its receiver, delayed ones included.
    pub queue: usize,
    /// What to count its traffic in.
    pub counters: SharedCounters,
}

impl PortOptions {
    /// A usual port.
    pub fn new(mac: Mac) -> Self {
        Self { mac, queue: DEFAULT_QUEUE, counters: SharedCounters::new() }
    }
}

/// A frame that waits for its time. Ordered by time, then by the order of sending.
type Delayed = Reverse<(u64, u64, Frame)>;

/// The part of a port that the switch knows.
struct PortState {
    mac: Mac,
    capacity: usize,
    link: Cell<bool>,
    queue: RefCell<VecDeque<Frame>>,
    delayed: RefCell<BinaryHeap<Delayed>>,
    waker: RefCell<Option<Waker>>,
    counters: SharedCounters,
}

impl PortState {
    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn register(&self, cx: &Context<'_>) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            slot.replace(cx.waker().clone());
        }
    }

    fn is_full(&self) -> bool {
        self.queue.borrow().len() + self.delayed.borrow().len() >= self.capacity
    }

    /// The next frame that is due.
    fn pop(&self) -> Option<Frame> {
        let due = {
            let mut delayed = self.delayed.borrow_mut();
            match delayed.peek() {
                Some(Reverse((at, ..))) if *at <= clock::now_micros() => delayed.pop(),
                _ => None,
            }
        };
        match due {
            Some(Reverse((.., frame))) => Some(frame),
            None => self.queue.borrow_mut().pop_front(),
        }
    }

    /// The next frame, or a promise to wake the caller for it.
    fn poll_receive(&self, cx: &Context<'_>) -> Option<Frame> {
        let frame = self.pop();
        if frame.is_none() {
            self.register(cx);
            if let Some(Reverse((at, ..))) = self.delayed.borrow().peek() {
                embassy_time_driver::schedule_wake(*at, cx.waker());
            }
        }
        frame
    }

    fn set_link(&self, up: bool) {
        if self.link.replace(up) != up {
            if !up {
                self.queue.borrow_mut().clear();
                self.delayed.borrow_mut().clear();
            }
            self.wake();
        }
    }
}

/// Sees every frame that is sent, before faults: time in microseconds, frame. Must not touch the switch.
pub type Tap = Box<dyn FnMut(u64, &[u8])>;

struct Inner {
    ports: BTreeMap<u64, Rc<PortState>>,
    next_port: u64,
    /// Which port an address was last seen at.
    learned: HashMap<Mac, u64>,
    rng: Rng,
    next_delayed: u64,
}

struct Shared {
    inner: RefCell<Inner>,
    faults: Faults,
    counters: SharedCounters,
    tap: RefCell<Option<Tap>>,
    /// Where a frame under construction lies.
    scratch: RefCell<Vec<u8>>,
}

/// An Ethernet switch. Clones are handles to the same one; it lives as long as a handle or a port does.
#[derive(Clone)]
pub struct Switch(Rc<Shared>);

impl Switch {
    /// A switch without ports. The seed decides all chances of its faults.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(Shared {
            inner: RefCell::new(Inner {
                ports: BTreeMap::new(),
                next_port: 0,
                learned: HashMap::new(),
                rng: Rng::with_seed(seed),
                next_delayed: 0,
            }),
            faults: Faults::default(),
            counters: SharedCounters::new(),
            tap: RefCell::new(None),
            scratch: RefCell::new(Vec::new()),
        }))
    }

    /// Plugs a port in, with its link up.
    pub fn attach(&self, mac: Mac) -> Port {
        self.attach_with(PortOptions::new(mac))
    }

    /// Plugs a port in, with its link up.
    pub fn attach_with(&self, options: PortOptions) -> Port {
        let state = Rc::new(PortState {
            mac: options.mac,
            capacity: options.queue.max(1),
            link: Cell::new(true),
            queue: RefCell::default(),
            delayed: RefCell::default(),
            waker: RefCell::default(),
            counters: options.counters,
        });
        let mut inner = self.0.inner.borrow_mut();
        let id = inner.next_port;
        inner.next_port += 1;
        inner.ports.insert(id, state.clone());
        Port { id, state, switch: self.clone(), scratch: Vec::new() }
    }

    /// The faults of this switch.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Traffic of all ports since the start.
    pub fn counters(&self) -> Counters {
        self.0.counters.get()
    }

    /// How many ports are plugged in.
    pub fn ports(&self) -> usize {
        self.0.inner.borrow().ports.len()
    }

    /// Shows every frame sent from now on to `tap`, for instance to write it with [`crate::pcap`]; `None` ends it.
    pub fn set_tap(&self, tap: Option<Tap>) {
        let old = self.0.tap.replace(tap);
        drop(old);
    }

    fn count(&self, port: &PortState, change: impl Fn(&mut Counters)) {
        port.counters.update(&change);
        self.0.counters.update(&change);
    }

    fn send(&self, id: u64, from: &PortState, bytes: &[u8]) {
        if !from.link.get() || bytes.len() > MAX_FRAME || bytes.len() < MIN_FRAME {
            self.count(from, |counters| counters.refused += 1);
            return;
        }
        self.count(from, |counters| {
            counters.sent_frames += 1;
            counters.sent_bytes += bytes.len() as u64;
        });
        if let Some(tap) = self.0.tap.borrow_mut().as_mut() {
            tap(clock::now_micros(), bytes);
        }
        let frame = Frame::from(bytes);
        let (Some(destination), Some(source)) = (bytes.first_chunk::<6>(), bytes[6..].first_chunk::<6>())
        else {
            return;
        };
        let is_group = |mac: &Mac| mac[0] & 1 == 1;
        let mut inner = self.0.inner.borrow_mut();
        let inner = &mut *inner;
        if !is_group(source) && (inner.learned.len() < LEARNED || inner.learned.contains_key(source)) {
            inner.learned.insert(*source, id);
        }
        let known = if is_group(destination) { None } else { inner.learned.get(destination) };
        if let Some(&target) = known {
            if target != id
                && let Some(port) = inner.ports.get(&target)
            {
                self.pass(&mut inner.rng, &mut inner.next_delayed, from, port, &frame);
            }
            return;
        }
        for (&target, port) in &inner.ports {
            if target != id {
                self.pass(&mut inner.rng, &mut inner.next_delayed, from, port, &frame);
            }
        }
    }

    /// Lets a frame pass from port to port, faults permitting.
    fn pass(&self, rng: &mut Rng, seq: &mut u64, from: &PortState, to: &PortState, frame: &Frame) {
        if !to.link.get() {
            return;
        }
        if self.0.faults.is_empty() {
            self.deliver(to, frame.clone(), 0, seq);
            return;
        }
        let fate = self.0.faults.judge(&Passage { from: from.mac, to: to.mac, frame }, rng);
        if fate.lost {
            self.count(to, |counters| counters.lost += 1);
            return;
        }
        let mut frame = frame.clone();
        if fate.flipped_bits > 0 {
            let mut bytes = frame.to_vec();
            for _ in 0..fate.flipped_bits {
                let at = rng.usize(0..bytes.len());
                bytes[at] ^= 1 << rng.u32(0..8);
            }
            frame = Frame::from(bytes);
        }
        let delay = fate.delay.as_micros();
        self.deliver(to, frame.clone(), delay, seq);
        for copy in fate.copies {
            self.deliver(to, frame.clone(), delay + copy.as_micros(), seq);
        }
    }

    fn deliver(&self, to: &PortState, frame: Frame, delay: u64, seq: &mut u64) {
        if to.is_full() {
            self.count(to, |counters| counters.overrun += 1);
            return;
        }
        self.count(to, |counters| {
            counters.delivered_frames += 1;
            counters.delivered_bytes += frame.len() as u64;
        });
        if delay == 0 {
            to.queue.borrow_mut().push_back(frame);
        } else {
            *seq += 1;
            to.delayed.borrow_mut().push(Reverse((clock::now_micros() + delay, *seq, frame)));
        }
        // With a delayed frame too: the receiver then asks to be woken when it is due.
        to.wake();
    }

    fn detach(&self, id: u64) {
        let mut inner = self.0.inner.borrow_mut();
        inner.ports.remove(&id);
        inner.learned.retain(|_, port| *port != id);
    }

    fn forget(&self, id: u64) {
        self.0.inner.borrow_mut().learned.retain(|_, port| *port != id);
    }
}

/// A place on a switch: a network device ([`Driver`]) for embassy-net, or a plain source and sink of frames.
/// Dropping it unplugs it.
pub struct Port {
    id: u64,
    state: Rc<PortState>,
    switch: Switch,
    /// Where a frame lies while its receiver reads it: receivers may write to it, and others hold the same frame.
    scratch: Vec<u8>,
}

impl Port {
    /// Address it was attached with.
    pub fn mac(&self) -> Mac {
        self.state.mac
    }

    /// A handle to its link and counters.
    pub fn control(&self) -> PortControl {
        PortControl { id: self.id, state: Rc::downgrade(&self.state), switch: Rc::downgrade(&self.switch.0) }
    }

    /// Traffic of this port.
    pub fn counters(&self) -> Counters {
        self.state.counters.get()
    }

    /// Whether its link is up.
    pub fn is_up(&self) -> bool {
        self.state.link.get()
    }

    /// Sends a frame, Ethernet header first. Never waits.
    pub fn send(&self, frame: &[u8]) {
        self.switch.send(self.id, &self.state, frame);
    }

    /// The next frame, if one is there.
    pub fn try_receive(&self) -> Option<Frame> {
        self.state.pop()
    }

    /// The next frame, or a promise to wake the caller for it.
    pub(crate) fn poll_receive(&self, cx: &Context<'_>) -> Option<Frame> {
        self.state.poll_receive(cx)
    }

    /// The driver's tokens for a frame.
    pub(crate) fn tokens(&mut self, frame: &[u8]) -> (RxToken<'_>, TxToken<'_>) {
        self.scratch.clear();
        self.scratch.extend_from_slice(frame);
        let transmit = TxToken { id: self.id, state: &self.state, switch: &self.switch };
        (RxToken(&mut self.scratch), transmit)
    }

    /// Waits for the next frame. Cancel-safe. One task at a time may wait.
    pub async fn receive(&self) -> Frame {
        poll_fn(|cx| self.state.poll_receive(cx).map_or(Poll::Pending, Poll::Ready)).await
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.switch.detach(self.id);
    }
}

/// Controls a [`Port`] that somebody else owns. Does nothing once the port is gone.
#[derive(Clone)]
pub struct PortControl {
    id: u64,
    state: Weak<PortState>,
    switch: Weak<Shared>,
}

impl PortControl {
    /// Plugs the cable in or out. Frames waiting in a port without link are lost.
    pub fn set_link(&self, up: bool) {
        if let Some(state) = self.state.upgrade() {
            state.set_link(up);
            if let (false, Some(switch)) = (up, self.switch.upgrade()) {
                Switch(switch).forget(self.id);
            }
        }
    }

    /// Whether the port exists and its link is up.
    pub fn is_up(&self) -> bool {
        self.state.upgrade().is_some_and(|state| state.link.get())
    }
}

/// A received frame.
pub struct RxToken<'a>(&'a mut [u8]);

impl<'a> RxToken<'a> {
    pub(crate) fn new(frame: &'a mut [u8]) -> Self {
        Self(frame)
    }
}

impl NetRxToken for RxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Leave to send a frame.
pub struct TxToken<'a> {
    id: u64,
    state: &'a Rc<PortState>,
    switch: &'a Switch,
}

impl NetTxToken for TxToken<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut buffer = self.switch.0.scratch.take();
        buffer.clear();
        buffer.resize(len, 0);
        let result = f(&mut buffer);
        self.switch.send(self.id, self.state, &buffer);
        self.switch.0.scratch.replace(buffer);
        result
    }
}

impl Driver for Port {
    type RxToken<'a> = RxToken<'a>;
    type TxToken<'a> = TxToken<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(RxToken<'_>, TxToken<'_>)> {
        let frame = self.state.poll_receive(cx)?;
        Some(self.tokens(&frame))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<TxToken<'_>> {
        Some(TxToken { id: self.id, state: &self.state, switch: &self.switch })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.state.register(cx);
        if self.state.link.get() { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.state.mac)
    }
}

/// What devices on a switch can do.
pub(crate) fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::default();
    capabilities.max_transmission_unit = MAX_FRAME;
    capabilities
}
