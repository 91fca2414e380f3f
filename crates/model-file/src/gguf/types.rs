//! ggml's tensor formats: their numbers, names and blocks (`ggml_type` in ggml.h, `type_traits` in
//! ggml.c).

use crate::UnknownEncoding;
use alloc::string::{String, ToString};
use bootllm_quant::Encoding;

/// A format that this program does not know: its number and name, the values and the bytes of a
/// block.
struct Type {
    number: u32,
    name: &'static str,
    values: u64,
    bytes: u64,
}

const fn ty(number: u32, name: &'static str, values: u64, bytes: u64) -> Type {
    Type { number, name, values, bytes }
}

/// Formats beyond those of [`Encoding`]. Their size is known, so that a file with such tensors can be
/// described; running them is refused by name.
const TYPES: [Type; 29] = [
    ty(3, "Q4_1", 32, 20),
    ty(6, "Q5_0", 32, 22),
    ty(7, "Q5_1", 32, 24),
    ty(9, "Q8_1", 32, 36),
    ty(10, "Q2_K", 256, 84),
    ty(11, "Q3_K", 256, 110),
    ty(12, "Q4_K", 256, 144),
    ty(13, "Q5_K", 256, 176),
    ty(14, "Q6_K", 256, 210),
    ty(15, "Q8_K", 256, 292),
    ty(16, "IQ2_XXS", 256, 66),
    ty(17, "IQ2_XS", 256, 74),
    ty(18, "IQ3_XXS", 256, 98),
    ty(19, "IQ1_S", 256, 50),
    ty(20, "IQ4_NL", 32, 18),
    ty(21, "IQ3_S", 256, 110),
    ty(22, "IQ2_S", 256, 82),
    ty(23, "IQ4_XS", 256, 136),
    ty(24, "I8", 1, 1),
    ty(25, "I16", 1, 2),
    ty(26, "I32", 1, 4),
    ty(27, "I64", 1, 8),
    ty(28, "F64", 1, 8),
    ty(29, "IQ1_M", 256, 56),
    ty(34, "TQ1_0", 256, 54),
    ty(35, "TQ2_0", 256, 66),
    ty(39, "MXFP4", 32, 17),
    ty(40, "NVFP4", 64, 36),
    ty(41, "Q1_0", 128, 18),
];

/// The format with this number, and the values and bytes of a block. `Err`: nobody has defined it.
pub(super) fn tensor_type(
    number: u32,
) -> Result<(Result<Encoding, UnknownEncoding>, u64, u64), String> {
    if let Some(encoding) = Encoding::with_ggml_type(number) {
        let values = encoding.block_len();
        let shape = bootllm_quant::Shape { rows: 1, columns: values, encoding };
        let bytes = shape.plane_bytes().unwrap_or_default()[0];
        return Ok((Ok(encoding), values as u64, bytes));
    }
    match TYPES.iter().find(|known| known.number == number) {
        Some(&Type { number, name, values, bytes }) => {
            Ok((Err(UnknownEncoding { name, number }), values, bytes))
        }
        None => Err(number.to_string()),
    }
}
