//! The operations of the network, each with its forward and backward pass.
//!
//! Shapes in the comments: `n` tokens in a batch, `d` values per token, `h` heads of `s` values.
//! A `d` before a name (`dx`) is the gradient of the loss with respect to it.

pub mod attention;
pub mod dropout;
pub mod loss;
pub mod product;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;
pub mod vector;

/// How the tokens of a batch are divided into consecutive sequences.
#[derive(Clone, Debug)]
pub struct Sequences {
    lengths: Vec<usize>,
    tokens: usize,
}

impl Sequences {
    /// Sequences of these lengths.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let lengths: Vec<usize> = lengths.into_iter().collect();
        Sequences { tokens: lengths.iter().sum(), lengths }
    }

    /// The number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The length of each sequence.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The sum of the squared lengths: attention weights per head.
    pub fn squares(&self) -> usize {
        self.lengths.iter().map(|length| length * length).sum()
    }

    /// The slice of each sequence, with `width` values per token.
    fn split<'a>(&self, values: &'a [f32], width: usize) -> Vec<&'a [f32]> {
        split(values, self.lengths.iter().map(|length| length * width))
    }

    fn split_mut<'a>(&self, values: &'a mut [f32], width: usize) -> Vec<&'a mut [f32]> {
        split_mut(values, self.lengths.iter().map(|length| length * width))
    }

    /// For each sequence, `groups` slices with the attention weights of `heads` heads each.
    fn split_squares<'a>(&self, values: &'a [f32], groups: usize, heads: usize) -> Vec<&'a [f32]> {
        split(values, self.square_lengths(groups, heads))
    }

    fn split_squares_mut<'a>(
        &self,
        values: &'a mut [f32],
        groups: usize,
        heads: usize,
    ) -> Vec<&'a mut [f32]> {
        split_mut(values, self.square_lengths(groups, heads))
    }

    fn square_lengths(&self, groups: usize, heads: usize) -> impl Iterator<Item = usize> {
        let each = move |length: &usize| core::iter::repeat_n(heads * length * length, groups);
        self.lengths.iter().flat_map(each)
    }
}

fn split(mut values: &[f32], lengths: impl Iterator<Item = usize>) -> Vec<&[f32]> {
    let parts = lengths.map(|length| {
        let (part, rest) = values.split_at(length);
        values = rest;
        part
    });
    parts.collect()
}

fn split_mut(mut values: &mut [f32], lengths: impl Iterator<Item = usize>) -> Vec<&mut [f32]> {
    let parts = lengths.map(|length| {
        let (part, rest) = core::mem::take(&mut values).split_at_mut(length);
        values = rest;
        part
    });
    parts.collect()
}
