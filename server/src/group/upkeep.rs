//! What a partition of groups forgets: expired offsets, offsets of deleted topics, groups of which nothing is left.

use super::messages::Answer;
use super::partition::{InFlight, Partition};
use super::records::GroupRecord;
use crate::coordinator::{Effects, Now};
use std::rc::Rc;

/// Tombstones in one append, so that it fits into a batch.
pub(super) const TOMBSTONES_MAX: usize = 500;

impl Partition {
    /// Forgets what expired, and groups of which nothing is left.
    pub(super) fn check_expiry(&mut self, now: Now, effects: &mut Effects<Answer>) {
        let retention_ms = self.settings.offsets_retention_ms;
        let idle = self.groups.iter().filter(|(_, entry)| entry.in_flight_count == 0);
        let due = idle.map(|(group_id, entry)| {
            (Rc::clone(group_id), entry.offsets.expired(&entry.group, now.wall, retention_ms))
        });
        let due: Vec<_> = due.collect();
        for (group_id, expired) in due {
            self.remove_offsets(&group_id, &expired, effects);
            let Some(entry) = self.groups.get(&group_id) else { continue };
            if entry.offsets.is_empty() && entry.group.is_vacant() {
                self.append(vec![GroupRecord::encode_group(&group_id, None)], InFlight::Tombstones, effects);
                self.forget(&group_id);
            }
        }
    }

    /// Only for groups with nothing in flight: memory changes at once, and the log follows in the same order.
    fn remove_offsets(
        &mut self,
        group_id: &Rc<str>,
        removed: &[(String, i32)],
        effects: &mut Effects<Answer>,
    ) {
        for chunk in removed.chunks(TOMBSTONES_MAX) {
            let tombstone = |(topic, partition): &(String, i32)| {
                GroupRecord::encode_offset(group_id, topic, *partition, None)
            };
            let records = chunk.iter().map(tombstone).collect();
            self.append(records, InFlight::Tombstones, effects);
        }
        let Some(entry) = self.groups.get_mut(group_id) else { return };
        for (topic, partition) in removed {
            entry.offsets.remove(topic, *partition);
        }
        self.settle(group_id);
    }

    /// Removes offsets of deleted topics where nothing is in flight; the rest waits for the next tick.
    pub(super) fn remove_gone(&mut self, effects: &mut Effects<Answer>) {
        let gone = std::mem::take(&mut self.gone);
        if gone.is_empty() {
            return;
        }
        let mut is_complete = true;
        let group_ids: Vec<Rc<str>> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            let Some(entry) = self.groups.get(&group_id) else { continue };
            if entry.in_flight_count > 0 {
                is_complete = false;
                continue;
            }
            let removed: Vec<(String, i32)> =
                gone.iter().flat_map(|topic| entry.offsets.of_deleted(topic)).collect();
            self.remove_offsets(&group_id, &removed, effects);
        }
        if !is_complete {
            self.gone = gone;
        }
    }

    pub(super) fn stored_topics(&self) -> Vec<(String, [u8; 16])> {
        let each = self.groups.values().flat_map(|entry| entry.offsets.topics());
        let mut topics: Vec<(String, [u8; 16])> = each.map(|(name, id)| (name.to_owned(), id)).collect();
        topics.sort_unstable();
        topics.dedup();
        topics
    }
}
