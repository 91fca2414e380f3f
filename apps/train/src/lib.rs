//! Trains small models for bootllm, on the processors of the machine at hand.
//!
//! The road of the data: texts → [`corpus`] (documents, a part held out) → [`vocabulary`] (a
//! tokenizer made for them) → training → a model file that `bootllm` and llama2.c run.

pub mod checkpoint;
pub mod corpus;
pub mod feed;
pub mod fit;
pub mod log;
pub mod network;
pub mod ops;
pub mod optimizer;
pub mod parameters;
pub mod plot;
pub mod sample;
pub mod shape;
pub mod vocabulary;
