//! The broker's log: text or JSON, to stderr or a file that SIGHUP reopens.

use crate::config::Config;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Where lines go. Cheap to clone.
#[derive(Clone)]
pub struct LogTarget(Arc<Mutex<Target>>);

struct Target {
    path: Option<PathBuf>,
    file: Option<File>,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl LogTarget {
    /// Opens the file again: after it was moved away, lines go to a new one.
    ///
    /// # Errors
    /// Those of opening; lines go on to the old file then.
    pub fn reopen(&self) -> io::Result<()> {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = target.path.clone() {
            target.file = Some(open(&path)?);
        }
        Ok(())
    }
}

impl Write for LogTarget {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that nobody can take any more (a full disk, a pipe whose reader is gone) ends nothing but the log.
        let _ = match &mut target.file {
            Some(file) => file.write_all(bytes),
            None => io::stderr().write_all(bytes),
        };
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogTarget {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Panics go where the other lines go, in the same form: what is caught is counted, and why is read here.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload_as_str().unwrap_or("something that is no text");
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        tracing::error!(place, thread, said, "a panic");
    }));
}

/// Starts the log.
///
/// # Errors
/// A filter or format that is not understood, a file that cannot be opened: with the way out.
pub fn start_log(config: &Config) -> Result<LogTarget, String> {
    let path = config.thalweg_log_file.as_ref().map(PathBuf::from);
    let file = match &path {
        Some(path) => {
            Some(open(path).map_err(|error| format!("thalweg.log.file {}: {error}", path.display()))?)
        }
        None => None,
    };
    let target = LogTarget(Arc::new(Mutex::new(Target { path, file })));
    // Rings whose buffers cannot be registered warn on several lines each; the ground's check says it in one.
    let filter = EnvFilter::try_new(format!("glommio_ng::sys::uring=error,{}", config.thalweg_log_level))
        .map_err(|error| format!("thalweg.log.level {}: {error}", config.thalweg_log_level))?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(target.clone()).with_target(false);
    let lines = lines.log_internal_errors(false); // it would print them to stderr, and panic where that is gone
    log_panics();
    match config.thalweg_log_format.as_str() {
        "json" => lines.json().init(),
        "text" => lines.with_ansi(false).init(),
        other => return Err(format!("thalweg.log.format {other}: text or json is wanted")),
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_reopen_lines_go_to_a_new_file_of_the_same_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.log");
        let file = Some(open(&path).unwrap());
        let mut target = LogTarget(Arc::new(Mutex::new(Target { path: Some(path.clone()), file })));
        target.write_all(b"one\n").unwrap();
        std::fs::rename(&path, directory.path().join("broker.log.1")).unwrap();
        target.write_all(b"two\n").unwrap();
        target.reopen().unwrap();
        target.write_all(b"three\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
        assert_eq!(std::fs::read_to_string(directory.path().join("broker.log.1")).unwrap(), "one\ntwo\n");
    }
}
