//! Tasks: the SDK's own, and the three of the user.

use crate::{
    cell::Locked,
    cpu, dog, eth, events, frames, guard,
    rom::{self, Event, Task},
    timer, transmit,
};

/// Task of power management.
pub const PM: u8 = 20;
/// Task of WiFi events.
pub const EVENT: u8 = 21;
/// Task that gives received frames to the IP stack, station.
pub const RX_STATION: u8 = 28;
/// The same of the access point.
pub const RX_ACCESS_POINT: u8 = 29;
/// Task of the timers.
pub const TIMER: u8 = 31;
/// Task of the packet processor.
pub const PP: u8 = 32;

/// Signal of [`PP`]: feed the watchdog.
pub const PP_FEED: u32 = 1;
/// Signal of [`PP`]: frames have come.
pub const PP_RECEIVED: u32 = 2;
/// Signal of [`PP`]: a frame has been sent; the parameter is its pbuf.
pub const PP_SENT: u32 = 3;

const EMPTY: Event = Event { signal: 0, parameter: 0 };

/// Queues of the SDK's tasks.
struct Queues {
    pm: [Event; 2],
    event: [Event; 10],
    station: [Event; 10],
    access_point: [Event; 10],
    timer: [Event; 4],
    pp: [Event; 34],
}

static QUEUES: Locked<Queues> = Locked::new(Queues {
    pm: [EMPTY; 2],
    event: [EMPTY; 10],
    station: [EMPTY; 10],
    access_point: [EMPTY; 10],
    timer: [EMPTY; 4],
    pp: [EMPTY; 34],
});

/// Tasks of the user by priority.
static USER: Locked<[Option<Task>; 3]> = Locked::new([None; 3]);

/// Registers the SDK's tasks.
pub fn begin() {
    QUEUES.with(|queues| {
        register(nothing, PM, &mut queues.pm);
        register(events::task, EVENT, &mut queues.event);
        register(frames::station_task, RX_STATION, &mut queues.station);
        register(frames::access_point_task, RX_ACCESS_POINT, &mut queues.access_point);
        register(timer::task, TIMER, &mut queues.timer);
        register(pp_task, PP, &mut queues.pp);
    });
}

fn register(task: Task, priority: u8, queue: &mut [Event]) {
    // SAFETY: queues are static.
    unsafe { rom::ets_task(task, priority, queue.as_mut_ptr(), queue.len() as u8) };
}

extern "C" fn nothing(_: *mut Event) {}

extern "C" fn pp_task(event: *mut Event) {
    // SAFETY: the ROM gives a valid event.
    let event = unsafe { *event };
    match event.signal {
        PP_FEED => {
            dog::feed();
            guard::check_stack();
        }
        PP_RECEIVED => eth::drain(),
        PP_SENT => transmit::sent(event.parameter),
        _ => {}
    }
}

/// Queues an event; whether there was room. Interrupts stay as they are, which the ROM's function alone does not do.
pub fn post(priority: u8, signal: u32, parameter: u32) -> bool {
    let state = cpu::mask();
    // SAFETY: a ROM function.
    let result = unsafe { rom::ets_post(priority, signal, parameter) };
    cpu::restore(state);
    result == 0
}

/// Calls a user task and looks at what it does.
fn run(index: u8, event: *mut Event) {
    let task = USER.with(|tasks| tasks.get(usize::from(index)).copied().flatten());
    if let Some(task) = task {
        guard::callback(c"the user task", u32::from(index), || task(event));
    }
}

extern "C" fn user_0(event: *mut Event) {
    run(0, event);
}
extern "C" fn user_1(event: *mut Event) {
    run(1, event);
}
extern "C" fn user_2(event: *mut Event) {
    run(2, event);
}

/// Registers a task of priority 0 to 2, with a queue.
#[unsafe(no_mangle)]
pub extern "C" fn system_os_task(task: Option<Task>, priority: u8, queue: *mut Event, length: u8) -> bool {
    guard::task_only(c"system_os_task");
    if priority > 2 || queue.is_null() || length == 0 {
        return false;
    }
    let Some(task) = task.filter(|task| guard::is_code(*task as usize as u32)) else {
        guard::violation(c"system_os_task of priority %u without a function", &[u32::from(priority)])
    };
    if !guard::in_data_ram(queue as u32, u32::from(length) * 8) {
        guard::violation(c"system_os_task with a queue at 0x%08x, which is not data RAM", &[queue as u32]);
    }
    USER.with(|tasks| tasks[usize::from(priority)] = Some(task));
    let trampoline: Task = match priority {
        0 => user_0,
        1 => user_1,
        _ => user_2,
    };
    // SAFETY: the caller gives a queue for ever.
    unsafe { rom::ets_task(trampoline, priority + 2, queue, length) };
    true
}

/// Queues an event for a task of the user; false when its queue is full or there is no such task.
#[unsafe(no_mangle)]
pub extern "C" fn system_os_post(priority: u8, signal: u32, parameter: u32) -> bool {
    let known = USER.with(|tasks| tasks.get(usize::from(priority)).copied().flatten().is_some());
    known && post(priority + 2, signal, parameter)
}
