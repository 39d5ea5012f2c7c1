//! Software timers (`ETSTimer`), the alarm behind them and behind the soft watchdog.

use core::ffi::c_void;

use crate::{cell::Locked, dog, guard, rom, tasks, time};

/// `ETSTimer`, 20 bytes, owned by the caller; linked into the list while armed.
#[repr(C)]
pub struct EtsTimer {
    next: *mut EtsTimer,
    expire: u32,
    period: u32,
    function: Option<extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
}

const _: () = {
    assert!(core::mem::offset_of!(EtsTimer, expire) == 4);
    assert!(core::mem::offset_of!(EtsTimer, period) == 8);
    assert!(core::mem::offset_of!(EtsTimer, function) == 12);
    assert!(core::mem::offset_of!(EtsTimer, argument) == 16);
    assert!(size_of::<EtsTimer>() == 20);
};

impl EtsTimer {
    /// A timer without a function.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: IDLE, expire: 0, period: 0, function: None, argument: core::ptr::null_mut() }
    }
}

impl Default for EtsTimer {
    fn default() -> Self {
        Self::new()
    }
}

/// What `next` of a timer says that is not armed.
const IDLE: *mut EtsTimer = core::ptr::without_provenance_mut(0xFFFF_FFFF);
/// Ticks must stay below half the range of 32 bits, or a time ahead looks like one gone by.
const MAX_TICKS: u64 = 0x7FFF_FFFF;

/// Armed timers by time.
struct List {
    head: *mut EtsTimer,
    /// Ticks of the chip's timer FRC2: 3.2 µs each, or 0.2 µs after `system_timer_reinit`.
    fine: bool,
}

static LIST: Locked<List> = Locked::new(List { head: core::ptr::null_mut(), fine: false });

impl List {
    /// Ticks in a time in microseconds.
    fn ticks(&self, micros: u64) -> u64 {
        if self.fine { micros * 5 } else { micros * 5 / 16 }
    }

    fn now(&self) -> u32 {
        self.ticks(time::since_boot()) as u32
    }

    fn contains(&self, timer: *mut EtsTimer) -> bool {
        let mut at = self.head;
        while !at.is_null() {
            if core::ptr::eq(at, timer) {
                return true;
            }
            // SAFETY: timers in the list are alive: whoever frees one must disarm it.
            at = unsafe { (*at).next };
        }
        false
    }

    fn remove(&mut self, timer: *mut EtsTimer) -> bool {
        let mut link: *mut *mut EtsTimer = &raw mut self.head;
        // SAFETY: as in `contains`; links are the head or `next` of timers in the list.
        unsafe {
            while !(*link).is_null() {
                if core::ptr::eq(*link, timer) {
                    *link = (*timer).next;
                    (*timer).next = IDLE;
                    return true;
                }
                link = &raw mut (**link).next;
            }
        }
        false
    }

    fn insert(&mut self, timer: *mut EtsTimer) {
        let mut link: *mut *mut EtsTimer = &raw mut self.head;
        // SAFETY: as in `remove`.
        unsafe {
            while !(*link).is_null() && ((*timer).expire.wrapping_sub((**link).expire) as i32) >= 0 {
                link = &raw mut (**link).next;
            }
            (*timer).next = *link;
            *link = timer;
        }
    }

    /// Microseconds until the first timer is due.
    fn wait(&self) -> Option<u64> {
        if self.head.is_null() {
            return None;
        }
        // SAFETY: as in `contains`.
        let ticks = unsafe { (*self.head).expire }.wrapping_sub(self.now()) as i32;
        let ticks = u64::from(ticks.max(0) as u32);
        Some(if self.fine { ticks.div_ceil(5) } else { (ticks * 16).div_ceil(5) })
    }
}

/// Sets a timer's function. The timer must not be armed.
#[unsafe(no_mangle)]
pub extern "C" fn ets_timer_setfn(
    timer: *mut EtsTimer,
    function: Option<extern "C" fn(*mut c_void)>,
    argument: *mut c_void,
) {
    LIST.with(|list| {
        if list.contains(timer) {
            guard::violation(c"ets_timer_setfn on the armed timer 0x%08x: disarm it first", &[timer as u32]);
        }
        // SAFETY: the caller owns a timer there.
        unsafe {
            (*timer).next = IDLE;
            (*timer).period = 0;
            (*timer).function = function;
            (*timer).argument = argument;
        }
    });
}

/// Arms a timer: once or repeatedly after `time`, in ms or in µs. The timer must have a function and must not be armed.
#[unsafe(no_mangle)]
pub extern "C" fn ets_timer_arm_new(timer: *mut EtsTimer, time: u32, repeat: u32, milliseconds: u32) {
    LIST.with(|list| {
        if list.contains(timer) {
            guard::violation(
                c"ets_timer_arm_new on the armed timer 0x%08x: disarm it first",
                &[timer as u32],
            );
        }
        // SAFETY: the caller owns a timer there.
        let function = unsafe { (*timer).function };
        if !function.is_some_and(|function| guard::is_code(function as usize as u32)) {
            guard::violation(c"ets_timer_arm_new on the timer 0x%08x without a function", &[timer as u32]);
        }
        let micros = if milliseconds & 0xFF != 0 { u64::from(time) * 1000 } else { u64::from(time) };
        let ticks = list.ticks(micros);
        if ticks > MAX_TICKS {
            guard::violation(c"ets_timer_arm_new with %u: more than the timer counts", &[time]);
        }
        let ticks = ticks as u32;
        // SAFETY: as above.
        unsafe {
            (*timer).expire = list.now().wrapping_add(ticks);
            (*timer).period = if repeat & 0xFF != 0 { ticks.max(1) } else { 0 };
        }
        list.insert(timer);
    });
    set_alarm();
}

/// Disarms a timer; one that is not armed stays so.
#[unsafe(no_mangle)]
pub extern "C" fn ets_timer_disarm(timer: *mut EtsTimer) {
    LIST.with(|list| list.remove(timer));
}

/// Switches to ticks of 0.2 µs. Only before any timer is armed, as the first call of `user_init`.
#[unsafe(no_mangle)]
pub extern "C" fn system_timer_reinit() {
    LIST.with(|list| {
        if !list.head.is_null() {
            guard::violation(c"system_timer_reinit while timers are armed", &[]);
        }
        list.fine = true;
    });
}

/// Sets the alarm for what comes first: a timer, or the soft watchdog.
pub fn set_alarm() {
    let now = time::since_boot();
    let timer = LIST.with(|list| list.wait()).map_or(u64::MAX, |wait| now + wait);
    spore_hidden::alarm(time::absolute(timer.min(dog::deadline())));
}

/// The alarm's interrupt: the watchdog looks around, the timers run later, in their task.
pub extern "C" fn interrupt(_: *mut c_void) {
    dog::look();
    let due = LIST.with(|list| list.wait()) == Some(0);
    // The task sets the alarm when it has run the timers; until then only the watchdog needs it.
    if due {
        // A queue that is full has such an event already.
        tasks::post(tasks::TIMER, 0, 0);
        spore_hidden::alarm(time::absolute(dog::deadline()));
    } else {
        set_alarm();
    }
}

/// The task of the timers: runs those that were due when it began.
pub extern "C" fn task(_: *mut rom::Event) {
    let now = LIST.with(|list| list.now());
    loop {
        let due = LIST.with(|list| {
            let timer = list.head;
            if timer.is_null() {
                return None;
            }
            // SAFETY: timers in the list are alive.
            unsafe {
                if ((*timer).expire.wrapping_sub(now) as i32) > 0 {
                    return None;
                }
                list.head = (*timer).next;
                (*timer).next = IDLE;
                if (*timer).period != 0 {
                    // A timer that is late goes on from now: it does not make up for what it missed.
                    let next = (*timer).expire.wrapping_add((*timer).period);
                    (*timer).expire = if (next.wrapping_sub(now) as i32) > 0 {
                        next
                    } else {
                        now.wrapping_add((*timer).period)
                    };
                    list.insert(timer);
                }
                (*timer).function.map(|function| (function, (*timer).argument))
            }
        });
        let Some((function, argument)) = due else { break };
        guard::callback(c"the timer function at", function as usize as u32, || function(argument));
    }
    set_alarm();
}
