//! How does a whole shard become durable at once?
//!
//! docs/format.md draws the bytes and lists the rules; each is held here or in `shard`.

mod chain;
mod codec;
mod commit;
mod heads;
mod manifest;
mod replay;
mod rescue;
mod space;
mod state;

pub(crate) use chain::{Replayed, needs_elders, replay_files};
pub(crate) use codec::{Put, Take};
#[cfg(test)]
pub(crate) use commit::front_bytes;
pub(crate) use commit::{
    COMMIT_BYTES_MAX, CommitHead, Entry, EntryKind, Planned, StartId, commit_bytes, encode_commit,
};
#[cfg(any(test, feature = "sim"))]
pub(crate) use commit::{Commit, Fault, read_commit, read_first_commit, reseal};
pub(crate) use heads::{FileHead, Need, needed_files};
pub(crate) use manifest::{JournalFile, Manifest};
pub(crate) use replay::{JournalEnd, Outcome, RecoveredLog, RecoveredPiece, Replay};
pub(crate) use rescue::{RESCUE_SHARD, Rescued, encode_rescue};
pub(crate) use space::{FileSeq, Pins};
#[cfg(any(test, feature = "sim"))]
pub(crate) use state::decode_older;
pub(crate) use state::{LogState, SegmentState, encode_older};
