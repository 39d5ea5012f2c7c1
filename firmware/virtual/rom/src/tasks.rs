//! The ROM's tasks: each a function with a queue of events, run to completion, the highest priority first.
//!
//! `ets_post` and the loop set the interrupt level to 0 when they are done, whatever it was: as in the ROM. Posting to a priority
//! without a task writes to address 0 on the chip; here it ends QEMU. The event handed to a task lies in its queue, in a place
//! which a later post may take: as in the ROM.

use crate::{
    cache,
    chip::{Cell, violation},
    clock,
};
use core::arch::asm;

/// An event: signal and parameter.
#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    signal: u32,
    parameter: u32,
}

type Run = extern "C" fn(*const Event);

#[derive(Clone, Copy)]
struct Task {
    run: Run,
    queue: *mut Event,
    length: u8,
    count: u8,
    next: u8,
}

/// Priorities 0 to 33.
const PRIORITIES: usize = 34;

struct Tasks {
    tasks: [Option<Task>; PRIORITIES],
    /// A bit for each priority that has events.
    ready: u64,
    /// Called whenever there is nothing to do.
    idle: Option<(extern "C" fn(u32), u32)>,
}

static TASKS: Cell<Tasks> = Cell::new(Tasks { tasks: [None; PRIORITIES], ready: 0, idle: None });

unsafe extern "C" {
    fn intr_lock();
    fn intr_unlock();
}

fn lock() {
    // SAFETY: changes the interrupt level only.
    unsafe { intr_lock() };
}

/// Interrupt level 0.
fn unlock() {
    // SAFETY: changes the interrupt level only.
    unsafe { intr_unlock() };
}

/// `ets_task(function, priority, queue, length)`.
#[unsafe(no_mangle)]
extern "C" fn rom_task(run: Run, priority: u8, queue: *mut Event, length: u8) {
    match TASKS.get().tasks.get_mut(usize::from(priority)) {
        Some(place) => *place = Some(Task { run, queue, length, count: 0, next: 0 }),
        None => violation!("ets_task with priority {priority}"),
    }
}

/// `ets_post(priority, signal, parameter)`: 0, or 1 if the queue is full.
#[unsafe(no_mangle)]
extern "C" fn rom_post(priority: u8, signal: u32, parameter: u32) -> u32 {
    lock();
    let tasks = TASKS.get();
    let Some(Some(task)) = tasks.tasks.get_mut(usize::from(priority)) else {
        violation!("ets_post to priority {priority}, which has no task")
    };
    let posted = task.count < task.length;
    if posted {
        let place = u32::from(task.next) + u32::from(task.count);
        let place = if place < u32::from(task.length) { place } else { place - u32::from(task.length) };
        // SAFETY: `ets_task` was given a queue of `length` events.
        unsafe { task.queue.add(place as usize).write(Event { signal, parameter }) };
        task.count += 1;
        tasks.ready |= 1 << priority;
    }
    unlock();
    u32::from(!posted)
}

/// `ets_set_idle_cb(function, argument)`.
#[unsafe(no_mangle)]
extern "C" fn rom_set_idle_cb(idle: Option<extern "C" fn(u32)>, argument: u32) {
    TASKS.get().idle = idle.map(|idle| (idle, argument));
}

/// The next event of the highest priority.
fn take() -> Option<(Run, *const Event)> {
    let tasks = TASKS.get();
    let priority = 63u32.checked_sub(tasks.ready.leading_zeros())?;
    let task = tasks.tasks.get_mut(priority as usize)?.as_mut()?;
    let event = task.queue.wrapping_add(usize::from(task.next));
    task.next = if task.next + 1 < task.length { task.next + 1 } else { 0 };
    task.count -= 1;
    if task.count == 0 {
        tasks.ready &= !(1 << priority);
    }
    Some((task.run, event))
}

/// `ets_run()`: runs tasks for ever, on the caller's stack.
#[unsafe(no_mangle)]
extern "C" fn rom_run() -> ! {
    loop {
        lock();
        if let Some((run, event)) = take() {
            unlock();
            if cache::hides(run as usize as u32) {
                violation!("a task in flash is run while the cache is off");
            }
            run(event);
            continue;
        }
        if let Some((idle, argument)) = TASKS.get().idle {
            idle(argument);
            lock();
            if TASKS.get().ready != 0 {
                unlock();
                continue;
            }
        }
        clock::wait();
        // SAFETY: level 0 and waiting in one instruction: a post from a handler is not missed.
        unsafe { asm!("waiti 0", options(nostack)) };
        lock();
        clock::awake();
        unlock();
    }
}

/// Back to the state at reset.
pub(crate) fn reset() {
    *TASKS.get() = Tasks { tasks: [None; PRIORITIES], ready: 0, idle: None };
}
