//! Random mutations of inputs, the same for the same seed.

/// The longest input that mutations make.
const LONGEST: usize = 1 << 16;

/// Numbers at which arithmetic tends to fail.
const EDGES: [i64; 16] =
    [0, 1, 2, 3, 7, 8, 31, 32, 33, 255, -1, 1 << 15, 1 << 24, 0x7fff_ffff, 0x8000_0000, -(1 << 24)];

/// A generator of random numbers: SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.any() % end.max(1) as u64) as usize
    }
}

/// Makes a new input from one of `pool` by a few random changes.
pub fn mutated(random: &mut Random, pool: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = pool[random.below(pool.len())].clone();
    // Mostly few changes, so that something of the input stays; sometimes many.
    let changes = 1 + random.below(3) * random.below(6);
    for _ in 0..changes {
        change(random, &mut bytes, pool, words);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&[u8]]) {
    let place = random.below(bytes.len() + 1);
    // Headers decide most, and they are short.
    let place = if random.below(2) == 0 { place.min(random.below(64)) } else { place };
    let length = random.below(bytes.len() - place.min(bytes.len()) + 1);
    let length = if random.below(4) == 0 { length } else { length.min(random.below(9)) };
    let range = place..place + length;
    match random.below(10) {
        0 => overwrite(bytes, place, &[random.any() as u8]),
        1 => {
            let number = EDGES[random.below(EDGES.len())] as i32;
            overwrite(bytes, place & !3, &number.to_le_bytes());
        }
        2 => overwrite(bytes, place & !3, &(random.below(70) as i32).to_le_bytes()),
        3 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << random.below(8);
            }
        }
        4 => drop(bytes.drain(range)),
        5 => {
            let copy = bytes[range].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        6 => bytes.truncate(place),
        7 => {
            let other = &pool[random.below(pool.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(place);
            bytes.extend(&other[from..]);
        }
        8 if !words.is_empty() => {
            let word = words[random.below(words.len())];
            bytes.splice(place..place, word.iter().copied());
        }
        _ => {
            let word = words.get(random.below(words.len())).copied().unwrap_or_default();
            overwrite(bytes, place, word);
        }
    }
}

fn overwrite(bytes: &mut [u8], place: usize, new: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(place).zip(new) {
        *byte = *new;
    }
}
