//! Chooses loom's atomics, without flags that would compile every dependency again.

fn main() {
    println!("cargo::rustc-cfg=loom");
    println!("cargo::rerun-if-changed=build.rs");
}
