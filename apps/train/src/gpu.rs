//! The same model on a GPU, through [Burn](https://burn.dev): its tensors, its derivatives and its
//! kernels, which `wgpu` runs on Vulkan, Metal or Direct3D.
//!
//! **Untested on a GPU**: there was none where this was written. It was tested on Burn's processor
//! backend, which computes the same operations.
//!
//! It differs from the explicit network of the processor in this:
//! - Sequences are filled up to the longest of their batch; what was filled in is computed, and
//!   counts nothing.
//! - The derivatives are Burn's. A test holds them against the explicit ones.
//! - Sums are added in another order, so results agree to some six digits and not to the bit.
//! - Dropout has Burn's random numbers, begun again in every part of every step, so a resumed run
//!   finds those of an uninterrupted one.
//!
//! One device computes a run. Burn 0.22 can add gradients over several, but only where its backend
//! has a way between devices, which `wgpu`'s does not; the `cuda` backend, which has, is not built
//! here because building it fetches LLVM.

mod network;
mod optimizer;

use crate::backend::{Backend, Device};
use crate::network::Batch;
use crate::ops::dropout::Dropout;
use crate::optimizer::{Method, Moments, Settings};
use crate::parameters::Parameters;
use anyhow::{Context, Result, bail};
use burn::tensor::{Device as BurnDevice, Tensor};
use network::{Network, Tensors};
use optimizer::Weight;
use std::borrow::Cow;

/// A device of Burn's, and what a run has there.
pub struct Gpu {
    name: String,
    device: BurnDevice,
    network: Network,
    weights: Tensors,
    first: Tensors,
    second: Tensors,
    gradients: Vec<Tensor<2>>,
}

impl Gpu {
    /// Takes weights and means to a device.
    pub fn new(device: Device, weights: &Parameters, moments: &Moments) -> Result<Self> {
        let (name, device) = match device {
            Device::Gpu(number) => find(number)?,
            Device::Cpu | Device::Burn => {
                (String::from("the processor, by Burn"), BurnDevice::flex())
            }
        };
        let upload = |parameters| Tensors::upload(parameters, &device);
        Ok(Gpu {
            network: Network::new(weights.config(), &device)?,
            weights: upload(weights),
            first: upload(&moments.first),
            second: upload(&moments.second),
            gradients: Vec::new(),
            name,
            device,
        })
    }
}

/// A GPU by its number, and its name.
#[cfg(feature = "gpu")]
fn find(number: usize) -> Result<(String, BurnDevice)> {
    use burn::tensor::DeviceType;

    let name = |device: &BurnDevice| match device.identity() {
        Some(identity) => identity.name,
        None => String::from("a GPU without a name"),
    };
    let mut devices = BurnDevice::enumerate(DeviceType::Wgpu).into_vec();
    if devices.is_empty() {
        bail!("no GPU was found: its driver has to offer Vulkan, Metal or Direct3D 12");
    }
    if number >= devices.len() {
        let names: Vec<_> = devices.iter().map(name).collect();
        bail!("there is no GPU {number}; counted from 0 there are: {}", names.join(", "));
    }
    let device = devices.swap_remove(number);
    Ok((name(&device), device))
}

#[cfg(not(feature = "gpu"))]
fn find(_: usize) -> Result<(String, BurnDevice)> {
    bail!(
        "this program was built with Burn's processor backend only; build it with \
         `cargo build --release -p bootllm-train --features gpu`"
    )
}

impl Backend for Gpu {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn gradients(&mut self, batches: &[(Batch, Dropout)]) -> Result<(f64, f64)> {
        let tokens: usize = batches.iter().map(|(batch, _)| batch.tokens.len()).sum();
        let (mut loss, mut sums) = (0.0, Vec::<Tensor<2>>::new());
        for (batch, dropout) in batches {
            if dropout.rate() > 0.0 {
                self.device.seed(u64::from(dropout.key()));
            }
            let weights = self.weights.tracked();
            let batch_loss = self.network.loss(&weights, batch, *dropout);
            let mut all = (batch_loss.clone() * (1.0 / tokens as f32)).backward();
            let gradients = weights.tensors.iter().map(|tensor| tensor.grad_remove(&mut all));
            let gradients: Option<Vec<_>> = gradients.collect();
            let gradients = gradients.context("Burn gave a tensor no gradient")?;
            if sums.is_empty() {
                sums = gradients;
            } else {
                sums = sums.into_iter().zip(gradients).map(|(a, b)| a + b).collect();
            }
            loss += scalar(batch_loss)?;
        }
        let squares: Vec<_> = sums.iter().map(|sum| sum.clone().square().sum()).collect();
        let squares = Tensor::cat(squares, 0).try_into_vec_as::<f32>()?;
        self.gradients = sums;
        let norm = squares.into_iter().map(f64::from).sum::<f64>().sqrt();
        Ok((loss / tokens as f64, norm))
    }

    fn update(&mut self, norm: f64, settings: &Settings, step: (u64, f32)) -> Result<()> {
        let clip = f64::from(settings.clip);
        let scale = if norm > clip { (clip / norm) as f32 } else { 1.0 };
        let parts: Vec<_> = self.weights.parts().collect();
        let values = self.weights.tensors.iter_mut();
        let means = self.first.tensors.iter_mut().zip(&mut self.second.tensors);
        let gradients = self.gradients.drain(..);
        for (((part, values), (first, second)), gradient) in
            parts.into_iter().zip(values).zip(means).zip(gradients)
        {
            let weight = Weight { values, first, second };
            if settings.method == Method::Muon && part.in_layers() && !part.is_norm() {
                optimizer::muon(weight, gradient, step.1, settings.decay);
            } else {
                let decay = if part.is_norm() { 0.0 } else { settings.decay };
                optimizer::adamw(weight, gradient, scale, settings, decay, step);
            }
        }
        Ok(())
    }

    fn loss(&mut self, batch: &Batch) -> Result<f64> {
        scalar(self.network.loss(&self.weights, batch, Dropout::NONE))
    }

    fn weights(&self) -> Result<Cow<'_, Parameters>> {
        Ok(Cow::Owned(self.weights.download()?))
    }

    fn moments(&self) -> Result<Cow<'_, Moments>> {
        let (first, second) = (self.first.download()?, self.second.download()?);
        Ok(Cow::Owned(Moments { first, second }))
    }
}

/// The only value of a tensor, when it has been computed.
fn scalar(tensor: Tensor<1>) -> Result<f64> {
    Ok(f64::from(tensor.try_into_scalar::<f32>()?))
}
