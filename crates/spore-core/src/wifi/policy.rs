//! Keeps a node reachable: over its network, and over an own access point as long as that fails.
//!
//! ```text
//!            credentials            Joined                address
//!   Idle ───────────────► Connecting ───────► Addressing ─────────► Connected
//!    ▲                     ▲   │ failed,          │ lost, no address   │ link lost
//!    │ no credentials      │   │ time-out         │ in time            │
//!    │                     │   ▼                  ▼                    │
//!    └──────────────────── Waiting ◄───────────────────────────────────┘
//! ```
//!
//! *Back-off.* After a failure the next attempt waits `retry_delay`, doubled with each further failure up to 60 s, and
//! a quarter of it more or less at random, so that a hundred nodes do not come back in step after a power cut.
//!
//! *Access point.* It opens when there are no credentials, at the first failed attempt after boot or new credentials,
//! and after a lost link at the third failed attempt or after 30 s, whichever is first. Meanwhile the station keeps
//! trying. It closes as soon as the station has an address. The node never restarts for want of a network: a router that
//! boots slower than the node must not send it into a loop or strand it in set-up mode.
//!
//! *Hesitation.* After a start the first attempt waits a random part of half a second, doubled with each crash that led
//! here, so that neither the return of the power nor nodes that crash together storm the network.
//!
//! *Announcements.* A node with an address tells everybody its hardware address, so that switches and neighbours that forgot it
//! find it again: at once, 2 s later (RFC 5227, 2.3), then once a minute.

use super::{LinkError, Passphrase, RadioCommand, RadioEvent, Ssid};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Longest wait between two attempts.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long a lost link may stay lost before the access point opens.
pub const LOST_PATIENCE: Duration = Duration::from_secs(30);
/// How many failed attempts after a lost link open the access point.
pub const LOST_ATTEMPTS: u32 = 3;
/// How long the radio may take to open the access point before it is told again.
pub const ACCESS_POINT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest hesitation after a start without crashes before it.
pub const HESITATION: Duration = Duration::from_millis(500);
/// How often the hesitation is doubled at most: to 32 s.
const HESITATION_DOUBLINGS: u8 = 6;
/// The second announcement follows the first (RFC 5227, ANNOUNCE_INTERVAL).
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);
/// All others follow the one before.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(60);

/// Times of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long an attempt may take, and then again how long the address may take.
    pub connect_timeout: Duration,
    /// Wait after the first failure.
    pub retry_delay: Duration,
}

impl Settings {
    /// 15 s and 500 ms, as in C++ SPORE.
    pub const DEFAULT: Self =
        Self { connect_timeout: Duration::from_secs(15), retry_delay: Duration::from_millis(500) };
}

/// What the station is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No credentials.
    Idle,
    /// An attempt is under way.
    Connecting,
    /// The link is up, the address is missing.
    Addressing,
    /// The station has an address.
    Connected,
    /// Until the next attempt.
    Waiting,
}

impl State {
    /// The word used in JSON and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Addressing => "addressing",
            Self::Connected => "connected",
            Self::Waiting => "waiting",
        }
    }
}

/// Which way the network stack is to get its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// None: no link at all.
    None,
    /// From the network's DHCP server. Ordered anew for each link: old leases are to be dropped.
    Dhcp,
    /// The fixed address of an own access point, and serving addresses to its clients.
    AccessPoint,
}

/// What the policy wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the radio to join the network that the settings name ([`RadioCommand::Join`]).
    Join,
    /// Tell the radio.
    Radio(RadioCommand),
    /// Tell the network stack.
    Addressing(Addressing),
    /// Announce the station's address on its network.
    Announce,
    /// State or access point changed: tell whoever cares (`wifi_changed`).
    Changed,
}

/// What is still to be told, at most one of each; later wishes replace earlier ones, so nothing can overflow.
#[derive(Debug, Default)]
struct Pending {
    leave: bool,
    join: bool,
    access_point: Option<bool>,
    addressing: Option<Addressing>,
    announce: bool,
    changed: bool,
}

/// The own access point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AccessPoint {
    Closed,
    /// Told to open; to be told again then.
    Opening(Instant),
    Open,
}

/// The state machine. Feed it, then drain [`Policy::poll`], then call [`Policy::tick`] at [`Policy::next_at`].
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
    /// There is a network to join.
    credentials: bool,
    access_point_ssid: Ssid,
    rng: Rng,
    state: State,
    /// When the present state has lasted long enough, or the next announcement is due. Always set, but in Idle.
    deadline: Option<Instant>,
    access_point: AccessPoint,
    /// What the network stack was last told.
    addressing: Addressing,
    /// Failed attempts since the last address, or since boot or new credentials.
    failures: u32,
    /// When a working link was lost, until there is one again.
    lost: Option<Instant>,
    last_error: Option<LinkError>,
    /// Why the radio last said that there is no link.
    last_disconnect: Option<LinkError>,
    pending: Pending,
}

impl Policy {
    /// A policy that has not begun: see [`Policy::start`]. The access point will be open to everyone.
    pub fn new(settings: Settings, access_point_ssid: Ssid, seed: u64) -> Self {
        Self {
            settings,
            credentials: false,
            access_point_ssid,
            rng: Rng::new(seed),
            state: State::Idle,
            deadline: None,
            access_point: AccessPoint::Closed,
            addressing: Addressing::None,
            failures: 0,
            lost: None,
            last_error: None,
            last_disconnect: None,
            pending: Pending::default(),
        }
    }

    /// Begins after a start of the node, which so many quick crashes in a row led to: as [`Policy::start`], but the first attempt
    /// hesitates.
    pub fn begin(&mut self, now: Instant, credentials: bool, crashes: u8) {
        self.start(now, credentials);
        if core::mem::take(&mut self.pending.join) {
            let longest = HESITATION.times(1 << crashes.min(HESITATION_DOUBLINGS)).as_millis();
            let wait = Duration::from_millis(self.rng.below(longest + 1));
            self.enter(State::Waiting, Some(now + wait));
        }
    }

    /// Begins anew with changed credentials. Without any the access point opens at once.
    pub fn start(&mut self, now: Instant, credentials: bool) {
        self.credentials = credentials;
        self.failures = 0;
        self.lost = None;
        self.last_error = None;
        if credentials {
            self.attempt(now);
        } else {
            self.leave_link();
            self.enter(State::Idle, None);
            self.open_access_point(now);
        }
        self.update_addressing();
    }

    /// Changes the times; they hold from the next attempt on.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Takes in a report of the radio. Those of a scan are not for the policy and change nothing.
    pub fn radio(&mut self, now: Instant, event: &RadioEvent) {
        if let RadioEvent::JoinFailed(error) | RadioEvent::Lost(error) = event {
            self.last_disconnect = Some(*error);
        }
        match (event, self.state) {
            // The order to join was not even taken yet: this is about an earlier attempt.
            (RadioEvent::Joined | RadioEvent::JoinFailed(_), State::Connecting) if self.pending.join => {}
            (RadioEvent::Joined, State::Connecting) => {
                let deadline = now + self.settings.connect_timeout;
                self.enter(State::Addressing, Some(deadline));
            }
            // An attempt that was given up came through after all.
            (RadioEvent::Joined, State::Idle | State::Waiting) => self.leave_link(),
            (RadioEvent::JoinFailed(error), State::Connecting)
            | (RadioEvent::JoinFailed(error) | RadioEvent::Lost(error), State::Addressing) => {
                self.failed(now, *error);
            }
            (RadioEvent::JoinFailed(error) | RadioEvent::Lost(error), State::Connected) => {
                self.lost = Some(now);
                self.last_error = Some(*error);
                self.wait(now);
            }
            (RadioEvent::AccessPointStarted, _) => {
                if let AccessPoint::Opening(_) = self.access_point {
                    self.access_point = AccessPoint::Open;
                    self.pending.changed = true;
                }
            }
            _ => {}
        }
        self.update_addressing();
    }

    /// The network stack got an address for the station (`true`) or lost it (`false`). An address is only believed while
    /// the policy waits for one.
    pub fn address(&mut self, now: Instant, present: bool) {
        match (present, self.state) {
            (true, State::Addressing) => {
                self.failures = 0;
                self.lost = None;
                self.last_error = None;
                self.pending.announce = true;
                self.enter(State::Connected, Some(now + ANNOUNCE_AGAIN));
                self.close_access_point();
            }
            (false, State::Connected) => {
                // The link is still there: give DHCP its time before the link is given up.
                self.lost = Some(now);
                self.last_error = Some(LinkError::NoAddress);
                let deadline = now + self.settings.connect_timeout;
                self.enter(State::Addressing, Some(deadline));
            }
            _ => {}
        }
        self.update_addressing();
    }

    /// Lets time pass. Call at [`Policy::next_at`]; any other time does no harm.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            match self.state {
                State::Waiting => self.attempt(now),
                State::Connecting => {
                    self.leave_link();
                    self.failed(now, LinkError::TimedOut);
                }
                State::Addressing => {
                    self.leave_link();
                    self.failed(now, LinkError::NoAddress);
                }
                State::Connected => {
                    self.pending.announce = true;
                    self.deadline = Some(now + ANNOUNCE_EVERY);
                }
                State::Idle => self.deadline = None,
            }
        }
        if self.patience_ends().is_some_and(|end| end <= now) {
            self.open_access_point(now);
        }
        if let AccessPoint::Opening(again) = self.access_point
            && again <= now
        {
            self.command_access_point(now);
        }
        self.update_addressing();
    }

    /// When [`Policy::tick`] is next needed; `None` when only a report can change anything.
    pub fn next_at(&self) -> Option<Instant> {
        let opening = match self.access_point {
            AccessPoint::Opening(again) => Some(again),
            AccessPoint::Closed | AccessPoint::Open => None,
        };
        [self.deadline, self.patience_ends(), opening].into_iter().flatten().min()
    }

    /// What is to be done next; call until it gives `None`.
    pub fn poll(&mut self) -> Option<Output> {
        if core::mem::take(&mut self.pending.leave) {
            return Some(Output::Radio(RadioCommand::Leave));
        }
        if core::mem::take(&mut self.pending.join) {
            return Some(Output::Join);
        }
        if let Some(open) = self.pending.access_point.take() {
            return Some(Output::Radio(if open {
                RadioCommand::StartAccessPoint {
                    ssid: self.access_point_ssid.clone(),
                    passphrase: Passphrase::new(),
                }
            } else {
                RadioCommand::StopAccessPoint
            }));
        }
        if let Some(addressing) = self.pending.addressing.take() {
            return Some(Output::Addressing(addressing));
        }
        if core::mem::take(&mut self.pending.announce) && self.state == State::Connected {
            return Some(Output::Announce);
        }
        core::mem::take(&mut self.pending.changed).then_some(Output::Changed)
    }

    fn enter(&mut self, state: State, deadline: Option<Instant>) {
        self.pending.changed |= self.state != state;
        self.state = state;
        self.deadline = deadline;
    }

    fn attempt(&mut self, now: Instant) {
        self.pending.join = true;
        let deadline = now + self.settings.connect_timeout;
        self.enter(State::Connecting, Some(deadline));
    }

    fn leave_link(&mut self) {
        self.pending.join = false;
        self.pending.leave = true;
    }

    fn failed(&mut self, now: Instant, error: LinkError) {
        self.last_error = Some(error);
        self.failures = self.failures.saturating_add(1);
        self.wait(now);
        if self.lost.is_none() || self.failures >= LOST_ATTEMPTS {
            self.open_access_point(now);
        }
    }

    fn wait(&mut self, now: Instant) {
        let doubled = 1u64.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u64::MAX);
        // A quarter more must stay within the longest wait, or most nodes would meet exactly there.
        let longest = RETRY_MAX.as_millis() / 5 * 4;
        let delay = self.settings.retry_delay.times(doubled).as_millis().min(longest);
        let jittered = (delay - delay / 4).saturating_add(self.rng.below(delay / 2 + 1));
        let until = now + Duration::from_millis(jittered);
        self.enter(State::Waiting, Some(until));
    }

    fn patience_ends(&self) -> Option<Instant> {
        let closed = self.access_point == AccessPoint::Closed;
        self.lost.filter(|_| closed && self.state != State::Connected).map(|lost| lost + LOST_PATIENCE)
    }

    fn open_access_point(&mut self, now: Instant) {
        if self.access_point == AccessPoint::Closed {
            self.command_access_point(now);
            self.pending.changed = true;
        }
    }

    fn command_access_point(&mut self, now: Instant) {
        self.access_point = AccessPoint::Opening(now + ACCESS_POINT_TIMEOUT);
        self.pending.access_point = Some(true);
    }

    fn close_access_point(&mut self) {
        if self.access_point != AccessPoint::Closed {
            self.access_point = AccessPoint::Closed;
            self.pending.access_point = Some(false);
            self.pending.changed = true;
        }
    }

    /// The access point serves while the station has no link; a link needs the stack for its own address.
    fn update_addressing(&mut self) {
        let wanted = match self.state {
            State::Addressing | State::Connected => Addressing::Dhcp,
            _ if self.access_point != AccessPoint::Closed => Addressing::AccessPoint,
            _ => Addressing::None,
        };
        if wanted != self.addressing {
            self.addressing = wanted;
            self.pending.addressing = Some(wanted);
        }
    }

    /// What the station is doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// `STA`, `AP_STA` (access point open, station keeps trying) or `AP` (no credentials).
    pub fn mode(&self) -> &'static str {
        match (self.state, self.access_point) {
            (State::Idle, _) => "AP",
            (_, AccessPoint::Closed) => "STA",
            _ => "AP_STA",
        }
    }

    /// Whether there is a network that the station is for.
    pub fn has_credentials(&self) -> bool {
        self.credentials
    }

    /// Whether the own access point is open.
    pub fn access_point_open(&self) -> bool {
        self.access_point == AccessPoint::Open
    }

    /// Whether the own access point is open or being opened.
    pub fn access_point_wanted(&self) -> bool {
        self.access_point != AccessPoint::Closed
    }

    /// Name of the own access point.
    pub fn access_point_ssid(&self) -> &str {
        &self.access_point_ssid
    }

    /// Failed attempts since the last address.
    pub fn attempts(&self) -> u32 {
        self.failures
    }

    /// Why the last attempt or link failed; `None` once there is an address.
    pub fn last_error(&self) -> Option<LinkError> {
        self.last_error
    }

    /// Why the radio last said that there is no link, or none could be had; also after there is one again.
    pub fn last_disconnect(&self) -> Option<LinkError> {
        self.last_disconnect
    }

    /// How long until the next attempt, while waiting for it.
    pub fn retry_in(&self, now: Instant) -> Option<Duration> {
        self.deadline.filter(|_| self.state == State::Waiting).map(|deadline| deadline.since(now))
    }
}
