//! A PC that starts the disk in BIOS mode.

use std::thread;
use std::time::{Duration, Instant};

use xtask::guest::Guest;
use xtask::legacy_boot;
use xtask::machine::{Screen, Serial, Start};

use crate::fixture::fixture;

/// How long the BIOS may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// The words on the screen. In VGA's text mode, each character of the 25 rows of 80 is a byte at an
/// even address from 0xB8000 on.
fn words_on_screen(guest: &mut Guest) -> Vec<String> {
    let file = fixture().file("text.dump");
    let memory = guest.monitor.as_mut().unwrap().memory(0xb_8000, 80 * 25 * 2, &file).unwrap();
    let characters: Vec<u8> = memory.iter().step_by(2).copied().collect();
    let rows = characters.chunks(80).map(String::from_utf8_lossy);
    rows.flat_map(|row| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
#[ignore = "boots a machine"]
fn a_bios_shows_that_the_stick_needs_uefi() {
    let fixture = fixture();
    let mut machine = fixture.machine("bios", &fixture.entries(&[&fixture.small]));
    machine.start = Start::Bios;
    machine.serial = Serial::None;
    machine.screen = Screen::Hidden;
    let (mut guest, _) = fixture.start(&machine);
    let expected: Vec<_> = legacy_boot::MESSAGE.split_whitespace().collect();
    let begun = Instant::now();
    loop {
        let words = words_on_screen(&mut guest);
        if words.windows(expected.len()).any(|window| window == expected) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the screen shows only {words:?}");
        thread::sleep(Duration::from_millis(300));
    }
}
