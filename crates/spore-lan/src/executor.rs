//! Tasks of one thread and the loop that runs them, in real or in virtual time.
//!
//! A [`World`] owns the thread's clock ([`crate::clock`]) and its tasks. Tasks need not be `Send`; a task is killed,
//! and all its state dropped at once, by dropping its [`Task`]. Tasks run in the order in which they were woken and
//! timers fire in the order of their moments, so under virtual time the same inputs give the same run.

use crate::clock::{self, Mode};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant as HostInstant};

/// Identity of the future given to [`World::run_until`]; spawned tasks count from 1.
const MAIN: u64 = 0;
/// Real timers are late by up to this many microseconds, so that many nodes wake the process once.
const SLACK_MICROS: u64 = 1_000;
/// Rounds of the task queue before the host's sockets are looked at again.
const ROUNDS: usize = 16;

#[derive(Default)]
struct ReadyQueue {
    tasks: VecDeque<u64>,
    /// Set while the loop sleeps: how to wake the thread.
    sleeper: Option<Waker>,
}

#[derive(Default)]
struct Ready(Mutex<ReadyQueue>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, ReadyQueue> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, id: u64) {
        let sleeper = {
            let mut queue = self.lock();
            queue.tasks.push_back(id);
            queue.sleeper.take()
        };
        if let Some(waker) = sleeper {
            waker.wake();
        }
    }

    fn pop(&self) -> Option<u64> {
        self.lock().tasks.pop_front()
    }

    /// Leaves `waker` for the next [`Self::push`], unless there is work already; says whether the loop may sleep.
    fn sleep(&self, waker: &Waker) -> bool {
        let mut queue = self.lock();
        let idle = queue.tasks.is_empty();
        queue.sleeper = idle.then(|| waker.clone());
        idle
    }
}

struct TaskWaker {
    id: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.id);
        }
    }
}

/// Host CPU time spent on one or more tasks.
#[derive(Debug, Clone, Default)]
pub struct Usage(Rc<Cell<Duration>>);

impl Usage {
    /// Nothing spent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Time spent so far. Grows in virtual time too: it is the host's.
    pub fn busy(&self) -> Duration {
        self.0.get()
    }
}

/// Why a task ended without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It panicked, with this message.
    Panicked(String),
    /// Its world ended first.
    Killed,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Killed => f.write_str("killed"),
        }
    }
}

impl std::error::Error for Stopped {}

type BoxedFuture = Pin<Box<dyn Future<Output = ()>>>;

struct Entry {
    /// Absent while it is being polled.
    future: Option<BoxedFuture>,
    waker: Waker,
    flag: Arc<TaskWaker>,
    usage: Usage,
    end: Rc<dyn End>,
}

/// How the loop tells a task's owner of an end without a result.
trait End {
    fn stop(&self, why: Stopped);
}

struct Outcome<T> {
    result: RefCell<Option<Result<T, Stopped>>>,
    waiter: RefCell<Option<Waker>>,
    finished: Cell<bool>,
}

impl<T> Outcome<T> {
    fn set(&self, result: Result<T, Stopped>) {
        if !self.finished.replace(true) {
            self.result.replace(Some(result));
            if let Some(waiter) = self.waiter.take() {
                waiter.wake();
            }
        }
    }
}

impl<T> End for Outcome<T> {
    fn stop(&self, why: Stopped) {
        self.set(Err(why));
    }
}

struct Inner {
    ready: Arc<Ready>,
    tasks: RefCell<HashMap<u64, Entry>>,
    next_id: Cell<u64>,
    polls: Cell<u64>,
}

impl Inner {
    /// Polls a task once. A panic ends that task only.
    fn poll_task(&self, id: u64) {
        let (mut future, waker, usage) = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(entry) = tasks.get_mut(&id) else { return };
            entry.flag.queued.store(false, Ordering::Release);
            let Some(future) = entry.future.take() else { return };
            (future, entry.waker.clone(), entry.usage.clone())
        };
        self.polls.set(self.polls.get() + 1);
        let started = HostInstant::now();
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        usage.0.set(usage.0.get() + started.elapsed());
        let ended = match polled {
            Ok(Poll::Pending) => {
                if let Some(entry) = self.tasks.borrow_mut().get_mut(&id) {
                    entry.future = Some(future);
                    return;
                }
                // Killed by itself while it ran.
                None
            }
            Ok(Poll::Ready(())) => None,
            Err(payload) => Some(Stopped::Panicked(message(&*payload))),
        };
        let entry = self.tasks.borrow_mut().remove(&id);
        // Dropping may run the task's own code, so no borrow is held.
        drop_quietly(future);
        if let (Some(entry), Some(why)) = (entry, ended) {
            entry.end.stop(why);
        }
    }

    fn kill(&self, id: u64) {
        let entry = self.tasks.borrow_mut().remove(&id);
        if let Some(entry) = entry {
            drop_quietly(entry);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for (_, entry) in std::mem::take(self.tasks.get_mut()) {
            let end = entry.end.clone();
            drop_quietly(entry);
            end.stop(Stopped::Killed);
        }
        clock::reset(Mode::Real);
        OCCUPIED.with(|occupied| occupied.set(false));
    }
}

/// Drops a value whose destructor might panic; such a panic has nowhere to go.
fn drop_quietly<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// The words of a panic.
fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}

thread_local! {
    static OCCUPIED: Cell<bool> = const { Cell::new(false) };
}

/// A thread's tasks and time. One per thread at a time.
pub struct World(Rc<Inner>);

impl World {
    /// Resets the thread's clock to zero in the given mode and starts without tasks.
    ///
    /// # Panics
    /// When the thread has a world already.
    pub fn new(mode: Mode) -> Self {
        assert!(
            !OCCUPIED.with(|occupied| occupied.replace(true)),
            "this thread has a world already, and a thread has but one clock"
        );
        clock::reset(mode);
        Self(Rc::new(Inner {
            ready: Arc::default(),
            tasks: RefCell::default(),
            next_id: Cell::new(MAIN + 1),
            polls: Cell::new(0),
        }))
    }

    /// A handle to spawn tasks with; it does not keep the world alive.
    pub fn spawner(&self) -> Spawner {
        Spawner(Rc::downgrade(&self.0))
    }

    /// See [`Spawner::spawn`].
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.spawner().spawn(future)
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    /// How often tasks were polled: a measure of work that is equal in equal simulations.
    pub fn polls(&self) -> u64 {
        self.0.polls.get()
    }

    /// Runs all tasks until `future` is done. In real time the thread sleeps between timers, wakes of other threads
    /// and the host's sockets ([`async_io`]); in virtual time the clock jumps to the next timer whenever nothing
    /// can run.
    ///
    /// # Panics
    /// When `future` panics; and in virtual time when nothing can run and no timer is set, since nothing would ever
    /// happen again.
    pub fn run_until<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let flag =
            Arc::new(TaskWaker { id: MAIN, queued: AtomicBool::new(true), ready: self.0.ready.clone() });
        let waker = Waker::from(flag.clone());
        self.0.ready.push(MAIN);
        let mut step = |id: u64| -> Option<T> {
            if id != MAIN {
                self.0.poll_task(id);
                return None;
            }
            // A wake left over from an earlier call may arrive here too; polling once too often is harmless.
            flag.queued.store(false, Ordering::Release);
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            }
        };
        match clock::mode() {
            Mode::Virtual => loop {
                clock::fire();
                while let Some(id) = self.0.ready.pop() {
                    if let Some(value) = step(id) {
                        return value;
                    }
                }
                let next = clock::next_timer();
                clock::advance_to(
                    next.expect("virtual time stands still: no task can run and no timer is set"),
                );
            },
            Mode::Real => {
                let mut timer = async_io::Timer::never();
                let mut armed = None;
                async_io::block_on(poll_fn(|cx| {
                    for _ in 0..ROUNDS {
                        clock::fire();
                        let batch = self.0.ready.lock().tasks.len();
                        for _ in 0..batch {
                            let Some(id) = self.0.ready.pop() else { break };
                            if let Some(value) = step(id) {
                                return Poll::Ready(value);
                            }
                        }
                        if !self.0.ready.sleep(cx.waker()) {
                            continue;
                        }
                        if !arm(&mut timer, &mut armed, cx) {
                            return Poll::Pending;
                        }
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }))
            }
        }
    }

    /// Runs all tasks for a while.
    ///
    /// # Panics
    /// See [`Self::run_until`].
    pub fn run_for(&self, time: embassy_time::Duration) {
        self.run_until(embassy_time::Timer::after(time));
    }
}

/// Sets the host's timer to the next one of the clock; says whether it is due already.
fn arm(timer: &mut async_io::Timer, armed: &mut Option<u64>, cx: &mut Context<'_>) -> bool {
    let Some(at) = clock::next_timer() else {
        if armed.take().is_some() {
            *timer = async_io::Timer::never();
        }
        return false;
    };
    let rounded = at.div_ceil(SLACK_MICROS).saturating_mul(SLACK_MICROS);
    let now = clock::now_micros();
    if rounded <= now {
        return true;
    }
    if armed.replace(rounded) != Some(rounded) {
        // A moment centuries away is as good as never, and would overflow the host's.
        match HostInstant::now().checked_add(Duration::from_micros(rounded - now)) {
            Some(moment) => timer.set_at(moment),
            None => *timer = async_io::Timer::never(),
        }
    }
    Pin::new(timer).poll(cx).is_ready()
}

/// Spawns tasks in a [`World`].
#[derive(Clone)]
pub struct Spawner(Weak<Inner>);

impl Spawner {
    /// Starts a task. Dropping the [`Task`] kills it.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.spawn_metered(&Usage::new(), future)
    }

    /// Starts a task whose CPU time is added to `usage`.
    pub fn spawn_metered<T: 'static>(
        &self,
        usage: &Usage,
        future: impl Future<Output = T> + 'static,
    ) -> Task<T> {
        let outcome = Rc::new(Outcome {
            result: RefCell::new(None),
            waiter: RefCell::new(None),
            finished: Cell::new(false),
        });
        let Some(inner) = self.0.upgrade() else {
            outcome.stop(Stopped::Killed);
            return Task { id: MAIN, world: Weak::new(), outcome, usage: usage.clone() };
        };
        let id = inner.next_id.get();
        inner.next_id.set(id + 1);
        let flag = Arc::new(TaskWaker { id, queued: AtomicBool::new(true), ready: inner.ready.clone() });
        let report = outcome.clone();
        let entry = Entry {
            future: Some(Box::pin(async move { report.set(Ok(future.await)) })),
            waker: Waker::from(flag.clone()),
            flag,
            usage: usage.clone(),
            end: outcome.clone(),
        };
        inner.tasks.borrow_mut().insert(id, entry);
        inner.ready.push(id);
        Task { id, world: self.0.clone(), outcome, usage: usage.clone() }
    }
}

/// A running task. Dropping it drops the task's future, and all that the future owns, at once.
#[must_use = "dropping a task kills it; use `detach` to let it run on"]
pub struct Task<T> {
    id: u64,
    world: Weak<Inner>,
    outcome: Rc<Outcome<T>>,
    usage: Usage,
}

impl<T> Task<T> {
    /// Host CPU time spent on it.
    pub fn busy(&self) -> Duration {
        self.usage.busy()
    }

    /// Whether it returned, panicked, or lost its world.
    pub fn is_finished(&self) -> bool {
        self.outcome.finished.get()
    }

    /// Waits for its end. Cancel-safe. The result is given once; a later call never returns.
    ///
    /// # Errors
    /// [`Stopped`] when it ended without a result.
    pub async fn join(&mut self) -> Result<T, Stopped> {
        poll_fn(|cx| {
            if let Some(result) = self.outcome.result.take() {
                return Poll::Ready(result);
            }
            self.outcome.waiter.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    /// Kills it: the same as dropping.
    pub fn kill(self) {}

    /// Lets it run on by itself, until its end or its world's.
    pub fn detach(mut self) {
        self.world = Weak::new();
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            world.kill(self.id);
        }
    }
}
