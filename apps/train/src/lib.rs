//! Trains small models for bootllm, on the processors of the machine at hand.
//!
//! The road of the data: texts → [`corpus`] (documents, a part held out) → [`vocabulary`] (a
//! tokenizer made for them) → training → a model file that `bootllm` and llama2.c run.

pub mod corpus;
pub mod log;
pub mod vocabulary;
