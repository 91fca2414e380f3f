//! Which of a screen's modes to use.

/// A mode of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pixels from the start of a scan line to the start of the next.
    pub pitch: usize,
}

/// The smallest screen with ample room for text.
const ENOUGH: (usize, usize) = (1024, 768);
/// The number of pixels to look for where the firmware chose a small mode.
const WANTED: usize = 1280 * 800;
/// Emulated screens begin scan lines at multiples of this many pixels.
const EMULATED_PITCH: usize = 8;

/// Returns the mode to change to, an index into `modes`, or `None` to keep the current one.
///
/// Most firmware chooses the native mode of the panel, which is the sharpest, so it is kept if it
/// is large enough. Otherwise the large mode whose number of pixels is nearest to 1280 x 800 is
/// taken.
///
/// In a virtual machine a mode whose pitch no emulated screen has is left, too, for the mode
/// nearest in size: QEMU's VGA rounds 1366 pixels per line down to 1360 and does not tell its
/// firmware, which then draws slanted pictures.
pub fn better(current: Mode, modes: &[Mode], in_virtual_machine: bool) -> Option<usize> {
    let is_large = |mode: Mode| mode.width >= ENOUGH.0 && mode.height >= ENOUGH.1;
    let is_sound = |mode: Mode| !in_virtual_machine || mode.pitch.is_multiple_of(EMULATED_PITCH);
    let wanted = match (is_large(current), is_sound(current)) {
        (true, true) => return None,
        (true, false) => pixels(current),
        (false, _) => WANTED,
    };
    (modes.iter().enumerate())
        .filter(|(_, mode)| is_large(**mode) && is_sound(**mode))
        .min_by_key(|(_, mode)| pixels(**mode).abs_diff(wanted))
        .map(|(index, _)| index)
}

fn pixels(mode: Mode) -> usize {
    mode.width.saturating_mul(mode.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode((width, height): (usize, usize)) -> Mode {
        Mode { width, height, pitch: width }
    }

    #[test]
    fn a_large_mode_is_kept_and_a_small_one_left() {
        let modes = [(640, 480), (1024, 768), (1280, 1024), (1920, 1200), (1280, 768)].map(mode);
        for (current, modes, wanted) in [
            ((1920, 1080), &modes[..], None),
            ((1024, 768), &modes, None),
            ((800, 600), &modes, Some(4)),
            ((1600, 400), &modes, Some(4)),
            ((800, 600), &modes[..2], Some(1)),
            ((640, 480), &modes[..1], None),
            ((640, 480), &[], None),
            ((640, 480), &[mode((usize::MAX, usize::MAX))], Some(0)),
        ] {
            assert_eq!(better(mode(current), modes, false), wanted, "{current:?} of {modes:?}");
        }
    }

    #[test]
    fn a_pitch_that_no_emulated_screen_has_is_left() {
        let modes = [(1024, 768), (1360, 768), (1366, 768), (1920, 1080)].map(mode);
        // A laptop's panel has this size, and often a longer pitch.
        assert_eq!(better(modes[2], &modes, false), None);
        assert_eq!(better(modes[2], &modes, true), Some(1));
        assert_eq!(better(Mode { pitch: 1376, ..modes[2] }, &modes, true), None);
        // A small mode does not lead there, and it is kept where it is the only one.
        assert_eq!(better(mode((640, 480)), &modes[2..3], true), None);
        assert_eq!(better(modes[2], &modes[2..3], true), None);
    }
}
