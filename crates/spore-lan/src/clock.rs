//! Time of the host: the [`embassy_time`] driver, with one clock per thread.
//!
//! embassy-time finds its driver at link time, so a process has one; this one keeps a clock and a timer queue for
//! every thread. Simulations therefore run side by side in the threads of one test process. A clock is *real*
//! (microseconds since its thread first asked) or *virtual* (stands still until [`advance_to`] is called, which is
//! the business of [`crate::executor::World`]).

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::task::Waker;
use std::time::Instant as HostInstant;

/// Where a thread's time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The host's monotonic clock.
    Real,
    /// Only [`advance_to`] moves it.
    Virtual,
}

/// A waker's identity, so that a task that asks again and again keeps one entry.
type Key = (usize, usize);

fn key(waker: &Waker) -> Key {
    (waker.data() as usize, std::ptr::from_ref(waker.vtable()) as usize)
}

struct Clock {
    mode: Mode,
    /// Host time at which a real clock showed zero.
    origin: HostInstant,
    /// What a virtual clock shows, in microseconds.
    now: u64,
    /// Orders equal moments by the order of asking, for replay.
    next_seq: u64,
    queue: BTreeMap<(u64, u64), Waker>,
    index: HashMap<Key, (u64, u64)>,
}

impl Clock {
    fn new(mode: Mode) -> Self {
        Self {
            mode,
            origin: HostInstant::now(),
            now: 0,
            next_seq: 0,
            queue: BTreeMap::new(),
            index: HashMap::new(),
        }
    }

    fn now(&self) -> u64 {
        match self.mode {
            Mode::Real => u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX),
            Mode::Virtual => self.now,
        }
    }

    fn schedule(&mut self, at: u64, waker: &Waker) {
        let key = key(waker);
        if let Some(&old) = self.index.get(&key) {
            // A woken task asks for its later timers again, so the earliest is enough.
            if old.0 <= at {
                return;
            }
            self.queue.remove(&old);
        }
        let place = (at, self.next_seq);
        self.next_seq += 1;
        self.queue.insert(place, waker.clone());
        self.index.insert(key, place);
    }

    fn pop_due(&mut self, now: u64) -> Option<Waker> {
        let entry = self.queue.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let waker = entry.remove();
        self.index.remove(&key(&waker));
        Some(waker)
    }
}

thread_local! {
    static CLOCK: RefCell<Clock> = RefCell::new(Clock::new(Mode::Real));
}

/// Restarts the calling thread's clock at zero in the given mode and forgets its timers. Moments taken before mean
/// nothing afterwards.
pub fn reset(mode: Mode) {
    let old = CLOCK.with(|clock| clock.replace(Clock::new(mode)));
    // Outside the borrow: dropping a waker may run foreign code.
    drop(old);
}

/// The mode of the calling thread's clock.
pub fn mode() -> Mode {
    CLOCK.with(|clock| clock.borrow().mode)
}

/// What the calling thread's clock shows, in microseconds.
pub fn now_micros() -> u64 {
    // A thread that is being torn down has no clock any more; the value is then of no use to anybody.
    CLOCK.try_with(|clock| clock.borrow().now()).unwrap_or(u64::MAX)
}

/// When the earliest timer of the calling thread is due, in microseconds of its clock.
pub fn next_timer() -> Option<u64> {
    CLOCK.with(|clock| clock.borrow().queue.first_key_value().map(|((at, _), _)| *at))
}

/// How many timers wait on the calling thread.
pub fn timers() -> usize {
    CLOCK.with(|clock| clock.borrow().queue.len())
}

/// Moves a virtual clock forward to `micros`; a real clock, and a moment in the past, change nothing.
pub fn advance_to(micros: u64) {
    CLOCK.with(|clock| {
        let mut clock = clock.borrow_mut();
        if clock.mode == Mode::Virtual {
            clock.now = clock.now.max(micros);
        }
    });
}

/// Wakes whatever is due on the calling thread, in the order of its moments and then of asking. Returns how many.
pub fn fire() -> usize {
    let now = now_micros();
    let mut fired = 0;
    while let Some(waker) = CLOCK.with(|clock| clock.borrow_mut().pop_due(now)) {
        waker.wake();
        fired += 1;
    }
    fired
}

struct ThreadClock;

impl embassy_time_driver::Driver for ThreadClock {
    fn now(&self) -> u64 {
        now_micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // See `now_micros` for the thread without a clock.
        let _ = CLOCK.try_with(|clock| clock.borrow_mut().schedule(at, waker));
    }
}

mod driver {
    #![allow(
        unsafe_code,
        reason = "the macro exports the driver's two functions under names fixed at link time"
    )]
    use super::ThreadClock;

    embassy_time_driver::time_driver_impl!(static DRIVER: ThreadClock = ThreadClock);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn waker() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), Waker::from(count))
    }

    #[test]
    fn one_waker_keeps_one_entry_with_its_earliest_moment() {
        reset(Mode::Virtual);
        let (count, waker) = waker();
        for at in [50, 40, 60, 40] {
            embassy_time_driver::schedule_wake(at, &waker);
        }
        assert_eq!((timers(), next_timer()), (1, Some(40)));
        advance_to(39);
        assert_eq!(fire(), 0);
        advance_to(100);
        assert_eq!(fire(), 1);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert_eq!(timers(), 0);
    }

    #[test]
    fn a_virtual_clock_stands_and_never_goes_back() {
        reset(Mode::Virtual);
        assert_eq!(now_micros(), 0);
        advance_to(7);
        advance_to(3);
        assert_eq!(embassy_time::Instant::now().as_micros(), 7);
    }

    #[test]
    fn threads_have_clocks_of_their_own() {
        reset(Mode::Virtual);
        advance_to(1_000_000);
        let other = std::thread::spawn(|| {
            reset(Mode::Virtual);
            now_micros()
        });
        assert_eq!(other.join().unwrap(), 0);
        assert_eq!(now_micros(), 1_000_000);
    }

    #[test]
    fn a_real_clock_runs() {
        reset(Mode::Real);
        let before = now_micros();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(now_micros() > before);
        advance_to(u64::MAX / 2);
        assert!(now_micros() < u64::MAX / 2, "a real clock cannot be set");
    }
}
