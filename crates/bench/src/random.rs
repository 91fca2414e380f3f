//! Untrained models, to be written to files that other programs read too.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bootllm_model_file::{ModelFile, Rows, WriteError};

/// The standard deviation of the weights: that of a model before training (llama2.c's `train.py`).
const DEVIATION: f32 = 0.02;
/// BOS in the SentencePiece vocabularies of Llama models.
const BOS: usize = 1;
/// Characters that have a token; all others are bytes.
const LETTERS: &[u8] = b" abcdefghijklmnopqrstuvwxyz";

/// The weights of a random model: small and roughly normal; those of norms are 1. They depend only on
/// the tensor's name and shape, so files of different formats contain the same model.
///
/// The embedding of BOS is a hundredth of the others, so that its logit is near 0 and never the
/// largest: llama2.c's `run` would stop there.
pub fn random_rows(model: &ModelFile) -> Box<Rows<'_>> {
    Box::new(|name: &str, each| {
        let Some(tensor) = model.tensor(name) else {
            return Err(WriteError::Missing { tensor: name.into() });
        };
        let is_norm = tensor.is_vector() && !name.ends_with(".bias");
        let per_token = !name.contains("blk.");
        let mut numbers = Numbers::of(name);
        let mut row = vec![1.0; tensor.columns()];
        for index in 0..tensor.rows() {
            if !is_norm {
                let scale = if per_token && index == BOS { 0.01 } else { 1.0 };
                row.fill_with(|| numbers.normal() * DEVIATION * scale);
            }
            each(&row)?;
        }
        Ok(())
    })
}

/// SplitMix64 (G. Steele, D. Lea and C. Flood, 2014).
struct Numbers(u64);

impl Numbers {
    /// The generator of a tensor, seeded with the hash of its name (FNV-1a).
    fn of(name: &str) -> Self {
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Numbers(name.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A roughly normal number with mean 0 and deviation 1: the sum of four uniform ones.
    fn normal(&mut self) -> f32 {
        const EVEN: f32 = 65536.0;
        let bits = self.next();
        let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xFFFF).sum();
        // Four numbers below 1 have a mean of 2 and a variance of 4/12.
        (sum as f32 / EVEN - 2.0) * 1.732_050_8
    }
}

/// Pieces and scores of a SentencePiece vocabulary of this many tokens, in llama2.c's order: unknown,
/// BOS, EOS, the bytes, and then made-up pieces. Each of those but the single letters is an earlier
/// one with another letter after it, so text can merge into all of them, and no two are equal
/// (llama.cpp refuses a vocabulary with duplicates).
pub fn random_vocabulary(tokens: usize) -> Vec<(Vec<u8>, f32)> {
    let special = ["<unk>", "\n<s>\n", "\n</s>\n"].map(|piece| piece.as_bytes().to_vec());
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>").into_bytes());
    let mut pieces: Vec<Vec<u8>> = LETTERS.iter().map(|&letter| vec![letter]).collect();
    for parent in 0.. {
        if pieces.len() >= tokens {
            break;
        }
        for &letter in &LETTERS[1..] {
            let mut piece = pieces[parent].clone();
            piece.push(letter);
            pieces.push(piece);
        }
    }
    let scored = (1..).zip(pieces).map(|(rank, piece)| (piece, -(rank as f32)));
    let unscored = special.into_iter().chain(bytes).map(|piece| (piece, 0.0));
    unscored.chain(scored).take(tokens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Synthetic, shape};
    use bootllm_model_file::TensorRole;
    use bootllm_quant::Encoding;

    fn tensor(role: TensorRole, layer: usize) -> Vec<Vec<f32>> {
        let file = Synthetic::new(&shape("260K").unwrap(), Encoding::F32).file;
        let mut found = Vec::new();
        let mut rows = random_rows(&file);
        rows(&role.name(layer), &mut |row| {
            found.push(row.to_vec());
            Ok::<_, WriteError>(())
        })
        .unwrap();
        found
    }

    #[test]
    fn weights_are_roughly_normal_and_every_tensor_has_its_own() {
        let gate = tensor(TensorRole::Gate, 3);
        assert_eq!((gate.len(), gate[0].len()), (172, 64));
        assert_eq!(gate, tensor(TensorRole::Gate, 3));
        assert_ne!(gate, tensor(TensorRole::Gate, 2));
        assert_ne!(gate, tensor(TensorRole::Up, 3));
        let count = (172 * 64) as f32;
        let all = || gate.iter().flatten();
        let mean = all().sum::<f32>() / count;
        let variance = all().map(|weight| weight * weight).sum::<f32>() / count;
        assert!(mean.abs() < 0.001, "{mean}");
        assert!((variance.sqrt() - DEVIATION).abs() < 0.001, "{variance}");
        // A normal distribution has 68.3 % within its deviation, a uniform one 57.7 %.
        let within = all().filter(|weight| weight.abs() < DEVIATION).count() as f32 / count;
        assert!((0.65..0.70).contains(&within), "{within}");
        assert!(tensor(TensorRole::AttentionNorm, 1) == [[1.0; 64]]);
    }

    #[test]
    fn bos_is_small() {
        let largest = |row: &[f32]| row.iter().fold(0f32, |most, weight| most.max(weight.abs()));
        let embedding = tensor(TensorRole::TokenEmbedding, 0);
        assert!(largest(&embedding[BOS]) < 0.001);
        assert!(largest(&embedding[BOS + 1]) > 0.02);
    }

    #[test]
    fn pieces_are_different_and_made_of_each_other() {
        let vocabulary = random_vocabulary(32_000);
        assert_eq!(vocabulary.len(), 32_000);
        let mut pieces: Vec<_> = vocabulary.iter().map(|(piece, _)| piece.as_slice()).collect();
        assert_eq!(pieces[..3], [b"<unk>".as_slice(), b"\n<s>\n", b"\n</s>\n"]);
        assert_eq!((pieces[3], pieces[258]), (b"<0x00>".as_slice(), b"<0xFF>".as_slice()));
        for (index, piece) in pieces.iter().enumerate().skip(259 + LETTERS.len()) {
            let (_, parent) = piece.split_last().unwrap();
            let earlier = pieces.iter().position(|piece| *piece == parent);
            assert!(earlier.is_some_and(|earlier| earlier < index), "{piece:?}");
        }
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), 32_000);
    }

    #[test]
    fn few_tokens_are_the_first_of_many() {
        let few = random_vocabulary(512);
        assert!(few == random_vocabulary(32_000)[..512]);
        assert!(random_vocabulary(100) == few[..100]);
        assert!(random_vocabulary(0).is_empty());
    }
}
