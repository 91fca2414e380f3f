//! Sets the cfg `has_shared` where there is a folder `shared` beside the repository, with real models
//! and what other programs make of them. Tests that need it are ignored elsewhere, and counted so.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_shared)");
    println!("cargo::rerun-if-changed=build.rs");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .and_then(Path::parent)
        .map(|beside| beside.join("shared/models/stories260K.bin"));
    // A file that is missing would make Cargo compile the tests anew every time.
    if let Some(file) = folder.filter(|file| file.is_file()) {
        println!("cargo::rerun-if-changed={}", file.display());
        println!("cargo::rustc-cfg=has_shared");
    }
}
