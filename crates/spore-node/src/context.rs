//! The node context: one node's state, its event bus, and what services may do with it.
//!
//! Everything is behind interior mutability and on one thread. The rule that keeps it free of panics: a borrow of the state
//! never lives across an `.await` or a callback ([`Context::with`] takes a closure for that reason).

use crate::Start;
use crate::board::{Exit, System};
use crate::limits::{EVENT_LOG, EVENT_WAITERS};
use crate::service::{Endpoint, Service};
use crate::state::State;
use core::cell::{Cell, RefCell};
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::net::Ipv4Addr;
use core::task::Poll;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_sync::waitqueue::MultiWakerRegistration;
use spore_core::catalogue::Own;
use spore_core::config::Config;
use spore_core::events::{Bus, Callback, Cursor, Entry, Event, Full, Log, Origin, Refusal, SubscriberId};
use spore_core::limits::{ENDPOINTS, EVENT_DATA, EVENT_NAME};
use spore_core::time::Instant;
use spore_sentence::say;
use spore_wire::event::EventId;
use spore_wire::{Details, Hostname, Labels, Method, shorten};

/// The longest deep sleep: about what the clock counts that wakes an ESP8266.
pub const LONGEST_SLEEP: core::time::Duration = core::time::Duration::from_secs(3 * 3600);

/// The running image is not confirmed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnTrial;

impl fmt::Display for OnTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say!(f, "the image is on trial")
    }
}

impl core::error::Error for OnTrial {}

/// Room for one event as it is read from the log.
pub type EventBuffer = [u8; EVENT_NAME + EVENT_DATA];

/// One node, as its services and its own parts see it.
pub struct Context<'a> {
    state: RefCell<State<'a>>,
    system: RefCell<Option<&'a mut dyn System>>,
    services: Option<&'a [&'a dyn Service]>,
    bus: Bus<'a>,
    log: RefCell<Log<EVENT_LOG>>,
    waiters: RefCell<MultiWakerRegistration<EVENT_WAITERS>>,
    clients: Cell<u8>,
    quick_crashes: u8,
    safe_mode: bool,
    /// Networks are to be looked for.
    pub(crate) scan: Signal<NoopRawMutex, ()>,
    /// The settings have other credentials; they are to be used from that moment of the executor's clock on.
    pub(crate) rejoin: Signal<NoopRawMutex, embassy_time::Instant>,
    pub(crate) exit: Signal<NoopRawMutex, Exit>,
    /// Something for the scheduler to look at again: a task or an event to send.
    pub(crate) schedule: Signal<NoopRawMutex, ()>,
    /// The listening side has waited long enough.
    pub(crate) listen: Signal<NoopRawMutex, ()>,
    /// Something to fetch from another node, perhaps.
    pub(crate) fetch: Signal<NoopRawMutex, ()>,
}

impl<'a> Context<'a> {
    /// Room for a node: nothing but zero bytes, see [`crate::later::Later`].
    pub(crate) const fn new() -> Self {
        Self {
            state: RefCell::new(State::new()),
            system: RefCell::new(None),
            services: None,
            bus: Bus::new(),
            log: RefCell::new(Log::new()),
            waiters: RefCell::new(MultiWakerRegistration::new()),
            clients: Cell::new(0),
            quick_crashes: 0,
            safe_mode: false,
            scan: Signal::new(),
            rejoin: Signal::new(),
            exit: Signal::new(),
            schedule: Signal::new(),
            listen: Signal::new(),
            fetch: Signal::new(),
        }
    }

    /// Puts the node in its place; to be called once, before [`Context::configure`], and before anybody sees the context.
    #[inline(never)]
    pub(crate) fn begin(&mut self, start: Start<'a>, mac: [u8; 6], system: &'a mut dyn System) {
        let state = self.state.get_mut();
        state.config.set(start.factory.cloned().unwrap_or_default());
        state.last_update.set(start.boot.last_update.clone());
        state.on_trial = start.boot.trial;
        state.boot.set(start.boot);
        state.begin(mac, system);
        state.catalogues.set_common(common);
        self.system = RefCell::new(Some(system));
        (self.quick_crashes, self.safe_mode) = (start.quick_crashes, start.is_safe_mode());
        self.services = Some(start.services);
        self.state.get_mut().catalogue = self.catalogue_hash();
    }

    /// Puts the settings into force; `stored` replaces those of the factory by those that are stored, if there are any.
    #[inline(never)]
    pub(crate) fn configure(&mut self, stored: impl FnOnce(&mut Config)) {
        let services = self.services();
        let state = self.state.get_mut();
        stored(&mut state.config);
        state.configured(services);
    }

    #[inline(never)]
    fn catalogue_hash(&self) -> u32 {
        let mut own = Own::<ENDPOINTS>::new();
        for endpoint in self.endpoints() {
            // What cannot be registered does not count; nodes with the same services agree on that.
            let _ = own.register(endpoint);
        }
        own.hash()
    }

    /// Time since this node booted.
    pub fn now(&self) -> Instant {
        let boot = self.with(|state| state.booted);
        Instant::from_millis(embassy_time::Instant::now().as_millis().saturating_sub(boot))
    }

    /// The moment of the executor's clock that is `at` on the node's.
    pub(crate) fn clock(&self, at: Instant) -> embassy_time::Instant {
        let boot = self.with(|state| state.booted);
        embassy_time::Instant::from_millis(at.as_millis().saturating_add(boot))
    }

    /// Runs `f` on the node's state. `f` must not call back into the context.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State<'a>) -> T) -> T {
        f(&mut self.state.borrow_mut())
    }

    /// Runs `f` on the hardware.
    pub(crate) fn with_system<T>(&self, f: impl FnOnce(&mut dyn System) -> T) -> T {
        match self.system.borrow_mut().as_deref_mut() {
            Some(system) => f(system),
            None => panic!("a context is shown to nobody before it has a system"),
        }
    }

    /// The node's name.
    pub fn hostname(&self) -> Hostname {
        self.with(|state| state.hostname.clone())
    }

    /// The node's address, once it has one.
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.with(|state| state.address.map(|address| address.ip))
    }

    /// Fills in what this node tells of itself; field by field, for as one expression it would be made twice, on a small
    /// stack.
    #[inline(never)]
    pub(crate) fn tell(&self, told: &mut Details) {
        told.free_heap = Some(self.with_system(|system| system.free_heap()));
        told.uptime_ms = Some(self.now().as_millis());
        self.with(|state| {
            told.chip_id = Some(state.identity.chip_id);
            told.sdk_version = Some(shorten(state.identity.sdk));
            told.cpu_mhz = Some(state.identity.cpu_mhz.into());
            told.flash_bytes = Some(state.identity.flash_bytes);
            told.hostname = Some(state.hostname.clone());
            told.ip = state.address.map(|address| address.ip);
            told.version = Some(shorten(state.boot.header.version.as_str()));
            told.board = Some(shorten(state.identity.board));
            told.catalogue = Some(state.catalogue);
            told.boot = Some(state.boot_number());
            told.spore = Some(spore_wire::native::VERSION);
            copy_labels(&state.labels, told.labels.insert(Labels::new()));
        });
    }

    /// Quick crashes in a row before this start.
    pub(crate) fn quick_crashes(&self) -> u8 {
        self.quick_crashes
    }

    /// Whether the node runs in safe mode, see [`spore_boot::crashes`].
    pub fn is_safe_mode(&self) -> bool {
        self.safe_mode
    }

    /// The services of this node.
    pub(crate) fn services(&self) -> &'a [&'a dyn Service] {
        self.services.unwrap_or_default()
    }

    /// Takes over new settings. Storing them, the tasks' intervals and the WiFi are the caller's.
    #[inline(never)]
    pub(crate) fn apply(&self, config: &Config) {
        self.with(|state| {
            state.members.set_thresholds(config.thresholds());
            state.wifi.set_settings(config.wifi());
            state.config.set(config.clone());
            state.take_names(self.services());
        });
    }

    /// Everything this node offers: its catalogue.
    pub fn endpoints(&self) -> impl Iterator<Item = &'static Endpoint<'static>> + Clone + use<'a> {
        let own = crate::http::ROUTES.iter().map(|(endpoint, _)| endpoint);
        own.chain(self.services().iter().flat_map(|service| service.endpoints()))
    }

    /// Calls `callback` at once for every event called `name`; `"*"` hears everything.
    ///
    /// # Errors
    /// [`Full`] when all places of the bus are taken.
    pub fn on(&self, name: &'a str, callback: Callback<'a>) -> Result<SubscriberId, Full> {
        self.bus.on(name, callback)
    }

    /// Ends a subscription of [`Context::on`]; false when it had ended already.
    pub fn off(&self, id: SubscriberId) -> bool {
        self.bus.off(id)
    }

    /// Fires an event on this node: callbacks and services hear it before this returns, async subscribers and WebSockets
    /// soon after. An event fired from within callbacks more than four levels deep is dropped, and counted.
    pub fn fire(&self, event: &Event<'_>) {
        self.fire_from(event, Origin::NODE);
    }

    pub(crate) fn fire_from(&self, event: &Event<'_>, origin: Origin) {
        if self.bus.fire(event).is_err() {
            return;
        }
        for service in self.services() {
            service.on_event(self, event);
        }
        self.log.borrow_mut().push(event, origin);
        self.waiters.borrow_mut().wake();
    }

    /// Fires a user event on every node of the cluster, this one included. Gives the event's name for ever.
    ///
    /// # Errors
    /// [`Refusal`] when the event is malformed, too large, or one of too many; nobody hears it then.
    pub fn fire_cluster(&self, name: &str, data: &str) -> Result<EventId, Refusal> {
        self.fire_cluster_from(name, data, Origin::NODE)
    }

    pub(crate) fn fire_cluster_from(
        &self,
        name: &str,
        data: &str,
        origin: Origin,
    ) -> Result<EventId, Refusal> {
        let now = self.now();
        let id = self.with(|state| {
            let number = state.outgoing.push(now, name, data)?;
            let origin = state.address.map_or(Ipv4Addr::UNSPECIFIED, |address| address.ip);
            Ok(EventId { origin, boot: state.boot_number(), number })
        })?;
        self.schedule.signal(());
        self.fire_from(&Event::User { name, data }, origin);
        Ok(id)
    }

    /// Subscribes async code to the events called `name` (`"*"` for all) that are fired from now on.
    pub fn subscribe<'c>(&'c self, name: &'c str) -> Subscription<'c, 'a> {
        Subscription { ctx: self, name, cursor: self.log.borrow().now() }
    }

    pub(crate) fn log_position(&self) -> Cursor {
        self.log.borrow().now()
    }

    /// Waits until there is an event at `cursor`.
    pub(crate) async fn event_at(&self, cursor: Cursor) {
        poll_fn(|task| {
            if self.log.borrow().now() != cursor {
                return Poll::Ready(());
            }
            self.waiters.borrow_mut().register(task.waker());
            Poll::Pending
        })
        .await;
    }

    /// Copies the event at `cursor` into `buffer`, if there is one; gives the next cursor, too.
    pub(crate) fn read_event<'b>(
        &self,
        cursor: Cursor,
        buffer: &'b mut EventBuffer,
    ) -> Option<(Entry<'b>, Cursor)> {
        self.log.borrow().read(cursor, buffer)
    }

    /// A tag that tells one WebSocket client from another, for echo suppression.
    pub(crate) fn new_client(&self) -> Origin {
        let client = self.clients.get();
        self.clients.set(if client >= Origin::NODE.0 - 1 { 0 } else { client + 1 });
        Origin(client)
    }

    /// Restarts the node after the answers under way have left it.
    pub fn restart(&self) {
        self.exit.signal(Exit::Restart);
    }

    /// Puts the node into deep sleep after the answers under way have left it: everything is off for that long, three hours at most
    /// ([`LONGEST_SLEEP`]: what is longer ends then), and what follows is a start with the reset reason `deep sleep`. Nothing but flash
    /// and what the board keeps elsewhere survives.
    ///
    /// An ESP8266 wakes only if its GPIO16 is wired to its reset pin, which an ESP-01 does not bring out: there it sleeps until somebody
    /// presses reset.
    ///
    /// # Errors
    /// [`OnTrial`]: an image that sleeps before it is confirmed would be taken back. Try again later.
    pub fn sleep(&self, time: core::time::Duration) -> Result<(), OnTrial> {
        if self.with(|state| state.on_trial) {
            return Err(OnTrial);
        }
        let millis = time.min(LONGEST_SLEEP).as_millis() as u32;
        self.exit.signal(Exit::Sleep(millis));
        Ok(())
    }

    /// Seconds since 1970, UTC, once the router, or the server of the setting `ntpServer`, has told them by SNTP: some seconds after the
    /// node got its address, and again every hour. Many routers do; with one that does not this stays `None`.
    pub fn unix_time(&self) -> Option<u64> {
        let now = self.now();
        self.with(|state| state.clock.unix_millis(now)).map(|millis| millis / 1000)
    }

    /// Random bits, from the radio's noise on a chip. Good for jitter, ids and games; keys want a source whose quality is known.
    pub fn random(&self) -> u64 {
        self.with_system(|system| system.entropy())
    }

    /// Writes a line to the node's log.
    pub fn log(&self, line: fmt::Arguments<'_>) {
        let mut text = heapless::String::<160>::new();
        // A line that is too long is cut, which is better than losing it.
        let _ = text.write_fmt(line);
        self.with_system(|system| system.log(&text));
    }
}

#[inline(never)]
fn copy_labels(from: &Labels, to: &mut Labels) {
    for (key, value) in from.iter() {
        // There is room for as many as before.
        let _ = to.set(key, value);
    }
}

/// The endpoints every node has, for catalogues.
fn common(number: u8) -> Option<(Method, &'static str)> {
    crate::http::ROUTES.get(usize::from(number)).map(|(endpoint, _)| (endpoint.method, endpoint.uri))
}

/// An async subscription, see [`Context::subscribe`].
pub struct Subscription<'c, 'a> {
    ctx: &'c Context<'a>,
    name: &'c str,
    cursor: Cursor,
}

impl Subscription<'_, '_> {
    /// The next event of that name. `missed` of the entry counts events of any name that were overwritten before they
    /// were read; the log holds about the last 2 KB of events.
    pub async fn next<'b>(&mut self, buffer: &'b mut EventBuffer) -> Entry<'b> {
        let mut missed = 0;
        loop {
            let at = self.cursor;
            self.ctx.event_at(at).await;
            let wanted = match self.ctx.read_event(at, buffer) {
                Some((entry, next)) => {
                    self.cursor = next;
                    missed += entry.missed;
                    self.name == spore_core::events::ANY || entry.name == self.name
                }
                None => false,
            };
            if wanted {
                self.cursor = at;
                break;
            }
        }
        // Read once more, because a borrow may not leave the loop that might go round again.
        match self.ctx.read_event(self.cursor, buffer) {
            Some((mut entry, next)) => {
                self.cursor = next;
                entry.missed = missed;
                entry
            }
            None => Entry { number: 0, origin: Origin::NODE, name: "", payload: "", missed, truncated: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::tests::{FakeSystem, boot};
    use embassy_futures::{block_on, poll_once};
    use spore_lan as _;

    fn context(system: &mut FakeSystem) -> Context<'_> {
        let mut ctx = Context::new();
        let start =
            Start { boot: Box::leak(Box::new(boot())), factory: None, services: &[], quick_crashes: 0 };
        ctx.begin(start, [2, 0, 0, 0x3f, 0x9e, 0xc1], system);
        ctx.configure(|_| ());
        ctx
    }

    #[test]
    fn callbacks_hear_what_they_asked_for_until_they_are_taken_off() {
        let mut system = FakeSystem::default();
        let doors = Cell::new(0);
        let all = Cell::new(0);
        let (on_door, on_all) =
            (|_: &Event<'_>| doors.set(doors.get() + 1), |_: &Event<'_>| all.set(all.get() + 1));
        let ctx = context(&mut system);
        let door = ctx.on("door", &on_door).unwrap();
        ctx.on(spore_core::events::ANY, &on_all).unwrap();
        ctx.fire(&Event::User { name: "door", data: "open" });
        ctx.fire(&Event::User { name: "window", data: "open" });
        assert_eq!((doors.get(), all.get()), (1, 2));
        assert!(ctx.off(door));
        assert!(!ctx.off(door));
        ctx.fire(&Event::User { name: "door", data: "shut" });
        assert_eq!((doors.get(), all.get()), (1, 3));
    }

    #[test]
    fn async_subscribers_get_each_event_once_and_only_later_ones() {
        let mut system = FakeSystem::default();
        let ctx = context(&mut system);
        let mut buffer = [0; EVENT_NAME + EVENT_DATA];
        ctx.fire(&Event::User { name: "door", data: "before" });
        let mut subscription = ctx.subscribe("door");
        assert!(poll_once(subscription.next(&mut buffer)).is_pending());
        ctx.fire(&Event::User { name: "window", data: "" });
        ctx.fire(&Event::User { name: "door", data: "one" });
        ctx.fire(&Event::User { name: "door", data: "two" });
        assert_eq!(block_on(subscription.next(&mut buffer)).payload, "one");
        assert_eq!(block_on(subscription.next(&mut buffer)).payload, "two");
        assert!(poll_once(subscription.next(&mut buffer)).is_pending());
        for _ in 0..200 {
            ctx.fire(&Event::User { name: "window", data: "rattles" });
        }
        ctx.fire(&Event::User { name: "door", data: "three" });
        let entry = block_on(subscription.next(&mut buffer));
        assert_eq!(entry.payload, "three");
        assert!(entry.missed > 0, "the log holds fewer than 200 events");
    }

    #[test]
    fn a_cluster_event_is_heard_here_at_once_and_numbered() {
        let mut system = FakeSystem::default();
        let heard = Cell::new(0);
        let on_event = |event: &Event<'_>| {
            assert_eq!(*event, Event::User { name: "all", data: "lights on" });
            heard.set(heard.get() + 1);
        };
        let ctx = context(&mut system);
        ctx.on("all", &on_event).unwrap();
        let first = ctx.fire_cluster("all", "lights on").unwrap();
        let second = ctx.fire_cluster("all", "lights on").unwrap();
        assert_eq!((first.number, second.number, heard.get()), (1, 2, 2));
        assert_eq!(ctx.fire_cluster("", "x"), Err(Refusal::Name));
        assert_eq!(ctx.fire_cluster("all", &"x".repeat(600)), Err(Refusal::TooLarge));
        assert_eq!(heard.get(), 2, "what is refused nobody hears");
    }
}
