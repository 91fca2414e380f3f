//! Windows over documents that are longer than a context.

/// A part of a document that is fed at once, and which of its tokens are predicted.
///
/// ```text
/// document  BOS a b c d e f g h i
/// window 1  BOS a b c d                 predicts a b c d
/// window 2  BOS     c d e f             predicts     e f
/// window 3  BOS         e f g h         predicts         g h
/// window 4  BOS             g h i       predicts             i
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Index of the first token. If that is not the document's first one, BOS is fed before it.
    pub start: usize,
    /// Index of the first token that is predicted.
    pub predicted: usize,
    /// Index after the last token that is predicted.
    pub end: usize,
}

/// Cuts a document of `tokens` tokens (BOS included, if it `has_bos`) into windows of up to `context`
/// tokens, BOS included. Every token but the document's first is predicted once, and from the second
/// window on with at least half a context before it. A document that fits is one window.
///
/// There are none if nothing can be predicted: of one token, or in a context of one.
pub fn windows(tokens: usize, has_bos: bool, context: usize) -> Vec<Window> {
    if tokens < 2 || context < 2 {
        return Vec::new();
    }
    let mut window = Window { start: 0, predicted: 1, end: tokens.min(context) };
    let mut windows = vec![window];
    // Without BOS there is one more place for text.
    let (bos, length) = (usize::from(has_bos), context - usize::from(has_bos));
    let step = (length / 2).max(1);
    while window.end < tokens {
        let start = window.start.max(bos) + step;
        window = Window { start, predicted: window.end, end: (start + length).min(tokens) };
        windows.push(window);
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_fits_is_one_window() {
        for has_bos in [true, false] {
            assert_eq!(windows(9, has_bos, 9), [Window { start: 0, predicted: 1, end: 9 }]);
            assert_eq!(windows(2, has_bos, 100), [Window { start: 0, predicted: 1, end: 2 }]);
            assert_eq!(windows(1, has_bos, 9), []);
            assert_eq!(windows(0, has_bos, 9), []);
            assert_eq!(windows(9, has_bos, 1), []);
        }
    }

    #[test]
    fn the_example_is_true() {
        let found = windows(10, true, 5).into_iter().map(|w| (w.start, w.predicted, w.end));
        assert!(found.eq([(0, 1, 5), (3, 5, 7), (5, 7, 9), (7, 9, 10)]));
    }

    #[test]
    fn every_token_is_predicted_once_and_with_half_a_context() {
        for (tokens, context) in (2..40).flat_map(|tokens| (2..20).map(move |c| (tokens, c))) {
            for has_bos in [true, false] {
                let (mut next, bos) = (1, usize::from(has_bos));
                for (index, window) in windows(tokens, has_bos, context).into_iter().enumerate() {
                    let Window { start, predicted, end } = window;
                    assert_eq!(predicted, next);
                    assert!(start < end && predicted < end && end <= tokens);
                    let before = predicted - start + if index > 0 { bos } else { 0 };
                    let fed = end - start + if index > 0 { bos } else { 0 };
                    assert!(fed <= context, "{tokens} {context} {window:?}");
                    assert!(before >= 1 && (index == 0 || 2 * before + 1 >= context), "{window:?}");
                    next = end;
                }
                assert_eq!(next, tokens);
            }
        }
    }
}
