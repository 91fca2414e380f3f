//! UTF-16 to text.

use alloc::string::String;

/// Decodes the firmware's UTF-16; invalid units become U+FFFD.
pub fn utf16(units: &[u16]) -> String {
    char::decode_utf16(units.iter().copied())
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_valid() {
        assert_eq!(utf16(&[0x1F, 0xD83E, 0xDD99, 0xD83E, 0x41]), "\u{1F}🦙\u{FFFD}A");
    }
}
