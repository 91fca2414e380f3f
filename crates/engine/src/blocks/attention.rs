//! Attention: scores of the positions that a token sees, their softmax, and the weighted values.
//!
//! Scores run across positions, values across the head's elements; sums go in order (see
//! `ARCHITECTURE.md`, "One arithmetic"). Queries of a few consecutive tokens are computed together,
//! so that a key or a value is loaded once for all of them.

use crate::pass::Pass;
use crate::plan::{Buffer, KvId, Planner};
use crate::state::{Cells, F16Cells, F32Cells, KvFormat, KvLayer, Q8Cells, TILE};
use crate::times::Stage;
use bootllm_cores::{Columns, split_together};
use bootllm_simd::{LANES, SUMS_AT_ONCE, Simd, VectorWidth, exp, softmax, softmax_scores};
use core::ops::Range;

/// The attention of one layer: query heads in groups that share a key and value head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    /// Where its keys and values are stored.
    layer: KvId,
    heads: usize,
    kv_heads: usize,
    head_size: usize,
    rules: Rules,
}

/// How scores become weights, where it is not as in Llama.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rules {
    /// What scores are divided by; none: the root of the head size.
    pub(crate) divisor: Option<f32>,
    /// Positions that a token sees, its own included (a sliding window); none: all.
    pub(crate) window: Option<usize>,
    /// Scores are bent into ±cap by cap · tanh(score / cap).
    pub(crate) soft_cap: Option<f32>,
    /// A score that takes part in the softmax and has no value: an attention sink.
    pub(crate) sink: Option<f32>,
}

impl Attention {
    /// Llama's, with a layer of the KV cache of its own.
    pub(crate) fn new(
        planner: &mut Planner<'_>,
        heads: usize,
        kv_heads: usize,
        head_size: usize,
    ) -> Self {
        let layer = planner.kv_layer(heads, KvLayer { heads: kv_heads, head_size });
        Attention { layer, heads, kv_heads, head_size, rules: Rules::default() }
    }
}

impl Pass<'_> {
    /// Stores the rows' keys and values in their sequences' caches.
    pub(crate) fn store_kv(&mut self, attention: &Attention, key: Buffer, value: Buffer) {
        let width = self.width(key);
        let (keys, values) = (self.take(key), self.take(value));
        for span in self.spans {
            let own = span.first * width..(span.first + span.rows) * width;
            let cache = &mut self.sequences[span.sequence].cache;
            let (keys, values) = (&keys[own.clone()], &values[own]);
            cache.store(self.cores, attention.layer.0, span.position, keys, values);
        }
        self.put(key, keys);
        self.put(value, values);
        self.done(Stage::StoreKv);
    }

    /// `attended` = for each query head of each row, the values of the positions that it sees,
    /// weighted by the softmax of its scores with their keys.
    pub(crate) fn attention(&mut self, attention: &Attention, query: Buffer, attended: Buffer) {
        let &Attention { layer, heads, kv_heads, head_size, rules } = attention;
        let (width, heads_per_key) = (heads * head_size, heads / kv_heads);
        let (queries, mut output) = (self.take(query), self.take(attended));
        let all_scores = self.scratch.scores.len() / heads * heads;
        let scores_per_head = all_scores / heads;
        for span in self.spans {
            let own = span.first * width..(span.first + span.rows) * width;
            let (queries, output) = (&queries[own.clone()], &mut output[own]);
            let cache = &self.sequences[span.sequence].cache;
            let scores = &mut self.scratch.scores[..all_scores];
            let outputs = [(scores, all_scores, scores_per_head), (output, width, head_size)];
            split_together(self.cores, outputs, |first, [mut scores, mut output]| {
                let scores = scores.row(0).chunks_exact_mut(scores_per_head);
                for (number, scores) in scores.enumerate() {
                    let head = first + number;
                    let (keys, values) = cache.head(layer.0, head / heads_per_key);
                    let head = Head {
                        queries,
                        stride: width,
                        start: head * head_size,
                        size: head_size,
                        format: cache.format(),
                        keys,
                        values,
                        position: span.position,
                        rules,
                    };
                    let mut output = output.slice(number * head_size, head_size);
                    self.kernels.attention(&head, scores, &mut output);
                }
            });
        }
        self.put(query, queries);
        self.put(attended, output);
        self.done(Stage::Attention);
    }
}

/// The queries of consecutive tokens in one head, and the keys and values that they see.
pub(crate) struct Head<'a> {
    /// The queries of all heads: (token, head, element).
    pub(crate) queries: &'a [f32],
    /// Values from one token's queries to the next one's.
    pub(crate) stride: usize,
    /// Where this head's queries begin.
    pub(crate) start: usize,
    /// Values per head.
    pub(crate) size: usize,
    /// The format of keys and values.
    pub(crate) format: KvFormat,
    /// This head's keys, in tiles of positions.
    pub(crate) keys: &'a [u8],
    /// Its values, in rows.
    pub(crate) values: &'a [u8],
    /// The position of the first token.
    pub(crate) position: usize,
    /// How scores become weights.
    pub(crate) rules: Rules,
}

impl Head<'_> {
    /// The positions that a token sees.
    fn seen(&self, token: usize) -> Range<usize> {
        let end = self.position + token + 1;
        let window = self.rules.window.unwrap_or(usize::MAX);
        end.saturating_sub(window)..end
    }
}

/// Floats that [`attention`] needs for the scores of one head, with a context of `context` positions.
pub(crate) fn score_floats(context: usize) -> usize {
    SUMS_AT_ONCE.saturating_mul(context.checked_next_multiple_of(TILE).unwrap_or(usize::MAX))
}

/// Writes what this head finds for each token into that token's row of `output`. `scores` is scratch
/// memory of [`score_floats`] numbers.
#[inline(always)]
pub(crate) fn attention<S: Simd>(
    simd: S,
    head: &Head<'_>,
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    match head.format {
        KvFormat::F32 => attention_as::<S, F32Cells>(simd, head, scores, output),
        KvFormat::F16 => attention_as::<S, F16Cells>(simd, head, scores, output),
        KvFormat::Q8 => attention_as::<S, Q8Cells>(simd, head, scores, output),
    }
}

#[inline(always)]
fn attention_as<S: Simd, C: Cells>(
    simd: S,
    head: &Head<'_>,
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    let mut token = 0;
    while token < output.rows() {
        let tokens = (output.rows() - token).min(SUMS_AT_ONCE);
        if tokens == 1 {
            tokens_together::<S, C, 1>(simd, head, (token, 1), scores, output);
        } else {
            tokens_together::<S, C, SUMS_AT_ONCE>(simd, head, (token, tokens), scores, output);
        }
        token += tokens;
    }
}

/// The same for `tokens` tokens from `first` on, at most `T`.
#[inline(always)]
fn tokens_together<S: Simd, C: Cells, const T: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    scores: &mut [f32],
    output: &mut Columns<'_, f32>,
) {
    let stride = scores.len() / SUMS_AT_ONCE;
    let scores = &mut scores[..T * stride];
    score::<S, C, T>(simd, head, (first, tokens), scores);
    let scores = &mut scores[..tokens * stride];
    weigh(head, first, scores, stride);

    let chunks = head.size / LANES;
    let mut chunk = 0;
    while chunk < chunks {
        let at = chunk * LANES;
        let tokens = (first, tokens);
        // Enough independent sums to keep the adders busy, and no more than there are registers.
        chunk += match (T, chunks - chunk) {
            (1, 4..) => weighted_values::<S, C, 1, 4>(simd, head, tokens, scores, at, output),
            (1, 3) => weighted_values::<S, C, 1, 3>(simd, head, tokens, scores, at, output),
            (1, 2) => weighted_values::<S, C, 1, 2>(simd, head, tokens, scores, at, output),
            (_, 4..) if S::WIDTH == VectorWidth::V512 => {
                weighted_values::<S, C, T, 4>(simd, head, tokens, scores, at, output)
            }
            _ => weighted_values::<S, C, T, 1>(simd, head, tokens, scores, at, output),
        };
    }
    let at = chunks * LANES;
    if at < head.size {
        for token in 0..tokens {
            let output = &mut output.row(first + token)[at..];
            output.fill(0.0);
            let seen = head.seen(first + token);
            let weights = &scores[token * stride..][seen.clone()];
            let rows = head.values.chunks_exact(C::row_bytes(head.size)).skip(seen.start);
            for (row, &weight) in rows.zip(weights) {
                for (element, output) in (at..).zip(output.iter_mut()) {
                    *output += weight * C::value_at(row, head.size, element);
                }
            }
        }
    }
}

/// `scores[t][p] = Σ query[t][i] · keys[p][i]`, i ascending, for whole tiles of positions, from the
/// tile of the first position that any of the tokens sees to the tile of the last.
/// Scores of tokens from `tokens` on are the last token's.
#[inline(always)]
fn score<S: Simd, C: Cells, const T: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    scores: &mut [f32],
) {
    let stride = scores.len() / T;
    let queries: [&[f32]; T] = core::array::from_fn(|t| {
        let token = first + t.min(tokens - 1);
        &head.queries[token * head.stride + head.start..][..head.size]
    });
    let (begin, end) = (head.seen(first).start / TILE, head.seen(first + tokens - 1).end);
    let tiles = head.keys.chunks_exact(C::row_bytes(head.size) * TILE);
    for (number, tile) in tiles.enumerate().take(end.div_ceil(TILE)).skip(begin) {
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
            let scores = &mut scores[t * stride + number * TILE..][..TILE];
            for (sum, scores) in sums.into_iter().zip(scores.as_chunks_mut::<LANES>().0) {
                simd.store(sum, scores);
            }
        }
    }
}

/// Turns the scores of consecutive tokens from `first` on, which begin every `stride`, into weights.
#[inline(always)]
fn weigh(head: &Head<'_>, first: usize, scores: &mut [f32], stride: usize) {
    if head.rules == Rules::default() {
        // What the first of them sees; each of the others sees one position more.
        return softmax_scores(scores, stride, head.seen(first).end, head.size);
    }
    let divisor = head.rules.divisor.unwrap_or(libm::sqrtf(head.size as f32));
    for (token, scores) in (first..).zip(scores.chunks_mut(stride)) {
        let scores = &mut scores[head.seen(token)];
        scores.iter_mut().for_each(|score| *score /= divisor);
        if let Some(cap) = head.rules.soft_cap {
            scores.iter_mut().for_each(|score| *score = cap * tanh(*score / cap));
        }
        match head.rules.sink {
            None => softmax(scores),
            Some(sink) => softmax_with_sink(scores, sink),
        }
    }
}

/// Softmax of `scores` and one more score, whose weight is dropped: its exponential is the last
/// term of the sum.
#[inline(always)]
fn softmax_with_sink(scores: &mut [f32], sink: f32) {
    let max = scores.iter().fold(sink, |max, &score| if score > max { score } else { max });
    scores.iter_mut().for_each(|score| *score = exp(*score - max));
    let sum = scores.iter().fold(0.0f32, |sum, score| sum + score) + exp(sink - max);
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// tanh(x) = 1 − 2 / (e^(2x) + 1).
#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(x + x) + 1.0)
}

/// `output[t][i] = Σ weights[t][p] · values[p][i]`, p ascending over the positions that token t sees,
/// for `N` chunks of [`LANES`] elements from `at` on. Returns how many chunks these are.
#[inline(always)]
fn weighted_values<S: Simd, C: Cells, const T: usize, const N: usize>(
    simd: S,
    head: &Head<'_>,
    (first, tokens): (usize, usize),
    weights: &[f32],
    at: usize,
    output: &mut Columns<'_, f32>,
) -> usize {
    let stride = weights.len() / tokens;
    let weights: [&[f32]; T] =
        core::array::from_fn(|t| &weights[t.min(tokens - 1) * stride..][..stride]);
    let row_bytes = C::row_bytes(head.size);
    let rows = |positions: Range<usize>| {
        let rows = head.values[positions.start * row_bytes..positions.end * row_bytes]
            .chunks_exact(row_bytes);
        positions.zip(rows)
    };
    let value = |row: &[u8], n: usize| C::value(simd, row, head.size, at + n * LANES);
    let mut sums = [[simd.splat(0.0); N]; T];
    let add = |sums: &mut [S::Floats; N], row: &[u8], weight: &f32| {
        for (n, sum) in sums.iter_mut().enumerate() {
            *sum = simd.add(*sum, simd.scale(value(row, n), weight));
        }
    };
    // What the earlier of them see alone, what all of them see, and what the later ones see alone.
    let all = head.seen(first + tokens - 1).start..head.seen(first).end;
    for (token, (sums, weights)) in sums.iter_mut().zip(&weights).enumerate().take(tokens) {
        let before = head.seen(first + token);
        for (p, row) in rows(before.start..all.start.min(before.end)) {
            add(sums, row, &weights[p]);
        }
    }
    for (p, row) in rows(all.start.min(all.end)..all.end) {
        for n in 0..N {
            let value = value(row, n);
            for (sums, weights) in sums.iter_mut().zip(&weights) {
                sums[n] = simd.add(sums[n], simd.scale(value, &weights[p]));
            }
        }
    }
    for (token, (sums, weights)) in sums.iter_mut().zip(&weights).enumerate().take(tokens) {
        let seen = head.seen(first + token);
        for (p, row) in rows(all.end.max(all.start).min(seen.end)..seen.end) {
            add(sums, row, &weights[p]);
        }
        let output = output.row(first + token)[at..].as_chunks_mut::<LANES>().0;
        for (&sum, output) in sums.iter().zip(output) {
            simd.store(sum, output);
        }
    }
    N
}
