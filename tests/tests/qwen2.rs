//! Qwen2: biases, and RoPE on halves.

use bootllm_cores::OneCore;
use bootllm_engine::{Plan, PlanError, Session};
use bootllm_host::Threads;
use bootllm_quant::Encoding;
use bootllm_tests::{Gguf, Reference, SmallModel, load, plan, qwen2, value};
use std::sync::Arc;

const MODELS: [fn() -> SmallModel; 2] =
    [SmallModel::tied_embeddings, SmallModel::untied_embeddings];

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn logits_are_those_of_plain_loops_in_every_format() {
    let threads = Threads::start(2).unwrap();
    for model in MODELS.map(|model| model()) {
        for weights in Encoding::writable() {
            let bytes = qwen2(&model, weights);
            let loaded = load(&bytes, usize::MAX);
            assert_eq!(loaded.shape().architecture, "qwen2");
            let mut reference = Reference::new(&bytes, model.config, weights);
            let mut session = Session::new(&loaded, threads.cores()).unwrap();
            let tokens: Vec<u32> = (0..60).map(|i| i * 37 % 325).collect();
            let mut expected = Vec::new();
            for &token in &tokens {
                expected.push(bits(&reference.forward(token)));
            }
            for (&token, expected) in tokens.iter().zip(&expected) {
                assert!(bits(session.decode(token).unwrap()) == *expected, "{weights:?}");
            }
            session.rewind(0);
            let mut all = Vec::new();
            session.prefill_with_logits(&tokens, &mut |logits| all.push(bits(logits))).unwrap();
            assert!(all == expected, "{weights:?}, as one prompt");
            // The biases and the other pairing make a difference.
            let mut llama = Session::new(&model.load(weights), &OneCore).unwrap();
            assert!(bits(llama.decode(tokens[0]).unwrap()) != expected[0]);
        }
    }
}

#[test]
fn what_a_qwen2_needs_and_what_it_may_not_have_is_named() {
    let bytes = qwen2(&SmallModel::tied_embeddings(), Encoding::F32);
    let problem = |file: Gguf| {
        let file = bootllm_model_file::read(&mut file.bytes().as_slice()).unwrap();
        Plan::new(Arc::new(file)).err().unwrap()
    };
    let good = || Gguf::parse(&bytes);
    let without =
        |name: &'static str| good().tensors(|all| all.retain(|tensor| tensor.name != name));
    let tensor = "blk.1.attn_k.bias".to_string();
    assert_eq!(problem(without("blk.1.attn_k.bias")), PlanError::MissingTensor { tensor });
    let yarn = good().with("qwen2.rope.scaling.type", value::text("yarn"));
    let (key, found) = ("qwen2.rope.scaling.type".into(), "yarn".into());
    assert_eq!(problem(yarn), PlanError::Unsupported { key, found });
    let key = "llama.block_count".to_string();
    assert_eq!(
        problem(good().with("general.architecture", value::text("llama"))),
        PlanError::Missing { key: "llama.embedding_length".into() },
        "{key}"
    );
    // Linear scaling is computed.
    let scaled = good().with("qwen2.rope.scaling.factor", value::f32(4.0)).bytes();
    assert_eq!(plan(&scaled).shape(), plan(&bytes).shape());
    let decode = |bytes: &[u8]| {
        let mut session = Session::new(&load(bytes, 9), &OneCore).unwrap();
        session.prefill(&[1, 2, 3]).unwrap();
        bits(session.decode(4).unwrap())
    };
    assert!(decode(&scaled) != decode(&bytes));
}
