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
use bytes::{Buf, BufMut, Bytes, BytesMut};
use thalweg_engine::units::Timestamp;

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
const NO_TOPIC_ID: [u8; 16] = [0; 16];

impl GroupRecord {
    /// An offset to keep, or to forget.
    pub fn encode_offset(
        group_id: &str,
        topic: &str,
        partition: i32,
        stored: Option<&StoredOffset>,
    ) -> Record {
        let mut key = Writer::of_version(OFFSET_KEY_VERSION);
        key.string(group_id);
        key.string(topic);
        key.0.put_i32(partition);
        Record { key: key.0.freeze(), value: stored.map(encode_stored) }
    }

    /// A group to keep, or to forget.
    pub fn encode_group(group_id: &str, metadata: Option<&GroupMetadata>) -> Record {
        let mut key = Writer::of_version(GROUP_KEY_VERSION);
        key.string(group_id);
        Record { key: key.0.freeze(), value: metadata.map(encode_metadata) }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When a schema known here does not fit its bytes.
    pub fn decode(record: &Record) -> Result<Self, ReplayError> {
        let mut key = Reader { rest: record.key.clone(), flexible: false };
        let version = key.i16().ok_or(ReplayError::Malformed { what: "key of a group record" })?;
        match version {
            0 | OFFSET_KEY_VERSION => {
                decode_offset(key, record).ok_or(ReplayError::Malformed { what: "offset commit" })
            }
            GROUP_KEY_VERSION => {
                decode_group(key, record).ok_or(ReplayError::Malformed { what: "group metadata" })
            }
            _ => Ok(Self::Other),
        }
    }
}

fn encode_stored(stored: &StoredOffset) -> Bytes {
    let version = match stored.expire_timestamp {
        Some(_) => 1,
        None if stored.topic_id == NO_TOPIC_ID => 3,
        None => 4,
    };
    let mut value = Writer::of_version(version);
    value.0.put_i64(stored.offset);
    if version >= 3 {
        value.0.put_i32(stored.leader_epoch);
    }
    if version >= 4 {
        value.compact_string(&stored.metadata);
    } else {
        value.string(&stored.metadata);
    }
    value.0.put_i64(stored.commit_timestamp.0);
    if let Some(at) = stored.expire_timestamp {
        value.0.put_i64(at.0);
    }
    if version >= 4 {
        value.0.put_slice(&[1, 0, 16]); // one tagged field: number 0, 16 bytes
        value.0.put_slice(&stored.topic_id);
    }
    value.0.freeze()
}

fn encode_metadata(metadata: &GroupMetadata) -> Bytes {
    let mut value = Writer::of_version(GROUP_VALUE_VERSION);
    value.string(metadata.protocol_type.as_deref().unwrap_or_default());
    value.0.put_i32(metadata.generation);
    value.nullable_string(metadata.protocol.as_deref());
    value.nullable_string(metadata.leader.as_deref());
    value.0.put_i64(metadata.state_since.unwrap_or(Timestamp::NONE).0);
    value.0.put_i32(metadata.members.len() as i32);
    for member in &metadata.members {
        value.string(&member.member_id);
        value.nullable_string(member.instance_id.as_deref());
        value.string(&member.client_id);
        value.string(&member.client_host);
        value.0.put_i32(member.rebalance_timeout_ms);
        value.0.put_i32(member.session_timeout_ms);
        value.bytes(&member.subscription);
        value.bytes(&member.assignment);
    }
    value.0.freeze()
}

fn decode_offset(mut key: Reader, record: &Record) -> Option<GroupRecord> {
    let (group_id, topic, partition) = (key.string()?, key.string()?, key.i32()?);
    let stored = match &record.value {
        Some(value) => Some(decode_stored(value)?),
        None => None,
    };
    Some(GroupRecord::Offset { group_id, topic, partition, stored })
}

fn decode_stored(value: &Bytes) -> Option<StoredOffset> {
    let (mut value, version) = Reader::versioned(value, 4, 4)?;
    let offset = value.i64()?;
    let leader_epoch = if version >= 3 { value.i32()? } else { -1 };
    let metadata = value.string()?;
    let commit_timestamp = Timestamp(value.i64()?);
    let expire = if version == 1 { value.i64()? } else { -1 };
    let mut topic_id = NO_TOPIC_ID;
    if version >= 4 {
        for _ in 0..value.varint()? {
            let (tag, length) = (value.varint()?, value.varint()? as usize);
            let field = value.take(length)?;
            if tag == 0 {
                topic_id = field[..].try_into().ok()?;
            }
        }
    }
    let expire_timestamp = (expire >= 0).then_some(Timestamp(expire));
    Some(StoredOffset { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
}

fn decode_group(mut key: Reader, record: &Record) -> Option<GroupRecord> {
    let group_id = key.string()?;
    let metadata = match &record.value {
        Some(value) => Some(decode_metadata(value)?),
        None => None,
    };
    Some(GroupRecord::Group { group_id, metadata })
}

fn decode_metadata(value: &Bytes) -> Option<GroupMetadata> {
    let (mut value, version) = Reader::versioned(value, 4, 4)?;
    let protocol_type = Some(value.string()?).filter(|name| !name.is_empty());
    let generation = value.i32()?;
    let (protocol, leader) = (value.nullable_string()?, value.nullable_string()?);
    let since = if version >= 2 { value.i64()? } else { -1 };
    let count = value.count()?;
    let mut members = Vec::with_capacity(count.min(value.rest.len() / MEMBER_BYTES_MIN));
    for _ in 0..count {
        members.push(decode_member(&mut value, version)?);
    }
    let state_since = (since >= 0).then_some(Timestamp(since));
    Some(GroupMetadata { protocol_type, generation, protocol, leader, state_since, members })
}

/// The smallest member: three empty strings, a session timeout and two empty byte arrays.
const MEMBER_BYTES_MIN: usize = 9;

fn decode_member(value: &mut Reader, version: i16) -> Option<MemberMetadata> {
    let member_id = value.string()?;
    let instance_id = if version >= 3 { value.nullable_string()? } else { None };
    let (client_id, client_host) = (value.string()?, value.string()?);
    let rebalance_timeout = if version >= 1 { value.i32()? } else { -1 };
    let session_timeout_ms = value.i32()?;
    let (subscription, assignment) = (value.bytes()?, value.bytes()?);
    value.skip_tagged()?;
    let rebalance_timeout_ms = if rebalance_timeout == -1 { session_timeout_ms } else { rebalance_timeout };
    Some(MemberMetadata {
        member_id,
        instance_id,
        client_id,
        client_host,
        rebalance_timeout_ms,
        session_timeout_ms,
        subscription,
        assignment,
    })
}

struct Writer(BytesMut);

impl Writer {
    fn of_version(version: i16) -> Self {
        let mut bytes = BytesMut::with_capacity(96);
        bytes.put_i16(version);
        Self(bytes)
    }

    /// Strings here came over the wire with a 16-bit length or a bound below it.
    fn string(&mut self, text: &str) {
        let text = text.get(..text.floor_char_boundary(i16::MAX as usize)).unwrap_or(text);
        self.0.put_i16(text.len() as i16);
        self.0.put_slice(text.as_bytes());
    }

    fn nullable_string(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.string(text),
            None => self.0.put_i16(-1),
        }
    }

    fn compact_string(&mut self, text: &str) {
        let mut rest = text.len() as u32 + 1;
        while rest >= 0x80 {
            self.0.put_u8(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.put_u8(rest as u8);
        self.0.put_slice(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &Bytes) {
        self.0.put_i32(bytes.len() as i32);
        self.0.put_slice(bytes);
    }
}

/// Reads one key or value; every length is checked against the bytes that are there.
struct Reader {
    rest: Bytes,
    flexible: bool,
}

impl Reader {
    fn versioned(value: &Bytes, version_max: i16, flexible_from: i16) -> Option<(Self, i16)> {
        let mut reader = Self { rest: value.clone(), flexible: false };
        let version = reader.i16().filter(|version| (0..=version_max).contains(version))?;
        reader.flexible = version >= flexible_from;
        Some((reader, version))
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.rest.len()).then(|| self.rest.split_to(length))
    }

    fn i16(&mut self) -> Option<i16> {
        self.rest.try_get_i16().ok()
    }

    fn i32(&mut self) -> Option<i32> {
        self.rest.try_get_i32().ok()
    }

    fn i64(&mut self) -> Option<i64> {
        self.rest.try_get_i64().ok()
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.rest.try_get_u8().ok()?;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A length, `None` inside for null.
    #[expect(clippy::option_option, reason = "outer: the bytes end early, inner: null")]
    fn length(&mut self, is_short: bool) -> Option<Option<usize>> {
        let length = if self.flexible {
            i64::from(self.varint()?) - 1
        } else if is_short {
            i64::from(self.i16()?)
        } else {
            i64::from(self.i32()?)
        };
        Some(usize::try_from(length).ok())
    }

    #[expect(clippy::option_option, reason = "outer: the bytes end early, inner: null")]
    fn nullable_string(&mut self) -> Option<Option<String>> {
        let Some(length) = self.length(true)? else { return Some(None) };
        let text = self.take(length)?;
        Some(Some(std::str::from_utf8(&text).ok()?.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        self.nullable_string()?
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.length(false)??;
        self.take(length)
    }

    fn count(&mut self) -> Option<usize> {
        self.length(false)?
    }

    fn skip_tagged(&mut self) -> Option<()> {
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()? as usize;
                self.take(length)?;
            }
        }
        Some(())
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
            [(None, NO_TOPIC_ID, 3), (None, [5; 16], 4), (Some(Timestamp(1_700_000_600_000)), NO_TOPIC_ID, 1)]
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
        let record = GroupRecord::encode_offset("g", "t", 1, Some(&stored(NO_TOPIC_ID, None)));
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
}
