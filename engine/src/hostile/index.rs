//! An index file's bytes: what is taken is written again in the same bytes, and every question of it has an answer.

use crate::segment::{Index, IndexEntry};
use crate::units::{FilePos, Offset, Timestamp};

/// Tries the bytes as the index file of a segment of that length: whether they were taken.
///
/// # Panics
/// On a finding.
pub fn index(bytes: &[u8], segment_bytes: u64) -> bool {
    let Some(mut index) = Index::decode(bytes, segment_bytes) else { return false };
    assert!(index.encode(segment_bytes) == bytes, "bytes of an index mean nothing");
    let mut position_before = None;
    for offset in [0, 1, 5, 100, i64::MAX].map(Offset::new) {
        let floor = index.floor(offset);
        assert!(floor.is_none_or(|entry| entry.offset <= offset), "a floor lies above what was asked for");
        let position = floor.map(|entry| entry.position);
        assert!(position >= position_before, "a later offset lies before an earlier one");
        position_before = position;
    }
    for time in [i64::MIN, -1, 0, 1, 1_700_000_000_000, i64::MAX].map(Timestamp) {
        let floor = index.floor_time(time);
        assert!(
            floor.is_none_or(|entry| entry.max_timestamp_before < time),
            "records before a floor are too new"
        );
    }
    let end = FilePos::new(segment_bytes);
    assert!(index.milestones(end).len() <= index.milestones_max());
    let next = IndexEntry { offset: Offset::new(1 << 40), position: end, max_timestamp_before: Timestamp(0) };
    index.note(next, 4096);
    true
}

/// An index of `places` (offset, position, greatest timestamp before), as it is written, without its checksum.
pub fn index_seed(places: &[(i64, u64, i64)], segment_bytes: u64) -> Vec<u8> {
    let entry = |(offset, position, time): &(i64, u64, i64)| IndexEntry {
        offset: Offset::new(*offset),
        position: FilePos::new(*position),
        max_timestamp_before: Timestamp(*time),
    };
    let mut bytes = Index::of(places.iter().map(entry).collect()).encode(segment_bytes);
    bytes.truncate(bytes.len() - 4);
    bytes
}
