//! What became of every record a run sent, as its producers know it: the other half of a proof.
//!
//! Kept in memory during a run and written as lines of text, one range each:
//! ```text
//!  thalweg-loadgen-acked 1
//!  run 00c0ffee00c0ffee
//!  topic iis_log
//!  idempotent true
//!  repeated 3                    batches sent again
//!  A 0 2 0 5000 120000           producer 0, partition 2: records 0..5000 are acknowledged at offsets from 120000 on
//!  U 1 2 700 800                 outcome unknown: nobody answered
//!  R 1 2 800 900                 refused: must not be there
//!  end 4                         so many range lines: a cut file is no proof
//! ```
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

const FIRST_LINE: &str = "thalweg-loadgen-acked 1";

/// One producer in one partition.
pub type StreamId = (u32, i32);

/// All outcomes of one run, or of one thread of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The run; records of other runs are not its business.
    pub run: u64,
    /// Where it wrote.
    pub topic: String,
    /// Each acknowledged record must be there exactly once.
    pub idempotent: bool,
    /// Batches that were sent more than once; without idempotence they may be there twice.
    pub repeated: u64,
    /// Outcomes by producer and partition.
    pub streams: BTreeMap<StreamId, Outcomes>,
}

/// What became of the records of one producer in one partition, by sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Acknowledged.
    pub acknowledged: Vec<Placed>,
    /// Sent, and nobody knows.
    pub unknown: Vec<Range<u64>>,
    /// Not in the log, said the broker.
    pub refused: Vec<Range<u64>>,
}

/// Records that lie one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Their sequences.
    pub sequences: Range<u64>,
    /// Offset of the first; `None`: the broker did not say.
    pub base_offset: Option<i64>,
}

/// A ledger file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not a ledger.
    #[error("{path}, line {line}: not a line of an acknowledgement journal: {text:?}")]
    Line {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// What is there.
        text: String,
    },
    /// The end is missing.
    #[error("{path} is cut: its last line is missing")]
    Cut {
        /// The file.
        path: String,
    },
}

impl Ledger {
    /// These records are in the log, the first at `base_offset`.
    pub fn acknowledged(&mut self, stream: StreamId, sequences: Range<u64>, base_offset: Option<i64>) {
        let placed = &mut self.streams.entry(stream).or_default().acknowledged;
        if let Some(before) = placed.last_mut()
            && before.sequences.end == sequences.start
            && before.next_offset() == base_offset
        {
            before.sequences.end = sequences.end;
        } else {
            placed.push(Placed { sequences, base_offset });
        }
    }

    /// Nobody knows whether these records are in the log.
    pub fn unknown(&mut self, stream: StreamId, sequences: Range<u64>) {
        push_joined(&mut self.streams.entry(stream).or_default().unknown, sequences);
    }

    /// The broker refused these records.
    pub fn refused(&mut self, stream: StreamId, sequences: Range<u64>) {
        push_joined(&mut self.streams.entry(stream).or_default().refused, sequences);
    }

    /// Takes over all of another thread's outcomes; no stream belongs to two threads.
    pub fn merge(&mut self, other: Self) {
        self.repeated += other.repeated;
        self.streams.extend(other.streams);
    }

    /// How many records are acknowledged.
    pub fn acknowledged_count(&self) -> u64 {
        let placed = self.streams.values().flat_map(|outcomes| &outcomes.acknowledged);
        placed.map(|placed| placed.sequences.end - placed.sequences.start).sum()
    }

    /// The whole ledger as text.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{FIRST_LINE}\nrun {:016x}\ntopic {}\nidempotent {}\nrepeated {}\n",
            self.run, self.topic, self.idempotent, self.repeated
        );
        let mut lines = 0;
        // Writing into a String cannot fail.
        for ((producer, partition), outcomes) in &self.streams {
            for Placed { sequences, base_offset } in &outcomes.acknowledged {
                let base_offset = base_offset.unwrap_or(-1);
                let _ = writeln!(
                    text,
                    "A {producer} {partition} {} {} {base_offset}",
                    sequences.start, sequences.end
                );
            }
            for (letter, ranges) in [("U", &outcomes.unknown), ("R", &outcomes.refused)] {
                for range in ranges {
                    let _ = writeln!(text, "{letter} {producer} {partition} {} {}", range.start, range.end);
                }
            }
            lines += outcomes.acknowledged.len() + outcomes.unknown.len() + outcomes.refused.len();
        }
        let _ = writeln!(text, "end {lines}");
        text
    }

    /// Writes the ledger; a file that is there is replaced.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LedgerError> {
        std::fs::write(path, self.to_text())
            .map_err(|source| LedgerError::File { path: path.display().to_string(), source })
    }

    /// Reads a ledger.
    ///
    /// # Errors
    /// If the file cannot be read, is cut, or is none.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| LedgerError::File { path: name.clone(), source })?;
        Self::from_text(&text, name)
    }

    fn from_text(text: &str, path: String) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        let mut ranges = 0;
        for (number, line) in text.lines().enumerate() {
            if line.strip_prefix("end ").and_then(|count| count.parse().ok()) == Some(ranges) {
                return Ok(ledger);
            }
            let known = if number == 0 { (line == FIRST_LINE).then_some(0) } else { ledger.take_line(line) };
            ranges += known.ok_or_else(|| LedgerError::Line {
                path: path.clone(),
                line: number + 1,
                text: line.chars().take(80).collect(),
            })?;
        }
        Err(LedgerError::Cut { path })
    }

    /// Takes one line; how many ranges it holds, or `None` if it is not understood.
    fn take_line(&mut self, line: &str) -> Option<usize> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "run" => self.run = u64::from_str_radix(rest, 16).ok()?,
            "topic" => rest.clone_into(&mut self.topic),
            "idempotent" => self.idempotent = rest.parse().ok()?,
            "repeated" => self.repeated = rest.parse().ok()?,
            "A" | "U" | "R" => {
                let mut fields = rest.split(' ');
                let stream = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
                let sequences = fields.next()?.parse().ok()?..fields.next()?.parse().ok()?;
                match word {
                    "U" => self.unknown(stream, sequences),
                    "R" => self.refused(stream, sequences),
                    _ => {
                        let base_offset: i64 = fields.next()?.parse().ok()?;
                        self.acknowledged(stream, sequences, (base_offset >= 0).then_some(base_offset));
                    }
                }
                return fields.next().is_none().then_some(1);
            }
            _ => return None,
        }
        Some(0)
    }
}

impl Placed {
    fn next_offset(&self) -> Option<i64> {
        Some(self.base_offset? + (self.sequences.end - self.sequences.start) as i64)
    }
}

fn push_joined(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(before) if before.end == range.start => before.end = range.end,
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger {
            run: 0x00c0_ffee,
            topic: "a topic".into(),
            idempotent: true,
            repeated: 3,
            ..Ledger::default()
        };
        ledger.acknowledged((0, 2), 0..10, Some(100));
        ledger.acknowledged((0, 2), 10..20, Some(110));
        ledger.acknowledged((0, 2), 20..30, Some(500));
        ledger.acknowledged((1, 2), 0..5, None);
        ledger.unknown((1, 2), 5..9);
        ledger.refused((1, 2), 9..11);
        ledger
    }

    #[test]
    fn ranges_that_follow_each_other_in_sequence_and_offset_become_one() {
        assert_eq!(
            ledger().streams[&(0, 2)].acknowledged,
            [
                Placed { sequences: 0..20, base_offset: Some(100) },
                Placed { sequences: 20..30, base_offset: Some(500) },
            ]
        );
        assert_eq!(ledger().acknowledged_count(), 35);
    }

    #[test]
    fn a_ledger_comes_back_from_its_text() {
        assert_eq!(Ledger::from_text(&ledger().to_text(), "file".into()).unwrap(), ledger());
    }

    #[test]
    fn a_cut_or_foreign_text_is_refused() {
        let text = ledger().to_text();
        for end in 0..text.len() - 1 {
            assert!(Ledger::from_text(&text[..end], "file".into()).is_err(), "{:?}", &text[..end]);
        }
        let mut short = text.clone();
        short = short.replace("U 1 2 5 9\n", "");
        assert!(Ledger::from_text(&short, "file".into()).is_err(), "a line is missing");
        assert!(Ledger::from_text("something else\n", "file".into()).is_err());
    }
}
