#![deny(unsafe_code)] // `ops::product`, which calls `gemm`, is the exception.
//! Trains small models for bootllm, on the processors of the machine at hand.
//!
//! The road of the data: texts → [`corpus`] (documents, a part held out) → [`vocabulary`] (a
//! tokenizer made for them) → [`feed`] (tokens, in batches) → [`network`] (loss and gradients) →
//! [`optimizer`] (better weights), again and again under [`fit`] → a model file that `bootllm` and
//! llama2.c run.
//!
//! Reading order: [`network`], with the [`ops`] beside it, is the heart; then [`feed`],
//! [`optimizer`] and [`fit`].

pub mod backend;
pub mod budget;
pub mod checkpoint;
pub mod corpus;
pub mod feed;
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
