//! Products of packed panels with vectors, for every instruction set.
//!
//! A format says how one *tile* is computed, in a function that is generic over [`Simd`]: `R`
//! strips of [`LANES`](bootllm_simd::LANES) rows times `T` input vectors, whose sums all stay in
//! registers. What the formats share is in `tiled.rs`: which tiles fit an instruction set's
//! registers, and the way around them.

mod blocks;
mod floats;
mod tiled;

pub(crate) use blocks::{Blocks, IntegerWeights};
pub(crate) use floats::{FloatWeights, Floats};

use crate::Shape;
use alloc::boxed::Box;
use bootllm_cores::Columns;
use bootllm_simd::{Cpu, ForSimd, Isa, Simd, with};
use core::marker::PhantomData;
use tiled::Tiled;

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

    /// Multiplies panels that lie behind each other with prepared tiles of `tokens` vectors. The
    /// sums go to `output`: a row for each vector that there is, a column for each row of the
    /// panels.
    fn multiply(
        &self,
        shape: &Shape,
        panels: &[u8],
        tiles: &[u32],
        tokens: usize,
        output: &mut Columns<'_, f32>,
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

/// How far ahead of its use by one vector a weight is fetched into the cache, in bytes.
const AHEAD: usize = 1024;

/// Fetches what lies `distance` bytes behind these, line by line of the cache.
#[inline(always)]
fn fetch_ahead<S: Simd>(simd: S, bytes: &[u8], distance: usize) {
    const LINE: usize = 64;
    (0..bytes.len()).step_by(LINE).for_each(|at| simd.prefetch(&bytes[at..], distance));
}

/// Columns of a panel that cannot be taken apart.
pub(crate) struct Block {
    /// How many they are.
    pub columns: usize,
    /// Their bytes in the panel.
    pub bytes: usize,
    /// Their words in a prepared vector.
    pub words: usize,
}

/// Room for weights that are put into another form before many vectors meet them. It is small: an
/// application processor has 32 KiB of stack for everything.
#[repr(align(64))]
pub(crate) struct Room([u8; Room::BYTES]);

impl Room {
    const BYTES: usize = 8 << 10;
}

/// What a format adds to make a [`Product`].
pub(crate) trait Tiles: Send + Sync + 'static {
    /// Whether sums are kept as integers first, which takes more registers.
    const INTEGERS: bool;

    /// The form that weights take for many vectors.
    type Unfolded: Tiles;

    /// The blocks that a row consists of.
    fn block<S: Simd>(shape: &Shape) -> Block;

    /// Prepares one vector. Its words are given one by one.
    fn prepare<'a, S: Simd>(shape: &Shape, x: &[f32], words: impl Iterator<Item = &'a mut u32>);

    /// Some blocks of a panel in the form of [`Tiles::Unfolded`], if that is another one, for which
    /// there is room.
    fn unfold<'a, S: Simd>(simd: S, blocks: &'a [u8], room: &'a mut Room) -> &'a [u8];

    /// Adds to `sums` the products of some blocks, in `R` strips of a panel, with `T` prepared
    /// vectors, whose words lie side by side.
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        shape: &Shape,
        blocks: &[u8],
        strips: [Strip; R],
        x: &[[u32; T]],
        sums: [[S::Floats; T]; R],
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
        Box::new(Tiled::<S, F>::new(simd))
    }
}
