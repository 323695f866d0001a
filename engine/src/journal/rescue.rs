//! Logs that must not be served, in the journal's format: so that the journals which held their bytes can go.
//!
//! A rescue is a journal of a start of its own, written whole by a recovery that had to fence logs, named to later
//! recoveries as an elder (`Older`, then `OldDone`). Each recovery that still fences writes a new one. Per log:
//! ```text
//! State (if one is known)   Rest, Rest ... (all bytes that are known)   Fence (unless the next start may judge anew)
//! ```

use super::commit::{CommitHead, Entry, EntryKind, Planned, StartId, commit_bytes, encode_commit};
use super::replay::RecoveredPiece;
use super::state::LogState;
use crate::units::LogId;

/// The number of the shard that all rescues carry.
pub(crate) const RESCUE_SHARD: u32 = u32::MAX;
/// Payload of one commit, unless a single entry is larger.
const PAYLOAD_BYTES_MAX: usize = 4 << 20;
const ENTRIES_MAX: usize = 1024;

/// One log for a rescue.
pub(crate) struct Rescued<'a> {
    pub(crate) log_id: LogId,
    pub(crate) state: Option<&'a LogState>,
    pub(crate) pieces: &'a [RecoveredPiece],
    /// Why it must not be served; `None` when only the next start can say.
    pub(crate) fence: Option<&'a str>,
}

/// The commits of a rescue, in order, numbered from 1.
pub(crate) fn encode_rescue(start: StartId, logs: &[Rescued<'_>]) -> Vec<Vec<u8>> {
    let mut commits = Vec::new();
    let mut waiting: Vec<(Entry, Vec<u8>)> = Vec::new();
    let mut waiting_bytes = 0;
    for (entry, payload) in logs.iter().flat_map(entries) {
        let is_full = waiting_bytes + payload.len() > PAYLOAD_BYTES_MAX || waiting.len() >= ENTRIES_MAX;
        if is_full && !waiting.is_empty() {
            commits.push(encode(start, commits.len() as u64 + 1, &waiting));
            waiting.clear();
            waiting_bytes = 0;
        }
        waiting_bytes += payload.len();
        waiting.push((entry, payload));
    }
    if !waiting.is_empty() {
        commits.push(encode(start, commits.len() as u64 + 1, &waiting));
    }
    commits
}

fn entries(log: &Rescued<'_>) -> Vec<(Entry, Vec<u8>)> {
    let entry = |kind| Entry { log_id: log.log_id, ..Entry::control(kind) };
    let mut entries = Vec::new();
    entries.extend(log.state.map(|state| (entry(EntryKind::State), state.encode())));
    for piece in log.pieces {
        let mut payload = Vec::with_capacity(8 + piece.bytes.len());
        payload.extend_from_slice(&piece.first_batch.as_u64().to_le_bytes());
        payload.extend_from_slice(&piece.bytes);
        let (segment_base, position) = (piece.base.as_i64(), piece.start.as_u64());
        entries.push((Entry { segment_base, position, ..entry(EntryKind::Rest) }, payload));
    }
    entries.extend(log.fence.map(|reason| (entry(EntryKind::Fence), reason.as_bytes().to_vec())));
    entries
}

fn encode(start: StartId, sequence: u64, entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let planned: Vec<Planned> = entries
        .iter()
        .map(|(entry, payload)| Planned { entry: *entry, payload_bytes: payload.len() })
        .collect();
    let payload_bytes = entries.iter().map(|(_, payload)| payload.len()).sum();
    let mut bytes = vec![0; commit_bytes(entries.len(), payload_bytes)];
    let head = CommitHead { start, shard: RESCUE_SHARD, sequence, known_synced: sequence - 1 };
    encode_commit(&mut bytes, head, &planned, |number, target| target.copy_from_slice(&entries[number].1));
    bytes
}
