//! The broker's program is linked so that its rings are made by `src/rings.rs`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bin=thalweg=-Wl,--wrap=syscall");
}
