//! The answer to Fetch, versions 4 to 18: fields around record slices that go out as they lie in memory.

use super::answer::{Answer, AnswerBuilder};
use super::codes::ErrorCode;
use super::header::RequestHeader;
use super::messages::LeaderIdAndEpoch;
use super::primitives::{Context, Field, Writer};
use bytes::{BufMut, Bytes};
use uuid::Uuid;

/// What one partition answers.
#[derive(Clone, Debug)]
pub struct PartitionData {
    /// Its number.
    pub partition_index: i32,
    /// 0 or an error.
    pub error_code: ErrorCode,
    /// -1 with an error.
    pub high_watermark: i64,
    /// -1 with an error.
    pub last_stable_offset: i64,
    /// -1 with an error.
    pub log_start_offset: i64,
    /// Since 12: epoch and end offset where the fetcher's log parts from this one.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Since 12: who leads, with an error that asks for it.
    pub current_leader: Option<LeaderIdAndEpoch>,
    /// Whole batches.
    pub records: Vec<Bytes>,
    /// Sum of the slices.
    pub records_bytes: usize,
}

impl PartitionData {
    /// An answer without records.
    pub fn error(partition_index: i32, error_code: ErrorCode) -> Self {
        Self {
            partition_index,
            error_code,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            records: Vec::new(),
            records_bytes: 0,
        }
    }
}

/// One topic of an answer.
#[derive(Clone, Debug)]
pub struct TopicData {
    /// Up to 12.
    pub topic: String,
    /// Since 13.
    pub topic_id: Uuid,
    /// In the order asked for.
    pub partitions: Vec<PartitionData>,
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct FetchResponse {
    /// Since 7.
    pub error_code: ErrorCode,
    /// Since 7.
    pub session_id: i32,
    /// Topics in order.
    pub topics: Vec<TopicData>,
}

fn count(writer: &mut Writer, count: usize, flexible: bool) {
    if flexible {
        writer.varint(count as u32 + 1);
    } else {
        writer.bytes.put_i32(count as i32);
    }
}

/// Lays the answer out. No record is copied.
pub fn answer(header: &RequestHeader, response: FetchResponse) -> Answer {
    let context = header.context();
    let Context { version, flexible } = context;
    let mut builder = AnswerBuilder::new(header.answer());
    0i32.write(&mut builder.writer, context); // throttle time
    if version >= 7 {
        response.error_code.write(&mut builder.writer, context);
        response.session_id.write(&mut builder.writer, context);
    }
    count(&mut builder.writer, response.topics.len(), flexible);
    for topic in response.topics {
        if version >= 13 {
            topic.topic_id.write(&mut builder.writer, context);
        } else {
            topic.topic.write(&mut builder.writer, context);
        }
        count(&mut builder.writer, topic.partitions.len(), flexible);
        for partition in topic.partitions {
            write_partition(&mut builder, partition, context);
        }
        if flexible {
            builder.writer.varint(0);
        }
    }
    if flexible {
        builder.writer.varint(0); // node endpoints are never needed: there is one node
    }
    builder.finish()
}

fn write_partition(builder: &mut AnswerBuilder, partition: PartitionData, context: Context) {
    let Context { version, flexible } = context;
    let writer = &mut builder.writer;
    partition.partition_index.write(writer, context);
    partition.error_code.write(writer, context);
    partition.high_watermark.write(writer, context);
    partition.last_stable_offset.write(writer, context);
    if version >= 5 {
        partition.log_start_offset.write(writer, context);
    }
    // No aborted transactions: null as Kafka answers where isolation is not asked for, empty reads the same.
    count(writer, 0, flexible);
    if version >= 11 {
        (-1i32).write(writer, context); // preferred read replica
    }
    count_bytes(writer, partition.records_bytes, flexible);
    builder.slices(partition.records);
    if flexible {
        let writer = &mut builder.writer;
        let tags =
            u32::from(partition.diverging_epoch.is_some()) + u32::from(partition.current_leader.is_some());
        writer.varint(tags);
        if let Some((epoch, end_offset)) = partition.diverging_epoch {
            let mut field = Writer::default();
            epoch.write(&mut field, context);
            end_offset.write(&mut field, context);
            field.varint(0);
            writer.tag(0, &field);
        }
        if let Some(leader) = partition.current_leader {
            let mut field = Writer::default();
            leader.write(&mut field, context);
            writer.tag(1, &field);
        }
    }
}

fn count_bytes(writer: &mut Writer, bytes: usize, flexible: bool) {
    if flexible {
        writer.varint(bytes as u32 + 1);
    } else {
        writer.bytes.put_i32(bytes as i32);
    }
}
