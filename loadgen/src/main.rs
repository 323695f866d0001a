//! The load generator's process.
fn main() {}
