//! What computes the steps of a run: the cores of the processor or, through Burn, a GPU.
//!
//! The order of the documents, the schedule, the log, checkpoints and models are [`fit`]'s and the
//! same for both, so that a run can be begun on one and go on on the other. To the last bit it
//! ends in the same weights only if it stays where it was.
//!
//! [`fit`]: crate::fit

use crate::network::{Batch, Network};
use crate::ops::dropout::Dropout;
use crate::optimizer::{self, Moments, norm};
use crate::parameters::Parameters;
use anyhow::{Result, bail};
use std::borrow::Cow;
use std::str::FromStr;

/// Holds the weights of a run, computes their gradients and changes them.
pub trait Backend {
    /// Where it computes, for a person to read.
    fn name(&self) -> String;

    /// Computes the gradients of the mean loss of these batches' tokens and keeps them. Gives that
    /// loss, in nats, and the norm of all gradients together.
    fn gradients(&mut self, batches: &[(Batch, Dropout)]) -> Result<(f64, f64)>;

    /// Changes the weights by the gradients that were kept, whose norm is `norm`. A step is its
    /// number, from 0 on, and its rate.
    fn update(&mut self, norm: f64, settings: &optimizer::Settings, step: (u64, f32))
    -> Result<()>;

    /// The loss of a batch without dropout: the sum over its tokens of −ln p(target), in nats.
    fn loss(&mut self, batch: &Batch) -> Result<f64>;

    /// The weights as they are now.
    fn weights(&self) -> Result<Cow<'_, Parameters>>;

    /// The optimizer's means as they are now.
    fn moments(&self) -> Result<Cow<'_, Moments>>;
}

/// Where a run computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// On the cores of the processor, by the explicit network.
    Cpu,
    /// On a GPU, counted from 0.
    Gpu(usize),
    /// On the processor, by Burn's network: slow, for checking it where there is no GPU.
    Burn,
}

impl FromStr for Device {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cpu" => return Ok(Device::Cpu),
            "gpu" => return Ok(Device::Gpu(0)),
            "burn" => return Ok(Device::Burn),
            _ => {}
        }
        match text.strip_prefix("gpu:").map(str::parse) {
            Some(Ok(number)) => Ok(Device::Gpu(number)),
            _ => bail!("it is cpu, gpu, gpu:NUMBER or burn"),
        }
    }
}

impl Device {
    /// Takes weights and means there.
    pub fn open(self, weights: Parameters, moments: Moments) -> Result<Box<dyn Backend>> {
        match self {
            Device::Cpu => Ok(Box::new(Cpu::new(weights, moments)?)),
            #[cfg(feature = "burn")]
            _ => Ok(Box::new(crate::gpu::Gpu::new(self, &weights, &moments)?)),
            #[cfg(not(feature = "burn"))]
            _ => bail!(
                "this program was built without Burn, which it needs for a GPU; build it with \
                 `cargo build --release -p bootllm-train --features gpu`"
            ),
        }
    }
}

/// The cores of the processor.
pub struct Cpu {
    network: Network,
    weights: Parameters,
    moments: Moments,
    gradients: Parameters,
}

impl Cpu {
    /// Goes on from these weights and means.
    pub fn new(weights: Parameters, moments: Moments) -> Result<Self> {
        let network = Network::new(weights.config())?;
        let gradients = Parameters::zeros(weights.config());
        Ok(Cpu { network, weights, moments, gradients })
    }
}

impl Backend for Cpu {
    fn name(&self) -> String {
        match rayon::current_num_threads() {
            1 => String::from("a core of the processor"),
            cores => format!("{cores} cores of the processor"),
        }
    }

    fn gradients(&mut self, batches: &[(Batch, Dropout)]) -> Result<(f64, f64)> {
        let tokens: usize = batches.iter().map(|(batch, _)| batch.tokens.len()).sum();
        let (weights, gradients) = (&self.weights, &mut self.gradients);
        gradients.values_mut().fill(0.0);
        let mut loss = 0.0;
        for (batch, dropout) in batches {
            loss += self.network.step(weights, gradients, batch, *dropout, 1.0 / tokens as f32);
        }
        Ok((loss / tokens as f64, norm(gradients)))
    }

    fn update(
        &mut self,
        norm: f64,
        settings: &optimizer::Settings,
        step: (u64, f32),
    ) -> Result<()> {
        let Cpu { weights, moments, gradients, .. } = self;
        optimizer::update(weights, moments, gradients, norm, settings, step);
        Ok(())
    }

    fn loss(&mut self, batch: &Batch) -> Result<f64> {
        Ok(self.network.loss(&self.weights, batch))
    }

    fn weights(&self) -> Result<Cow<'_, Parameters>> {
        Ok(Cow::Borrowed(&self.weights))
    }

    fn moments(&self) -> Result<Cow<'_, Moments>> {
        Ok(Cow::Borrowed(&self.moments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        for (text, device) in [
            ("cpu", Device::Cpu),
            ("gpu", Device::Gpu(0)),
            ("gpu:12", Device::Gpu(12)),
            ("burn", Device::Burn),
        ] {
            assert_eq!(text.parse::<Device>().unwrap(), device);
        }
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu0", "cuda"] {
            let error = text.parse::<Device>().unwrap_err().to_string();
            assert!(error.contains("gpu:NUMBER"), "{text}: {error}");
        }
    }
}
