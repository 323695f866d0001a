//! Every latency of a run, second by second, in the log format that the tools around `HdrHistogram` read.
//!
//! A line is one kind of latency in one second, tagged with its name. Values are nanoseconds; the log's column of maxima
//! is in milliseconds, as those tools expect. Times count from the run's start, which the log names.
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};

use crate::histogram::Latencies;
use crate::series::Interval;

const SECOND: Duration = Duration::from_secs(1);
const NANOS_PER_MS: f64 = 1e6;

/// Writes the log of a run that began at this time to a file.
///
/// # Errors
/// If the file cannot be written.
pub fn save(path: &Path, start_unix_ms: i64, intervals: &[Interval]) -> io::Result<()> {
    let mut bytes = Vec::new();
    write(&mut bytes, start_unix_ms, intervals)?;
    std::fs::write(path, bytes)
}

/// Writes the log of a run that began at this time.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(out: &mut impl io::Write, start_unix_ms: i64, intervals: &[Interval]) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let start = start_time(start_unix_ms);
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("thalweg-loadgen: values in ns, maxima in ms, one interval a second for each tag")
        .with_base_time(start)
        .with_start_time(start)
        .with_max_value_divisor(NANOS_PER_MS)
        .begin_log_with(out, &mut serializer)?;
    let mut sorted: Vec<_> = intervals.iter().collect();
    // Readers expect growing times.
    sorted.sort_by_key(|interval| interval.at_s);
    sorted.into_iter().try_for_each(|interval| write_interval(&mut log, interval))
}

fn write_interval<W: io::Write>(
    log: &mut IntervalLogWriter<'_, '_, W, V2DeflateSerializer>,
    interval: &Interval,
) -> io::Result<()> {
    let mut latencies = Latencies::new();
    latencies.merge_packed(&interval.packed);
    let at = Duration::from_secs(interval.at_s);
    log.write_histogram(latencies.histogram(), at, SECOND, Tag::new(interval.kind)).map_err(|error| {
        match error {
            IntervalLogWriterError::IoError(error) => error,
            IntervalLogWriterError::SerializeError(error) => {
                io::Error::other(format!("interval log: {error:?}"))
            }
        }
    })
}

fn start_time(start_unix_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(start_unix_ms.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Series;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Tag, second, samples and maximum in milliseconds of each line.
    fn read(log: &[u8]) -> Vec<(String, u64, u64, f64)> {
        let entries = IntervalLogIterator::new(log).map(Result::unwrap);
        let lines = entries.filter_map(|entry| match entry {
            LogEntry::Interval(line) => {
                let encoded = base64(line.encoded_histogram());
                let found: Histogram<u64> =
                    Deserializer::new().deserialize(&mut std::io::Cursor::new(encoded)).unwrap();
                assert_eq!(line.duration(), SECOND);
                let tag = line.tag().unwrap().as_str().to_owned();
                Some((tag, line.start_timestamp().as_secs(), found.len(), line.max()))
            }
            LogEntry::BaseTime(at) | LogEntry::StartTime(at) => {
                assert_eq!(at, Duration::from_millis(1_700_000_000_250));
                None
            }
        });
        lines.collect()
    }

    fn base64(text: &str) -> Vec<u8> {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut bits = 0_u32;
        let mut bytes = Vec::new();
        for (place, digit) in text.bytes().filter(|byte| *byte != b'=').enumerate() {
            let value = DIGITS.iter().position(|found| *found == digit).unwrap() as u32;
            bits = bits << 6 | value;
            if place % 4 > 0 {
                bytes.push((bits >> (6 - 2 * (place % 4))) as u8);
            }
        }
        bytes
    }

    #[test]
    fn what_was_measured_comes_back_from_the_log_by_tag_and_second() {
        let mut sent = Series::new(&["produce", "produce_service"]);
        sent.record_latency(MS(100), 0, MS(20), 1);
        sent.record_latency(MS(200), 0, MS(30), 1);
        sent.record_latency(MS(200), 1, MS(3), 1);
        sent.record_latency(MS(5200), 0, MS(5000), 1);
        let mut read_back = Series::new(&["fetch"]);
        read_back.record_latency(MS(300), 0, MS(7), 1);
        let intervals = [Series::merged([sent]).intervals, Series::merged([read_back]).intervals].concat();
        let mut log = Vec::new();
        write(&mut log, 1_700_000_000_250, &intervals).unwrap();
        let found = read(&log);
        let places: Vec<_> = found.iter().map(|(tag, at, count, _)| (tag.as_str(), *at, *count)).collect();
        assert_eq!(
            places,
            [("produce", 0, 2), ("produce_service", 0, 1), ("fetch", 0, 1), ("produce", 5, 1)]
        );
        for ((.., found), wanted) in found.iter().zip([30.0, 3.0, 7.0, 5000.0]) {
            assert!((found - wanted).abs() < wanted / 500.0, "{found} {wanted}");
        }
    }
}
