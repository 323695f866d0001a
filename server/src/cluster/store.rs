//! What the cluster's lead needs of the shards: the metadata log, and the logs of partitions on their owners.

use crate::route::ShardId;
use bytes::Bytes;
use std::future::Future;
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset};

use super::errors::StoreError;

/// A log as its engine reports it.
#[derive(Clone, Debug)]
pub(super) struct FoundLog {
    /// The shard that has it.
    pub shard: ShardId,
    /// Who it is.
    pub identity: LogIdentity,
    /// Why it cannot be served, if it cannot.
    pub fault: Option<String>,
}

/// A log to be made.
#[derive(Clone, Debug)]
pub(super) struct NewLog {
    /// Where.
    pub owner: ShardId,
    /// Who it will be.
    pub identity: LogIdentity,
    /// By which rules.
    pub settings: LogSettings,
    /// Its first epoch.
    pub leader_epoch: LeaderEpoch,
}

/// The rules and the epoch of a log that is there.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Where.
    pub owner: ShardId,
    /// Which.
    pub log_id: LogId,
    /// By which rules.
    pub settings: LogSettings,
    /// Its epoch from now on; it never falls.
    pub leader_epoch: LeaderEpoch,
}

/// The shards, as the lead sees them. Stays on shard 0; each call may take other shards' work with it.
pub(super) trait Store: 'static {
    /// Stages records at the end of the metadata log; the offset to wait for.
    fn stage(&self, records: Vec<Bytes>) -> impl Future<Output = Result<Offset, StoreError>>;
    /// Resolves when everything below `end` is on the device and synced.
    fn durable(&self, end: Offset) -> impl Future<Output = Result<(), StoreError>>;
    /// Makes the metadata log, empty.
    fn create_metadata_log(&self) -> impl Future<Output = Result<(), StoreError>>;
    /// Every record of the metadata log, from its start.
    fn replay(&self, each: &mut dyn FnMut(&[u8])) -> impl Future<Output = Result<(), StoreError>>;
    /// Log directories that have stopped, or could not be used from the start: what is in them nobody knows.
    fn directories_stopped(&self) -> Vec<String>;
    /// Every log of every shard, the metadata log too.
    fn logs(&self) -> impl Future<Output = Result<Vec<FoundLog>, StoreError>>;
    /// Makes logs, durably; one that is there already stays as it is. On an error some may be made.
    fn create_logs(&self, logs: Vec<NewLog>) -> impl Future<Output = Result<(), String>>;
    /// Deletes logs, durably; one that is not there counts as deleted. On an error some may be left.
    fn delete_logs(&self, logs: Vec<(ShardId, LogId)>) -> impl Future<Output = Result<(), String>>;
    /// Gives logs their rules and epochs; one that is not there is passed over.
    fn configure(&self, settings: Vec<Setting>) -> impl Future<Output = ()>;
}
