//! What is fetched once and kept between runs, in the client cache.

use crate::scratch::client_cache;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The folder `name` of the client cache, filled by `fill` unless it was filled for the same `wanted` before. Test processes take turns.
///
/// # Errors
/// What `fill` says, or that the folder cannot be written.
pub fn cached(
    name: &str,
    wanted: &str,
    fill: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let home = client_cache().join(name);
    fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let lock = File::create(home.join("lock")).map_err(|error| error.to_string())?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
    let complete = home.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|filled| filled == wanted) {
        return Ok(home);
    }
    fill(&home)?;
    fs::write(&complete, wanted).map_err(|error| error.to_string())?;
    Ok(home)
}
