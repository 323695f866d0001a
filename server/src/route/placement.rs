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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_log_is_always_on_the_first_shard() {
        assert!((1..64).all(|shard_count| owner(METADATA_TOPIC_ID, 0, shard_count) == ShardId(0)));
    }

    #[test]
    fn a_topic_loads_all_shards_evenly_and_stays_where_it_is() {
        let topic_id = Uuid::from_u128(0x1234_5678_9abc_def0_0fed_cba9_8765_4321);
        let mut partitions = [0; 4];
        for partition in 0..64 {
            let ShardId(shard) = owner(topic_id, partition, 4);
            assert_eq!(owner(topic_id, partition, 4), ShardId(shard));
            partitions[shard] += 1;
        }
        assert_eq!(partitions, [16; 4]);
    }

    #[test]
    fn topics_begin_on_different_shards() {
        let mut topics = [0; 4];
        let mut id = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834_u128;
        for _ in 0..4000 {
            id = id.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
            topics[owner(Uuid::from_u128(id), 0, 4).0] += 1;
        }
        assert!(topics.iter().all(|count| (900..1100).contains(count)), "{topics:?}");
    }
}
