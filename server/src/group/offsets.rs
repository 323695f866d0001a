//! What a group committed, and when that expires.
//!
//! Keyed by topic and partition. A stored offset is what its record says; nothing here is ahead of the log.

use super::classic::{ClassicGroup, State};
use super::messages::{CommitPartition, DeletedTopic, FetchedOffset, FetchedTopic};
use std::collections::BTreeMap;
use thalweg_engine::units::Timestamp;

/// Memory of one stored offset beside its note: its place in the map.
const OFFSET_OVERHEAD_BYTES: usize = 96;

/// One committed offset, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
    /// A note.
    pub metadata: String,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// Until when the client asked to keep it: versions 2 to 4 of the request.
    pub expire_timestamp: Option<Timestamp>,
    /// The topic's id, zeros when unknown.
    pub topic_id: [u8; 16],
}

impl StoredOffset {
    /// What a request asks to store.
    pub fn requested(
        partition: CommitPartition,
        topic_id: [u8; 16],
        retention_ms: i64,
        wall: Timestamp,
    ) -> Self {
        let given = partition.commit_timestamp;
        let commit_timestamp = if given < 0 { wall } else { Timestamp(given) };
        Self {
            offset: partition.offset,
            leader_epoch: partition.leader_epoch,
            metadata: partition.metadata,
            commit_timestamp,
            expire_timestamp: (retention_ms >= 0).then(|| Timestamp(wall.0.saturating_add(retention_ms))),
            topic_id,
        }
    }

    fn bytes(&self) -> usize {
        OFFSET_OVERHEAD_BYTES + self.metadata.len()
    }

    fn is_expired(&self, since: Timestamp, wall: Timestamp, retention_ms: i64) -> bool {
        match self.expire_timestamp {
            Some(at) => wall >= at,
            None => wall.0.saturating_sub(since.0) >= retention_ms,
        }
    }
}

/// The offsets of one group.
#[derive(Debug, Default)]
pub struct Offsets {
    topics: BTreeMap<String, BTreeMap<i32, StoredOffset>>,
    bytes: usize,
}

impl Offsets {
    /// Nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a durable offset.
    pub fn put(&mut self, topic: &str, partition: i32, stored: StoredOffset) {
        self.bytes += stored.bytes();
        let partitions = match self.topics.get_mut(topic) {
            Some(partitions) => partitions,
            None => self.topics.entry(topic.to_owned()).or_default(),
        };
        if let Some(before) = partitions.insert(partition, stored) {
            self.bytes -= before.bytes();
        }
    }

    /// Forgets an offset.
    pub fn remove(&mut self, topic: &str, partition: i32) {
        let Some(partitions) = self.topics.get_mut(topic) else { return };
        if let Some(before) = partitions.remove(&partition) {
            self.bytes -= before.bytes();
        }
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Whether an offset is stored here.
    pub fn holds(&self, topic: &str, partition: i32) -> bool {
        self.topics.get(topic).is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Where offsets are stored.
    pub fn places(&self) -> Vec<(String, i32)> {
        let each = self.topics.iter();
        each.flat_map(|(name, partitions)| partitions.keys().map(|partition| (name.clone(), *partition)))
            .collect()
    }

    /// What is stored for these topics, or for all.
    pub fn fetch(&self, asked: Option<Vec<(String, Vec<i32>)>>) -> Vec<FetchedTopic> {
        let Some(asked) = asked else {
            let all = |(name, partitions): (&String, &BTreeMap<i32, StoredOffset>)| FetchedTopic {
                name: name.clone(),
                partitions: partitions
                    .iter()
                    .map(|(partition, stored)| fetched(*partition, Some(stored)))
                    .collect(),
            };
            return self.topics.iter().map(all).collect();
        };
        let one = |(name, partitions): (String, Vec<i32>)| {
            let known = self.topics.get(&name);
            let look = |partition: i32| fetched(partition, known.and_then(|stored| stored.get(&partition)));
            FetchedTopic { partitions: partitions.into_iter().map(look).collect(), name }
        };
        asked.into_iter().map(one).collect()
    }

    /// Every topic with an id that its offsets were committed under.
    pub fn topics(&self) -> impl Iterator<Item = (&str, [u8; 16])> {
        self.topics.iter().flat_map(|(name, partitions)| {
            let mut ids: Vec<[u8; 16]> = partitions.values().map(|stored| stored.topic_id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids.into_iter().map(move |id| (name.as_str(), id))
        })
    }

    /// Offsets of a topic that is gone; those committed under its name to another topic stay.
    pub fn of_deleted(&self, gone: &DeletedTopic) -> Vec<(String, i32)> {
        let Some(partitions) = self.topics.get(&gone.name) else { return Vec::new() };
        let meant = |stored: &StoredOffset| stored.topic_id == gone.topic_id || stored.topic_id == [0; 16];
        let kept = partitions.iter().filter(|(_, stored)| meant(stored));
        kept.map(|(partition, _)| (gone.name.clone(), *partition)).collect()
    }

    /// Offsets that may be forgotten: of an empty group when it was empty that long, of a group that never had members
    /// or of topics its members no longer read when they were committed that long ago.
    pub fn expired(&self, group: &ClassicGroup, wall: Timestamp, retention_ms: i64) -> Vec<(String, i32)> {
        let since_empty = match (group.protocol_type(), group.state()) {
            (None, _) => None,
            (Some(_), State::Empty) => group.state_since(),
            (Some("consumer"), State::Stable) if group.subscribed().is_some() => None,
            _ => return Vec::new(),
        };
        let mut expired = Vec::new();
        for (name, partitions) in self.topics.iter().filter(|(name, _)| !group.reads(name)) {
            for (partition, stored) in partitions {
                if stored.is_expired(since_empty.unwrap_or(stored.commit_timestamp), wall, retention_ms) {
                    expired.push((name.clone(), *partition));
                }
            }
        }
        expired
    }
}

fn fetched(partition: i32, stored: Option<&StoredOffset>) -> FetchedOffset {
    let Some(stored) = stored else { return FetchedOffset::none(partition) };
    FetchedOffset {
        partition,
        offset: stored.offset,
        leader_epoch: stored.leader_epoch,
        metadata: stored.metadata.clone(),
        topic_id: stored.topic_id,
    }
}
