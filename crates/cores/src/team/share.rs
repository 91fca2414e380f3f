//! A core's share of a run.

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// What a share is at a moment: units that nobody has taken, or none. Which way there are none may
/// mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

impl Word {
    /// Nothing for now.
    pub(super) const EMPTY: Word = Word::new(0, 0);
    /// Nothing for a while.
    pub(super) const REST: Word = Word::new(1, 0);
    /// Nothing any more.
    pub(super) const LEAVE: Word = Word::new(2, 0);

    const fn new(next: u32, end: u32) -> Self {
        Word((next as u64) << 32 | end as u64)
    }

    pub(super) fn units(units: Range<u32>) -> Self {
        if units.is_empty() { Word::EMPTY } else { Word::new(units.start, units.end) }
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

/// Units of which each is taken once: every change is a change of the one word.
#[derive(Default)]
#[repr(transparent)]
pub(super) struct Share(AtomicU64);

impl Share {
    pub(super) fn look(&self) -> Word {
        Word(self.0.load(Relaxed))
    }

    /// Puts a word into it, in which there are no units.
    pub(super) fn give(&self, word: Word) {
        self.0.store(word.0, Release);
    }

    /// Takes the next units, a quarter of what is left: few exchanges while there is much, and
    /// little that a slow core keeps others waiting for when there is not.
    pub(super) fn take(&self) -> Option<Range<usize>> {
        let mut word = self.look();
        loop {
            let taken = word.left().div_ceil(4);
            if taken == 0 {
                return None;
            }
            let next = word.next() + taken;
            let rest = Word::new(next, word.end()).0;
            match self.0.compare_exchange_weak(word.0, rest, Acquire, Relaxed) {
                Ok(_) => return Some(word.next() as usize..next as usize),
                Err(now) => word = Word(now),
            }
        }
    }

    /// Takes what is left, which will not be done, and says how many units that is.
    pub(super) fn take_back(&self) -> usize {
        match self.look().is_empty() {
            true => 0,
            false => Word(self.0.swap(Word::EMPTY.0, Relaxed)).left() as usize,
        }
    }
}

/// The part of `units` that falls to `core` of `cores`: consecutive, disjoint, all covered, and none
/// more than one larger than another.
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
            share.give(Word::units(units.clone()));
            let (mut next, mut times) = (units.start as usize, 0);
            while let Some(taken) = share.take() {
                assert!(taken.start == next && !taken.is_empty());
                (next, times) = (taken.end, times + 1);
            }
            assert_eq!(next, units.end as usize);
            assert!(times <= 4 * (1 + units.len().checked_ilog2().unwrap_or(0)), "{times}");
            assert!(share.look().is_empty());
        }
    }

    #[test]
    fn what_was_not_taken_is_taken_back() {
        let share = Share::default();
        share.give(Word::units(10..50));
        assert_eq!(share.take(), Some(10..20));
        assert_eq!((share.take_back(), share.take_back(), share.take()), (30, 0, None));
    }

    #[test]
    fn special_words_are_empty_and_differ() {
        let words = [Word::EMPTY, Word::REST, Word::LEAVE];
        assert!(words.iter().all(|word| word.is_empty()));
        assert!(words[0] != words[1] && words[1] != words[2] && words[0] != words[2]);
        // A share of which nothing is left is none of the two that mean something.
        assert!(Word::units(0..0) == Word::EMPTY && Word::new(2, 2) != Word::LEAVE);
    }
}
