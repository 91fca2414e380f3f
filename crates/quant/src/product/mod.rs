//! Products of packed panels with vectors, for every instruction set.
//!
//! A format says how one *tile* is computed, in a function that is generic over [`Simd`]: `R` half
//! panels of [`LANES`](bootllm_simd::LANES) rows times `T` input vectors, all of whose sums stay in
//! registers. What the formats share is in `tiled.rs`: the sizes of tiles that fit an instruction
//! set's registers, and the loops around them.

mod floats;
mod integers;
mod tiled;

pub(crate) use floats::{FloatWeights, Floats};
pub(crate) use integers::{IntegerWeights, Integers};

use crate::format::RowLayout;
use alloc::boxed::Box;
use bootllm_cores::Columns;
use bootllm_simd::{Cpu, Isa, Simd, SimdOp, dispatch};
use core::marker::PhantomData;
use tiled::TiledProduct;

/// The product of one format with one instruction set.
///
/// Input vectors are *packed* first: converted to the words that the kernel reads, in tiles of
/// [`Product::tile`] vectors or of one. All products of a format give the same bits.
pub(crate) trait Product: Send + Sync {
    /// The instruction set that it uses.
    fn isa(&self) -> Isa;

    /// Input vectors in a tile where there are many.
    fn tile(&self) -> usize;

    /// Words of a packed tile of `vectors` vectors (1 or [`Product::tile`]).
    fn tile_words(&self, row: RowLayout, vectors: usize) -> usize;

    /// Packs a tile of `vectors` vectors (1 or [`Product::tile`]): the consecutive ones in `x`, and
    /// zeros if those are fewer.
    fn pack_inputs(&self, row: RowLayout, x: &[f32], vectors: usize, tile: &mut [u32]);

    /// Multiplies consecutive panels with packed tiles of `vectors` vectors each. The sums go to
    /// `output`, which has a row for each vector and a column for each row of the panels.
    fn multiply(
        &self,
        row: RowLayout,
        panels: &[u8],
        tiles: &[u32],
        vectors: usize,
        output: &mut Columns<'_, f32>,
    );
}

/// Sixteen rows of a panel: its first or its second half, 0 or 1.
#[derive(Clone, Copy)]
pub(crate) struct HalfPanel(usize);

impl HalfPanel {
    /// Both halves of a panel.
    const BOTH: [HalfPanel; 2] = [HalfPanel(0), HalfPanel(1)];

    /// The `N` bytes of this half among the first `2 * N` of `bytes`, which are those of both.
    #[inline(always)]
    pub fn of<const N: usize>(self, bytes: &[u8]) -> &[u8; N] {
        match bytes[self.0 * N..].first_chunk() {
            Some(own) => own,
            None => unreachable!("a panel consists of whole blocks"),
        }
    }
}

/// How many bytes before their use weights are prefetched when there is one vector.
const PREFETCH_BYTES: usize = 1024;

/// Prefetches what lies `distance` bytes after these, cache line by cache line.
#[inline(always)]
fn prefetch<S: Simd>(simd: S, bytes: &[u8], distance: usize) {
    const LINE: usize = 64;
    (0..bytes.len()).step_by(LINE).for_each(|at| simd.prefetch(&bytes[at..], distance));
}

/// Columns of a panel that cannot be separated.
pub(crate) struct Block {
    /// Their number.
    pub columns: usize,
    /// Their bytes in the panel.
    pub bytes: usize,
    /// Their words in a packed vector.
    pub words: usize,
}

/// Scratch for weights that are widened before they are multiplied with many vectors. It is small:
/// an application processor has 32 KiB of stack for everything.
#[repr(align(64))]
pub(crate) struct Scratch([u8; Scratch::BYTES]);

impl Scratch {
    const BYTES: usize = 8 << 10;
}

/// What a format implements to get a [`Product`].
pub(crate) trait TileKernel: Send + Sync + 'static {
    /// Whether sums are integers first, which takes more registers.
    const INTEGERS: bool;

    /// The form that weights have when they are multiplied with many vectors.
    type Widened: TileKernel;

    /// The blocks that a row consists of.
    fn block<S: Simd>(row: RowLayout) -> Block;

    /// Packs one vector into `words`.
    fn pack_input<'a, S: Simd>(row: RowLayout, x: &[f32], words: impl Iterator<Item = &'a mut u32>);

    /// Converts some blocks of a panel to the form of [`TileKernel::Widened`], in `scratch` if that
    /// is another one.
    fn widen<'a, S: Simd>(simd: S, blocks: &'a [u8], scratch: &'a mut Scratch) -> &'a [u8];

    /// Adds the products of some blocks, in `R` halves of a panel, with `T` packed vectors, whose
    /// words are interleaved, to `sums`.
    fn tile<S: Simd, const R: usize, const T: usize>(
        simd: S,
        row: RowLayout,
        blocks: &[u8],
        halves: [HalfPanel; R],
        x: &[[u32; T]],
        sums: [[S::Floats; T]; R],
    ) -> [[S::Floats; T]; R];
}

/// The product of a kernel with an instruction set, if the CPU has it.
pub(crate) fn product<K: TileKernel>(cpu: Cpu, isa: Isa) -> Option<Box<dyn Product>> {
    dispatch(cpu, isa, NewProduct::<K>(PhantomData))
}

struct NewProduct<K>(PhantomData<K>);

impl<K: TileKernel> SimdOp for NewProduct<K> {
    type Output = Box<dyn Product>;

    fn eval<S: Simd>(self, simd: S) -> Box<dyn Product> {
        Box::new(TiledProduct::<S, K>::new(simd))
    }
}
