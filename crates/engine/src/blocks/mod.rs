//! What architectures share: the blocks that a forward pass is made of.
//!
//! Each is a method of [`Pass`](crate::pass::Pass) that reads and writes buffers of activations, for
//! all rows at once, divided among the cores. Every row has the bits that it would have alone.

mod attention;
mod feed_forward;
mod norm;
mod projection;
mod rope;
#[cfg(test)]
mod tests;

pub(crate) use attention::{Attention, Head, Rules, attention, score_floats};
pub(crate) use feed_forward::{Activation, gelu_times};
pub(crate) use projection::Linear;
pub(crate) use rope::{Pairing, RopeConfig, rotate};
