//! The way around the tiles of a product.

use super::{Block, Product, Room, Strip, Tiles, fetch_ahead};
use crate::{PANEL, Shape};
use bootllm_cores::Columns;
use bootllm_simd::{Isa, Registers, Simd};
use core::array::from_fn;
use core::marker::PhantomData;
use core::slice::from_mut;

/// The product of format `F` with instruction set `S`.
pub(super) struct Tiled<S, F> {
    simd: S,
    format: PhantomData<F>,
}

/// Vectors whose sums are kept near until all weights of a panel have met them.
const VECTORS: usize = 48;

/// What stays near while a panel is multiplied.
struct Near {
    room: Room,
    sums: [[f32; PANEL]; VECTORS],
}

impl<S: Simd, F: Tiles> Tiled<S, F> {
    pub(super) fn new(simd: S) -> Self {
        Tiled { simd, format: PhantomData }
    }

    /// Vectors in a tile: as many as keep the registers full without spilling them. Measured; see
    /// `docs/performance.md`.
    const TILE: usize = match (S::REGISTERS, F::INTEGERS) {
        (Registers::Small, _) => 2,
        (Registers::Middle, _) => 4,
        (Registers::Wide, true) => 6,
        (Registers::Wide, false) => 12,
    };

    /// Bytes of a panel that stay in the nearest cache while these vectors pass. A large tile asks
    /// for few bytes for much work: then the second cache is near enough, and panels stay whole.
    const SLICE: usize = match S::REGISTERS {
        Registers::Small | Registers::Middle => 16 << 10,
        Registers::Wide => usize::MAX,
    };

    /// All blocks of a panel, taken together.
    fn all(shape: &Shape) -> Block {
        let Block { columns, bytes, words } = F::block::<S>(shape);
        let blocks = shape.columns / columns;
        Block {
            columns: shape.columns,
            bytes: blocks.saturating_mul(bytes),
            words: blocks.saturating_mul(words),
        }
    }

    /// Blocks of a panel that are multiplied with one tile after the other.
    fn slice(shape: &Shape) -> usize {
        let (packed, unfolded) = (F::block::<S>(shape).bytes, F::Unfolded::block::<S>(shape).bytes);
        let bytes = if packed != unfolded { Room::BYTES } else { Self::SLICE };
        (bytes / unfolded).clamp(1, shape.columns)
    }

    /// The work of [`Product::multiply`] for one vector.
    #[inline(always)]
    fn one(&self, shape: &Shape, panels: &[u8], x: &[u32], output: &mut [f32]) {
        let panels = panels.chunks_exact(Self::all(shape).bytes);
        let x = x.as_chunks::<1>().0;
        for (panel, output) in panels.zip(output.chunks_mut(PANEL)) {
            let zeros = [[self.simd.splat(0.0)]; 2];
            let sums = F::tile(self.simd, shape, panel, Strip::BOTH, x, zeros);
            let mut rows = [0.0; PANEL];
            self.store(sums, Strip::BOTH, from_mut(&mut rows));
            give(&rows, output);
        }
    }

    /// The work of [`Product::multiply`] for tiles of `T` vectors.
    #[inline(always)]
    fn many<const T: usize>(
        &self,
        shape: &Shape,
        panels: &[u8],
        tiles: &[u32],
        output: &mut Columns<'_, f32>,
    ) {
        let all = Self::all(shape);
        let vectors = VECTORS / T * T;
        let mut near = Near { room: Room([0; Room::BYTES]), sums: [[0.0; PANEL]; VECTORS] };
        for (panel, row) in panels.chunks_exact(all.bytes).zip((0..).step_by(PANEL)) {
            let groups = tiles.chunks(vectors * all.words).zip((0..).step_by(vectors));
            for (tiles, vector) in groups {
                self.panel::<T>(shape, panel, tiles, (vector, row), &mut near, output);
            }
        }
    }

    /// Multiplies a panel with as many vectors as there are sums for, slice after slice. The first
    /// sum goes to this vector's row and the panel's first row's column.
    #[inline(always)]
    fn panel<const T: usize>(
        &self,
        shape: &Shape,
        panel: &[u8],
        tiles: &[u32],
        (vector, row): (usize, usize),
        Near { room, sums }: &mut Near,
        output: &mut Columns<'_, f32>,
    ) {
        let (blocks, Block { bytes, words, .. }) = (Self::slice(shape), F::block::<S>(shape));
        let tile_words = T * Self::all(shape).words;
        sums.fill([0.0; PANEL]);
        let slices = panel.chunks(blocks * bytes).zip((0..).step_by(blocks * words));
        for (packed, first) in slices {
            let own = first..first + packed.len() / bytes * words;
            let slice = F::unfold(self.simd, packed, room);
            // While a tile is computed, its share of the next slice comes nearer. (Numbers of
            // floating point take so long that the processor has them by itself.)
            let next = if F::INTEGERS { packed } else { &[] };
            let mut next = next.chunks(packed.len().div_ceil(tiles.len() / tile_words));
            let tiles = tiles.chunks_exact(tile_words).zip(sums.chunks_exact_mut(T));
            for (vector, (tile, sums)) in (vector..).step_by(T).zip(tiles) {
                fetch_ahead(self.simd, next.next().unwrap_or_default(), packed.len());
                let x = &tile.as_chunks::<T>().0[own.clone()];
                self.tile(shape, slice, x, sums);
                // The last slice: an output is written while the next tile is computed.
                if own.end * T == tile_words {
                    for (vector, sums) in (vector..output.rows()).zip(sums) {
                        give(sums, &mut output.row(vector)[row..]);
                    }
                }
            }
        }
    }

    /// Adds a tile's products to its vectors' sums.
    #[inline(always)]
    fn tile<const T: usize>(
        &self,
        shape: &Shape,
        slice: &[u8],
        x: &[[u32; T]],
        sums: &mut [[f32; PANEL]],
    ) {
        if S::REGISTERS == Registers::Wide {
            self.strips(shape, slice, Strip::BOTH, x, sums);
        } else {
            Strip::BOTH.into_iter().for_each(|strip| self.strips(shape, slice, [strip], x, sums));
        }
    }

    /// The same for the rows of some strips.
    #[inline(always)]
    fn strips<const R: usize, const T: usize>(
        &self,
        shape: &Shape,
        slice: &[u8],
        strips: [Strip; R],
        x: &[[u32; T]],
        sums: &mut [[f32; PANEL]],
    ) {
        let before =
            strips.map(|strip| from_fn(|t| self.simd.load(&sums[t].as_chunks().0[strip.0])));
        let after = F::Unfolded::tile(self.simd, shape, slice, strips, x, before);
        self.store(after, strips, sums);
    }

    /// Writes the sums of strips to those of whole panels.
    #[inline(always)]
    fn store<const R: usize, const T: usize>(
        &self,
        strips_sums: [[S::Floats; T]; R],
        strips: [Strip; R],
        sums: &mut [[f32; PANEL]],
    ) {
        for (strip_sums, strip) in strips_sums.into_iter().zip(strips) {
            for (strip_sums, sums) in strip_sums.into_iter().zip(&mut *sums) {
                self.simd.store(strip_sums, &mut sums.as_chunks_mut().0[strip.0]);
            }
        }
    }
}

/// Copies the sums of a panel's rows to the output of those rows that there are.
#[inline(always)]
fn give(sums: &[f32; PANEL], output: &mut [f32]) {
    match output.first_chunk_mut() {
        Some(output) => *output = *sums,
        None => output.copy_from_slice(&sums[..output.len()]),
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
        tokens.saturating_mul(Self::all(shape).words)
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
        tiles: &[u32],
        tokens: usize,
        output: &mut Columns<'_, f32>,
    ) {
        self.simd.run(
            #[inline(always)]
            || match (tokens, Self::TILE) {
                (1, _) => self.one(shape, panels, tiles, output.row(0)),
                (2, 2) => self.many::<2>(shape, panels, tiles, output),
                (4, 4) => self.many::<4>(shape, panels, tiles, output),
                (6, 6) => self.many::<6>(shape, panels, tiles, output),
                (12, 12) => self.many::<12>(shape, panels, tiles, output),
                _ => unreachable!("a tile of {tokens} vectors"),
            },
        );
    }
}
