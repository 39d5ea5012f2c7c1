//! The clock: the SDK's microseconds, stretched to 64 bits, and one SDK timer as alarm.

use crate::sdk::{self, OsTimer};
use crate::task_cell::TaskCell;
use core::ffi::c_void;
use core::task::Waker;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

struct State {
    queue: Queue,
    last: u32,
    wraps: u32,
}

struct Clock {
    state: TaskCell<State>,
    alarm: TaskCell<OsTimer>,
}

embassy_time_driver::time_driver_impl!(
    static CLOCK: Clock = Clock {
        state: TaskCell::new(State { queue: Queue::new(), last: 0, wraps: 0 }),
        alarm: TaskCell::new(OsTimer::new()),
    }
);

/// Microseconds since the SDK started. Must be asked more than once in 71 minutes, which the alarm sees to.
pub fn micros() -> u64 {
    // SAFETY: no preconditions.
    let low = unsafe { sdk::system_get_time() };
    CLOCK.state.with(|state| {
        if low < state.last {
            state.wraps = state.wraps.wrapping_add(1);
        }
        state.last = low;
        u64::from(state.wraps) << 32 | u64::from(low)
    })
}

/// Prepares the alarm. Call once before the executor runs.
pub fn init() {
    // SAFETY: the timer is static and task context's own.
    unsafe { sdk::ets_timer_setfn(CLOCK.alarm.as_ptr(), rung, core::ptr::null_mut()) };
}

/// Longest time the alarm is set for: the clock must be read between its wraps.
const HORIZON_MILLIS: u32 = 30 * 60 * 1000;

impl Clock {
    /// Wakes what is due and arms the alarm for what comes next.
    fn rearm(&'static self) {
        loop {
            let now = micros();
            let next = self.state.with(|state| state.queue.next_expiration(now));
            let Some(wait) = next.checked_sub(now).filter(|&wait| wait > 0) else { continue };
            let millis = if wait > u64::from(HORIZON_MILLIS) * 1000 {
                HORIZON_MILLIS
            } else {
                (wait as u32).div_ceil(1000)
            };
            // SAFETY: the timer is static and its function set by `init`; disarming an idle timer is allowed.
            unsafe {
                sdk::ets_timer_disarm(self.alarm.as_ptr());
                sdk::ets_timer_arm_new(self.alarm.as_ptr(), millis, 0, 1);
            }
            return;
        }
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        if CLOCK.state.with(|state| state.queue.schedule_wake(at, waker)) {
            CLOCK.rearm();
        }
    }
}

extern "C" fn rung(_: *mut c_void) {
    CLOCK.rearm();
}
