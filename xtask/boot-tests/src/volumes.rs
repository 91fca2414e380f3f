//! Volumes that come and go, and others than the boot volume.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use xtask::disk::Entry;
use xtask::fat32::{self, Geometry};
use xtask::guest::Guest;
use xtask::machine::{Attachment, Machine};

use crate::fixture::fixture;

/// How long firmware may take to notice that something was plugged in or unplugged.
const NOTICE: Duration = Duration::from_secs(2);

/// Adds a disk image to a machine, under a name that a device can take later.
fn add_image(machine: &mut Machine, name: &str, file: &Path) {
    let file = file.display().to_string().replace(',', ",,");
    machine.arguments.push("-blockdev".into());
    machine.arguments.push(
        format!("driver=raw,node-name={name},read-only=on,file.driver=file,file.filename={file}")
            .into(),
    );
}

fn plug_in(guest: &mut Guest, image: &str, port: u32) {
    let command = format!(
        r#"{{"execute":"device_add","arguments":{{"driver":"usb-storage","id":"{image}","drive":"{image}","port":"{port}","removable":true}}}}"#
    );
    guest.monitor.as_mut().unwrap().execute(&command).unwrap();
    thread::sleep(NOTICE);
}

fn unplug(guest: &mut Guest, device: &str) {
    let command = format!(r#"{{"execute":"device_del","arguments":{{"id":"{device}"}}}}"#);
    guest.monitor.as_mut().unwrap().execute(&command).unwrap();
    thread::sleep(NOTICE);
}

/// Presses `r` in the menu and waits for a text.
fn look_again(guest: &mut Guest, expected: &str) {
    let from = guest.received.len();
    guest.type_text("r").unwrap();
    guest.wait_for(expected, from).unwrap();
    guest.wait_for("power off", from).unwrap();
}

/// A FAT32 volume without partitions.
fn volume(name: &str, entries: &[Entry]) -> PathBuf {
    let file = fixture().file(name);
    let mut device = File::create(&file).unwrap();
    device.set_len(64 << 20).unwrap();
    let geometry = Geometry::filling((64 << 20) / 512);
    fat32::write(&mut device, 0, &geometry, 0x1234_5678, entries, &mut |_| ()).unwrap();
    file
}

/// Firmware that was started by a boot entry connects only what it boots from.
#[test]
#[ignore = "boots a machine"]
fn a_stick_is_found_again_in_its_port_and_in_another() {
    let fixture = fixture();
    let mut machine = fixture.machine("unplugged", &fixture.entries(&[&fixture.small]));
    machine.attachment = Attachment::Usb;
    for copy in ["again", "elsewhere"] {
        let file = fixture.file(&format!("{copy}.img"));
        fs::copy(&machine.disk, &file).unwrap();
        add_image(&mut machine, copy, &file);
    }
    let (mut guest, _) = fixture.start(&machine);
    guest.wait_for_prompt().unwrap();
    guest.type_line("/models").unwrap();
    guest.wait_for("power off", 0).unwrap();

    unplug(&mut guest, "stick");
    look_again(&mut guest, "unplugged");
    plug_in(&mut guest, "again", 1);
    look_again(&mut guest, "1  small.bin");

    unplug(&mut guest, "again");
    plug_in(&mut guest, "elsewhere", 2);
    look_again(&mut guest, "1  BOOTLLM:/small.bin");
    guest.type_text("1").unwrap();
    guest.wait_for_prompt().unwrap();
    guest.type_line("/exit").unwrap();
    guest.expect_power_off().unwrap();
}

#[test]
#[ignore = "boots a machine"]
fn models_on_other_volumes_are_found() {
    let fixture = fixture();
    let mut machine = fixture.machine("other-volumes", &fixture.entries(&[]));
    let entries = [
        Entry::new("deep/er/other.bin", &fixture.small.model).unwrap(),
        Entry::new("deep/er/tokenizer.bin", fixture.small.tokenizer.as_ref().unwrap()).unwrap(),
    ];
    add_image(&mut machine, "second", &volume("second.img", &entries));
    // What firmware cannot read does no harm.
    let ntfs = fixture.file("ntfs.img");
    let mut sector = vec![0; 1 << 20];
    sector[3..11].copy_from_slice(b"NTFS    ");
    fs::write(&ntfs, sector).unwrap();
    add_image(&mut machine, "third", &ntfs);
    for disk in ["second", "third"] {
        let device = format!("virtio-blk-pci,drive={disk}");
        machine.arguments.extend(["-device".into(), device.into()]);
    }
    let transcript = fixture.play(&machine, "/show\n");
    let shown = transcript.answer("/show");
    assert!(shown.contains("BOOTLLM:/deep/er/other.bin"), "{}", transcript.0);
}
