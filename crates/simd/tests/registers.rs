//! Every operation of every instruction set against its definition in plain Rust, lane by lane.

use bootllm_simd::*;

/// Bytes of all values in an order that mixes them (Knuth's multiplicative generator, MMIX), with
/// rounds of extreme ones.
fn random_bytes<const N: usize>(state: &mut u64) -> [u8; N] {
    let mut next = || {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    match next() % 4 {
        0 => std::array::from_fn(|_| [0, 1, 127, 128, 129, 255][usize::from(next()) % 6]),
        _ => std::array::from_fn(|_| next()),
    }
}

/// Lanes of a vector: their bits.
fn floats<S: Simd>(simd: S, values: S::Floats) -> [u32; LANES] {
    let mut output = [0.0; LANES];
    simd.store(values, &mut output);
    output.map(f32::to_bits)
}

/// Integers small enough to be exact as floats, which is how they leave a register.
fn integers<S: Simd>(simd: S, values: S::Integers) -> [i32; LANES] {
    floats(simd, simd.to_floats(values)).map(|bits| f32::from_bits(bits) as i32)
}

fn bytes<S: Simd>(simd: S, values: S::Bytes) -> [u8; VECTOR_BYTES] {
    let mut output = [0; VECTOR_BYTES];
    simd.store_u8(values, &mut output);
    output
}

struct CheckAll;

impl SimdOp for CheckAll {
    type Output = ();

    fn eval<S: Simd>(self, simd: S) {
        let state = &mut 1;
        for _ in 0..200 {
            simd.run(|| {
                check_floats(simd, state);
                check_integers(simd, state);
                check_bytes(simd, state);
                check_dot(simd, state);
                check_dot_small(simd, state);
            });
        }
        check_conversions(simd);
        check_extremes(simd);
    }
}

fn check_floats<S: Simd>(simd: S, state: &mut u64) {
    // All exponents but those of infinities and NaN, whose payloads differ between CPUs.
    let mut number = || {
        let bits = u32::from_le_bytes(random_bytes(state));
        if bits & 0x7f80_0000 == 0x7f80_0000 { 1.5 } else { f32::from_bits(bits) }
    };
    let (a, b): ([f32; LANES], [f32; LANES]) =
        (std::array::from_fn(|_| number()), std::array::from_fn(|_| number()));
    let lanes = |f: fn(f32, f32) -> f32| -> [u32; LANES] {
        std::array::from_fn(|lane| f(a[lane], b[lane]).to_bits())
    };
    let (va, vb) = (simd.load(&a), simd.load(&b));
    assert_eq!(floats(simd, va), a.map(f32::to_bits));
    assert_eq!(floats(simd, simd.add(va, vb)), lanes(|a, b| a + b));
    assert_eq!(floats(simd, simd.mul(va, vb)), lanes(|a, b| a * b));
    assert_eq!(floats(simd, simd.scale(va, &b[3])), a.map(|a| (a * b[3]).to_bits()));
    assert_eq!(floats(simd, simd.splat(b[5])), [b[5].to_bits(); LANES]);
    let mut little_endian = [0; 4 * LANES];
    simd.store_f32(va, &mut little_endian);
    assert_eq!(little_endian.as_chunks().0, a.map(f32::to_le_bytes));
    assert_eq!(floats(simd, simd.load_f32(&little_endian)), a.map(f32::to_bits));
}

fn check_integers<S: Simd>(simd: S, state: &mut u64) {
    let (a, b): ([u8; LANES], [u8; LANES]) = (random_bytes(state), random_bytes(state));
    let (va, vb) = (simd.widen_u8(&a), simd.widen_i8(&b));
    assert_eq!(integers(simd, va), a.map(i32::from));
    assert_eq!(integers(simd, vb), b.map(|b| i32::from(b as i8)));
    assert_eq!(integers(simd, simd.splat_i32(-70_000)), [-70_000; LANES]);
    let lanes = |f: fn(i32, i32) -> i32| -> [i32; LANES] {
        std::array::from_fn(|lane| f(a[lane].into(), (b[lane] as i8).into()))
    };
    assert_eq!(integers(simd, simd.add_i32(va, vb)), lanes(|a, b| a + b));
    assert_eq!(integers(simd, simd.mul_i32(va, vb)), lanes(|a, b| a * b));
    // Modulo 2^32: the products are too large, their remainders are not.
    let large = simd.mul_i32(va, simd.splat_i32(0x1000_0001));
    let expected = a.map(|a| (i32::from(a).wrapping_mul(0x1000_0001) as f32) as i32);
    assert_eq!(integers(simd, large), expected);
    assert_eq!(floats(simd, simd.load_i8(&b)), b.map(|b| f32::from(b as i8).to_bits()));
}

fn check_bytes<S: Simd>(simd: S, state: &mut u64) {
    let (a, b): ([u8; VECTOR_BYTES], [u8; VECTOR_BYTES]) =
        (random_bytes(state), random_bytes(state));
    let (va, vb) = (simd.load_u8(&a), simd.load_u8(&b));
    let pairs =
        |f: fn(u8, u8) -> u8| -> [u8; VECTOR_BYTES] { std::array::from_fn(|i| f(a[i], b[i])) };
    assert_eq!(bytes(simd, va), a);
    assert_eq!(bytes(simd, simd.splat_u8(0xa5)), [0xa5; VECTOR_BYTES]);
    assert_eq!(bytes(simd, simd.and_u8(va, vb)), pairs(|a, b| a & b));
    assert_eq!(bytes(simd, simd.or_u8(va, vb)), pairs(|a, b| a | b));
    assert_eq!(bytes(simd, simd.add_u8(va, vb)), pairs(u8::wrapping_add));
    macro_rules! shifts {
        ($($n:literal)*) => {$(
            assert_eq!(bytes(simd, simd.shift_left_u8::<$n>(va)), a.map(|a| a << $n));
            assert_eq!(bytes(simd, simd.shift_right_u8::<$n>(va)), a.map(|a| a >> $n));
        )*};
    }
    shifts!(0 1 2 3 4 5 6 7);
    let (low, high) = (simd.low_bits::<4>(va), simd.high_bits::<6>(vb));
    assert_eq!(bytes(simd, low.bytes()), a.map(|a| a & 15));
    assert_eq!(bytes(simd, high.bytes()), b.map(|b| b >> 6));
    assert_eq!(bytes(simd, simd.low_bits::<6>(va).bytes()), a.map(|a| a & 63));
    assert_eq!(bytes(simd, simd.high_bits::<2>(va).bytes()), a.map(|a| a >> 2));
    assert_eq!(bytes(simd, simd.combine(low, high).bytes()), pairs(|a, b| a & 15 | b >> 6));
    let table = random_bytes(state);
    let expected = a.map(|a| table[usize::from(a & 15)]);
    assert_eq!(bytes(simd, simd.lookup_u8(&table, simd.low_bits::<6>(va))), expected);
}

/// The four products of each lane, of weights less a bias.
fn products(weights: &[u8; VECTOR_BYTES], x: Quad, bias: i32) -> [i32; LANES] {
    std::array::from_fn(|lane| {
        (0..4).map(|i| (i32::from(weights[4 * lane + i]) - bias) * i32::from(x[i])).sum()
    })
}

fn check_dot<S: Simd>(simd: S, state: &mut u64) {
    let weights = random_bytes(state);
    let x: Quad = random_bytes::<4>(state).map(u8::cast_signed);
    let sums = simd.dot(simd.splat_i32(-7), simd.load_u8(&weights), S::pack_input(x));
    let expected = products(&weights, x, 128 - S::WEIGHT_BIAS).map(|sum| sum - 7);
    assert_eq!(integers(simd, sums), expected);
}

fn check_dot_small<S: Simd>(simd: S, state: &mut u64) {
    let (a, b) = (random_bytes(state), random_bytes(state));
    let x: [Quad; 2] =
        [random_bytes::<4>(state), random_bytes::<4>(state)].map(|quad| quad.map(u8::cast_signed));
    let weights = [simd.low_bits::<6>(simd.load_u8(&a)), simd.high_bits::<2>(simd.load_u8(&b))];
    let sums = simd.dot_small(simd.splat_i32(1000), weights, x.map(quad_word));
    let (first, second) =
        (products(&a.map(|a| a & 63), x[0], 0), products(&b.map(|b| b >> 2), x[1], 0));
    let expected: [i32; LANES] = std::array::from_fn(|lane| 1000 + first[lane] + second[lane]);
    assert_eq!(integers(simd, sums), expected);
}

/// Every 16-bit float, infinities included; of NaN only that it is one.
fn check_conversions<S: Simd>(simd: S) {
    let same = |lanes: [u32; LANES], expected: [f32; LANES]| {
        for (lane, expected) in lanes.into_iter().map(f32::from_bits).zip(expected) {
            assert!(
                lane.to_bits() == expected.to_bits() || lane.is_nan() && expected.is_nan(),
                "{lane} for {expected}"
            );
        }
    };
    for first in (0..=u16::MAX).step_by(LANES) {
        let bits: [u16; LANES] = std::array::from_fn(|lane| first + lane as u16);
        let mut bytes = [0; 2 * LANES];
        for (bytes, bits) in bytes.as_chunks_mut().0.iter_mut().zip(bits) {
            *bytes = bits.to_le_bytes();
        }
        same(floats(simd, simd.load_f16(&bytes)), bits.map(f16_to_f32));
        if bits.iter().all(|bits| bits & 0x7c00 != 0x7c00) {
            same(floats(simd, simd.load_finite_f16(&bytes)), bits.map(f16_to_f32));
        }
        same(floats(simd, simd.load_bf16(&bytes)), bits.map(bf16_to_f32));
    }
}

/// The largest sums that there are: 16-bit intermediate results must not saturate.
fn check_extremes<S: Simd>(simd: S) {
    for weight in [0, 63, 127, 128, 255] {
        for x in [-128, -127, 127] {
            let (weights, quad) = ([weight; VECTOR_BYTES], [x; 4]);
            let bytes = simd.load_u8(&weights);
            let sums = simd.dot(simd.splat_i32(0), bytes, S::pack_input(quad));
            assert_eq!(integers(simd, sums), products(&weights, quad, 128 - S::WEIGHT_BIAS));
            let small = [simd.low_bits::<6>(bytes); 2];
            let sums = simd.dot_small(simd.splat_i32(0), small, [quad_word(quad); 2]);
            let expected = products(&[weight & 63; VECTOR_BYTES], quad, 0).map(|sum| 2 * sum);
            assert_eq!(integers(simd, sums), expected);
        }
    }
}

#[test]
fn every_instruction_set_equals_the_definition() {
    let cpu = Cpu::detect();
    let checked = Isa::ALL.into_iter().filter(|&isa| dispatch(cpu, isa, CheckAll).is_some());
    let checked: Vec<Isa> = checked.collect();
    assert!(checked.contains(&Isa::Scalar));
    let has_vectors = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    assert!(checked.len() > 1 || !has_vectors, "{checked:?}");
}
