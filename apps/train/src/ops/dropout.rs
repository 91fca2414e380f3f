//! Dropout: training sets random values to zero and scales up the others, so that the network does
//! not rely on any of them (Srivastava et al., 2014).
//!
//! A hash of a key and the value's index decides which values are dropped. So the backward pass
//! drops the same ones without a stored mask, and a resumed run drops those of an uninterrupted one.

use super::vector::vectorized;
use rayon::prelude::*;

/// The dropout of one batch.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    rate: f32,
    key: u32,
}

/// A place in the network where values are dropped.
#[derive(Clone, Copy, Debug)]
pub enum Site {
    /// The tokens' embeddings.
    Embedding,
    /// The attention weights of a layer.
    Attention(usize),
    /// The attention output of a layer, before it is added to the residual.
    AttentionOutput(usize),
    /// The feed-forward output of a layer, before it is added to the residual.
    FeedForwardOutput(usize),
}

/// Which values of a site are kept, and their scale.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    key: u32,
    /// Values whose hash is below this are dropped.
    threshold: u32,
    /// 1 / (1 − rate).
    pub scale: f32,
}

/// A hash whose 32 bits each depend on every bit of `x`: two rounds of shift and multiply with
/// constants that C. Wellons found by search (hash-prospector, public domain).
#[inline(always)]
fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad);
    x = (x ^ (x >> 15)).wrapping_mul(0xd35a_2d97);
    x ^ (x >> 15)
}

impl Dropout {
    /// No dropout, for evaluation.
    pub const NONE: Dropout = Dropout { rate: 0.0, key: 0 };

    /// Drops a share of `rate` (0 ≤ rate < 1) in batch `batch` of step `step`.
    pub fn new(rate: f32, seed: u64, step: u64, batch: u64) -> Self {
        let folded = |value: u64| (value ^ (value >> 32)) as u32;
        let key = hash(folded(seed).wrapping_add(0x9e37_79b9));
        let key = hash(key ^ folded(step).wrapping_add(0x85eb_ca6b));
        Dropout { rate, key: hash(key ^ folded(batch).wrapping_add(0xc2b2_ae35)) }
    }

    /// The dropout rate.
    pub fn rate(self) -> f32 {
        self.rate
    }

    /// A different number for every batch of every step, to seed other generators.
    pub fn key(self) -> u32 {
        self.key
    }

    /// The mask of a site, or `None` if nothing is dropped.
    pub fn mask(self, site: Site) -> Option<Mask> {
        let site = match site {
            Site::Embedding => 0,
            Site::Attention(layer) => 3 * layer + 1,
            Site::AttentionOutput(layer) => 3 * layer + 2,
            Site::FeedForwardOutput(layer) => 3 * layer + 3,
        };
        (self.rate > 0.0).then(|| Mask {
            key: hash(self.key.wrapping_add(site as u32)),
            threshold: (f64::from(self.rate) * 4_294_967_296.0) as u32,
            scale: 1.0 / (1.0 - self.rate),
        })
    }
}

impl Mask {
    /// Whether the value at an index is kept.
    #[inline(always)]
    pub fn keeps(self, index: usize) -> bool {
        hash(self.key ^ index as u32) >= self.threshold
    }

    /// Sets the dropped values to zero and scales the others.
    pub fn apply(self, values: &mut [f32]) {
        const CHUNK: usize = 1 << 14;
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(index, values)| {
            vectorized(
                #[inline(always)]
                || {
                    for (place, value) in values.iter_mut().enumerate() {
                        let kept = self.keeps(index * CHUNK + place);
                        *value = if kept { *value * self.scale } else { 0.0 };
                    }
                },
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_given_share_is_dropped_and_differs_by_site_and_step() {
        let dropped = |dropout: Dropout, site| {
            let mut values = vec![1.0f32; 100_000];
            dropout.mask(site).unwrap().apply(&mut values);
            values
        };
        let first = dropped(Dropout::new(0.1, 7, 1, 0), Site::Embedding);
        let share = first.iter().filter(|&&v| v == 0.0).count();
        assert!((9_500..10_500).contains(&share), "{share} of 100000 dropped");
        assert!(first.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.9).abs() < 1e-6));
        assert_eq!(first, dropped(Dropout::new(0.1, 7, 1, 0), Site::Embedding));
        for other in [
            dropped(Dropout::new(0.1, 7, 2, 0), Site::Embedding),
            dropped(Dropout::new(0.1, 8, 1, 0), Site::Embedding),
            dropped(Dropout::new(0.1, 7, 1, 1), Site::Embedding),
            dropped(Dropout::new(0.1, 7, 1, 0), Site::Attention(0)),
        ] {
            let both = first.iter().zip(&other).filter(|&(&a, &b)| a == 0.0 && b == 0.0).count();
            assert!((800..1_200).contains(&both), "{both} of 100000 dropped in both");
        }
        assert!(Dropout::NONE.mask(Site::Embedding).is_none());
    }
}
