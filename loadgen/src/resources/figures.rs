//! What a run cost, as a report gives it.
use serde::Serialize;

use super::process::{Process, Sample};

/// The cost of a run, from the end of its warm-up to its last answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ResourceFigures {
    /// Length of that window, seconds.
    pub window_s: f64,
    /// What was done in it.
    pub produced: Produced,
    /// This generator, all threads.
    pub generator: ProcessFigures,
    /// The broker's processes, in the order given.
    pub brokers: Vec<ProcessFigures>,
}

/// Work done in the window.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Produced {
    /// Records acknowledged.
    pub sent_records: u64,
    /// Bytes of their batches.
    pub sent_bytes: u64,
    /// Records read.
    pub read_records: u64,
    /// Bytes of their batches.
    pub read_bytes: u64,
}

impl Produced {
    /// What was done since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            sent_records: self.sent_records - before.sent_records,
            sent_bytes: self.sent_bytes - before.sent_bytes,
            read_records: self.read_records - before.read_records,
            read_bytes: self.read_bytes - before.read_bytes,
        }
    }

    /// Records that costs are set against: those sent, of a run that only reads those read.
    fn records(&self) -> u64 {
        if self.sent_records > 0 { self.sent_records } else { self.read_records }
    }

    fn bytes(&self) -> u64 {
        if self.sent_records > 0 { self.sent_bytes } else { self.read_bytes }
    }
}

/// The cost of one process. What is "per record" is per record sent, or read if none was sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessFigures {
    /// Its number.
    pub pid: u32,
    /// Name of its program.
    pub name: String,
    /// Processor time in its own code, seconds.
    pub cpu_user_s: f64,
    /// Processor time in the kernel for it, seconds.
    pub cpu_system_s: f64,
    /// Both, by record.
    pub cpu_us_per_record: Option<f64>,
    /// Both, by byte of batches.
    pub cpu_ns_per_byte: Option<f64>,
    /// Resident memory at the end.
    pub resident_bytes: u64,
    /// The most that was seen, once a second.
    pub resident_bytes_max: u64,
    /// System calls of all kinds.
    pub syscalls: Option<u64>,
    /// The same by record.
    pub syscalls_per_record: Option<f64>,
    /// Calls of read and its kin, as the kernel counts them without being asked; neither recv and send nor `io_uring`.
    pub read_calls: Option<u64>,
    /// Calls of write and its kin.
    pub write_calls: Option<u64>,
    /// Bytes read from the device.
    pub disk_read_bytes: Option<u64>,
    /// Bytes written to the device, or dirtied in the page cache for it.
    pub disk_written_bytes: Option<u64>,
    /// The same by byte of batches sent.
    pub disk_written_per_sent_byte: Option<f64>,
    /// Why fields are empty.
    pub unknown: Vec<String>,
}

impl ProcessFigures {
    /// From its state at both ends of the window.
    pub(super) fn new(
        process: &Process,
        first: Option<&Sample>,
        last: Option<&Sample>,
        produced: &Produced,
    ) -> Self {
        let mut figures = Self { pid: process.pid, name: process.name.clone(), ..Self::default() };
        let (Some(first), Some(last)) = (first, last) else {
            figures.unknown.push(format!("there is no process {} to look at", process.pid));
            return figures;
        };
        let user = last.user.saturating_sub(first.user);
        let system = last.system.saturating_sub(first.system);
        figures.cpu_user_s = user.as_secs_f64();
        figures.cpu_system_s = system.as_secs_f64();
        figures.cpu_us_per_record = ratio((user + system).as_secs_f64() * 1e6, produced.records());
        figures.cpu_ns_per_byte = ratio((user + system).as_secs_f64() * 1e9, produced.bytes());
        figures.resident_bytes = last.resident_bytes;
        figures.syscalls = last.syscalls.zip(first.syscalls).map(|(last, first)| last.saturating_sub(first));
        figures.syscalls_per_record =
            figures.syscalls.and_then(|count| ratio(count as f64, produced.records()));
        match (&last.io, &first.io) {
            (Some(last), Some(first)) => {
                let written = last.written_bytes.saturating_sub(first.written_bytes);
                figures.read_calls = Some(last.read_calls.saturating_sub(first.read_calls));
                figures.write_calls = Some(last.write_calls.saturating_sub(first.write_calls));
                figures.disk_read_bytes = Some(last.read_bytes.saturating_sub(first.read_bytes));
                figures.disk_written_bytes = Some(written);
                figures.disk_written_per_sent_byte = ratio(written as f64, produced.sent_bytes);
            }
            _ => figures.unknown.push("reads and writes: /proc/PID/io is not for this user".to_owned()),
        }
        figures
    }
}

/// `None`: nothing was done to set it against.
fn ratio(cost: f64, work: u64) -> Option<f64> {
    (work > 0).then(|| cost / work as f64)
}

#[cfg(test)]
mod tests {
    use super::super::process::Io;
    use super::*;
    use std::time::Duration;

    fn sample(user_ms: u64, written_bytes: u64, syscalls: Option<u64>) -> Sample {
        let io = Some(Io { written_bytes, ..Io::default() });
        Sample { user: Duration::from_millis(user_ms), io, syscalls, resident_bytes: 7, ..Sample::default() }
    }

    #[test]
    fn cost_is_the_difference_over_the_window_and_is_set_against_what_was_sent() {
        let produced = Produced { sent_records: 1_000, sent_bytes: 1_000_000, ..Produced::default() };
        let (first, last) = (sample(100, 500, Some(10)), sample(150, 1_100_500, Some(2_010)));
        let process = Process::new(1);
        let figures = ProcessFigures::new(&process, Some(&first), Some(&last), &produced);
        assert_eq!(figures.cpu_us_per_record, Some(50.0));
        assert_eq!(figures.cpu_ns_per_byte, Some(50.0));
        assert_eq!((figures.syscalls, figures.syscalls_per_record), (Some(2_000), Some(2.0)));
        assert_eq!(figures.disk_written_per_sent_byte, Some(1.1));
        assert!(figures.unknown.is_empty());
    }

    #[test]
    fn what_cannot_be_told_is_empty_with_a_reason() {
        let read = Produced { read_records: 10, read_bytes: 100, ..Produced::default() };
        let process = Process::new(1);
        let blind = |user_ms| Sample { io: None, ..sample(user_ms, 0, None) };
        let figures = ProcessFigures::new(&process, Some(&blind(0)), Some(&blind(1)), &read);
        assert_eq!(figures.cpu_us_per_record, Some(100.0), "of a run that reads, by record read");
        assert_eq!((figures.syscalls, figures.disk_written_bytes), (None, None));
        assert_eq!(figures.unknown.len(), 1);
        let gone = ProcessFigures::new(&process, None, None, &read);
        assert_eq!(gone.cpu_us_per_record, None);
        assert!(gone.unknown[0].contains("no process"));
    }
}
