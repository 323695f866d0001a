//! Count the system calls of a process, where the kernel lets us: its tracing file system, which only root may use.
//!
//! An instance of its own with a small ring buffer, into which every entry of a system call by the process's threads is
//! written; what counts is only how many were written, so the ring may overwrite them. That costs the watched process
//! some tenths of a microsecond a call. Nothing else on the machine is counted or slowed by more than a look at a list.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const NAME: &str = "thalweg-loadgen";
const EVENT: &str = "events/raw_syscalls/sys_enter/enable";

/// A count that goes on until it is dropped.
#[derive(Debug)]
pub(super) struct Syscalls {
    instance: PathBuf,
}

impl Syscalls {
    /// Counts those of all threads of `pid` from now on, and of those that they start.
    pub(super) fn count(pid: u32) -> Result<Self, String> {
        let place = PLACES.iter().map(Path::new).find(|place| place.join("instances").is_dir());
        let place = place.ok_or("the kernel's tracing file system is not mounted, or not for this user")?;
        Self::begin(&place.join("instances"), pid)
            .map_err(|error| format!("the kernel's tracing file system: {error}"))
    }

    fn begin(instances: &Path, pid: u32) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        sweep(instances);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let threads: Vec<String> = fs::read_dir(format!("/proc/{pid}/task"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let instance = instances.join(format!("{NAME}-{}-{number}", std::process::id()));
        fs::create_dir(&instance)?;
        // From here on dropping it takes the instance away.
        let counting = Self { instance };
        counting.set("buffer_size_kb", "8")?;
        counting.set("options/event-fork", "1")?;
        counting.set("set_event_pid", &threads.join(" "))?;
        counting.set(EVENT, "1")?;
        Ok(counting)
    }

    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.instance.join(file), value)
    }

    /// How many there were since it began.
    pub(super) fn so_far(&self) -> Option<u64> {
        let cores = fs::read_dir(self.instance.join("per_cpu")).ok()?;
        cores.map(|core| Some(written(&fs::read_to_string(core.ok()?.path().join("stats")).ok()?))).sum()
    }
}

impl Drop for Syscalls {
    fn drop(&mut self) {
        // An instance that stays costs memory only once its event is off.
        let _ = self.set(EVENT, "0");
        let _ = fs::remove_dir(&self.instance);
    }
}

/// Events that one core wrote: those still there, those overwritten, those lost while others were written.
fn written(stats: &str) -> u64 {
    let of = |key: &str| -> u64 {
        stats.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or(0)
    };
    of("entries:") + of("overrun:") + of("dropped events:")
}

/// Takes away what runs that were killed left behind.
fn sweep(instances: &Path) {
    for entry in fs::read_dir(instances).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('-').nth(1)) else {
            continue;
        };
        if !Path::new("/proc").join(owner).exists() {
            drop(Syscalls { instance: entry.path() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwritten_events_count_as_well() {
        let stats = "entries: 170\noverrun: 100020\ncommit overrun: 3\nbytes: 11560\ndropped events: 5\nread events: 7\n";
        assert_eq!(written(stats), 100_195);
    }

    /// Where the kernel does not let us, the reason is told; where it does, reading a file is seen.
    #[test]
    fn calls_are_counted_or_it_is_said_why_not() {
        match Syscalls::count(std::process::id()) {
            Err(reason) => assert!(reason.contains("tracing file system"), "{reason}"),
            Ok(counting) => {
                let before = counting.so_far().unwrap();
                (0..500).for_each(|_| drop(fs::read("/proc/self/stat").unwrap()));
                let counted = counting.so_far().unwrap() - before;
                assert!(counted >= 1_000, "500 opens and 500 reads at least, counted {counted}");
                let instance = counting.instance.clone();
                drop(counting);
                assert!(!instance.exists());
            }
        }
    }
}
