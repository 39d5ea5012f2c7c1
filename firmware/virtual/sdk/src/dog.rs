//! The soft watchdog: an interrupt every 1.6 s asks the task of highest priority to feed it; if that did not run by the next, nothing does.

use crate::{cell::Locked, cpu, exception, guard, print, rom, tasks, time, timer};

/// Between two looks, as in SDK 2.2.2 (3.0 s in 3.0.5).
const PERIOD: u64 = 1_600_000;
/// A look that comes later than this after its time was delayed by the emulator's host, not by the firmware.
const STARVED: u64 = 400_000;

#[derive(Clone, Copy)]
struct Dog {
    on: bool,
    hungry: bool,
    deadline: u64,
}

static DOG: Locked<Dog> = Locked::new(Dog { on: false, hungry: false, deadline: u64::MAX });

/// When the watchdog looks next, since boot.
#[must_use]
pub fn deadline() -> u64 {
    DOG.get().deadline
}

/// Feeds both watchdogs.
pub fn feed() {
    rom::feed_hardware_dog();
    DOG.with(|dog| {
        dog.hungry = false;
        if dog.on {
            dog.deadline = time::since_boot() + PERIOD;
        }
    });
}

/// Switches both watchdogs on.
pub fn begin() {
    // SAFETY: a ROM function.
    unsafe { rom::ets_wdt_enable(2, 3, 3) };
    system_soft_wdt_restart();
}

/// Called in the alarm's interrupt.
pub fn look() {
    let now = time::since_boot();
    let (ask, bite) = DOG.with(|dog| {
        if now < dog.deadline {
            return (false, false);
        }
        let starved = now - dog.deadline > STARVED;
        dog.deadline = now + PERIOD;
        let hungry = core::mem::replace(&mut dog.hungry, true);
        (!hungry, hungry && !starved)
    });
    if bite {
        bark();
    }
    if ask {
        tasks::post(tasks::PP, tasks::PP_FEED, 0);
    }
}

/// Restarts the chip with reason 3 and the place where it hangs.
fn bark() -> ! {
    let epc1 = cpu::special!("epc1");
    guard::check_stack();
    guard::print_counters();
    print::print(c"Soft WDT reset\nepc1=0x%08x\n", &[epc1]);
    exception::reset_with(&[exception::REASON_SOFT_DOG, 0, epc1, 0, 0, 0, 0])
}

/// Feeds the watchdogs: for long work in one callback.
#[unsafe(no_mangle)]
pub extern "C" fn system_soft_wdt_feed() {
    feed();
}

/// Stops the soft watchdog; the hardware's, which nobody feeds now, is left.
#[unsafe(no_mangle)]
pub extern "C" fn system_soft_wdt_stop() {
    DOG.set(Dog { on: false, hungry: false, deadline: u64::MAX });
}

/// Starts the soft watchdog (again).
#[unsafe(no_mangle)]
pub extern "C" fn system_soft_wdt_restart() {
    DOG.set(Dog { on: true, hungry: false, deadline: time::since_boot() + PERIOD });
    rom::feed_hardware_dog();
    timer::set_alarm();
}
