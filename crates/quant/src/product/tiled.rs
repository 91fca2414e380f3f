//! The loops around the tiles of a product.

use super::{Block, HalfPanel, Product, Scratch, TileKernel, prefetch};
use crate::PANEL;
use crate::format::RowLayout;
use bootllm_cores::Columns;
use bootllm_simd::{Isa, Simd, VectorWidth};
use core::array::from_fn;
use core::marker::PhantomData;
use core::slice::from_mut;

/// The product of kernel `K` with instruction set `S`.
pub(super) struct TiledProduct<S, K> {
    simd: S,
    kernel: PhantomData<K>,
}

/// Vectors whose sums stay in L1 until they have been multiplied with all weights of a panel.
const GROUP: usize = 48;

/// What stays in L1 while a panel is multiplied.
struct PanelScratch {
    widened: Scratch,
    sums: [[f32; PANEL]; GROUP],
}

impl<S: Simd, K: TileKernel> TiledProduct<S, K> {
    pub(super) fn new(simd: S) -> Self {
        TiledProduct { simd, kernel: PhantomData }
    }

    /// Vectors in a tile: as many as fill the registers without spilling. Measured; see
    /// `docs/performance.md`.
    const TILE: usize = match (S::WIDTH, K::INTEGERS) {
        (VectorWidth::V128, _) => 2,
        (VectorWidth::V256, _) => 4,
        (VectorWidth::V512, true) => 6,
        (VectorWidth::V512, false) => 12,
    };

    /// How many bytes of a panel to process per slice so that it stays in L1 while a group of vectors
    /// passes. AVX-512 tiles reuse each byte so often that L2 suffices; panels are then not sliced.
    const SLICE: usize = match S::WIDTH {
        VectorWidth::V128 | VectorWidth::V256 => 16 << 10,
        VectorWidth::V512 => usize::MAX,
    };

    /// All blocks of a panel, as one.
    fn all(row: RowLayout) -> Block {
        let Block { columns, bytes, words } = K::block::<S>(row);
        let blocks = row.columns / columns;
        Block {
            columns: row.columns,
            bytes: blocks.saturating_mul(bytes),
            words: blocks.saturating_mul(words),
        }
    }

    /// Blocks in a slice of a panel.
    fn slice(row: RowLayout) -> usize {
        let (packed, widened) = (K::block::<S>(row).bytes, K::Widened::block::<S>(row).bytes);
        let bytes = if packed != widened { Scratch::BYTES } else { Self::SLICE };
        (bytes / widened).clamp(1, row.columns)
    }

    /// [`Product::multiply`] with one vector.
    #[inline(always)]
    fn multiply_one(&self, row: RowLayout, panels: &[u8], x: &[u32], output: &mut [f32]) {
        let panels = panels.chunks_exact(Self::all(row).bytes);
        let x = x.as_chunks::<1>().0;
        for (panel, output) in panels.zip(output.chunks_mut(PANEL)) {
            let zeros = [[self.simd.splat(0.0)]; 2];
            let sums = K::tile(self.simd, row, panel, HalfPanel::BOTH, x, zeros);
            let mut rows = [0.0; PANEL];
            self.store(sums, HalfPanel::BOTH, from_mut(&mut rows));
            copy_rows(&rows, output);
        }
    }

    /// [`Product::multiply`] with tiles of `T` vectors.
    #[inline(always)]
    fn multiply_batch<const T: usize>(
        &self,
        row: RowLayout,
        panels: &[u8],
        tiles: &[u32],
        output: &mut Columns<'_, f32>,
    ) {
        let all = Self::all(row);
        let vectors = GROUP / T * T;
        let mut scratch =
            PanelScratch { widened: Scratch([0; Scratch::BYTES]), sums: [[0.0; PANEL]; GROUP] };
        for (panel, first_row) in panels.chunks_exact(all.bytes).zip((0..).step_by(PANEL)) {
            let groups = tiles.chunks(vectors * all.words).zip((0..).step_by(vectors));
            for (tiles, first_vector) in groups {
                let first = (first_vector, first_row);
                self.multiply_panel::<T>(row, panel, tiles, first, &mut scratch, output);
            }
        }
    }

    /// Multiplies a panel with a group of vectors, slice after slice. `first_vector` and `first_row`
    /// are the row and the column of `output` for the first of the sums.
    #[inline(always)]
    fn multiply_panel<const T: usize>(
        &self,
        row: RowLayout,
        panel: &[u8],
        tiles: &[u32],
        (first_vector, first_row): (usize, usize),
        PanelScratch { widened, sums }: &mut PanelScratch,
        output: &mut Columns<'_, f32>,
    ) {
        let (blocks, Block { bytes, words, .. }) = (Self::slice(row), K::block::<S>(row));
        let tile_words = T * Self::all(row).words;
        sums.fill([0.0; PANEL]);
        let slices = panel.chunks(blocks * bytes).zip((0..).step_by(blocks * words));
        for (packed, first) in slices {
            let own = first..first + packed.len() / bytes * words;
            let slice = K::widen(self.simd, packed, widened);
            // While a tile is computed, its share of the next slice is prefetched. (Floats take so
            // long that the CPU prefetches them by itself.)
            let next = if K::INTEGERS { packed } else { &[] };
            let mut next = next.chunks(packed.len().div_ceil(tiles.len() / tile_words));
            let tiles = tiles.chunks_exact(tile_words).zip(sums.chunks_exact_mut(T));
            for (vector, (tile, sums)) in (first_vector..).step_by(T).zip(tiles) {
                prefetch(self.simd, next.next().unwrap_or_default(), packed.len());
                let x = &tile.as_chunks::<T>().0[own.clone()];
                self.multiply_tile(row, slice, x, sums);
                // After the last slice an output is written while the next tile is computed.
                if own.end * T == tile_words {
                    for (vector, sums) in (vector..output.rows()).zip(sums) {
                        copy_rows(sums, &mut output.row(vector)[first_row..]);
                    }
                }
            }
        }
    }

    /// Adds a tile's products to its vectors' sums.
    #[inline(always)]
    fn multiply_tile<const T: usize>(
        &self,
        row: RowLayout,
        slice: &[u8],
        x: &[[u32; T]],
        sums: &mut [[f32; PANEL]],
    ) {
        if S::WIDTH == VectorWidth::V512 {
            self.multiply_halves(row, slice, HalfPanel::BOTH, x, sums);
        } else {
            for half in HalfPanel::BOTH {
                self.multiply_halves(row, slice, [half], x, sums);
            }
        }
    }

    /// [`TiledProduct::multiply_tile`] for the rows of `R` halves of the panel.
    #[inline(always)]
    fn multiply_halves<const R: usize, const T: usize>(
        &self,
        row: RowLayout,
        slice: &[u8],
        halves: [HalfPanel; R],
        x: &[[u32; T]],
        sums: &mut [[f32; PANEL]],
    ) {
        let before = halves.map(|half| from_fn(|t| self.simd.load(&sums[t].as_chunks().0[half.0])));
        let after = K::Widened::tile(self.simd, row, slice, halves, x, before);
        self.store(after, halves, sums);
    }

    /// Stores the sums of halves of a panel among those of the whole panel.
    #[inline(always)]
    fn store<const R: usize, const T: usize>(
        &self,
        halves_sums: [[S::Floats; T]; R],
        halves: [HalfPanel; R],
        sums: &mut [[f32; PANEL]],
    ) {
        for (half_sums, half) in halves_sums.into_iter().zip(halves) {
            for (half_sums, sums) in half_sums.into_iter().zip(&mut *sums) {
                self.simd.store(half_sums, &mut sums.as_chunks_mut().0[half.0]);
            }
        }
    }
}

/// Copies the sums of a panel's rows to the output, which lacks those beyond the matrix's last row.
#[inline(always)]
fn copy_rows(sums: &[f32; PANEL], output: &mut [f32]) {
    match output.first_chunk_mut() {
        Some(output) => *output = *sums,
        None => output.copy_from_slice(&sums[..output.len()]),
    }
}

impl<S: Simd, K: TileKernel> Product for TiledProduct<S, K> {
    fn isa(&self) -> Isa {
        S::ISA
    }

    fn tile(&self) -> usize {
        Self::TILE
    }

    fn tile_words(&self, row: RowLayout, vectors: usize) -> usize {
        vectors.saturating_mul(Self::all(row).words)
    }

    fn pack_inputs(&self, row: RowLayout, x: &[f32], vectors: usize, tile: &mut [u32]) {
        self.simd.run(
            #[inline(always)]
            || {
                let x = x.chunks_exact(row.columns);
                let given = x.len();
                for (t, x) in x.enumerate() {
                    K::pack_input::<S>(row, x, tile[t..].iter_mut().step_by(vectors));
                }
                for t in given..vectors {
                    tile[t..].iter_mut().step_by(vectors).for_each(|word| *word = 0);
                }
            },
        );
    }

    fn multiply(
        &self,
        row: RowLayout,
        panels: &[u8],
        tiles: &[u32],
        vectors: usize,
        output: &mut Columns<'_, f32>,
    ) {
        self.simd.run(
            #[inline(always)]
            || match (vectors, Self::TILE) {
                (1, _) => self.multiply_one(row, panels, tiles, output.row(0)),
                (2, 2) => self.multiply_batch::<2>(row, panels, tiles, output),
                (4, 4) => self.multiply_batch::<4>(row, panels, tiles, output),
                (6, 6) => self.multiply_batch::<6>(row, panels, tiles, output),
                (12, 12) => self.multiply_batch::<12>(row, panels, tiles, output),
                _ => unreachable!("a tile of {vectors} vectors"),
            },
        );
    }
}
