//! A core's share of a run.

use crate::sync::atomic::AtomicU64;
use crate::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::ops::Range;

/// What a share holds at a moment: units that no core has taken, or none. Some of the states without
/// units tell the worker what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShareState(u64);

impl ShareState {
    /// No units: more may follow soon.
    pub(super) const EMPTY: ShareState = ShareState::new(0, 0);
    /// No units for a while: the worker is to sleep.
    pub(super) const PARKED: ShareState = ShareState::new(1, 0);
    /// No units any more: the worker is to return.
    pub(super) const DISMISSED: ShareState = ShareState::new(2, 0);

    const fn new(next: u32, end: u32) -> Self {
        ShareState((next as u64) << 32 | end as u64)
    }

    pub(super) fn units(units: Range<u32>) -> Self {
        if units.is_empty() { ShareState::EMPTY } else { ShareState::new(units.start, units.end) }
    }

    fn next(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn end(self) -> u32 {
        self.0 as u32
    }

    fn left(self) -> u32 {
        self.end().saturating_sub(self.next())
    }

    /// Whether there are no units.
    pub(super) fn is_empty(self) -> bool {
        self.left() == 0
    }
}

/// Units each of which is taken once: every change is a change of one atomic word.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct Share(AtomicU64);

impl Share {
    pub(super) fn load(&self) -> ShareState {
        ShareState(self.0.load(Relaxed))
    }

    /// Replaces the state. Only where no other core can take units at the same time.
    pub(super) fn store(&self, state: ShareState) {
        self.0.store(state.0, Release);
    }

    /// Takes the next units, a quarter of what is left: few exchanges while much is left, and
    /// little for others to wait for when a slow core takes the last pieces.
    pub(super) fn take(&self) -> Option<Range<usize>> {
        let mut state = self.load();
        loop {
            let taken = state.left().div_ceil(4);
            if taken == 0 {
                return None;
            }
            let next = state.next() + taken;
            let rest = ShareState::new(next, state.end()).0;
            match self.0.compare_exchange_weak(state.0, rest, Acquire, Relaxed) {
                Ok(_) => return Some(state.next() as usize..next as usize),
                Err(now) => state = ShareState(now),
            }
        }
    }

    /// Removes the units that are left, which will not be done, and returns how many they are.
    pub(super) fn take_back(&self) -> usize {
        match self.load().is_empty() {
            true => 0,
            false => ShareState(self.0.swap(ShareState::EMPTY.0, Relaxed)).left() as usize,
        }
    }
}

/// The range of `0..units` that core number `core` of `cores` gets. The ranges are consecutive and
/// cover all units, and their lengths differ by at most one.
pub(super) fn divide(units: u32, cores: u32, core: u32) -> Range<u32> {
    let (each, left_over) = (units / cores, units % cores);
    let start = core * each + core.min(left_over);
    start..start + each + u32::from(core < left_over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once_and_evenly() {
        for units in (0..40).chain([u32::MAX]) {
            for cores in 1..9 {
                let mut next = 0;
                for core in 0..cores {
                    let share = divide(units, cores, core);
                    assert_eq!(share.start, next);
                    assert!((share.len() as u32).abs_diff(units / cores) <= 1);
                    next = share.end;
                }
                assert_eq!(next, units);
            }
        }
    }

    #[test]
    fn a_share_is_taken_in_order_and_to_its_end() {
        for units in [0..0, 0..1, 7..12, 0..1000, u32::MAX - 5..u32::MAX] {
            let share = Share::default();
            share.store(ShareState::units(units.clone()));
            let (mut next, mut times) = (units.start as usize, 0);
            while let Some(taken) = share.take() {
                assert!(taken.start == next && !taken.is_empty());
                (next, times) = (taken.end, times + 1);
            }
            assert_eq!(next, units.end as usize);
            assert!(times <= 4 * (1 + units.len().checked_ilog2().unwrap_or(0)), "{times}");
            assert!(share.load().is_empty());
        }
    }

    #[test]
    fn units_that_were_not_taken_are_taken_back() {
        let share = Share::default();
        share.store(ShareState::units(10..50));
        assert_eq!(share.take(), Some(10..20));
        assert_eq!((share.take_back(), share.take_back(), share.take()), (30, 0, None));
    }

    #[test]
    fn special_states_are_empty_and_differ() {
        let states = [ShareState::EMPTY, ShareState::PARKED, ShareState::DISMISSED];
        assert!(states.iter().all(|state| state.is_empty()));
        assert!(states[0] != states[1] && states[1] != states[2] && states[0] != states[2]);
        // A share that was used up is neither of the two that tell the worker something.
        assert!(
            ShareState::units(0..0) == ShareState::EMPTY
                && ShareState::new(2, 2) != ShareState::DISMISSED
        );
    }
}
