//! t
use bootllm_cores::OneCore;
use bootllm_quant::*;
use bootllm_simd::{Cpu, Isa};
use std::time::Instant;
fn main() {
    let reps: usize = 400;
    for (rows, columns) in [(768usize, 768usize), (768, 2048)] {
        for encoding in [Encoding::F32, Encoding::Int8 { group: 32 }, Encoding::Int8 { group: 64 }]
        {
            let shape = Shape { rows, columns, encoding };
            let format = encoding.format();
            let values: Vec<f32> =
                (0..rows * columns).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect();
            let pb = format.plane_bytes(&shape).unwrap();
            for isa in Isa::ALL {
                let cpu = Cpu::detect();
                if format.product(cpu, isa).is_none() {
                    continue;
                }
                let cpu = cpu.only(isa);
                let mut b = MatrixBuilder::new(shape, cpu).unwrap();
                for row in values.chunks(columns) {
                    let mut planes = pb.map(|n| vec![0u8; n as usize]);
                    format.encode_row(&shape, row, planes.each_mut().map(Vec::as_mut_slice));
                    b.push_row([&planes[0], &planes[1]]);
                }
                let m = b.finish();
                print!("{rows}x{columns} {:?} {:14}", encoding, isa.name());
                for tokens in [1usize, 12, 48] {
                    let mut buf = InputBuffer::new(input_words(&shape, tokens)).unwrap();
                    let x: Vec<f32> = (0..tokens * columns)
                        .map(|i| ((i * 31) % 97) as f32 / 50.0 - 1.0)
                        .collect();
                    let mut out = vec![0.0; tokens * rows];
                    let mut best = 1e9f64;
                    for _ in 0..reps / tokens {
                        let t = Instant::now();
                        multiply(&OneCore, &mut buf, (tokens, &x), [(&m, &mut out)]);
                        best = best.min(t.elapsed().as_secs_f64());
                    }
                    print!("  T{tokens} {:6.1}", (rows * columns * tokens) as f64 / best / 1e9);
                }
                println!(" GMAC/s");
            }
        }
    }
}
