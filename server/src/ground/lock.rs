//! One broker a directory: a lock that ends with the process, however it ends.

use super::judge::GroundError;
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a process that was killed may take to let go.
const WAIT_MAX: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct DirectoryLock(#[expect(dead_code, reason = "held, never read: closing it unlocks")] File);

impl DirectoryLock {
    /// Locks a directory, waiting a moment for one that dies.
    pub(super) fn take(path: &Path, name: &str) -> Result<Self, GroundError> {
        let opened =
            File::options().create(true).truncate(false).read(true).write(true).open(path.join(".lock"));
        let file = opened.map_err(|error| GroundError::NotWritable { path: name.to_owned(), error })?;
        let start = Instant::now();
        loop {
            // A lock of the open file keeps brokers of this kind out, also of this process. Apache Kafka takes one of
            // the process on a file of the same name: so neither starts on the other's data.
            let taken = flock(&file, FlockOperation::NonBlockingLockExclusive)
                .and_then(|()| fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive));
            if taken.is_ok() {
                return Ok(Self(file));
            }
            if start.elapsed() > WAIT_MAX {
                return Err(GroundError::Locked { path: name.to_owned() });
            }
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_broker() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), "data").unwrap();
        let second = DirectoryLock::take(directory.path(), "data").unwrap_err();
        assert!(second.to_string().contains("another broker"), "{second}");
        drop(first);
        assert!(DirectoryLock::take(directory.path(), "data").is_ok());
    }

    #[test]
    fn a_broker_that_is_about_to_end_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), "data").unwrap();
        let ending = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            drop(first);
        });
        assert!(DirectoryLock::take(directory.path(), "data").is_ok());
        ending.join().unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_written_says_so() {
        let refused = DirectoryLock::take(Path::new("/proc/self"), "/proc/self").unwrap_err();
        assert!(matches!(refused, GroundError::NotWritable { .. }), "{refused}");
    }
}
