//! Which shard owns a partition: pure, the same after every restart with the same number of shards.

use uuid::Uuid;

/// One core's place among the broker's, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub usize);

/// The topic id of the metadata log; its only partition is always on shard 0.
const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);

/// The shard that owns a partition.
///
/// # Panics
/// Without shards.
pub fn owner(topic_id: Uuid, partition: i32, shard_count: usize) -> ShardId {
    assert!(shard_count > 0, "a broker has a shard");
    if topic_id == METADATA_TOPIC_ID {
        return ShardId(0);
    }
    let (high, low) = topic_id.as_u64_pair();
    let start = (high ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    // Neighbouring partitions of one topic go to neighbouring shards, so that a topic loads all cores evenly.
    ShardId(((start as usize).wrapping_add(partition as usize)) % shard_count)
}
