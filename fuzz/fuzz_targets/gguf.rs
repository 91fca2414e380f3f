#![no_main]
//! For `cargo fuzz run`; see README.md.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bootllm_fuzz::targets::model_file(bytes));
