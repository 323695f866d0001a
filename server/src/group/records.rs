//! Kafka's record schemas in `__consumer_offsets`.
//!
//! ```text
//! offset   key   v1  group, topic, partition
//!          value v3  offset, leader epoch, metadata, commit time          (v1 where the client asked for an expiry,
//!                                                                          v4 with the topic's id)
//! group    key   v2  group
//!          value v3  type, generation, protocol, leader, time, members
//! ```
//! A value of `None` is a tombstone. Other keys (KIP-848, transactions' groups) are kept by the log and skipped here.

use super::classic::{GroupMetadata, MemberMetadata};
use super::offsets::StoredOffset;
use crate::coordinator::{Record, ReplayError};
use crate::wire::messages::internal::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata as StoredMember, OffsetCommitKey, OffsetCommitValue,
};
use crate::wire::{Decode as _, Reader, WireError, stored};
use bytes::Bytes;
use thalweg_engine::units::Timestamp;
use uuid::Uuid;

/// One record, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// A committed offset.
    Offset {
        /// The group.
        group_id: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What is stored, `None` to forget it.
        stored: Option<StoredOffset>,
    },
    /// A classic group.
    Group {
        /// The group.
        group_id: String,
        /// Its state, `None` to forget it.
        metadata: Option<GroupMetadata>,
    },
    /// A record for someone else.
    Other,
}

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const GROUP_VALUE_VERSION: i16 = 3;

impl GroupRecord {
    /// An offset to keep, or to forget.
    pub fn encode_offset(
        group_id: &str,
        topic: &str,
        partition: i32,
        stored: Option<&StoredOffset>,
    ) -> Record {
        let key = OffsetCommitKey { group: group_id.to_owned(), topic: topic.to_owned(), partition };
        Record { key: stored::encode(&key, OFFSET_KEY_VERSION), value: stored.map(encode_stored) }
    }

    /// A group to keep, or to forget.
    pub fn encode_group(group_id: &str, metadata: Option<&GroupMetadata>) -> Record {
        let key = GroupMetadataKey { group: group_id.to_owned() };
        Record { key: stored::encode(&key, GROUP_KEY_VERSION), value: metadata.map(encode_metadata) }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When a schema known here does not fit its bytes.
    pub fn decode(record: &Record) -> Result<Self, ReplayError> {
        let malformed = |what| move |_: WireError| ReplayError::Malformed { what };
        let mut key = Reader::new(record.key.clone());
        let version = stored::version(&mut key).map_err(malformed("key of a group record"))?;
        match version {
            0 | OFFSET_KEY_VERSION => {
                decode_offset(&mut key, version, record).map_err(malformed("offset commit"))
            }
            GROUP_KEY_VERSION => decode_group(&mut key, record).map_err(malformed("group metadata")),
            _ => Ok(Self::Other),
        }
    }
}

fn encode_stored(stored: &StoredOffset) -> Bytes {
    let topic_id = Uuid::from_bytes(stored.topic_id);
    let version = match stored.expire_timestamp {
        Some(_) => 1,
        None if topic_id.is_nil() => 3,
        None => 4,
    };
    let value = OffsetCommitValue {
        offset: stored.offset,
        leader_epoch: stored.leader_epoch,
        metadata: stored.metadata.clone(),
        commit_timestamp: stored.commit_timestamp.0,
        expire_timestamp: stored.expire_timestamp.map_or(-1, |at| at.0),
        topic_id,
    };
    stored::encode(&value, version)
}

fn decode_offset(key: &mut Reader, version: i16, record: &Record) -> Result<GroupRecord, WireError> {
    let key = OffsetCommitKey::decode(key, version)?;
    let stored = record.value.as_ref().map(stored::decode::<OffsetCommitValue>).transpose()?.map(|value| {
        StoredOffset {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
            commit_timestamp: Timestamp(value.commit_timestamp),
            expire_timestamp: (value.expire_timestamp >= 0).then_some(Timestamp(value.expire_timestamp)),
            topic_id: value.topic_id.into_bytes(),
        }
    });
    Ok(GroupRecord::Offset { group_id: key.group, topic: key.topic, partition: key.partition, stored })
}

fn encode_metadata(metadata: &GroupMetadata) -> Bytes {
    let member = |member: &MemberMetadata| StoredMember {
        member_id: member.member_id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    };
    let value = GroupMetadataValue {
        protocol_type: metadata.protocol_type.clone().unwrap_or_default(),
        generation: metadata.generation,
        protocol: metadata.protocol.clone(),
        leader: metadata.leader.clone(),
        current_state_timestamp: metadata.state_since.unwrap_or(Timestamp::NONE).0,
        members: metadata.members.iter().map(member).collect(),
    };
    stored::encode(&value, GROUP_VALUE_VERSION)
}

fn decode_group(key: &mut Reader, record: &Record) -> Result<GroupRecord, WireError> {
    let key = GroupMetadataKey::decode(key, GROUP_KEY_VERSION)?;
    let metadata =
        record.value.as_ref().map(stored::decode::<GroupMetadataValue>).transpose()?.map(|value| {
            GroupMetadata {
                protocol_type: Some(value.protocol_type).filter(|name| !name.is_empty()),
                generation: value.generation,
                protocol: value.protocol,
                leader: value.leader,
                state_since: (value.current_state_timestamp >= 0)
                    .then_some(Timestamp(value.current_state_timestamp)),
                members: value.members.into_iter().map(restore_member).collect(),
            }
        });
    Ok(GroupRecord::Group { group_id: key.group, metadata })
}

fn restore_member(member: StoredMember) -> MemberMetadata {
    // Version 0 knew one timeout for both.
    let rebalance_timeout_ms =
        if member.rebalance_timeout < 0 { member.session_timeout } else { member.rebalance_timeout };
    MemberMetadata {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(topic_id: [u8; 16], expire_timestamp: Option<Timestamp>) -> StoredOffset {
        let leader_epoch = if expire_timestamp.is_some() { -1 } else { 7 };
        let commit_timestamp = Timestamp(1_700_000_000_000);
        StoredOffset {
            offset: 42,
            leader_epoch,
            metadata: "note".into(),
            commit_timestamp,
            expire_timestamp,
            topic_id,
        }
    }

    #[test]
    fn an_offset_comes_back_in_each_version_it_may_be_written_in() {
        for (expire, topic_id, version) in
            [(None, [0; 16], 3), (None, [5; 16], 4), (Some(Timestamp(1_700_000_600_000)), [0; 16], 1)]
        {
            let record = GroupRecord::encode_offset("group", "topic", 3, Some(&stored(topic_id, expire)));
            assert_eq!(record.value.as_ref().unwrap()[..2], [0, version]);
            let read = GroupRecord::decode(&record).unwrap();
            let offset = GroupRecord::Offset {
                group_id: "group".into(),
                topic: "topic".into(),
                partition: 3,
                stored: Some(stored(topic_id, expire)),
            };
            assert_eq!(read, offset);
        }
    }

    #[test]
    fn an_offset_record_is_byte_for_byte_kafkas() {
        let record = GroupRecord::encode_offset("g", "t", 1, Some(&stored([0; 16], None)));
        assert_eq!(&record.key[..], [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 1]);
        let value = record.value.unwrap();
        assert_eq!(value[..18], [0, 3, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 7, 0, 4, b'n', b'o']);
        assert_eq!(value.len(), 2 + 8 + 4 + 6 + 8);
    }

    fn group() -> GroupMetadata {
        let member = MemberMetadata {
            member_id: "m-1".into(),
            instance_id: Some("i".into()),
            client_id: "m".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(b"subscription"),
            assignment: Bytes::from_static(b"share"),
        };
        GroupMetadata {
            protocol_type: Some("consumer".into()),
            generation: 9,
            protocol: Some("range".into()),
            leader: Some("m-1".into()),
            state_since: Some(Timestamp(1_700_000_000_000)),
            members: vec![member],
        }
    }

    #[test]
    fn a_group_comes_back_with_its_members() {
        let record = GroupRecord::encode_group("g", Some(&group()));
        let read = GroupRecord::decode(&record).unwrap();
        assert_eq!(read, GroupRecord::Group { group_id: "g".into(), metadata: Some(group()) });
    }

    #[test]
    fn tombstones_and_foreign_records_are_told_apart() {
        let offset = GroupRecord::decode(&GroupRecord::encode_offset("g", "t", 0, None)).unwrap();
        assert!(matches!(offset, GroupRecord::Offset { stored: None, .. }));
        let tombstone = GroupRecord::decode(&GroupRecord::encode_group("g", None)).unwrap();
        assert!(matches!(tombstone, GroupRecord::Group { metadata: None, .. }));
        let foreign = Record { key: Bytes::from_static(&[0, 3, 0, 1, b'g']), value: None };
        assert_eq!(GroupRecord::decode(&foreign), Ok(GroupRecord::Other));
    }

    #[test]
    fn every_cut_of_a_record_is_an_error_and_never_a_panic() {
        let whole = GroupRecord::encode_group("g", Some(&group()));
        let value = whole.value.clone().unwrap();
        for cut in 0..value.len() {
            let record = Record { key: whole.key.clone(), value: Some(value.slice(..cut)) };
            assert!(GroupRecord::decode(&record).is_err(), "cut at {cut}");
        }
        for cut in 0..whole.key.len() {
            let record = Record { key: whole.key.slice(..cut), value: None };
            assert!(GroupRecord::decode(&record).is_err(), "key cut at {cut}");
        }
    }

    fn bytes(hex: &str) -> Bytes {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Records of Kafka 4.3.1: one offset with its topic's id, one group with a console consumer in it.
    const KAFKA_RECORDS: [(&str, &str); 2] = [
        (
            "0001000267310002743100000001",
            "00040000000000000000ffffffff01000001a207ab4a7301001008a9dfcf59894b2f995fd07c1e87ada2",
        ),
        (
            "000200026731",
            "00030008636f6e73756d657200000001000572616e67650035636f6e736f6c652d636f6e73756d65722d64626432653730622d6466\
             62312d346136612d383362382d316564376662393633333365000001a207ab4998000000010035636f6e736f6c652d636f6e73756d\
             65722d64626432653730622d646662312d346136612d383362382d316564376662393633333365ffff0010636f6e736f6c652d636f\
             6e73756d6572000a2f3132372e302e302e31000493e00000afc80000001800030000000100027431ffffffff00000000ffffffffff\
             ff0000001a00030000000100027431000000020000000000000001ffffffff",
        ),
    ];

    #[test]
    fn records_of_kafka_are_read_and_written_back_byte_for_byte() {
        for (key, value) in KAFKA_RECORDS {
            let record = Record { key: bytes(key), value: Some(bytes(value)) };
            let again = match GroupRecord::decode(&record).unwrap() {
                GroupRecord::Offset { group_id, topic, partition, stored } => {
                    GroupRecord::encode_offset(&group_id, &topic, partition, stored.as_ref())
                }
                GroupRecord::Group { group_id, metadata } => {
                    assert_eq!(metadata.as_ref().map(|group| group.members.len()), Some(1));
                    GroupRecord::encode_group(&group_id, metadata.as_ref())
                }
                GroupRecord::Other => panic!("a record of ours"),
            };
            assert_eq!(again, record);
        }
    }
}
