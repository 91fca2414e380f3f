//! A machine with a USB keyboard and a screen, and without a serial port.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use xtask::guest::Guest;
use xtask::machine::{Screen, Serial};

use crate::fixture::fixture;
use crate::screenshot::{Screenshot, rows_of};

/// How long the screen may take to show something.
const PATIENCE: Duration = Duration::from_secs(180);
/// Time between two keys: firmware polls a USB keyboard slowly, and the keyboard buffers few keys.
const BETWEEN_KEYS: Duration = Duration::from_millis(150);

fn look(guest: &mut Guest) -> Screenshot {
    let file = fixture().file("screen.ppm");
    guest.monitor.as_mut().unwrap().screenshot(&file).unwrap();
    // QEMU answers when it starts to write.
    let mut size = None;
    loop {
        let now = fs::metadata(&file).map(|data| data.len()).ok();
        if now.is_some_and(|size| size > 0) && now == size {
            return Screenshot::read(&file);
        }
        size = now;
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until_shown(guest: &mut Guest, what: &str, rows: impl Fn(&Screenshot) -> Vec<String>) {
    let begun = Instant::now();
    loop {
        let screenshot = look(guest);
        if screenshot.shows(&rows(&screenshot)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the screen never showed {what}; see screen.ppm");
        thread::sleep(Duration::from_millis(300));
    }
}

fn type_line(guest: &mut Guest, line: &str) {
    let monitor = guest.monitor.as_mut().unwrap();
    for c in line.chars() {
        let key = match c {
            ' ' => "spc".to_owned(),
            '/' => "slash".to_owned(),
            'A'..='Z' => format!("shift-{}", c.to_ascii_lowercase()),
            c => c.to_string(),
        };
        monitor.press(&key).unwrap();
        thread::sleep(BETWEEN_KEYS);
    }
    monitor.press("ret").unwrap();
}

#[test]
#[ignore = "boots a machine"]
fn a_keyboard_and_a_screen_are_enough() {
    let fixture = fixture();
    let mut machine = fixture.machine("screen", &fixture.entries(&[&fixture.model]));
    machine.serial = Serial::None;
    machine.screen = Screen::Hidden;
    machine.keyboard = true;
    let (mut guest, _) = fixture.start(&machine);

    wait_until_shown(&mut guest, "the prompt", |_| vec!["\x1b[1m>>> ".to_owned()]);
    type_line(&mut guest, "/set temperature 0");
    wait_until_shown(&mut guest, "that it was set", |_| {
        vec!["\x1b[1m>>> /set temperature 0".to_owned()]
    });
    type_line(&mut guest, "/set length 60");
    type_line(&mut guest, "Once upon a time");
    let text =
        fixture.host("run", &fixture.model, &["-t", "0", "-n", "60", "-i", "Once upon a time"]);
    let text = text.trim_end();
    // The first row has two styles: what was typed is bold.
    let rows = |screenshot: &Screenshot| rows_of(&format!(">>> {text}"), screenshot.size());
    wait_until_shown(&mut guest, text, |screenshot| rows(screenshot).split_off(1));
    // For a developer to look at.
    let picture = fixture.file("screen.png");
    guest.monitor.as_mut().unwrap().screenshot(&picture).unwrap();

    type_line(&mut guest, "/exit");
    guest.expect_power_off().unwrap();
}
