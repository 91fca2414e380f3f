//! Keys that were pressed while the program did something else.

use alloc::collections::VecDeque;
use bootllm_platform::Key;

/// Keys that are kept.
const MOST: usize = 8192;

/// Keys for the next prompt, in whole lines: where there are too many, the line that does not fit
/// and those after it are dropped.
pub(crate) struct TypedAhead {
    keys: VecDeque<Key>,
    /// Lines dropped, and whether the last of them has ended.
    dropped: usize,
    line_ended: bool,
}

impl TypedAhead {
    pub(crate) fn new() -> Self {
        // Reserved, so that nothing is allocated while a text is written.
        TypedAhead { keys: VecDeque::with_capacity(MOST), dropped: 0, line_ended: false }
    }

    pub(crate) fn push(&mut self, key: Key) {
        if self.dropped == 0 {
            if self.keys.len() < MOST {
                return self.keys.push_back(key);
            }
            while self.keys.back().is_some_and(|&key| key != Key::Enter) {
                self.keys.pop_back();
            }
            (self.dropped, self.line_ended) = (1, false);
        } else if self.line_ended {
            (self.dropped, self.line_ended) = (self.dropped + 1, false);
        }
        self.line_ended |= key == Key::Enter;
    }

    pub(crate) fn pop(&mut self) -> Option<Key> {
        self.keys.pop_front()
    }

    /// Takes the last key back, if it is this one.
    pub(crate) fn forget_last(&mut self, key: Key) {
        self.keys.pop_back_if(|last| *last == key);
    }

    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        (self.dropped, self.line_ended) = (0, false);
    }

    /// Once the lines that were kept are taken: how many were dropped after them.
    pub(crate) fn take_dropped(&mut self) -> Option<usize> {
        let dropped = self.dropped;
        if dropped == 0 || !self.keys.is_empty() {
            return None;
        }
        self.clear();
        Some(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    /// What is kept of lines of these lengths (Enter included), and how many lines are dropped.
    fn kept(lines: &[usize]) -> (Vec<usize>, Option<usize>) {
        let mut ahead = TypedAhead::new();
        for &length in lines {
            (1..length).for_each(|_| ahead.push(Key::Char('x')));
            ahead.push(Key::Enter);
        }
        let (mut kept, mut length) = (Vec::new(), 0);
        while let Some(key) = ahead.pop() {
            length += 1;
            if key == Key::Enter {
                kept.push(length);
                length = 0;
            }
        }
        assert_eq!(length, 0, "half a line was kept");
        (kept, ahead.take_dropped())
    }

    #[test]
    fn lines_are_kept_or_dropped_as_a_whole() {
        for (lines, expected) in [
            (vec![5, 1, 7], (vec![5, 1, 7], None)),
            (vec![MOST], (vec![MOST], None)),
            (vec![MOST + 1], (vec![], Some(1))),
            (vec![MOST, 1], (vec![MOST], Some(1))),
            (vec![MOST - 10, 10, 3, 1], (vec![MOST - 10, 10], Some(2))),
            (vec![MOST - 10, 11, 3, 1], (vec![MOST - 10], Some(3))),
        ] {
            assert_eq!(kept(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn after_the_report_keys_are_kept_again() {
        let mut ahead = TypedAhead::new();
        (0..=MOST).for_each(|_| ahead.push(Key::Char('x')));
        assert_eq!((ahead.pop(), ahead.take_dropped()), (None, Some(1)));
        ahead.push(Key::Char('y'));
        assert_eq!((ahead.pop(), ahead.take_dropped()), (Some(Key::Char('y')), None));
    }
}
