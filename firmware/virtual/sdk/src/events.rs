//! WiFi events: queued, and told to the firmware in a task of their own.

use crate::{cell::Locked, guard, heap, print, rom::Event, tasks};

/// Bytes of a `System_Event_t`.
const LENGTH: u32 = 44;

/// Numbers of events.
pub mod number {
    /// Joined an access point.
    pub const CONNECTED: u32 = 0;
    /// Left one, or could not join.
    pub const DISCONNECTED: u32 = 1;
    /// The station has an address.
    pub const GOT_IP: u32 = 3;
    /// Station or access point were switched on or off.
    pub const OPMODE_CHANGED: u32 = 8;
}

/// A handler of events.
type Handler = extern "C" fn(*mut u8);

static HANDLER: Locked<Option<Handler>> = Locked::new(None);
/// What is called when everything is up.
static DONE: Locked<Option<extern "C" fn()>> = Locked::new(None);

/// Signals of the task.
const SIGNAL_EVENT: u32 = 0;
const SIGNAL_DONE: u32 = 1;

/// Sets who is told of events.
#[unsafe(no_mangle)]
pub extern "C" fn wifi_set_event_handler_cb(handler: Option<Handler>) {
    HANDLER.set(handler);
}

/// Sets what is called when the SDK is up, behind `user_init`.
#[unsafe(no_mangle)]
pub extern "C" fn system_init_done_cb(done: Option<extern "C" fn()>) {
    DONE.set(done);
}

/// Queues the call of what `system_init_done_cb` set.
pub fn post_done() {
    tasks::post(tasks::EVENT, SIGNAL_DONE, 0);
}

/// Queues an event; `fill` writes what stands behind its number.
pub fn post(number: u32, fill: impl FnOnce(&mut [u8; 40])) {
    let at = heap::take(LENGTH);
    if at == 0 {
        print::print(c"SDK: no memory for event %u\n", &[number]);
        return;
    }
    // SAFETY: a block of 44 bytes, aligned to 8.
    unsafe {
        (at as *mut u32).write(number);
        fill(&mut *((at + 4) as *mut [u8; 40]));
    }
    if !tasks::post(tasks::EVENT, SIGNAL_EVENT, at) {
        print::print(c"SDK: no room for event %u\n", &[number]);
        heap::give(at);
    }
}

/// The task of events.
pub extern "C" fn task(event: *mut Event) {
    // SAFETY: the ROM gives a valid event.
    let event = unsafe { *event };
    if event.signal == SIGNAL_DONE {
        if let Some(done) = DONE.get() {
            guard::callback(c"the callback of system_init_done_cb", 0, || done());
        }
        return;
    }
    if let Some(handler) = HANDLER.get() {
        // SAFETY: a block of `post`.
        let number = unsafe { (event.parameter as *const u32).read() };
        guard::callback(c"the WiFi event handler, event", number, || handler(event.parameter as *mut u8));
    }
    heap::give(event.parameter);
}
