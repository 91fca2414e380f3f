//! The devices that a run can use: the CPU or, through Burn, a GPU.
//!
//! Batch order, schedule, log, checkpoints and models belong to [`fit`] and are the same on both, so
//! a run started on one can resume on the other. Only a run that stays on its device ends in the
//! same bits.
//!
//! [`fit`]: crate::fit

use crate::error::TrainError;
use crate::network::{Batch, Network};
use crate::ops::dropout::Dropout;
use crate::optimizer::{self, Moments, OptimizerSettings, norm};
use crate::parameters::Parameters;
use anyhow::{Result, bail};
use std::borrow::Cow;
use std::str::FromStr;

/// Holds the weights of a run, computes their gradients and updates them.
pub trait Backend {
    /// The name of the device, for the user.
    fn name(&self) -> String;

    /// Computes and stores the gradients of the mean loss over the tokens of these batches. Returns
    /// that loss, in nats, and the global norm of the gradients.
    fn gradients(&mut self, batches: &[(Batch, Dropout)]) -> Result<(f64, f64)>;

    /// Updates the weights by the stored gradients, whose global norm is `norm`. `step` is the step's
    /// number, from 0 on, and its learning rate.
    fn update(&mut self, norm: f64, settings: &OptimizerSettings, step: (u64, f32)) -> Result<()>;

    /// The loss of a batch without dropout: the sum of −ln p(target) over its tokens, in nats.
    fn loss(&mut self, batch: &Batch) -> Result<f64>;

    /// The current weights.
    fn weights(&self) -> Result<Cow<'_, Parameters>>;

    /// The current moments of the optimizer.
    fn moments(&self) -> Result<Cow<'_, Moments>>;
}

/// The device of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU, with [`Network`].
    Cpu,
    /// A GPU by its number, with Burn.
    Gpu(usize),
    /// The CPU with Burn: slow, for testing the GPU's code without a GPU.
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
            _ => bail!(TrainError::UnknownDevice),
        }
    }
}

impl Device {
    /// Moves weights and moments to the device.
    pub fn open(self, weights: Parameters, moments: Moments) -> Result<Box<dyn Backend>> {
        match self {
            Device::Cpu => Ok(Box::new(Cpu::new(weights, moments)?)),
            #[cfg(feature = "burn")]
            _ => Ok(Box::new(crate::gpu::Gpu::new(self, &weights, &moments)?)),
            #[cfg(not(feature = "burn"))]
            _ => bail!(TrainError::BuiltWithoutGpu),
        }
    }
}

/// All cores of the CPU.
pub struct Cpu {
    network: Network,
    weights: Parameters,
    moments: Moments,
    gradients: Parameters,
}

impl Cpu {
    /// Starts from these weights and moments.
    pub fn new(weights: Parameters, moments: Moments) -> Result<Self> {
        let network = Network::new(weights.config())?;
        let gradients = Parameters::zeros(weights.config());
        Ok(Cpu { network, weights, moments, gradients })
    }
}

impl Backend for Cpu {
    fn name(&self) -> String {
        match rayon::current_num_threads() {
            1 => String::from("1 CPU thread"),
            threads => format!("{threads} CPU threads"),
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

    fn update(&mut self, norm: f64, settings: &OptimizerSettings, step: (u64, f32)) -> Result<()> {
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
    fn devices_are_parsed() {
        for (text, device) in [
            ("cpu", Device::Cpu),
            ("gpu", Device::Gpu(0)),
            ("gpu:12", Device::Gpu(12)),
            ("burn", Device::Burn),
        ] {
            assert_eq!(text.parse::<Device>().unwrap(), device);
        }
        for text in ["", "GPU", "gpu:", "gpu:-1", "gpu0", "cuda"] {
            let error: TrainError = text.parse::<Device>().unwrap_err().downcast().unwrap();
            assert_eq!(error, TrainError::UnknownDevice, "{text}");
        }
    }
}
