//! What several commands ask of a number.

/// A count of one or more.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or("it must be 1 or more".into())
}
