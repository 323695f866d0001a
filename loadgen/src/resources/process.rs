//! What the kernel tells of a process under `/proc`.
use std::path::PathBuf;
use std::time::Duration;

/// The kernel's unit of processor time here, whatever its own is: `USER_HZ`.
const TICKS_PER_S: u64 = 100;

/// One process, found again by its number.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Name of its program.
    pub(super) name: String,
    folder: PathBuf,
    page_bytes: u64,
}

/// What a process had used when it was looked at. Counts grow from its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) user: Duration,
    pub(super) system: Duration,
    pub(super) resident_bytes: u64,
    /// `None`: this process may not be looked at so closely.
    pub(super) io: Option<Io>,
    /// Counted elsewhere.
    pub(super) syscalls: Option<u64>,
}

/// Input and output, from `/proc/PID/io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Io {
    /// Calls of read and its kin.
    pub(super) read_calls: u64,
    /// Calls of write and its kin.
    pub(super) write_calls: u64,
    /// Bytes fetched from the device.
    pub(super) read_bytes: u64,
    /// Bytes sent to the device, or dirtied in the page cache for it.
    pub(super) written_bytes: u64,
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let name = std::fs::read_to_string(folder.join("comm")).unwrap_or_default().trim().to_owned();
        Self { pid, name, folder, page_bytes: rustix::param::page_size() as u64 }
    }

    /// `None` if there is no such process (any more).
    pub(super) fn sample(&self) -> Option<Sample> {
        let read = |file: &str| std::fs::read_to_string(self.folder.join(file)).ok();
        let (user, system, resident_pages) = stat(&read("stat")?)?;
        let resident_bytes = resident_pages * self.page_bytes;
        Some(Sample {
            user,
            system,
            resident_bytes,
            io: read("io").and_then(|text| io(&text)),
            syscalls: None,
        })
    }
}

/// User time, system time and resident pages. The name in parentheses may hold anything, so fields count from its end.
fn stat(text: &str) -> Option<(Duration, Duration, u64)> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // proc(5): state is field 3, utime 14, stime 15, rss 24.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = |count: u64| Duration::from_millis(count * 1_000 / TICKS_PER_S);
    Some((ticks(field(14)?), ticks(field(15)?), field(24)?))
}

fn io(text: &str) -> Option<Io> {
    let field = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")?.trim().parse().ok())
    };
    Some(Io {
        read_calls: field("syscr")?,
        write_calls: field("syscw")?,
        read_bytes: field("read_bytes")?,
        written_bytes: field("write_bytes")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_name_with_blanks_and_parentheses() {
        let text = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 75 0 0 20 0 3 0 1000 9999 512 18446744073709551615";
        let found = stat(text).unwrap();
        assert_eq!(found, (Duration::from_millis(2500), Duration::from_millis(750), 512));
        assert_eq!(stat("42 (cut) S 1"), None);
        assert_eq!(stat("nothing"), None);
    }

    #[test]
    fn input_and_output_are_told_apart_from_their_cancelled_part() {
        let text = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n";
        let wanted = Io { read_calls: 3, write_calls: 4, read_bytes: 5, written_bytes: 6 };
        assert_eq!(io(text), Some(wanted));
        assert_eq!(io("syscr: 3\n"), None);
    }

    #[test]
    fn this_process_uses_memory_and_a_missing_one_is_none() {
        let sample = Process::new(std::process::id()).sample().unwrap();
        assert!(sample.resident_bytes > 100_000 && sample.io.is_some());
        assert_eq!(Process::new(u32::MAX).sample(), None);
    }
}
