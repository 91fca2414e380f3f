//! Attention of one head: scores of the positions so far, their softmax, and the mix of values.
//!
//! Scores run across positions, values across the head's elements; sums go in order (see
//! `ARCHITECTURE.md`, "One arithmetic"). Queries of a few consecutive tokens are taken together, so
//! that a key or a value is loaded once for all of them.

use crate::kv_cache::TILE;
use bootllm_cores::Columns;
use bootllm_simd::{LANES, Simd, TOGETHER, softmax_scores};

/// The queries of some consecutive tokens in one head, and the keys and values that they see.
pub(crate) struct Head<'a> {
    /// The queries of all heads: (token, head, element).
    pub(crate) queries: &'a [f32],
    /// Values from one token's queries to the next's.
    pub(crate) stride: usize,
    /// Where this head's begin.
    pub(crate) start: usize,
    /// Values in a head.
    pub(crate) size: usize,
    /// This head's keys: tiles of (element, position in the tile).
    pub(crate) keys: &'a [f32],
    /// Its values: (position, element).
    pub(crate) values: &'a [f32],
    /// The position of the first token.
    pub(crate) position: usize,
}

impl Head<'_> {
    /// Scores that [`attend`] needs room for, with a context of `context` positions.
    pub(crate) fn scores(context: usize) -> usize {
        TOGETHER * context.next_multiple_of(TILE)
    }
}

/// Writes what this head finds for each token into that token's row of `output`. `scores` is room
/// for [`Head::scores`] numbers.
#[inline(always)]
pub(crate) fn attend<S: Simd>(
    simd: S,
    head: &Head<'_>,
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    let mut token = 0;
    while token < output.rows() {
        let tokens = (output.rows() - token).min(TOGETHER);
        if tokens == 1 {
            attend_together::<S, 1>(simd, head, (token, 1), scores, output);
        } else {
            attend_together::<S, TOGETHER>(simd, head, (token, tokens), scores, output);
        }
        token += tokens;
    }
}

/// The same for `tokens` tokens from `first` on, at most `T`.
#[inline(always)]
fn attend_together<S: Simd, const T: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    let room = scores.len() / TOGETHER;
    let scores = &mut scores[..T * room];
    // What the first of them sees; each of the others sees one position more.
    let seen = head.position + first + 1;
    score::<S, T>(simd, head, (first, tokens), scores);
    let scores = &mut scores[..tokens * room];
    softmax_scores(scores, room, seen, head.size);

    let chunks = head.size / LANES;
    let mut chunk = 0;
    while chunk < chunks {
        let at = chunk * LANES;
        // Enough independent sums to keep the adders busy.
        chunk += match (T, chunks - chunk) {
            (1, 4..) => mix::<S, 1, 4>(simd, head, (first, 1), scores, at, output),
            (1, 3) => mix::<S, 1, 3>(simd, head, (first, 1), scores, at, output),
            (1, 2) => mix::<S, 1, 2>(simd, head, (first, 1), scores, at, output),
            _ => mix::<S, T, 1>(simd, head, (first, tokens), scores, at, output),
        };
    }
    let at = chunks * LANES;
    if at < head.size {
        for token in 0..tokens {
            let output = &mut output.row(first + token)[at..];
            output.fill(0.0);
            let weights = &scores[token * room..][..seen + token];
            for (values, &weight) in head.values.chunks_exact(head.size).zip(weights) {
                for (output, &value) in output.iter_mut().zip(&values[at..]) {
                    *output += weight * value;
                }
            }
        }
    }
}

/// `scores[t][p] = Σ query[t][i] · keys[p][i]`, i ascending, for whole tiles of positions up to the
/// one that holds the last token's. Scores of tokens from `tokens` on are the last token's.
#[inline(always)]
fn score<S: Simd, const T: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    scores: &mut [f32],
) {
    let room = scores.len() / T;
    let queries: [&[f32]; T] = core::array::from_fn(|t| {
        let token = first + t.min(tokens - 1);
        &head.queries[token * head.stride + head.start..][..head.size]
    });
    let last = head.position + first + tokens - 1;
    let tiles = head.keys.chunks_exact(head.size * TILE).take(last / TILE + 1);
    for (number, tile) in tiles.enumerate() {
        let mut sums = [[simd.splat(0.0); TILE / LANES]; T];
        for (i, keys) in tile.as_chunks::<TILE>().0.iter().enumerate() {
            let keys = keys.as_chunks::<LANES>().0;
            for (t, sums) in sums.iter_mut().enumerate() {
                let query = simd.splat(queries[t][i]);
                for (sum, keys) in sums.iter_mut().zip(keys) {
                    *sum = simd.add(*sum, simd.mul(query, simd.load(keys)));
                }
            }
        }
        for (t, sums) in sums.into_iter().enumerate() {
            let scores = &mut scores[t * room + number * TILE..][..TILE];
            for (sum, scores) in sums.into_iter().zip(scores.as_chunks_mut::<LANES>().0) {
                simd.store(sum, scores);
            }
        }
    }
}

/// `output[t][i] = Σ weights[t][p] · values[p][i]`, p ascending, for `C` chunks of [`LANES`]
/// elements from `at` on. Returns how many chunks these are.
#[inline(always)]
fn mix<S: Simd, const T: usize, const C: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    weights: &[f32],
    at: usize,
    output: &mut Columns<'_, f32>,
) -> usize {
    let room = weights.len() / tokens;
    let weights: [&[f32]; T] =
        core::array::from_fn(|t| &weights[t.min(tokens - 1) * room..][..room]);
    let seen = head.position + first + 1;
    let value = |values: &[f32], c: usize| match values[at + c * LANES..].first_chunk() {
        Some(values) => simd.load(values),
        None => unreachable!("a chunk lies within the head"),
    };
    let mut sums = [[simd.splat(0.0); C]; T];
    // What all of them see, then what only the later ones do.
    for (p, values) in head.values.chunks_exact(head.size).take(seen).enumerate() {
        for c in 0..C {
            let value = value(values, c);
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                sums[c] = simd.add(sums[c], simd.mul(simd.splat(weights[p]), value));
            }
        }
    }
    for (token, (sums, weights)) in sums.iter_mut().zip(&weights).enumerate().take(tokens) {
        let later = head.values.chunks_exact(head.size).enumerate().take(seen + token).skip(seen);
        for (p, values) in later {
            for (c, sum) in sums.iter_mut().enumerate() {
                *sum = simd.add(*sum, simd.mul(simd.splat(weights[p]), value(values, c)));
            }
        }
        let output = output.row(first + token)[at..].as_chunks_mut::<LANES>().0;
        for (&sum, output) in sums.iter().zip(output) {
            simd.store(sum, output);
        }
    }
    C
}
