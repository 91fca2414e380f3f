//! Attention: keys and values stored in the sequences' caches, and what the queries find there.

use crate::kernels::{Head, Rules};
use crate::pass::Pass;
use crate::planner::{Buffer, KvId, Planner};
use crate::state::KvLayer;
use crate::times::Stage;
use bootllm_cores::split_together;

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
