//! The same model on a GPU, through [Burn](https://burn.dev): its tensors, automatic differentiation
//! and kernels, which `wgpu` runs on Vulkan, Metal or Direct3D.
//!
//! **Never run on a GPU**, because none was available. It is tested on Burn's CPU backend, which
//! computes the same operations.
//!
//! Differences from [`crate::network`]:
//! - Sequences are padded to the longest of their batch. Padding is computed but does not count.
//! - Burn computes the gradients. A test compares them with the explicit ones.
//! - Sums are computed in another order, so results agree to about six digits, not to the bit.
//! - Dropout uses Burn's random numbers, seeded for every batch, so a resumed run drops the values of
//!   an uninterrupted one.
//!
//! A run uses one device. Burn 0.22 can add gradients over several, but only with a backend that
//! communicates between devices. `wgpu` does not; `cuda` does, but building it downloads LLVM.

mod network;
mod optimizer;

use crate::backend::{Backend, Device};
use crate::error::TrainError;
use crate::network::Batch;
use crate::ops::dropout::Dropout;
use crate::optimizer::{Method, Moments, OptimizerSettings};
use crate::parameters::Parameters;
use anyhow::{Context, Result, bail};
use burn::tensor::{Device as BurnDevice, Tensor};
use network::{Network, Tensors};
use optimizer::Weight;
use std::borrow::Cow;

/// A Burn device with the weights and moments of a run.
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
    /// Moves weights and moments to a device.
    pub fn new(device: Device, weights: &Parameters, moments: &Moments) -> Result<Self> {
        let (name, device) = match device {
            Device::Gpu(number) => find(number)?,
            Device::Cpu | Device::Burn => (String::from("the CPU with Burn"), BurnDevice::flex()),
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

/// Finds a GPU by its number, with its name.
#[cfg(feature = "gpu")]
fn find(number: usize) -> Result<(String, BurnDevice)> {
    use burn::tensor::DeviceType;

    let name = |device: &BurnDevice| match device.identity() {
        Some(identity) => identity.name,
        None => String::from("an unnamed GPU"),
    };
    let mut devices = BurnDevice::enumerate(DeviceType::Wgpu).into_vec();
    if devices.is_empty() {
        bail!(TrainError::NoGpu);
    }
    if number >= devices.len() {
        let names: Vec<_> = devices.iter().map(name).collect();
        bail!(TrainError::UnknownGpu { number, known: names.join(", ") });
    }
    let device = devices.swap_remove(number);
    Ok((name(&device), device))
}

#[cfg(not(feature = "gpu"))]
fn find(_: usize) -> Result<(String, BurnDevice)> {
    bail!(TrainError::BuiltWithoutGpu)
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
            let gradients = gradients.context("Burn computed no gradient for a tensor")?;
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

    fn update(&mut self, norm: f64, settings: &OptimizerSettings, step: (u64, f32)) -> Result<()> {
        let clip = f64::from(settings.clip);
        let scale = if norm > clip { (clip / norm) as f32 } else { 1.0 };
        let roles: Vec<_> = self.weights.tensor_roles().collect();
        let values = self.weights.tensors.iter_mut();
        let moments = self.first.tensors.iter_mut().zip(&mut self.second.tensors);
        let gradients = self.gradients.drain(..);
        for (((role, values), (first, second)), gradient) in
            roles.into_iter().zip(values).zip(moments).zip(gradients)
        {
            let weight = Weight { values, first, second };
            if settings.method == Method::Muon && role.in_layers() && !role.is_norm() {
                optimizer::muon(weight, gradient, step.1, settings.decay);
            } else {
                let decay = if role.is_norm() { 0.0 } else { settings.decay };
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

/// Waits for a tensor of one value.
fn scalar(tensor: Tensor<1>) -> Result<f64> {
    Ok(f64::from(tensor.try_into_scalar::<f32>()?))
}
