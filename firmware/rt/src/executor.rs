//! embassy's executor inside one SDK task.
//!
//! A wake posts one event, guarded so that there is never a second in the queue; the task polls what was woken and
//! returns, so that the SDK's tasks, its watchdog and its idle loop get their turn after every poll.

use crate::critical;
use crate::sdk::{self, OsEvent};
use crate::task_cell::TaskCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use embassy_executor::Spawner;
use embassy_executor::raw::Executor;

/// Priority of the task: the lowest of the SDK's three for applications.
const PRIORITY: u8 = 0;
/// A poll longer than this, in microseconds, delays the SDK's WiFi tasks and is counted.
pub const LONG_POLL: u32 = 15_000;

struct Runtime {
    posted: bool,
    figures: Figures,
}

/// What the executor measured since start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// Time spent in polls, in microseconds.
    pub busy: u64,
    /// The longest poll, in microseconds.
    pub longest: u32,
    /// Polls longer than [`LONG_POLL`].
    pub long: u32,
}

static EXECUTOR: TaskCell<Option<Executor>> = TaskCell::new(None);
static RUNTIME: TaskCell<Runtime> =
    TaskCell::new(Runtime { posted: false, figures: Figures { busy: 0, longest: 0, long: 0 } });
static QUEUE: TaskCell<[OsEvent; 2]> = TaskCell::new([OsEvent { signal: 0, parameter: 0 }; 2]);

/// Makes the executor's task and hands out its spawner. Call once, in task context.
pub fn start() -> Spawner {
    crate::time::init();
    // SAFETY: the queue is static; the task's function has the right type.
    unsafe { sdk::system_os_task(run, PRIORITY, QUEUE.as_ptr().cast(), 2) };
    EXECUTOR.with(|executor| *executor = Some(Executor::new(core::ptr::null_mut())));
    executor().spawner()
}

fn executor() -> &'static Executor {
    // SAFETY: written once by `start`, never moved or dropped, and only read after that.
    match unsafe { &*EXECUTOR.as_ptr() } {
        Some(executor) => executor,
        None => panic!("the executor was not started"),
    }
}

/// What the executor measured.
pub fn figures() -> Figures {
    RUNTIME.with(|runtime| runtime.figures)
}

/// Posts again if a post was refused; called by the SDK's 25 ms tick.
pub fn nudge() {
    if RUNTIME.with(|runtime| runtime.posted) {
        post();
    }
}

fn post() {
    // The ROM's post unlocks interrupts whatever they were before; a critical section around a wake must survive that.
    let ps = critical::state();
    // Where the queue is full `nudge` tries again.
    // SAFETY: posting is allowed from task context at any time.
    let _ = unsafe { sdk::system_os_post(PRIORITY, 0, 0) };
    critical::restore(ps);
}

#[unsafe(no_mangle)]
extern "Rust" fn __pender(_: *mut ()) {
    if !RUNTIME.with(|runtime| core::mem::replace(&mut runtime.posted, true)) {
        post();
    }
}

extern "C" fn run(_: *mut OsEvent) {
    // A nudge may have left a second event in the queue.
    if !RUNTIME.with(|runtime| core::mem::replace(&mut runtime.posted, false)) {
        return;
    }
    let begin = crate::time::micros();
    // SAFETY: `start` made it, and the SDK runs a task's function once at a time.
    unsafe { executor().poll() };
    let spent = crate::time::micros() - begin;
    RUNTIME.with(|Runtime { figures, .. }| {
        figures.busy += spent;
        let spent = spent.min(u64::from(u32::MAX)) as u32;
        figures.longest = figures.longest.max(spent);
        figures.long += u32::from(spent > LONG_POLL);
    });
}

/// A future whose polls are marked with a task's number, so that a crash can name it.
pub struct Named<F> {
    task: u32,
    future: F,
}

/// Marks a future's polls with the number of a task.
#[inline(always)]
pub fn named<F: Future>(task: u32, future: F) -> Named<F> {
    Named { task, future }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        crate::crash::set_task(self.task);
        // SAFETY: `future` is pinned with its owner and never moved out.
        let result = unsafe { self.map_unchecked_mut(|named| &mut named.future) }.poll(cx);
        crate::crash::set_task(crate::crash::NO_TASK);
        result
    }
}
