//! Periodic tasks: which one runs next. Cooperative, so a task that runs long makes the others late, never lost.

use crate::limits;
use crate::time::{Duration, Instant};
use core::fmt;
use heapless::{String, Vec};
use spore_sentence::say;

/// Names one task of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskId(u8);

/// Why a task was not registered or changed. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskError {
    /// The name is empty or exceeds [`limits::TASK_NAME`].
    Name,
    /// A task of that name is there already.
    Duplicate,
    /// The interval is not within [`limits::TASK_INTERVAL_MIN_MS`] to [`limits::TASK_INTERVAL_MAX_MS`].
    Interval,
    /// The table is full.
    Full,
    /// There is no such task.
    Unknown,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => say!(f, "a task's name has 1 to ", limits::TASK_NAME, " bytes"),
            Self::Duplicate => say!(f, "there is a task of that name"),
            Self::Interval => say!(
                f,
                "the interval must be ",
                limits::TASK_INTERVAL_MIN_MS,
                " to ",
                limits::TASK_INTERVAL_MAX_MS,
                " ms"
            ),
            Self::Full => say!(f, "no room for another task"),
            Self::Unknown => f.write_str("no such task"),
        }
    }
}

/// One task, as seen from outside.
#[derive(Debug, Clone)]
pub struct Task {
    name: String<{ limits::TASK_NAME }, u8>,
    interval_ms: u32,
    enabled: bool,
    auto_start: bool,
    due: Instant,
    runs: u32,
    last_micros: u32,
    max_micros: u32,
}

impl Task {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Time between runs in milliseconds.
    pub fn interval_ms(&self) -> u32 {
        self.interval_ms
    }

    /// Whether it runs.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it was enabled when it was registered.
    pub fn auto_start(&self) -> bool {
        self.auto_start
    }

    /// When it is next due, while it is enabled.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Finished runs since boot.
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// How long the last run took, in microseconds.
    pub fn last_micros(&self) -> u32 {
        self.last_micros
    }

    /// How long the longest run took, in microseconds.
    pub fn max_micros(&self) -> u32 {
        self.max_micros
    }
}

/// A table of at most `N` (< 255) tasks.
#[derive(Debug)]
pub struct Tasks<const N: usize> {
    tasks: Vec<Task, N>,
}

impl<const N: usize> Tasks<N> {
    /// An empty table.
    pub const fn new() -> Self {
        const { assert!(N < u8::MAX as usize) };
        Self { tasks: Vec::new() }
    }

    /// Adds a task; its first run is due at once.
    ///
    /// # Errors
    /// [`TaskError::Name`], [`TaskError::Duplicate`], [`TaskError::Interval`], [`TaskError::Full`].
    pub fn register(
        &mut self,
        now: Instant,
        name: &str,
        interval_ms: u32,
        enabled: bool,
    ) -> Result<TaskId, TaskError> {
        let name = String::try_from(name).map_err(|_| TaskError::Name)?;
        if name.is_empty() {
            return Err(TaskError::Name);
        }
        check_interval(interval_ms)?;
        if self.find(&name).is_some() {
            return Err(TaskError::Duplicate);
        }
        let id = u8::try_from(self.tasks.len()).map_err(|_| TaskError::Full)?;
        let task = Task {
            name,
            interval_ms,
            enabled,
            auto_start: enabled,
            due: now,
            runs: 0,
            last_micros: 0,
            max_micros: 0,
        };
        self.tasks.push(task).map_err(|_| TaskError::Full)?;
        Ok(TaskId(id))
    }

    /// The task called `name`.
    pub fn find(&self, name: &str) -> Option<TaskId> {
        let at = self.tasks.iter().position(|task| task.name == name)?;
        u8::try_from(at).ok().map(TaskId)
    }

    /// The task of `id`.
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(usize::from(id.0))
    }

    fn task(&mut self, id: TaskId) -> Result<&mut Task, TaskError> {
        self.tasks.get_mut(usize::from(id.0)).ok_or(TaskError::Unknown)
    }

    /// Changes the interval; the next run is due one new interval from `now`, or earlier if it was.
    ///
    /// # Errors
    /// [`TaskError::Interval`], [`TaskError::Unknown`].
    pub fn set_interval(&mut self, now: Instant, id: TaskId, interval_ms: u32) -> Result<(), TaskError> {
        check_interval(interval_ms)?;
        let task = self.task(id)?;
        task.interval_ms = interval_ms;
        task.due = task.due.min(now + Duration::from_millis(u64::from(interval_ms)));
        Ok(())
    }

    /// Lets a task run, or not. One that is newly enabled is due at once.
    ///
    /// # Errors
    /// [`TaskError::Unknown`].
    pub fn enable(&mut self, now: Instant, id: TaskId, enabled: bool) -> Result<(), TaskError> {
        let task = self.task(id)?;
        if enabled && !task.enabled {
            task.due = now;
        }
        task.enabled = enabled;
        Ok(())
    }

    /// The most overdue task, if one is due; it is scheduled for its next run by this. Runs that were missed are
    /// skipped, and the rhythm is kept: a task of 1000 ms that is late at 3400 runs at 3400 and again at 4000.
    pub fn poll(&mut self, now: Instant) -> Option<TaskId> {
        let due = (0u8..).zip(self.tasks.iter_mut()).filter(|(_, task)| task.enabled && task.due <= now);
        let (id, task) = due.min_by_key(|(_, task)| task.due)?;
        let interval = u64::from(task.interval_ms);
        let late = now.since(task.due).as_millis();
        let missed = late.checked_div(interval).unwrap_or(0);
        task.due = task.due + Duration::from_millis(interval).times(missed.saturating_add(1));
        Some(TaskId(id))
    }

    /// Notes that a run took `micros` microseconds.
    pub fn finished(&mut self, id: TaskId, micros: u32) {
        if let Ok(task) = self.task(id) {
            task.runs = task.runs.saturating_add(1);
            task.last_micros = micros;
            task.max_micros = task.max_micros.max(micros);
        }
    }

    /// When the next enabled task is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.tasks.iter().filter(|task| task.enabled).map(|task| task.due).min()
    }

    /// All tasks in the order of their registration.
    pub fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> + Clone {
        (0u8..).map(TaskId).zip(self.tasks.iter())
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

impl<const N: usize> Default for Tasks<N> {
    fn default() -> Self {
        Self::new()
    }
}

fn check_interval(interval_ms: u32) -> Result<(), TaskError> {
    let allowed = limits::TASK_INTERVAL_MIN_MS..=limits::TASK_INTERVAL_MAX_MS;
    if allowed.contains(&interval_ms) { Ok(()) } else { Err(TaskError::Interval) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn refusals_are_typed() {
        let mut tasks = Tasks::<2>::new();
        assert_eq!(tasks.register(at(0), "", 10, true), Err(TaskError::Name));
        assert_eq!(tasks.register(at(0), &"n".repeat(25), 10, true), Err(TaskError::Name));
        assert_eq!(tasks.register(at(0), "a", 9, true), Err(TaskError::Interval));
        assert_eq!(tasks.register(at(0), "a", 3_600_001, true), Err(TaskError::Interval));
        let a = tasks.register(at(0), "a", 10, true).unwrap();
        assert_eq!(tasks.register(at(0), "a", 10, true), Err(TaskError::Duplicate));
        tasks.register(at(0), "b", 10, true).unwrap();
        assert_eq!(tasks.register(at(0), "c", 10, true), Err(TaskError::Full));
        assert_eq!(tasks.set_interval(at(0), a, 5), Err(TaskError::Interval));
        assert_eq!(tasks.enable(at(0), TaskId(9), true), Err(TaskError::Unknown));
        assert_eq!(tasks.len(), 2);
    }

    #[test]
    fn the_most_overdue_goes_first_and_nothing_is_caught_up() {
        let mut tasks = Tasks::<4>::new();
        let slow = tasks.register(at(500), "slow", 1000, true).unwrap();
        let fast = tasks.register(at(0), "fast", 1000, true).unwrap();
        assert_eq!(tasks.poll(at(3400)), Some(fast));
        assert_eq!(tasks.poll(at(3400)), Some(slow));
        assert_eq!(tasks.poll(at(3400)), None);
        assert_eq!(tasks.next_due(), Some(at(3500)));
        assert_eq!(tasks.get(fast).unwrap().due(), at(4000));
    }

    #[test]
    fn changes_take_effect() {
        let mut tasks = Tasks::<4>::new();
        let id = tasks.register(at(0), "a", 60_000, false).unwrap();
        assert_eq!((tasks.poll(at(10)), tasks.next_due()), (None, None));
        tasks.enable(at(20), id, true).unwrap();
        assert_eq!(tasks.poll(at(20)), Some(id));
        tasks.finished(id, 40);
        tasks.finished(id, 30);
        tasks.set_interval(at(30), id, 100).unwrap();
        assert_eq!(tasks.next_due(), Some(at(130)));
        let task = tasks.get(id).unwrap();
        assert_eq!((task.runs(), task.last_micros(), task.max_micros()), (2, 30, 40));
        assert!(!task.auto_start() && task.enabled());
        assert_eq!(tasks.find("a"), Some(id));
    }

    proptest! {
        #[test]
        fn each_task_runs_once_per_interval_at_most(
            intervals in prop::collection::vec(10u32..2000, 1..5),
            steps in prop::collection::vec(0u64..3000, 1..50),
        ) {
            let mut tasks = Tasks::<4>::new();
            for (index, interval) in intervals.iter().enumerate() {
                tasks.register(at(0), &index.to_string(), *interval, true).unwrap();
            }
            let mut now = 0;
            for step in steps {
                now += step;
                let mut ran = std::collections::BTreeSet::new();
                while let Some(id) = tasks.poll(at(now)) {
                    prop_assert!(ran.insert(id.0), "no task twice at one time");
                    tasks.finished(id, 1);
                }
                prop_assert!(tasks.next_due().unwrap() > at(now));
                for (_, task) in tasks.iter() {
                    prop_assert!(u64::from(task.runs()) <= now / u64::from(task.interval_ms()) + 1);
                    prop_assert_eq!(task.due().as_millis() % u64::from(task.interval_ms()), 0);
                }
            }
        }
    }
}
