//! Products of packed panels with vectors, for every instruction set.
//!
//! A format says how one *tile* is computed, in a function that is generic over [`Simd`]: `R`
//! strips of [`LANES`] rows times `T` input vectors, whose sums all stay in registers. Here is what
//! the formats share: which tiles fit an instruction set's registers, and the way around them.

mod blocks;
mod floats;

pub(crate) use blocks::{Blocks, IntegerWeights};
pub(crate) use floats::{FloatWeights, Floats};

use crate::{PANEL, Shape};
use alloc::boxed::Box;
use bootllm_simd::{Cpu, ForSimd, Isa, LANES, Registers, Simd, with};
use core::marker::PhantomData;

/// The product of one format with one instruction set.
///
/// Input vectors are *prepared* first: put into the words that the products take, in tiles of
/// [`Product::tile`] vectors or of one. All products of a format give the same bits.
pub trait Product: Send + Sync {
    /// The instructions that it uses.
    fn isa(&self) -> Isa;

    /// How many input vectors a tile has where there are many.
    fn tile(&self) -> usize;

    /// Words of a prepared tile of `tokens` vectors (1 or [`Product::tile`]).
    fn tile_words(&self, shape: &Shape, tokens: usize) -> usize;

    /// Prepares a tile of `tokens` vectors (1 or [`Product::tile`]): those that lie behind each
    /// other in `x`, and zeros where there are fewer.
    fn prepare(&self, shape: &Shape, x: &[f32], tokens: usize, tile: &mut [u32]);

    /// Multiplies panels that lie behind each other with a prepared tile of `tokens` vectors and
    /// gives each panel and each vector's [`PANEL`] sums to `take`: the panel's number, the
    /// vector's, and the sums.
    fn multiply(
        &self,
        shape: &Shape,
        panels: &[u8],
        tile: &[u32],
        tokens: usize,
        take: &mut dyn FnMut(usize, usize, &[f32; PANEL]),
    );
}

/// Sixteen rows of a panel: its first or its second half, 0 or 1.
#[derive(Clone, Copy)]
pub(crate) struct Strip(usize);

impl Strip {
    /// Both strips of a panel.
    const BOTH: [Strip; 2] = [Strip(0), Strip(1)];

    /// This strip's own bytes of those, `2 * N` in number, that `bytes` begin with for both.
    #[inline(always)]
    pub fn own<const N: usize>(self, bytes: &[u8]) -> &[u8; N] {
        match bytes[self.0 * N..].first_chunk() {
            Some(own) => own,
            None => unreachable!("a panel consists of whole blocks"),
        }
    }
}

/// How far ahead of its use a weight is fetched into the cache, in bytes.
const AHEAD: usize = 1024;

/// Fetches what lies [`AHEAD`] bytes behind these, line by line of the cache.
#[inline(always)]
fn fetch_ahead<S: Simd>(simd: S, bytes: &[u8]) {
    const LINE: usize = 64;
    (0..bytes.len()).step_by(LINE).for_each(|at| simd.prefetch(&bytes[at..], AHEAD));
}

/// What a format adds to make a [`Product`].
pub(crate) trait Tiles: Send + Sync + 'static {
    /// Whether sums are kept as integers first, which takes more registers.
    const INTEGERS: bool;

    /// Words of one prepared vector.
    fn words<S: Simd>(shape: &Shape) -> usize;

    /// Prepares one vector. Its words are given one by one.
    fn prepare<'a, S: Simd>(shape: &Shape, x: &[f32], words: impl Iterator<Item = &'a mut u32>);

    /// The sums of `R` strips of a panel and `T` prepared vectors, whose words lie side by side.
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        shape: &Shape,
        panel: &[u8],
        strips: [Strip; R],
        x: &[[u32; T]],
    ) -> [[S::Floats; T]; R];
}

/// The product of format `F`.
pub(crate) fn product<F: Tiles>(cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
    with(cpu, isa, Maker::<F>(PhantomData))
}

struct Maker<F>(PhantomData<F>);

impl<F: Tiles> ForSimd for Maker<F> {
    type Made = Box<dyn Product>;

    fn make<S: Simd>(self, simd: S) -> Box<dyn Product> {
        Box::new(Tiled::<S, F> { simd, format: PhantomData })
    }
}

/// The product of format `F` with instruction set `S`.
struct Tiled<S, F> {
    simd: S,
    format: PhantomData<F>,
}

impl<S: Simd, F: Tiles> Tiled<S, F> {
    /// Vectors in a tile: as many as keep the registers full without spilling them. Measured; see
    /// `docs/performance.md`.
    const TILE: usize = match (S::REGISTERS, F::INTEGERS) {
        (Registers::Small, _) => 2,
        (Registers::Middle, _) => 4,
        (Registers::Wide, true) => 6,
        (Registers::Wide, false) => 12,
    };

    /// The work of [`Product::multiply`], `T` vectors at once.
    #[inline(always)]
    fn walk<const T: usize>(
        &self,
        shape: &Shape,
        panels: &[u8],
        tile: &[u32],
        take: &mut dyn FnMut(usize, usize, &[f32; PANEL]),
    ) {
        let Some(panel_bytes) = shape.encoding.format().panel_bytes(shape) else { return };
        let x = tile.as_chunks::<T>().0;
        let mut give = |panel: usize, [first, second]: [[S::Floats; T]; 2]| {
            let mut sums = [0.0; PANEL];
            for t in 0..T {
                let [lower, upper] = sums.as_chunks_mut::<LANES>().0 else { unreachable!() };
                self.simd.store(first[t], lower);
                self.simd.store(second[t], upper);
                take(panel, t, &sums);
            }
        };
        for (number, panel) in panels.chunks_exact(panel_bytes).enumerate() {
            let sums = if S::REGISTERS == Registers::Wide || T == 1 {
                F::tile(self.simd, shape, panel, Strip::BOTH, x)
            } else {
                Strip::BOTH.map(|strip| {
                    let [sums] = F::tile(self.simd, shape, panel, [strip], x);
                    sums
                })
            };
            give(number, sums);
        }
    }
}

impl<S: Simd, F: Tiles> Product for Tiled<S, F> {
    fn isa(&self) -> Isa {
        S::ISA
    }

    fn tile(&self) -> usize {
        Self::TILE
    }

    fn tile_words(&self, shape: &Shape, tokens: usize) -> usize {
        tokens.saturating_mul(F::words::<S>(shape))
    }

    fn prepare(&self, shape: &Shape, x: &[f32], tokens: usize, tile: &mut [u32]) {
        self.simd.run(
            #[inline(always)]
            || {
                let vectors = x.chunks_exact(shape.columns);
                let given = vectors.len();
                for (token, vector) in vectors.enumerate() {
                    F::prepare::<S>(shape, vector, tile[token..].iter_mut().step_by(tokens));
                }
                for token in given..tokens {
                    tile[token..].iter_mut().step_by(tokens).for_each(|word| *word = 0);
                }
            },
        );
    }

    fn multiply(
        &self,
        shape: &Shape,
        panels: &[u8],
        tile: &[u32],
        tokens: usize,
        take: &mut dyn FnMut(usize, usize, &[f32; PANEL]),
    ) {
        self.simd.run(
            #[inline(always)]
            || match (tokens, Self::TILE) {
                (1, _) => self.walk::<1>(shape, panels, tile, take),
                (2, 2) => self.walk::<2>(shape, panels, tile, take),
                (4, 4) => self.walk::<4>(shape, panels, tile, take),
                (6, 6) => self.walk::<6>(shape, panels, tile, take),
                (12, 12) => self.walk::<12>(shape, panels, tile, take),
                _ => unreachable!("a tile of {tokens} vectors"),
            },
        );
    }
}
