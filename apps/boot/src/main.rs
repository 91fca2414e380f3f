//! placeholder until the UEFI program lands
fn main() {}
