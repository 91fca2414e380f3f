//! Seeds.

use super::{cpu, protocol};
use bootllm_platform::Entropy;
use uefi::proto::rng::Rng;
use uefi::runtime;

/// All sources of randomness that the machine has, mixed. A generator that repeats itself (there is
/// firmware whose does) is harmless then, because the time differs.
#[derive(Default)]
pub struct MixedEntropy {
    last: u64,
}

impl Entropy for MixedEntropy {
    fn seed(&mut self) -> u64 {
        let sources = [
            from_firmware().unwrap_or(0),
            cpu::random().unwrap_or(0),
            cpu::ticks(),
            time_of_day().unwrap_or(0),
        ];
        for source in sources {
            self.last = mix(self.last ^ source);
        }
        self.last
    }
}

fn from_firmware() -> Option<u64> {
    let mut bytes = [0; 8];
    let device = protocol::first_device::<Rng>()?;
    protocol::with::<Rng, _>(device, |rng| rng.get_rng(None, &mut bytes)).ok()?.ok()?;
    Some(u64::from_le_bytes(bytes))
}

fn time_of_day() -> Option<u64> {
    let time = runtime::get_time().ok()?;
    let date = (u64::from(time.year()) * 12 + u64::from(time.month())) * 31 + u64::from(time.day());
    let seconds = (u64::from(time.hour()) * 60 + u64::from(time.minute())) * 60;
    Some(date * 86_400 + seconds + u64::from(time.second()) + u64::from(time.nanosecond()))
}

/// Spreads each bit over all: the step of splitmix64 (Steele, Lea, Flood 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
