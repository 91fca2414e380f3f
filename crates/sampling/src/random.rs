//! llama2.c's random numbers.

/// The generator of llama2.c's `random_u32` and `random_f32`: xorshift64* (Vigna, 2016).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A sequence of its own for every seed but 0, from which nothing but zeros would follow; 1
    /// takes its place.
    pub fn new(seed: u64) -> Self {
        Random { state: seed.max(1) }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// The next number in [0, 1): a multiple of 2^−24.
    pub fn next_f32(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 / 16_777_216.0
    }
}
