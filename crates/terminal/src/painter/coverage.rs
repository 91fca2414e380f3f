//! Grey pictures of letters.

use alloc::vec;
use alloc::vec::Vec;

/// How much of each pixel a letter covers: 0 is nothing, 255 is all of it.
#[derive(Clone, Debug)]
pub(super) struct Coverage {
    width: usize,
    height: usize,
    /// Row by row.
    pixels: Vec<u8>,
}

impl Coverage {
    /// Nothing covered.
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height] }
    }

    /// What a function gives for each `x` and `y`.
    pub(super) fn from_fn(
        width: usize,
        height: usize,
        pixel: impl Fn(usize, usize) -> u8 + Copy,
    ) -> Self {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y))).collect();
        Self { width, height, pixels }
    }

    /// The rows from the top.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact(self.width)
    }

    /// Draws another picture over this one, stretched to `width` by `height` pixels, `left` from
    /// its left side. What does not fit into this one is left out.
    pub(super) fn draw(&mut self, other: &Self, left: usize, width: usize, height: usize) {
        let across = Axis { from: other.width, to: width };
        let down = Axis { from: other.height, to: height };
        for y in 0..height.min(self.height) {
            let (upper, lower, y_weight) = down.at(y);
            for x in 0..width.min(self.width.saturating_sub(left)) {
                let (before, after, x_weight) = across.at(x);
                let row = |y: usize| {
                    let row = &other.pixels[y * other.width..];
                    mix(row[before].into(), row[after].into(), x_weight)
                };
                let value = across.sharpen(mix(row(upper), row(lower), y_weight));
                let pixel = &mut self.pixels[y * self.width + left + x];
                *pixel = value.max(*pixel);
            }
        }
    }
}

/// A picture's width or height, and what it is stretched to.
#[derive(Clone, Copy)]
struct Axis {
    from: usize,
    to: usize,
}

/// Weights, and parts of a pixel, are in units of 1/256.
const ONE: usize = 256;

impl Axis {
    /// The two pixels between which the middle of pixel `to` lies, and the weight of the second.
    fn at(self, to: usize) -> (usize, usize, usize) {
        let middle = (2 * to + 1) * self.from * ONE / (2 * self.to);
        let place = middle.saturating_sub(ONE / 2).min((self.from - 1) * ONE);
        let before = place / ONE;
        (before, (before + 1).min(self.from - 1), place % ONE)
    }

    /// Makes edges, which stretching has made wider, as narrow as they were.
    fn sharpen(self, value: usize) -> u8 {
        // A little below a half, so that pixels that touch at their corners stay joined.
        const EDGE: isize = 104;
        let stretch = (self.to * ONE / self.from).max(ONE) as isize;
        let value = (value as isize - EDGE) * stretch / ONE as isize + EDGE;
        value.clamp(0, 255) as u8
    }
}

fn mix(a: usize, b: usize, weight_of_b: usize) -> usize {
    (a * (ONE - weight_of_b) + b * weight_of_b) / ONE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretched(picture: &Coverage, width: usize, height: usize) -> Vec<u8> {
        let mut target = Coverage::new(width, height);
        target.draw(picture, 0, width, height);
        target.pixels
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let picture = Coverage::from_fn(5, 3, |x, y| (x * 50 + y) as u8);
        assert_eq!(stretched(&picture, 5, 3), picture.pixels);
    }

    #[test]
    fn what_is_full_stays_full() {
        let full = Coverage::from_fn(8, 16, |_, _| 255);
        for (width, height) in [(1, 1), (7, 16), (11, 24), (70, 160)] {
            assert!(stretched(&full, width, height).iter().all(|&pixel| pixel == 255));
        }
    }

    #[test]
    fn edges_stay_sharp() {
        let edge = Coverage::from_fn(2, 1, |x, _| if x == 0 { 0 } else { 255 });
        let wide = stretched(&edge, 40, 1);
        assert!(wide.is_sorted());
        assert!(wide.iter().filter(|&&pixel| pixel > 0 && pixel < 255).count() <= 2, "{wide:?}");
        assert!((20..24).contains(&wide.iter().filter(|&&pixel| pixel >= 128).count()), "{wide:?}");
    }

    #[test]
    fn diagonals_stay_joined() {
        let diagonal = Coverage::from_fn(2, 2, |x, y| if x == y { 255 } else { 0 });
        let large = stretched(&diagonal, 40, 40);
        assert!((0..40).all(|place| large[place * 40 + place] >= 128));
    }

    #[test]
    fn draws_over_and_clips() {
        let mut target = Coverage::from_fn(4, 2, |_, y| if y == 0 { 100 } else { 0 });
        target.draw(&Coverage::from_fn(1, 1, |_, _| 255), 3, 2, 1);
        target.draw(&Coverage::from_fn(1, 1, |_, _| 255), 9, 2, 1);
        assert_eq!(target.pixels, [100, 100, 100, 255, 0, 0, 0, 0]);
    }
}
