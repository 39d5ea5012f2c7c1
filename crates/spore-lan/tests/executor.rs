//! Tasks, their ends, and time.

use embassy_time::{Duration as Span, Instant, Timer};
use spore_lan::clock::Mode;
use spore_lan::executor::{Stopped, Task, Usage, World};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant as HostInstant};

struct SetOnDrop(Rc<Cell<bool>>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn virtual_time_jumps_and_keeps_order() {
    let run = || {
        let world = World::new(Mode::Virtual);
        let order = Rc::new(RefCell::new(Vec::new()));
        for n in 0..20u64 {
            let order = order.clone();
            world
                .spawn(async move {
                    for round in 0..3u64 {
                        Timer::after(Span::from_secs(100 * (n % 3 + 1))).await;
                        order.borrow_mut().push((Instant::now().as_secs(), n, round));
                    }
                })
                .detach();
        }
        world.run_for(Span::from_secs(2_000));
        assert_eq!(Instant::now().as_secs(), 2_000);
        assert_eq!(world.tasks(), 0);
        let order = order.borrow().clone();
        (order, world.polls())
    };
    let first = run();
    assert_eq!(first.0.len(), 60);
    assert!(first.0.is_sorted_by_key(|entry| entry.0));
    assert_eq!(first, run());
}

#[test]
fn a_dropped_task_loses_its_state_at_once() {
    let world = World::new(Mode::Virtual);
    let dropped = Rc::new(Cell::new(false));
    let guard = SetOnDrop(dropped.clone());
    let task = world.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    world.run_for(Span::from_secs(1));
    assert!(!dropped.get());
    task.kill();
    assert!(dropped.get());
    world.run_for(Span::from_secs(1));
}

#[test]
fn a_task_may_kill_itself() {
    let world = World::new(Mode::Virtual);
    let dropped = Rc::new(Cell::new(false));
    let slot: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let (guard, own) = (SetOnDrop(dropped.clone()), slot.clone());
    let task = world.spawn(async move {
        let _guard = guard;
        Timer::after_secs(1).await;
        own.take();
        std::future::pending().await
    });
    slot.replace(Some(task));
    world.run_for(Span::from_secs(2));
    assert!(dropped.get());
    assert_eq!(world.tasks(), 0);
}

#[test]
fn a_panic_ends_one_task_only() {
    let world = World::new(Mode::Virtual);
    let dropped = Rc::new(Cell::new(false));
    let guard = SetOnDrop(dropped.clone());
    let mut bad = world.spawn(async move {
        let _guard = guard;
        Timer::after_secs(1).await;
        panic!("expected by a test: {}", 7);
    });
    let mut good = world.spawn(async {
        Timer::after_secs(2).await;
        "fine"
    });
    let (bad, good) = world.run_until(async { (bad.join().await, good.join().await) });
    assert_eq!(bad, Err::<(), _>(Stopped::Panicked("expected by a test: 7".into())));
    assert_eq!(good, Ok("fine"));
    assert!(dropped.get());
}

#[test]
fn a_world_takes_its_tasks_along() {
    let world = World::new(Mode::Virtual);
    let spawner = world.spawner();
    let mut task = world.spawn(std::future::pending::<()>());
    world.run_for(Span::from_millis(1));
    drop(world);
    assert!(task.is_finished());
    assert_eq!(futures_lite::future::block_on(task.join()), Err(Stopped::Killed));
    let mut late = spawner.spawn(async {});
    assert_eq!(futures_lite::future::block_on(late.join()), Err(Stopped::Killed));
}

#[test]
fn time_spent_is_counted() {
    let world = World::new(Mode::Virtual);
    let usage = Usage::new();
    let work = async {
        let start = HostInstant::now();
        while start.elapsed() < Duration::from_millis(3) {}
    };
    world.spawner().spawn_metered(&usage, work).detach();
    world.run_for(Span::from_secs(1));
    assert!(usage.busy() >= Duration::from_millis(3));
}

#[test]
fn real_time_wakes_for_timers_and_threads() {
    let world = World::new(Mode::Real);
    let mut timed = world.spawn(async {
        Timer::after_millis(5).await;
        Instant::now().as_micros()
    });
    assert!(world.run_until(timed.join()).unwrap() >= 5_000);

    let shared = Arc::new(Mutex::new((false, None::<Waker>)));
    let theirs = shared.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        let mut guard = theirs.lock().unwrap();
        guard.0 = true;
        if let Some(waker) = guard.1.take() {
            waker.wake();
        }
    });
    let mut waiting = world.spawn(poll_fn(move |cx| {
        let mut guard = shared.lock().unwrap();
        if guard.0 {
            return Poll::Ready(());
        }
        guard.1 = Some(cx.waker().clone());
        Poll::Pending
    }));
    assert_eq!(world.run_until(waiting.join()), Ok(()));
    thread.join().unwrap();
}

#[test]
#[should_panic(expected = "virtual time stands still")]
fn a_stalled_simulation_is_told() {
    World::new(Mode::Virtual).run_until(std::future::pending::<()>());
}
