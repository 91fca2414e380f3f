//! Dropout: while training, values are set to zero at random and the rest scaled up, so that the
//! network does not lean on any one of them (Srivastava et al., 2014).
//!
//! Which values are dropped is a hash of a key and their place, so the backward pass finds the same
//! ones without keeping them, and a resumed run finds those of an uninterrupted one.

use super::vector::vectorized;
use rayon::prelude::*;

/// What is dropped in one step.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    rate: f32,
    key: u32,
}

/// Where in the network values are dropped.
#[derive(Clone, Copy, Debug)]
pub enum Site {
    /// The tokens' embeddings.
    Embedding,
    /// The weights of attention in a layer.
    Attention(usize),
    /// What attention adds in a layer.
    AttentionOutput(usize),
    /// What the feed-forward block adds in a layer.
    FeedForwardOutput(usize),
}

/// The values of one site that are kept, and their scale.
#[derive(Clone, Copy, Debug)]
pub struct Mask {
    key: u32,
    /// A hash below this drops its value.
    threshold: u32,
    /// 1 / (1 − rate).
    pub scale: f32,
}

/// A hash of 32 bits, each of which depends on every bit of `x`: two rounds of shift and multiply
/// with the constants that C. Wellons found by search (hash-prospector, public domain).
#[inline(always)]
fn hash(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad);
    x = (x ^ (x >> 15)).wrapping_mul(0xd35a_2d97);
    x ^ (x >> 15)
}

impl Dropout {
    /// Nothing is dropped: outside of training.
    pub const NONE: Dropout = Dropout { rate: 0.0, key: 0 };

    /// What is dropped in a part of a step of a run: a share of `rate` (0 ≤ rate < 1).
    pub fn new(rate: f32, seed: u64, step: u64, part: u64) -> Self {
        let folded = |value: u64| (value ^ (value >> 32)) as u32;
        let key = hash(folded(seed).wrapping_add(0x9e37_79b9));
        let key = hash(key ^ folded(step).wrapping_add(0x85eb_ca6b));
        Dropout { rate, key: hash(key ^ folded(part).wrapping_add(0xc2b2_ae35)) }
    }

    /// The share of values that is dropped.
    pub fn rate(self) -> f32 {
        self.rate
    }

    /// A number that is another in every part of every step, for other generators to begin from.
    pub fn key(self) -> u32 {
        self.key
    }

    /// The mask of a site, or none if nothing is dropped.
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
    /// Whether the value at a place is kept.
    #[inline(always)]
    pub fn keeps(self, place: usize) -> bool {
        hash(self.key ^ place as u32) >= self.threshold
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
    fn the_asked_share_is_dropped_and_differs_by_site_and_step() {
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
