//! ListOffsets and OffsetForLeaderEpoch.

use harness::Transcript;
use harness::records::{Batch, Codec};
use harness::verbs::topic_name;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, OffsetForLeaderEpochRequest};

/// A time of the past, so that answers are the same in every run.
const THEN: i64 = 1_700_000_000_000;

fn list(
    transcript: &mut Transcript,
    what: &str,
    version: i16,
    topic: &str,
    asked: &[(i32, i64, i32)],
    isolation: i8,
) {
    let partition = |(index, timestamp, epoch): &(i32, i64, i32)| {
        let partition =
            ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(*timestamp);
        if version >= 4 { partition.with_current_leader_epoch(*epoch) } else { partition }
    };
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(asked.iter().map(partition).collect());
    let mut request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    if version >= 2 {
        request = request.with_isolation_level(isolation);
    }
    if version >= 10 {
        request = request.with_timeout_ms(5_000);
    }
    transcript.ask_and(what, version, &request, |answer| {
        for topic in &mut answer.topics {
            topic.partitions.sort_by_key(|one| (one.partition_index, one.offset));
        }
    });
}

#[test]
fn offsets_are_listed_as_kafka_lists_them() {
    let Some(mut transcript) = Transcript::begin("list_offsets", &[]) else { return };
    transcript.client().create_topic("t", 3);
    let mut batch = |partition: i32, time: i64, count: usize, codec: Codec| {
        let batch = Batch::numbered(0, count, 20).at(time).codec(codec);
        transcript.client().produce("t", partition, &batch);
    };
    batch(0, THEN, 3, Codec::None);
    batch(0, THEN + 1000, 3, Codec::Gzip);
    batch(0, THEN + 500, 3, Codec::Lz4);
    batch(0, THEN + 2000, 3, Codec::Zstd);
    batch(0, THEN + 1500, 3, Codec::Snappy);
    batch(1, -1, 1, Codec::None);
    for version in 1..=10 {
        let v = |what: &str| format!("{what}, v{version}");
        for time in [
            -1,
            -2,
            -3,
            -4,
            -5,
            -6,
            -7,
            i64::MIN,
            0,
            1,
            THEN - 1,
            THEN,
            THEN + 1,
            THEN + 2,
            THEN + 3,
            THEN + 501,
            THEN + 1000,
            THEN + 1002,
            THEN + 1003,
            THEN + 1501,
            THEN + 2002,
            THEN + 2003,
            i64::MAX,
        ] {
            // Partition 1 has a record without a timestamp.
            let partitions = if time == -3 { vec![0, 2] } else { vec![0, 1, 2] };
            let asked: Vec<_> = partitions.into_iter().map(|index| (index, time, -1)).collect();
            list(&mut transcript, &v(&format!("time {time}")), version, "t", &asked, 0);
        }
        list(&mut transcript, &v("committed"), version, "t", &[(0, -1, -1), (1, -2, -1)], 1);
        list(&mut transcript, &v("isolation 7"), version, "t", &[(0, -1, -1)], 7);
        list(&mut transcript, &v("partition 9"), version, "t", &[(9, -1, -1), (-1, -1, -1)], 0);
        list(&mut transcript, &v("unknown topic"), version, "u", &[(0, -1, -1)], 0);
        list(&mut transcript, &v("odd topic"), version, "a/b", &[(0, -1, -1)], 0);
        list(&mut transcript, &v("empty topic"), version, "", &[(0, -1, -1)], 0);
        if version >= 4 {
            list(&mut transcript, &v("epoch 0"), version, "t", &[(0, -1, 0)], 0);
            list(&mut transcript, &v("epoch 9"), version, "t", &[(0, -1, 9)], 0);
            list(&mut transcript, &v("epoch -2"), version, "t", &[(0, -1, -2)], 0);
            list(&mut transcript, &v("unknown topic with epoch"), version, "u", &[(0, -1, 9)], 0);
        }
    }
    // A partition twice in one request.
    list(&mut transcript, "twice", 7, "t", &[(0, -1, -1), (0, -2, -1), (1, -1, -1)], 0);
    transcript.differs("a record without a timestamp is not the one with the largest");
    list(&mut transcript, "the largest of no timestamps", 7, "t", &[(1, -3, -1)], 0);
    list(&mut transcript, "nothing", 7, "t", &[], 0);
    transcript.close();
}

fn epochs(transcript: &mut Transcript, what: &str, version: i16, topic: &str, asked: &[(i32, i32, i32)]) {
    let partition = |(index, current, epoch): &(i32, i32, i32)| {
        OffsetForLeaderPartition::default()
            .with_partition(*index)
            .with_current_leader_epoch(*current)
            .with_leader_epoch(*epoch)
    };
    let topic = OffsetForLeaderTopic::default()
        .with_topic(topic_name(topic).0.into())
        .with_partitions(asked.iter().map(partition).collect());
    let mut request = OffsetForLeaderEpochRequest::default();
    request.topics.push(topic);
    if version >= 3 {
        request = request.with_replica_id(BrokerId(-1));
    }
    transcript.ask(what, version, &request);
}

#[test]
fn epochs_end_where_kafka_ends_them() {
    let Some(mut transcript) = Transcript::begin("offset_for_leader_epoch", &[]) else { return };
    transcript.client().create_topic("t", 2);
    transcript.client().produce("t", 0, &Batch::numbered(0, 3, 20));
    for version in 2..=4 {
        let v = |what: &str| format!("{what}, v{version}");
        for epoch in [-2, -1, 0, 1, 9, i32::MAX] {
            epochs(
                &mut transcript,
                &v(&format!("epoch {epoch}")),
                version,
                "t",
                &[(0, -1, epoch), (1, -1, epoch)],
            );
        }
        for current in [-2, 0, 1, 9] {
            epochs(
                &mut transcript,
                &v(&format!("current epoch {current}")),
                version,
                "t",
                &[(0, current, 0)],
            );
        }
        epochs(&mut transcript, &v("partition 9"), version, "t", &[(9, -1, 0)]);
        epochs(&mut transcript, &v("unknown topic"), version, "u", &[(0, -1, 0)]);
        epochs(&mut transcript, &v("odd topic"), version, "a/b", &[(0, -1, 0)]);
    }
    transcript.close();
}
