//! Rotating the pairs of a head (RoPE; Su et al., 2021), in both pairings.

/// Which two values of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// Neighbours: 0 and 1, 2 and 3 (llama2.c; llama.cpp's `LLAMA_ROPE_TYPE_NORM`).
    Adjacent,
    /// Value i of the first half and value i of the second (GPT-NeoX; `LLAMA_ROPE_TYPE_NEOX`).
    Halves,
}

/// Rotates the pairs of every head in `heads` by these cosines and sines; what is left of a head
/// that has more values stays as it is.
#[inline(always)]
pub(crate) fn rotate(pairing: Pairing, turns: &[(f32, f32)], heads: &mut [f32], head_size: usize) {
    for head in heads.chunks_exact_mut(head_size) {
        match pairing {
            Pairing::Adjacent => {
                for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                    let [a, b] = *pair;
                    *pair = [a * cos - b * sin, a * sin + b * cos];
                }
            }
            Pairing::Halves => {
                let (first, rest) = head.split_at_mut(turns.len());
                for ((a, b), &(cos, sin)) in first.iter_mut().zip(rest).zip(turns) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}
