//! Disks with several models, none, and bad ones.

use std::fs;

use xtask::disk::Entry;

use crate::fixture::fixture;

#[test]
#[ignore = "boots a machine"]
fn a_menu_chooses_among_models() {
    let fixture = fixture();
    let mut entries = fixture.entries(&[&fixture.small]);
    entries.push(Entry::new("other.bin", &fixture.small.model).unwrap());
    entries.push(
        Entry::new("other.tokenizer.bin", fixture.small.tokenizer.as_ref().unwrap()).unwrap(),
    );
    let machine = fixture.machine("menu", &entries);

    // Without a key: the first one starts after the countdown.
    let transcript = fixture.play(&machine, "/show");
    assert!(transcript.answer("/show").contains("other.bin"), "{}", transcript.0);

    // An arrow key stops the countdown and moves the choice.
    let script = "#wait-for starts in\n#key down\n#wait-for arrows\n#key enter\n/show\n";
    let transcript = fixture.play(&machine, script);
    assert!(transcript.answer("/show").contains("small.bin"), "{}", transcript.0);

    // A number chooses, and /models returns to the menu.
    let script = "#wait-for starts in\n#type 2\n/models\n#wait-for arrows\n#type 1\n/show\n";
    let transcript = fixture.play(&machine, script);
    assert!(transcript.answer("/show").contains("other.bin"), "{}", transcript.0);
}

#[test]
#[ignore = "boots a machine"]
fn a_disk_without_models_says_so() {
    let fixture = fixture();
    let machine = fixture.machine("none", &fixture.entries(&[]));
    let (mut guest, _) = fixture.start(&machine);
    guest.wait_for("There is no model here", 0).unwrap();
    guest.wait_for("power off", 0).unwrap();
    guest.type_text("qq").unwrap();
    guest.expect_power_off().unwrap();
}

#[test]
#[ignore = "boots a machine"]
fn bad_files_are_named_and_the_good_one_runs() {
    let fixture = fixture();
    let good = fs::read(&fixture.small.model).unwrap();
    let bad = [
        ("cut.bin", good[..good.len() / 2].to_vec()),
        ("empty.bin", Vec::new()),
        (
            "noise.bin",
            (0..70_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        ),
    ];
    let mut entries = fixture.entries(&[&fixture.small]);
    for (name, bytes) in &bad {
        let file = fixture.file(name);
        fs::write(&file, bytes).unwrap();
        entries.push(Entry::new(*name, file).unwrap());
    }
    let machine = fixture.machine("bad", &entries);
    let transcript = fixture.play(&machine, "/models\n#wait-for arrows\n#type 1\n/show");
    // That the others are no models matters only where there is none.
    assert!(transcript.0.contains("cut.bin cannot be used: "), "{}", transcript.0);
    assert!(transcript.answer("/show").contains("small.bin"), "{}", transcript.0);
}

#[test]
#[ignore = "boots a machine"]
fn a_tokenizer_that_does_not_fit_leads_back_to_the_menu() {
    let fixture = fixture();
    let mut entries = fixture.entries(&[]);
    entries.push(Entry::new("lonely.bin", &fixture.small.model).unwrap());
    entries.push(Entry::new("lonely.tokenizer.bin", &fixture.small.model).unwrap());
    let machine = fixture.machine("tokenizer", &entries);
    let (mut guest, _) = fixture.start(&machine);
    guest.wait_for("lonely.bin: ", 0).unwrap();
    guest.wait_for("power off", 0).unwrap();
    guest.type_text("qq").unwrap();
    guest.expect_power_off().unwrap();
}
