//! The bytes of a metadata record.
//!
//! ```text
//! kind u16 | version u16 | fields in the order of their declaration
//! string: length u32, UTF-8      list: count u32, items      map: count u32, key and value strings
//! ```
//! Big-endian, without padding. The batch around the record carries the checksum. A record of a kind or version that this
//! release does not know stops the start: guessing what a newer release meant could lose topics.

use super::changes::Change;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use thalweg_engine::units::LogId;
use uuid::Uuid;

/// The version that this release writes, and the newest it reads, of every kind.
const VERSION: u16 = 0;

/// Bytes of an id.
const ID_BYTES: usize = 16;

mod kind {
    pub(super) const TOPIC_CREATED: u16 = 1;
    pub(super) const TOPIC_READY: u16 = 2;
    pub(super) const TOPIC_DELETED: u16 = 3;
    pub(super) const TOPIC_GONE: u16 = 4;
    pub(super) const PARTITIONS_ADDED: u16 = 5;
    pub(super) const PARTITIONS_READY: u16 = 6;
    pub(super) const PARTITIONS_DROPPED: u16 = 7;
    pub(super) const CONFIGS_CHANGED: u16 = 8;
    pub(super) const PRODUCER_IDS_ALLOCATED: u16 = 9;
    pub(super) const UNCLEAN_START: u16 = 10;
}

/// Why a stored record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer release wrote it.
    #[error(
        "a metadata record has kind {kind} version {version}, which this release does not know: was a newer one run on this data?"
    )]
    Unknown {
        /// Its kind.
        kind: u16,
        /// Its version.
        version: u16,
    },
    /// The bytes are not what the kind says.
    #[error("a metadata record of kind {kind} does not decode")]
    Malformed {
        /// Its kind.
        kind: u16,
    },
}

impl Change {
    /// The record's bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        match self {
            Self::TopicCreated { name, topic_id, log_ids, overrides } => {
                begin(&mut bytes, kind::TOPIC_CREATED);
                put_string(&mut bytes, name);
                bytes.put_slice(topic_id.as_bytes());
                put_log_ids(&mut bytes, log_ids);
                put_map(&mut bytes, overrides);
            }
            Self::TopicReady { topic_id } => put_topic(&mut bytes, kind::TOPIC_READY, *topic_id),
            Self::TopicDeleted { topic_id } => put_topic(&mut bytes, kind::TOPIC_DELETED, *topic_id),
            Self::TopicGone { topic_id } => put_topic(&mut bytes, kind::TOPIC_GONE, *topic_id),
            Self::PartitionsAdded { topic_id, log_ids } => {
                put_topic(&mut bytes, kind::PARTITIONS_ADDED, *topic_id);
                put_log_ids(&mut bytes, log_ids);
            }
            Self::PartitionsReady { topic_id } => put_topic(&mut bytes, kind::PARTITIONS_READY, *topic_id),
            Self::PartitionsDropped { topic_id } => {
                put_topic(&mut bytes, kind::PARTITIONS_DROPPED, *topic_id);
            }
            Self::ConfigsChanged { topic_id, overrides } => {
                put_topic(&mut bytes, kind::CONFIGS_CHANGED, *topic_id);
                put_map(&mut bytes, overrides);
            }
            Self::ProducerIdsAllocated { end } => {
                begin(&mut bytes, kind::PRODUCER_IDS_ALLOCATED);
                bytes.put_i64(*end);
            }
            Self::UncleanStart => begin(&mut bytes, kind::UNCLEAN_START),
        }
        bytes.freeze()
    }

    /// A record from its bytes.
    ///
    /// # Errors
    /// `FormatError`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut head = bytes;
        let kind = head.try_get_u16().map_err(|_| FormatError::Malformed { kind: 0 })?;
        let version = head.try_get_u16().map_err(|_| FormatError::Malformed { kind })?;
        if version > VERSION || !(kind::TOPIC_CREATED..=kind::UNCLEAN_START).contains(&kind) {
            return Err(FormatError::Unknown { kind, version });
        }
        let mut fields = Fields(head);
        let change = fields.change(kind).filter(|_| fields.0.is_empty());
        change.ok_or(FormatError::Malformed { kind })
    }
}

fn begin(bytes: &mut BytesMut, kind: u16) {
    bytes.put_u16(kind);
    bytes.put_u16(VERSION);
}

fn put_topic(bytes: &mut BytesMut, kind: u16, topic_id: Uuid) {
    begin(bytes, kind);
    bytes.put_slice(topic_id.as_bytes());
}

fn put_string(bytes: &mut BytesMut, text: &str) {
    bytes.put_u32(text.len() as u32);
    bytes.put_slice(text.as_bytes());
}

fn put_log_ids(bytes: &mut BytesMut, log_ids: &[LogId]) {
    bytes.put_u32(log_ids.len() as u32);
    for log_id in log_ids {
        bytes.put_slice(&log_id.0);
    }
}

fn put_map(bytes: &mut BytesMut, map: &BTreeMap<String, String>) {
    bytes.put_u32(map.len() as u32);
    for (key, value) in map {
        put_string(bytes, key);
        put_string(bytes, value);
    }
}

/// What is left to read; `None` from any of its methods means that the bytes end early or lie.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn change(&mut self, kind: u16) -> Option<Change> {
        Some(match kind {
            kind::TOPIC_CREATED => Change::TopicCreated {
                name: self.string()?,
                topic_id: self.uuid()?,
                log_ids: self.log_ids()?,
                overrides: self.map()?,
            },
            kind::TOPIC_READY => Change::TopicReady { topic_id: self.uuid()? },
            kind::TOPIC_DELETED => Change::TopicDeleted { topic_id: self.uuid()? },
            kind::TOPIC_GONE => Change::TopicGone { topic_id: self.uuid()? },
            kind::PARTITIONS_ADDED => {
                Change::PartitionsAdded { topic_id: self.uuid()?, log_ids: self.log_ids()? }
            }
            kind::PARTITIONS_READY => Change::PartitionsReady { topic_id: self.uuid()? },
            kind::PARTITIONS_DROPPED => Change::PartitionsDropped { topic_id: self.uuid()? },
            kind::CONFIGS_CHANGED => {
                Change::ConfigsChanged { topic_id: self.uuid()?, overrides: self.map()? }
            }
            kind::PRODUCER_IDS_ALLOCATED => Change::ProducerIdsAllocated { end: self.0.try_get_i64().ok()? },
            kind::UNCLEAN_START => Change::UncleanStart,
            _ => return None,
        })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn count(&mut self) -> Option<usize> {
        self.0.try_get_u32().ok().map(|count| count as usize)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.take(ID_BYTES)?).ok()
    }

    fn string(&mut self) -> Option<String> {
        let length = self.count()?;
        std::str::from_utf8(self.take(length)?).ok().map(str::to_owned)
    }

    fn log_ids(&mut self) -> Option<Vec<LogId>> {
        let count = self.count()?;
        let bytes = self.take(count.checked_mul(ID_BYTES)?)?;
        bytes.chunks_exact(ID_BYTES).map(|id| id.try_into().ok().map(LogId)).collect()
    }

    fn map(&mut self) -> Option<BTreeMap<String, String>> {
        let count = self.count()?;
        let mut map = BTreeMap::new();
        for _ in 0..count {
            map.insert(self.string()?, self.string()?);
        }
        (map.len() == count).then_some(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uuid() -> impl Strategy<Value = Uuid> {
        any::<u128>().prop_map(Uuid::from_u128)
    }

    fn log_ids() -> impl Strategy<Value = Vec<LogId>> {
        proptest::collection::vec(any::<[u8; 16]>().prop_map(LogId), 0..5)
    }

    fn overrides() -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map("[a-z.]{0,20}", ".{0,20}", 0..5)
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            ("[a-z]{0,9}", uuid(), log_ids(), overrides()).prop_map(
                |(name, topic_id, log_ids, overrides)| Change::TopicCreated {
                    name,
                    topic_id,
                    log_ids,
                    overrides
                }
            ),
            uuid().prop_map(|topic_id| Change::TopicReady { topic_id }),
            uuid().prop_map(|topic_id| Change::TopicDeleted { topic_id }),
            uuid().prop_map(|topic_id| Change::TopicGone { topic_id }),
            (uuid(), log_ids()).prop_map(|(topic_id, log_ids)| Change::PartitionsAdded { topic_id, log_ids }),
            uuid().prop_map(|topic_id| Change::PartitionsReady { topic_id }),
            uuid().prop_map(|topic_id| Change::PartitionsDropped { topic_id }),
            (uuid(), overrides())
                .prop_map(|(topic_id, overrides)| Change::ConfigsChanged { topic_id, overrides }),
            any::<i64>().prop_map(|end| Change::ProducerIdsAllocated { end }),
            Just(Change::UncleanStart),
        ]
    }

    proptest! {
        #[test]
        fn every_record_reads_back_and_no_cut_of_it_does(change in change()) {
            let bytes = change.encode();
            prop_assert_eq!(Change::decode(&bytes), Ok(change));
            for cut in 0..bytes.len() {
                let is_refused = matches!(Change::decode(&bytes[..cut]), Err(FormatError::Malformed { .. }));
                prop_assert!(is_refused, "cut at {}", cut);
            }
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Change::decode(&bytes);
        }
    }

    #[test]
    fn bytes_of_a_record_stay_what_they_are() {
        let change = Change::TopicCreated {
            name: "ab".into(),
            topic_id: Uuid::from_u128(2),
            log_ids: vec![LogId([7; 16])],
            overrides: BTreeMap::from([("k".into(), "v".into())]),
        };
        let mut expected = vec![0, 1, 0, 0, 0, 0, 0, 2, b'a', b'b'];
        expected.extend([0; 15]);
        expected.extend([2, 0, 0, 0, 1]);
        expected.extend([7; 16]);
        expected.extend([0, 0, 0, 1, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v']);
        assert_eq!(change.encode(), expected);
    }

    #[test]
    fn what_a_newer_release_wrote_is_named() {
        let newer = [0, 2, 0, 1, 0, 0];
        assert_eq!(Change::decode(&newer), Err(FormatError::Unknown { kind: 2, version: 1 }));
        let unknown = [0, 99, 0, 0];
        assert_eq!(Change::decode(&unknown), Err(FormatError::Unknown { kind: 99, version: 0 }));
    }
}
