//! What lies on the disk: several models, none, bad ones.

use std::fs;

use xtask::disk::Entry;

use crate::bench::bench;

#[test]
#[ignore = "boots a machine"]
fn a_menu_chooses_among_models() {
    let bench = bench();
    let mut entries = bench.entries(&[&bench.small]);
    entries.push(Entry::new("other.bin", &bench.small.model).unwrap());
    entries
        .push(Entry::new("other.tokenizer.bin", bench.small.tokenizer.as_ref().unwrap()).unwrap());
    let machine = bench.machine("menu", &entries);

    // Nobody there: the first one starts after the countdown.
    let transcript = bench.play(&machine, "/show");
    assert!(transcript.answer("/show").contains("other.bin"), "{}", transcript.0);

    // The arrow key stops the countdown and chooses.
    let script = "#wait-for starts in\n#key down\n#wait-for arrows\n#key enter\n/show\n";
    let transcript = bench.play(&machine, script);
    assert!(transcript.answer("/show").contains("small.bin"), "{}", transcript.0);

    // So does a number; and /models comes back to the menu.
    let script = "#wait-for starts in\n#type 2\n/models\n#wait-for arrows\n#type 1\n/show\n";
    let transcript = bench.play(&machine, script);
    assert!(transcript.answer("/show").contains("other.bin"), "{}", transcript.0);
}

#[test]
#[ignore = "boots a machine"]
fn a_disk_without_models_says_so() {
    let bench = bench();
    let machine = bench.machine("none", &bench.entries(&[]));
    let (mut guest, _) = bench.start(&machine);
    guest.wait_for("There is no model here", 0).unwrap();
    guest.wait_for("power off", 0).unwrap();
    guest.type_text("qq").unwrap();
    guest.expect_power_off().unwrap();
}

#[test]
#[ignore = "boots a machine"]
fn bad_files_are_named_and_the_good_one_runs() {
    let bench = bench();
    let good = fs::read(&bench.small.model).unwrap();
    let bad = [
        ("cut.bin", good[..good.len() / 2].to_vec()),
        ("empty.bin", Vec::new()),
        (
            "noise.bin",
            (0..70_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        ),
    ];
    let mut entries = bench.entries(&[&bench.small]);
    for (name, bytes) in &bad {
        let file = bench.file(name);
        fs::write(&file, bytes).unwrap();
        entries.push(Entry::new(*name, file).unwrap());
    }
    let machine = bench.machine("bad", &entries);
    let transcript = bench.play(&machine, "/models\n#wait-for arrows\n#type 1\n/show");
    // That the others are no models matters only where there is none.
    assert!(transcript.0.contains("cut.bin cannot be used: "), "{}", transcript.0);
    assert!(transcript.answer("/show").contains("small.bin"), "{}", transcript.0);
}

#[test]
#[ignore = "boots a machine"]
fn a_tokenizer_that_does_not_fit_leads_back_to_the_menu() {
    let bench = bench();
    let mut entries = bench.entries(&[]);
    entries.push(Entry::new("lonely.bin", &bench.small.model).unwrap());
    entries.push(Entry::new("lonely.tokenizer.bin", &bench.small.model).unwrap());
    let machine = bench.machine("tokenizer", &entries);
    let (mut guest, _) = bench.start(&machine);
    guest.wait_for("lonely.bin: ", 0).unwrap();
    guest.wait_for("power off", 0).unwrap();
    guest.type_text("qq").unwrap();
    guest.expect_power_off().unwrap();
}
