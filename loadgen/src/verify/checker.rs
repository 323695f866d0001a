//! Look at every batch and record as it is read; remember what was seen, compactly.
//!
//! A machine, fed in the order in which offsets were served. One per reading thread; a partition belongs to one thread.
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::{FaultKind, Faults, Placed, Ranges};
use crate::batch::{RecordBatch, Tag, records};

/// All that one thread read.
#[derive(Debug, Default)]
pub struct Checker {
    /// What was seen, by partition.
    pub partitions: BTreeMap<i32, PartitionCheck>,
    /// What is wrong whatever the producers say.
    pub faults: Faults,
}

/// What was seen of one partition.
#[derive(Debug, Default)]
pub struct PartitionCheck {
    /// Offsets read, from where reading began to after the last record.
    pub offsets: Range<i64>,
    /// Records seen.
    pub record_count: u64,
    /// Records without a tag: of other producers.
    pub untagged_count: u64,
    /// What was seen of each run and producer.
    pub streams: HashMap<(u64, u32), StreamCheck>,
}

/// What was seen of one producer in one partition.
#[derive(Debug, Default)]
pub struct StreamCheck {
    /// Sequences seen.
    pub seen: Ranges,
    /// Where they were seen, in the order of reading.
    pub placed: Vec<Placed>,
    /// Seen again.
    pub doubled: Ranges,
    /// Records seen again, each time counted.
    pub doubled_count: u64,
    /// Seen behind a later one.
    pub out_of_order: Ranges,
}

impl Checker {
    /// Reading of `partition` begins at `offset`.
    pub fn begin(&mut self, partition: i32, offset: i64) {
        self.partitions.entry(partition).or_default().offsets = offset..offset;
    }

    /// Looks at one batch, as it was served; records before the place where reading stands are skipped, as clients do.
    /// `on_tag` sees each tag that is whole.
    pub fn batch(&mut self, partition: i32, batch: &RecordBatch, mut on_tag: impl FnMut(&Tag)) {
        let header = batch.header();
        let base_offset = header.base_offset();
        let faults = &mut self.faults;
        let check = self.partitions.entry(partition).or_default();
        let next = check.offsets.end;
        let end = base_offset.saturating_add(header.last_offset_delta()).saturating_add(1);
        if base_offset > next {
            faults.add(FaultKind::OffsetHole, (base_offset - next) as u64, || {
                format!("partition {partition}: after offset {next} comes a batch at {base_offset}")
            });
        } else if end <= next {
            faults.add(FaultKind::OffsetBack, 1, || {
                format!("partition {partition}: at offset {next} a batch of {base_offset}..{end} was served")
            });
            return;
        }
        // Reading may begin inside of a batch; later on, a batch begins where the one before ended.
        let inside = base_offset < next;
        if inside && check.record_count > 0 {
            faults.add(FaultKind::OffsetBack, 1, || {
                format!("partition {partition}: batch at {base_offset} overlaps the one before it, which ends at {next}")
            });
        }
        check.offsets.end = end;
        if let Err(what) = self.look_inside(partition, batch, next, &mut on_tag) {
            self.faults.add(FaultKind::BatchBroken, 1, || {
                format!("partition {partition}, offset {base_offset}: {what}")
            });
        }
    }

    /// The records of a batch from offset `from` on.
    fn look_inside(
        &mut self,
        partition: i32,
        batch: &RecordBatch,
        from: i64,
        on_tag: &mut impl FnMut(&Tag),
    ) -> Result<(), String> {
        let header = batch.header();
        batch.check_crc().map_err(|fault| fault.to_string())?;
        if header.is_control() {
            return Ok(());
        }
        let record_count = header.record_count();
        let plain = batch.unpacked().map_err(|fault| fault.to_string())?;
        let check = self.partitions.entry(partition).or_default();
        for (index, record) in (0_i64..).zip(records(&plain, record_count)) {
            let record = record.map_err(|fault| fault.to_string())?;
            if record.offset_delta != index {
                return Err(format!("record {index} has offset delta {}", record.offset_delta));
            }
            let offset = header.base_offset() + index;
            if offset < from {
                continue;
            }
            check.record_count += 1;
            let Some(tag) = record.tag else {
                check.untagged_count += 1;
                continue;
            };
            match Tag::decode(tag, record.key.unwrap_or_default(), record.value.unwrap_or_default()) {
                Ok(tag) => {
                    check.streams.entry((tag.run, tag.producer)).or_default().record(tag.sequence, offset);
                    on_tag(&tag);
                }
                Err(fault) => self.faults.add(FaultKind::RecordChanged, 1, || {
                    format!("partition {partition}, offset {offset}: {fault:?}")
                }),
            }
        }
        if record_count == header.last_offset_delta() + 1 {
            return Ok(());
        }
        Err(format!("{record_count} records, last offset delta {}", header.last_offset_delta()))
    }

    /// Takes over what another thread read.
    pub fn merge(&mut self, other: Self) {
        self.partitions.extend(other.partitions);
        self.faults.merge(other.faults);
    }

    /// Records seen in all partitions.
    pub fn record_count(&self) -> u64 {
        self.partitions.values().map(|partition| partition.record_count).sum()
    }
}

impl StreamCheck {
    fn record(&mut self, sequence: u64, offset: i64) {
        let end = self.seen.end();
        if sequence == end || self.seen.insert(sequence) {
            if sequence < end {
                self.out_of_order.insert(sequence);
            }
            self.seen.add(sequence..sequence + 1);
        } else {
            self.doubled.insert(sequence);
            self.doubled_count += 1;
        }
        match self.placed.last_mut() {
            Some(last)
                if last.sequences.end == sequence
                    && last
                        .base_offset
                        .is_some_and(|base| base + (sequence - last.sequences.start) as i64 == offset) =>
            {
                last.sequences.end += 1;
            }
            _ => self.placed.push(Placed { sequences: sequence..sequence + 1, base_offset: Some(offset) }),
        }
    }
}
