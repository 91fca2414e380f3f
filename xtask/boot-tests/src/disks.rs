//! Disks of every kind boot, attached in every way.

use std::fs::File;

use xtask::disk::Entry;
use xtask::fat32::{self, Geometry};
use xtask::image;
use xtask::machine::{Attachment, Machine};
use xtask::program::{self, Profile};

use crate::fixture::fixture;

const SCRIPT: &str = "/set temperature 0\n/set length 40\nThe\n/diag\n";

/// Boots a machine, compares a text with the host's, and returns what `/diag` prints.
fn boots(machine: &Machine) -> String {
    let fixture = fixture();
    let transcript = fixture.play(machine, SCRIPT);
    let host = fixture.host("run", &fixture.model, &["-t", "0", "-n", "40", "-i", "The"]);
    assert_eq!(transcript.text("The"), host.strip_suffix('\n').unwrap_or(&host));
    transcript.answer("/diag").to_owned()
}

fn boots_from(attachment: Attachment) {
    let fixture = fixture();
    let name = format!("disk-{attachment:?}");
    let mut machine = fixture.machine(&name, &fixture.entries(&[&fixture.model]));
    machine.attachment = attachment;
    let diag = boots(&machine);
    assert!(diag.contains("BOOTLLM"), "{diag}");
}

#[test]
#[ignore = "boots a machine"]
fn boots_from_ahci() {
    boots_from(Attachment::Ahci);
}

#[test]
#[ignore = "boots a machine"]
fn boots_from_nvme() {
    boots_from(Attachment::Nvme);
}

#[test]
#[ignore = "boots a machine"]
fn boots_from_usb() {
    boots_from(Attachment::Usb);
}

/// A stick as it is sold: one FAT32 volume without a partition table, filled by hand.
#[test]
#[ignore = "boots a machine"]
fn boots_from_a_stick_filled_by_hand() {
    let fixture = fixture();
    let entries = [
        Entry::new("EFI/BOOT/BOOTX64.EFI", &fixture.program.file).unwrap(),
        Entry::new("a model.bin", &fixture.model.model).unwrap(),
        Entry::new("tokenizer.bin", fixture.model.tokenizer.as_ref().unwrap()).unwrap(),
    ];
    let file = fixture.file("stick.img");
    let mut device = File::create(&file).unwrap();
    let geometry = Geometry::filling((64 << 20) / 512);
    device.set_len(64 << 20).unwrap();
    fat32::write(&mut device, 0, &geometry, 0x1234_5678, &entries, &mut |_| ()).unwrap();
    let mut machine = Machine::new(file);
    machine.monitor = true;
    machine.attachment = Attachment::Usb;
    boots(&machine);
}

#[test]
#[ignore = "boots a machine"]
fn boots_as_one_file_with_the_model_inside() {
    let fixture = fixture();
    let program =
        program::build(&fixture.project, &fixture.target, Profile::Release, Some(&fixture.model))
            .unwrap();
    let entries = image::gather(&program, Some(&fixture.model), &[]).unwrap().entries;
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["EFI/BOOT/BOOTX64.EFI", "README.txt"]);
    boots(&fixture.machine("embedded", &entries));
}
