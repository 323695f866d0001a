//! Directories for one test: under `target/`, which lies on a real disk (direct I/O does not work on a tmpfs), gone when the test passes.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

/// `target/<profile>` of this build, found from the running binary: a test's (`target/<profile>/deps/all-...`) or a program's.
///
/// # Panics
/// If the binary does not lie in a cargo target directory.
pub fn profile_dir() -> PathBuf {
    let binary = env::current_exe().expect("the running binary has a path");
    let folder = binary.parent().expect("a binary lies in a folder");
    if !folder.ends_with("deps") {
        return folder.to_path_buf();
    }
    folder.parent().expect("deps lies in the profile's folder").to_path_buf()
}

/// `target` of this build.
///
/// # Panics
/// If the test binary does not lie in a cargo target directory.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("the profile's folder lies in target").to_path_buf()
}

/// The root of the repository.
///
/// # Panics
/// If the sources this was built from have moved.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

/// Where downloaded clients are kept between runs: `${XDG_CACHE_HOME:-~/.cache}/thalweg-tests`.
///
/// # Panics
/// If the directory cannot be made.
pub fn client_cache() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache"),
        PathBuf::from,
    );
    let cache = base.join("thalweg-tests");
    fs::create_dir_all(&cache).expect("the cache directory can be made");
    cache
}

/// A fresh directory; removed on drop, kept when the test failed or somebody asked for it.
#[derive(Debug)]
pub struct Scratch(PathBuf, bool);

impl Scratch {
    /// Makes `target/test-data/<pid>/<n>-<name>`.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        let root = target_dir().join("test-data");
        SWEEP.call_once(|| sweep(&root));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(process::id().to_string()).join(format!("{number}-{name}"));
        fs::create_dir_all(&path).expect("the test's directory can be made");
        Self(path, false)
    }

    /// It stays when this value goes.
    pub fn keep(&mut self) {
        self.1 = true;
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() || self.1 {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Removes what earlier test processes left, which are no longer alive.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !Path::new("/proc").join(&pid).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
