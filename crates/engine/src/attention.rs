//! Attention of one head: scores of the positions so far, their softmax, and the mix of values.
//!
//! Scores run across positions, values across the head's elements; sums go in order (see
//! `ARCHITECTURE.md`, "One arithmetic"). Queries of a few consecutive tokens are taken together, so
//! that a key or a value is loaded once for all of them.

use crate::kv_cache::{Cells, Eighth, Full, Half, KvFormat, TILE};
use bootllm_cores::Columns;
use bootllm_simd::{LANES, SUMS_AT_ONCE, Simd, VectorWidth, softmax_scores};

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
    /// In which form keys and values are kept.
    pub(crate) format: KvFormat,
    /// This head's keys, in tiles of positions.
    pub(crate) keys: &'a [u8],
    /// Its values, in rows.
    pub(crate) values: &'a [u8],
    /// The position of the first token.
    pub(crate) position: usize,
}

impl Head<'_> {
    /// Scores that [`attend`] needs room for, with a context of `context` positions.
    pub(crate) fn scores(context: usize) -> usize {
        SUMS_AT_ONCE * context.next_multiple_of(TILE)
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
    match head.format {
        KvFormat::F32 => attend_with::<S, Full>(simd, head, scores, output),
        KvFormat::F16 => attend_with::<S, Half>(simd, head, scores, output),
        KvFormat::Q8 => attend_with::<S, Eighth>(simd, head, scores, output),
    }
}

#[inline(always)]
fn attend_with<S: Simd, C: Cells>(
    simd: S,
    head: &Head<'_>,
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    let mut token = 0;
    while token < output.rows() {
        let tokens = (output.rows() - token).min(SUMS_AT_ONCE);
        if tokens == 1 {
            attend_together::<S, C, 1>(simd, head, (token, 1), scores, output);
        } else {
            attend_together::<S, C, SUMS_AT_ONCE>(simd, head, (token, tokens), scores, output);
        }
        token += tokens;
    }
}

/// The same for `tokens` tokens from `first` on, at most `T`.
#[inline(always)]
fn attend_together<S: Simd, C: Cells, const T: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    let room = scores.len() / SUMS_AT_ONCE;
    let scores = &mut scores[..T * room];
    // What the first of them sees; each of the others sees one position more.
    let seen = head.position + first + 1;
    score::<S, C, T>(simd, head, (first, tokens), scores);
    let scores = &mut scores[..tokens * room];
    softmax_scores(scores, room, seen, head.size);

    let chunks = head.size / LANES;
    let mut chunk = 0;
    while chunk < chunks {
        let at = chunk * LANES;
        // Enough independent sums to keep the adders busy, and no more than there are registers.
        chunk += match (T, chunks - chunk) {
            (1, 4..) => mix::<S, C, 1, 4>(simd, head, (first, 1), scores, at, output),
            (1, 3) => mix::<S, C, 1, 3>(simd, head, (first, 1), scores, at, output),
            (1, 2) => mix::<S, C, 1, 2>(simd, head, (first, 1), scores, at, output),
            (_, 4..) if S::WIDTH == VectorWidth::V512 => {
                mix::<S, C, T, 4>(simd, head, (first, tokens), scores, at, output)
            }
            _ => mix::<S, C, T, 1>(simd, head, (first, tokens), scores, at, output),
        };
    }
    let at = chunks * LANES;
    if at < head.size {
        for token in 0..tokens {
            let output = &mut output.row(first + token)[at..];
            output.fill(0.0);
            let weights = &scores[token * room..][..seen + token];
            for (row, &weight) in head.values.chunks_exact(C::row_bytes(head.size)).zip(weights) {
                for (element, output) in (at..).zip(output.iter_mut()) {
                    *output += weight * C::value_at(row, head.size, element);
                }
            }
        }
    }
}

/// `scores[t][p] = Σ query[t][i] · keys[p][i]`, i ascending, for whole tiles of positions up to the
/// one that holds the last token's. Scores of tokens from `tokens` on are the last token's.
#[inline(always)]
fn score<S: Simd, C: Cells, const T: usize>(
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
    let tiles = head.keys.chunks_exact(C::row_bytes(head.size) * TILE).take(last / TILE + 1);
    for (number, tile) in tiles.enumerate() {
        let mut sums = [[simd.splat(0.0); TILE / LANES]; T];
        for i in 0..head.size {
            for half in 0..TILE / LANES {
                let keys = C::keys(simd, tile, head.size, i, half);
                for (sums, query) in sums.iter_mut().zip(&queries) {
                    sums[half] = simd.add(sums[half], simd.scale(keys, &query[i]));
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

/// `output[t][i] = Σ weights[t][p] · values[p][i]`, p ascending, for `N` chunks of [`LANES`]
/// elements from `at` on. Returns how many chunks these are.
#[inline(always)]
fn mix<S: Simd, C: Cells, const T: usize, const N: usize>(
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
    let rows = || head.values.chunks_exact(C::row_bytes(head.size)).enumerate();
    let value = |row: &[u8], n: usize| C::value(simd, row, head.size, at + n * LANES);
    let mut sums = [[simd.splat(0.0); N]; T];
    // What all of them see, then what only the later ones do.
    for (p, row) in rows().take(seen) {
        for n in 0..N {
            let value = value(row, n);
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                sums[n] = simd.add(sums[n], simd.scale(value, &weights[p]));
            }
        }
    }
    for (token, (sums, weights)) in sums.iter_mut().zip(&weights).enumerate().take(tokens) {
        for (p, row) in rows().take(seen + token).skip(seen) {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = simd.add(*sum, simd.scale(value(row, n), &weights[p]));
            }
        }
        let output = output.row(first + token)[at..].as_chunks_mut::<LANES>().0;
        for (&sum, output) in sums.iter().zip(output) {
            simd.store(sum, output);
        }
    }
    N
}
