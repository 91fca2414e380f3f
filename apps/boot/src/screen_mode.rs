//! Which of a screen's modes to use.

/// A mode: its width and height in pixels.
pub type Resolution = (usize, usize);

/// The smallest screen with room for text at leisure.
const ENOUGH: Resolution = (1024, 768);
/// About this many pixels are what one wants where the firmware began with too few.
const WANTED: usize = 1280 * 800;

/// The mode to change to, an index into `modes`; `None` to stay in the one that is.
///
/// Firmware begins in the screen's own mode on most machines, and that is the sharpest: it is
/// kept if there is room in it. Where firmware began with a small one, the mode nearest to
/// 1280 x 800 is taken of those that are large enough.
pub fn better(current: Resolution, modes: &[Resolution]) -> Option<usize> {
    let enough = |(width, height): Resolution| width >= ENOUGH.0 && height >= ENOUGH.1;
    if enough(current) {
        return None;
    }
    (modes.iter().enumerate())
        .filter(|(_, mode)| enough(**mode))
        .min_by_key(|(_, (width, height))| width.saturating_mul(*height).abs_diff(WANTED))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roomy_mode_is_kept_and_a_small_one_left() {
        let modes = [(640, 480), (1024, 768), (1280, 1024), (1920, 1200), (1280, 768)];
        for (current, modes, wanted) in [
            ((1920, 1080), &modes[..], None),
            ((1024, 768), &modes, None),
            ((800, 600), &modes, Some(4)),
            ((1600, 400), &modes, Some(4)),
            ((800, 600), &modes[..2], Some(1)),
            ((640, 480), &modes[..1], None),
            ((640, 480), &[], None),
            ((640, 480), &[(usize::MAX, usize::MAX)], Some(0)),
        ] {
            assert_eq!(better(current, modes), wanted, "{current:?} of {modes:?}");
        }
    }
}
