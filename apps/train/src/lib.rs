#![deny(unsafe_code)] // Except in `ops::product`, which calls `gemm`.
//! Trains small models for bootllm on the CPU.
//!
//! Data flow: texts → [`corpus`] (documents, some of them held out) → [`vocabulary`] (a tokenizer) →
//! [`data_loader`] (batches of tokens) → [`network`] (loss and gradients) → [`optimizer`] (updates of
//! the weights), repeated by [`fit`] → a model file for `bootllm` and llama2.c.
//!
//! Reading order: [`network`] and its [`ops`], then [`data_loader`], [`optimizer`] and [`fit`].

pub mod backend;
pub mod budget;
pub mod checkpoint;
pub mod corpus;
pub mod data_loader;
pub mod error;
pub mod fit;
#[cfg(feature = "burn")]
pub mod gpu;
pub mod log;
pub mod network;
pub mod ops;
pub mod optimizer;
pub mod parameters;
pub mod plot;
pub mod sample;
pub mod shape;
pub mod vocabulary;
