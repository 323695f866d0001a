//! The real shards behind `Store`: the metadata log on shard 0's engine, partitions by message to their owners.

use super::errors::StoreError;
use super::store::{FoundLog, NewLog, Setting, Store};
use super::{METADATA_LOG_ID, metadata_log};
use crate::route::ShardId;
use crate::shard::Shard;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::{Rc, Weak};
use thalweg_engine::batch::{BatchBuilder, BatchHeader, Codec, Origin, ProducerFields, for_each_record};
use thalweg_engine::log::LogSettings;
use thalweg_engine::shard::{Append, AppendError, Engine, Isolation, LogError, Read};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset};

/// The largest batch of metadata records: a topic of 10 000 partitions takes 160 KB.
const METADATA_BATCH_BYTES_MAX: usize = 16 << 20;
/// Bytes of one read at the start.
const READ_BYTES_MAX: usize = 1 << 20;
/// Logs of one shard that are made or deleted at a time: enough to share commits, few enough to let others in.
const LOGS_IN_FLIGHT_MAX: usize = 128;
/// How often a full journal is asked again.
const BUSY_ATTEMPTS_MAX: usize = 50;
/// Pause between two such attempts.
const BUSY_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Shard 0, as the lead reaches the others through it. Holds it weakly: the shard owns the lead.
pub(super) struct Shards(pub(super) Weak<Shard>);

fn no_producer() -> ProducerFields {
    ProducerFields { producer_id: -1, producer_epoch: -1, base_sequence: -1 }
}

fn settings() -> LogSettings {
    LogSettings { batch_bytes_max: METADATA_BATCH_BYTES_MAX, keeps_blocks: true, ..LogSettings::default() }
}

fn stopped(error: &impl ToString) -> StoreError {
    StoreError::Stopped { reason: error.to_string() }
}

impl Shards {
    fn shard(&self) -> Result<Rc<Shard>, StoreError> {
        self.0.upgrade().ok_or(StoreError::NotReady)
    }

    /// Has every owner do its part at once; the first error.
    async fn on_owners<T, F>(
        &self,
        parts: BTreeMap<ShardId, Vec<T>>,
        work: impl Fn(Engine, T) -> F + Copy + Send + 'static,
    ) -> Result<(), String>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), LogError>> + 'static,
    {
        let shard = self.shard().map_err(|error| error.to_string())?;
        let asked = parts.into_iter().map(|(owner, part)| {
            shard.router.call(owner, move |shard| async move {
                let engine = shard.engine.clone();
                let mut working =
                    iter(part).map(|one| work(engine.clone(), one)).buffer_unordered(LOGS_IN_FLIGHT_MAX);
                let mut outcome = Ok(());
                while let Some(one) = working.next().await {
                    if let (true, Err(error)) = (outcome.is_ok(), one) {
                        outcome = Err(error.to_string());
                    }
                }
                outcome
            })
        });
        let outcomes = join_all(asked).await;
        outcomes.into_iter().try_for_each(|one| one.unwrap_or_else(|gone| Err(gone.to_string())))
    }
}

/// Sorts work by who owns it.
fn by_owner<T>(all: Vec<T>, owner: impl Fn(&T) -> ShardId) -> BTreeMap<ShardId, Vec<T>> {
    let mut parts = BTreeMap::<ShardId, Vec<T>>::new();
    for one in all {
        parts.entry(owner(&one)).or_default().push(one);
    }
    parts
}

impl Store for Shards {
    async fn stage(&self, records: Vec<Bytes>) -> Result<Offset, StoreError> {
        let shard = self.shard()?;
        let now = shard.now();
        let batch = records
            .iter()
            .fold(BatchBuilder::new(Codec::None), |batch, record| batch.record(now, None, Some(record)));
        let records = batch.build(no_producer()).map_err(|error| stopped(&error))?;
        let append = Append { records, zstd_allowed: true, origin: Origin::Coordinator };
        for _ in 0..BUSY_ATTEMPTS_MAX {
            match shard.engine.stage(METADATA_LOG_ID, &append, now).await {
                Ok(staged) => return Ok(staged.offset_end),
                Err(AppendError::Busy { .. }) => shard.router.sleep(BUSY_PAUSE).await,
                Err(AppendError::Full { .. }) => return Err(StoreError::Full),
                Err(error) => return Err(stopped(&error)),
            }
        }
        Err(StoreError::Busy { reason: "the journal stays full".to_owned() })
    }

    async fn durable(&self, end: Offset) -> Result<(), StoreError> {
        let durable = self.shard()?.engine.durable(METADATA_LOG_ID, end);
        durable.await.map_err(|error| stopped(&error))
    }

    async fn create_metadata_log(&self) -> Result<(), StoreError> {
        let created = self.shard()?.engine.clone();
        let created = created.create(metadata_log(), settings(), LeaderEpoch(0)).await;
        created.map_err(|error| stopped(&error))
    }

    async fn replay(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let engine = self.shard()?.engine.clone();
        engine.configure(METADATA_LOG_ID, settings()).map_err(|error| stopped(&error))?;
        let bounds = engine.bounds(METADATA_LOG_ID).map_err(|error| stopped(&error))?;
        let mut offset = bounds.log_start;
        while offset < bounds.log_end {
            let read = Read {
                offset,
                bytes_max: READ_BYTES_MAX,
                first_batch_whole: true,
                isolation: Isolation::Uncommitted,
            };
            let found = engine.read(METADATA_LOG_ID, read).await.map_err(|error| stopped(&error))?;
            let before = offset;
            offset = walk(&found.slices.concat(), offset, each)?;
            if offset == before {
                return Err(StoreError::Stopped {
                    reason: format!("the metadata log ends early, at {offset}"),
                });
            }
            futures_lite::future::yield_now().await;
        }
        Ok(())
    }

    async fn logs(&self) -> Result<Vec<FoundLog>, StoreError> {
        let shard = self.shard()?;
        let asked = (0..shard.shard_count).map(ShardId).map(|owner| {
            shard.router.call(owner, move |shard| async move {
                let found = shard.engine.logs().into_iter().map(|(identity, state)| FoundLog {
                    shard: owner,
                    identity,
                    fault: state.err().map(|error| error.to_string()),
                });
                found.collect::<Vec<_>>()
            })
        });
        let found: Result<Vec<_>, _> = join_all(asked).await.into_iter().collect();
        Ok(found.map_err(|gone| stopped(&gone))?.concat())
    }

    async fn create_logs(&self, logs: Vec<NewLog>) -> Result<(), String> {
        let work = |engine: Engine, log: NewLog| async move {
            engine.create(log.identity, log.settings, log.leader_epoch).await
        };
        self.on_owners(by_owner(logs, |log| log.owner), work).await
    }

    async fn delete_logs(&self, logs: Vec<(ShardId, LogId)>) -> Result<(), String> {
        let work = |engine: Engine, (_, log_id): (ShardId, LogId)| async move {
            match engine.delete(log_id).await {
                Err(LogError::Unknown { .. }) => Ok(()),
                outcome => outcome,
            }
        };
        self.on_owners(by_owner(logs, |log| log.0), work).await
    }

    fn directories_stopped(&self) -> Vec<String> {
        let Ok(shard) = self.shard() else { return Vec::new() };
        let stopped = shard.engine.directories_stopped();
        stopped.keys().filter_map(|at| shard.config.log_dirs.get(*at).cloned()).collect()
    }

    async fn configure(&self, settings: Vec<Setting>) {
        let work = |engine: Engine, setting: Setting| async move {
            // A log that is offline, or gone since, needs no rules.
            if engine.configure(setting.log_id, setting.settings).is_ok() {
                let _ = engine.lead(setting.log_id, setting.leader_epoch);
            }
            Ok(())
        };
        if let Err(error) = self.on_owners(by_owner(settings, |setting| setting.owner), work).await {
            tracing::warn!(error, "logs could not be told their configuration");
        }
    }
}

/// Hands over the records at or after `start` of whole batches; returns the offset after the last one.
fn walk(batches: &[u8], start: Offset, each: &mut dyn FnMut(&[u8])) -> Result<Offset, StoreError> {
    let mut rest = batches;
    let mut end = start;
    while !rest.is_empty() {
        let header = BatchHeader::read(rest).map_err(|error| stopped(&error))?;
        let cut = || StoreError::Stopped { reason: "a batch of the metadata log is cut".to_owned() };
        let (batch, after) = rest.split_at_checked(header.batch_bytes()).ok_or_else(cut)?;
        for_each_record(batch, METADATA_BATCH_BYTES_MAX, |record| {
            if let (true, Some(value)) = (record.offset >= start, record.value) {
                each(value);
            }
            std::ops::ControlFlow::Continue(())
        })
        .map_err(|error| stopped(&error))?;
        end = Offset::from_wire(header.base_offset + i64::from(header.last_offset_delta) + 1)
            .ok_or_else(cut)?;
        rest = after;
    }
    Ok(end)
}
