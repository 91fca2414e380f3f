//! The heap's list of free pages.

/// A range of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Address of the first byte.
    pub start: usize,
    /// Number of pages.
    pub pages: usize,
}

/// Bytes in a page.
pub const PAGE: usize = 4096;

impl Span {
    fn end(self) -> usize {
        self.start + self.pages * PAGE
    }
}

/// Free spans, in the order of their addresses; neighbours are joined.
///
/// It holds a fixed number of spans, so that keeping memory never needs memory.
pub struct FreeList<const SPANS: usize> {
    spans: [Span; SPANS],
    length: usize,
}

impl<const SPANS: usize> FreeList<SPANS> {
    /// No free pages.
    pub const fn new() -> Self {
        Self { spans: [Span { start: 0, pages: 0 }; SPANS], length: 0 }
    }

    fn spans(&self) -> &[Span] {
        &self.spans[..self.length]
    }

    /// Takes pages out of the smallest span that is large enough and returns the address of the
    /// first.
    pub fn take(&mut self, pages: usize) -> Option<usize> {
        let (index, span) = (self.spans().iter().copied().enumerate())
            .filter(|(_, span)| span.pages >= pages)
            .min_by_key(|(_, span)| span.pages)?;
        if span.pages == pages {
            self.remove(index);
        } else {
            self.spans[index] =
                Span { start: span.start + pages * PAGE, pages: span.pages - pages };
        }
        Some(span.start)
    }

    /// Adds free pages. Returns false if the list is full.
    #[must_use]
    pub fn give(&mut self, span: Span) -> bool {
        let index = self.spans().partition_point(|free| free.start < span.start);
        let joins_before = index > 0 && self.spans[index - 1].end() == span.start;
        let joins_after = self.spans().get(index).is_some_and(|free| free.start == span.end());
        match (joins_before, joins_after) {
            (true, true) => {
                self.spans[index - 1].pages += span.pages + self.spans[index].pages;
                self.remove(index);
            }
            (true, false) => self.spans[index - 1].pages += span.pages,
            (false, true) => {
                self.spans[index] =
                    Span { start: span.start, pages: span.pages + self.spans[index].pages };
            }
            (false, false) if self.length == SPANS => return false,
            (false, false) => {
                self.spans.copy_within(index..self.length, index + 1);
                self.spans[index] = span;
                self.length += 1;
            }
        }
        true
    }

    /// Removes the last span.
    pub fn pop(&mut self) -> Option<Span> {
        let last = self.spans().last().copied()?;
        self.length -= 1;
        Some(last)
    }

    /// The number of free pages.
    pub fn pages(&self) -> usize {
        self.spans().iter().map(|span| span.pages).sum()
    }

    /// The number of pages of the largest span.
    pub fn largest(&self) -> usize {
        self.spans().iter().map(|span| span.pages).max().unwrap_or(0)
    }

    fn remove(&mut self, index: usize) {
        self.spans.copy_within(index + 1..self.length, index);
        self.length -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(page: usize, pages: usize) -> Span {
        Span { start: page * PAGE, pages }
    }

    fn list(spans: &[Span]) -> FreeList<8> {
        let mut list = FreeList::new();
        for &span in spans {
            assert!(list.give(span));
        }
        list
    }

    #[test]
    fn neighbours_are_joined_in_whatever_order_they_come() {
        let parts = [span(1, 2), span(3, 1), span(4, 6)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let list = list(&order.map(|index| parts[index]));
            assert_eq!(list.spans(), [span(1, 9)], "{order:?}");
        }
    }

    #[test]
    fn strangers_stay_apart_and_in_order() {
        let list = list(&[span(20, 1), span(1, 2), span(10, 3)]);
        assert_eq!(list.spans(), [span(1, 2), span(10, 3), span(20, 1)]);
        assert_eq!((list.pages(), list.largest()), (6, 3));
    }

    #[test]
    fn the_smallest_span_that_fits_is_taken() {
        let mut list = list(&[span(1, 9), span(20, 4), span(30, 6)]);
        assert_eq!(list.take(4), Some(20 * PAGE));
        assert_eq!(list.take(4), Some(30 * PAGE));
        assert_eq!(list.take(3), Some(PAGE));
        assert_eq!(list.spans(), [span(4, 6), span(34, 2)]);
        assert_eq!(list.take(7), None);
        assert_eq!(list.pages(), 8);
    }

    #[test]
    fn what_cannot_be_noted_is_refused() {
        let mut list = list(&[1, 3, 5, 7, 9, 11, 13, 15].map(|page| span(page, 1)));
        assert!(!list.give(span(30, 1)));
        // Joining neighbours needs no place.
        assert!(list.give(span(2, 1)));
        assert!(list.give(span(30, 1)));
        assert_eq!(list.pages(), 10);
    }

    #[test]
    fn nothing_is_lost_or_given_twice() {
        // Models by turns, their tensors freed in another order than they were taken.
        let mut list = FreeList::<32>::new();
        assert!(list.give(span(100, 5000)));
        for round in 0..50 {
            let sizes = (0..20).map(|i| 1 + (i * 7 + round * 13) % 240);
            let taken: Vec<Span> =
                sizes.map(|pages| Span { start: list.take(pages).unwrap(), pages }).collect();
            let mut sorted = taken.clone();
            sorted.sort_by_key(|span| span.start);
            assert!(sorted.windows(2).all(|pair| pair[0].end() <= pair[1].start));
            for index in 0..taken.len() {
                // Every second one first, so that the list is in pieces meanwhile.
                let index = (index * 2) % taken.len() + usize::from(index * 2 >= taken.len());
                assert!(list.give(taken[index]));
            }
            assert_eq!(list.pages(), 5000);
        }
    }

    #[test]
    fn it_is_emptied_span_by_span() {
        let mut list = list(&[span(1, 2), span(10, 3)]);
        assert_eq!(
            [list.pop(), list.pop(), list.pop()],
            [Some(span(10, 3)), Some(span(1, 2)), None]
        );
    }
}
