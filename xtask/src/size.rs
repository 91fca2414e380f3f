//! Sizes in bytes, as they are typed: `512M`, `8G`, `8GB`.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// It does not begin with a whole number.
    Number,
    /// The number is followed by no unit that is known.
    Unit,
    /// It is more than 64 bits hold.
    TooLarge,
}

/// `K`, `M`, `G` and `T` are powers of 1024 and `KB`, `MB`, `GB` and `TB` powers of 1000, as in
/// `truncate` and `dd`. A plain number is bytes.
impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = match number.parse() {
            Ok(number) => number,
            Err(_) if digits == 0 => return Err(SizeError::Number),
            Err(_) => return Err(SizeError::TooLarge),
        };
        let (base, power) = match unit.to_ascii_uppercase().as_str() {
            "" | "B" => (1, 0),
            "K" | "KIB" => (1024, 1),
            "M" | "MIB" => (1024, 2),
            "G" | "GIB" => (1024, 3),
            "T" | "TIB" => (1024, 4),
            "KB" => (1000, 1),
            "MB" => (1000, 2),
            "GB" => (1000, 3),
            "TB" => (1000, 4),
            _ => return Err(SizeError::Unit),
        };
        let bytes = u64::pow(base, power).checked_mul(number);
        bytes.map(ByteSize).ok_or(SizeError::TooLarge)
    }
}

impl Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SizeError::Number => "a size is a whole number and a unit, such as 512M or 8GB",
            SizeError::Unit => "the unit must be K, M, G or T (powers of 1024), KB, MB, GB or TB",
            SizeError::TooLarge => "the size is too large",
        })
    }
}

impl std::error::Error for SizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed() {
        let cases = [
            ("0", Ok(0)),
            ("512", Ok(512)),
            ("512M", Ok(512 << 20)),
            ("8G", Ok(8 << 30)),
            ("8GB", Ok(8_000_000_000)),
            ("8gib", Ok(8 << 30)),
            ("", Err(SizeError::Number)),
            ("G", Err(SizeError::Number)),
            ("-1G", Err(SizeError::Number)),
            ("1.5G", Err(SizeError::Unit)),
            ("8 G", Err(SizeError::Unit)),
            ("16777216T", Err(SizeError::TooLarge)),
            ("99999999999999999999", Err(SizeError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse().map(|ByteSize(bytes)| bytes), expected, "{text}");
        }
    }
}
