//! How busy the CPU is, from samples of the time it has spent working.

use crate::time::Instant;

/// Usage in tenths of percent since measuring began.
#[derive(Debug, Clone, Default)]
pub struct CpuUsage {
    last: Option<(Instant, u64)>,
    current: u16,
    min: u16,
    max: u16,
    sum: u64,
    count: u32,
}

impl CpuUsage {
    /// Nothing measured yet.
    pub const fn new() -> Self {
        Self { last: None, current: 0, min: 0, max: 0, sum: 0, count: 0 }
    }

    /// Takes a sample: at `now` the CPU has worked `busy_micros` microseconds since boot. Usage is what came between
    /// two samples; the first only starts the measurement, and one without time passed is ignored.
    pub fn sample(&mut self, now: Instant, busy_micros: u64) {
        let Some((then, before)) = self.last else {
            self.last = Some((now, busy_micros));
            return;
        };
        // Microseconds worked per millisecond passed are tenths of percent.
        let Some(usage) = busy_micros.saturating_sub(before).checked_div(now.since(then).as_millis()) else {
            return;
        };
        let usage = u16::try_from(usage).unwrap_or(1000).min(1000);
        self.last = Some((now, busy_micros));
        self.current = usage;
        self.min = if self.count == 0 { usage } else { self.min.min(usage) };
        self.max = self.max.max(usage);
        self.sum = self.sum.saturating_add(u64::from(usage));
        self.count = self.count.saturating_add(1);
    }

    /// Between the last two samples.
    pub fn current(&self) -> u16 {
        self.current
    }

    /// Mean of all measurements.
    pub fn average(&self) -> u16 {
        self.sum.checked_div(u64::from(self.count)).and_then(|mean| u16::try_from(mean).ok()).unwrap_or(0)
    }

    /// Least of all measurements.
    pub fn min(&self) -> u16 {
        self.min
    }

    /// Most of all measurements.
    pub fn max(&self) -> u16 {
        self.max
    }

    /// How many measurements there were.
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_work_between_samples() {
        let mut cpu = CpuUsage::new();
        for (ms, busy) in [(1000, 500), (2000, 12_500), (2000, 99_999), (4000, 72_500), (5000, 2_000_000)] {
            cpu.sample(Instant::from_millis(ms), busy);
        }
        // 12 ms of 1000, 60 ms of 2000, all of it.
        assert_eq!((cpu.min(), cpu.max(), cpu.current(), cpu.count()), (12, 1000, 1000, 3));
        assert_eq!(cpu.average(), (12 + 30 + 1000) / 3);
        assert_eq!(CpuUsage::new().average(), 0);
    }
}
