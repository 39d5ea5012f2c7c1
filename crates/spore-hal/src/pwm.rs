//! PWM in software: which pins change when.
//!
//! All channels share one period and go high together at its start; each goes low when its duty is over. Duties are counted in
//! *levels* of a fixed length, which is the shortest time between two interrupts that the board can serve. So the plan of a period
//! has one step for its start and one for each different duty, and no two steps are closer than a level.

/// What is done at once, and how long nothing is done after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// Pins that go high, a bit each.
    pub set: u32,
    /// Pins that go low.
    pub clear: u32,
    /// Levels until the next step, at least 1.
    pub levels: u16,
}

/// The steps of one period of up to `N` channels. The lengths of all add up to the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan<const N: usize> {
    start: Step,
    ends: [Step; N],
    /// How many of `ends` there are.
    count: u8,
}

impl<const N: usize> Plan<N> {
    /// Nothing but waiting.
    pub const fn idle(period: u16) -> Self {
        let nothing = Step { set: 0, clear: 0, levels: 0 };
        Self { start: Step { set: 0, clear: 0, levels: period }, ends: [nothing; N], count: 0 }
    }

    /// Plans a period of so many levels, at least 1, for channels of a pin mask and a duty each; duties beyond the period count
    /// as the whole of it, and mask 0 is no channel.
    pub fn new(period: u16, channels: &[(u32, u16); N]) -> Self {
        let period = period.max(1);
        let mut plan = Self::idle(period);
        let mut at = 0;
        loop {
            let mut next = period;
            for (mask, duty) in channels {
                if at == 0 && *duty > 0 {
                    plan.start.set |= mask;
                } else if at == 0 {
                    plan.start.clear |= mask;
                }
                if *mask != 0 && *duty > at && *duty < next {
                    next = *duty;
                }
            }
            plan.last().levels = next - at;
            let Some(end) = plan.ends.get_mut(usize::from(plan.count)).filter(|_| next < period) else {
                return plan;
            };
            for (mask, _) in channels.iter().filter(|(_, duty)| *duty == next) {
                end.clear |= mask;
            }
            plan.count += 1;
            at = next;
        }
    }

    fn last(&mut self) -> &mut Step {
        match usize::from(self.count).checked_sub(1).and_then(|at| self.ends.get_mut(at)) {
            Some(end) => end,
            None => &mut self.start,
        }
    }

    /// The steps in their order, at least one.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        core::iter::once(self.start).chain(self.ends.into_iter().take(usize::from(self.count)))
    }

    /// Whether no pin ever changes within a period, so that one step for ever does.
    pub const fn is_constant(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    extern crate std;
    use std::vec::Vec;

    /// The levels of all pins, level by level.
    fn play<const N: usize>(plan: &Plan<N>, mut pins: u32) -> Vec<u32> {
        let mut seen = Vec::new();
        for Step { set, clear, levels } in plan.steps() {
            assert_eq!(set & clear, 0);
            pins = (pins | set) & !clear;
            seen.extend((0..levels).map(|_| pins));
        }
        seen
    }

    #[test]
    fn a_period_of_three_channels() {
        let plan = Plan::new(100, &[(1, 25), (4, 75), (16, 25)]);
        let steps: Vec<Step> = plan.steps().collect();
        assert_eq!(
            steps,
            [
                Step { set: 21, clear: 0, levels: 25 },
                Step { set: 0, clear: 17, levels: 50 },
                Step { set: 0, clear: 4, levels: 25 },
            ]
        );
        assert!(!plan.is_constant());
        let off_and_on = Plan::new(100, &[(1, 0), (4, 100)]);
        assert_eq!(off_and_on.steps().collect::<Vec<_>>(), [Step { set: 4, clear: 1, levels: 100 }]);
        assert!(off_and_on.is_constant() && Plan::<2>::idle(7).is_constant());
    }

    proptest! {
        #[test]
        fn every_pin_is_high_for_its_duty_from_the_start(
            period in 1u16..300,
            duties in prop::array::uniform5(0u16..400),
            used in 0u32..32,
            before in any::<u32>(),
        ) {
            let mut channels = [(0u32, 0u16); 5];
            for (at, (channel, duty)) in channels.iter_mut().zip(duties).enumerate() {
                *channel = (used & 1 << at, duty);
            }
            let plan = Plan::new(period, &channels);
            prop_assert!(plan.steps().all(|step| step.levels > 0));
            let seen = play(&plan, before);
            prop_assert_eq!(seen.len(), usize::from(period));
            for (at, pins) in seen.iter().enumerate() {
                for (mask, duty) in channels {
                    prop_assert_eq!(pins & mask != 0, mask != 0 && at < usize::from(duty));
                }
                prop_assert_eq!(pins & !used, before & !used, "other pins stay");
            }
        }
    }
}
