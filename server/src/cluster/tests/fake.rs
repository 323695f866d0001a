//! Shards in memory: what was durable survives, what was staged may not, and power ends after so many steps.

use crate::cluster::METADATA_LOG_ID;
use crate::cluster::errors::StoreError;
use crate::cluster::image::Image;
use crate::cluster::lead::Lead;
use crate::cluster::rules::Rules;
use crate::cluster::start::{ClusterStartError, ClusterStarted, start};
use crate::cluster::store::{FoundLog, NewLog, Setting, Store};
use crate::config::Config;
use crate::route::ShardId;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_lite::future::{self, block_on, yield_now};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use thalweg_engine::units::{LogId, Offset};

pub(super) const SHARD_COUNT: usize = 3;

/// What survives a loss of power.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) records: Vec<Bytes>,
    pub(super) logs: BTreeMap<LogId, NewLog>,
    pub(super) has_metadata_log: bool,
}

pub(super) struct Machine {
    pub(super) disk: Disk,
    staged: Vec<Bytes>,
    /// Steps until the power is cut; every touch of the device is one.
    pub(super) steps_left: usize,
    /// Owners that cannot make logs.
    pub(super) broken: Vec<ShardId>,
    /// Logs that cannot be asked.
    pub(super) faults: BTreeSet<LogId>,
    /// Log directories that do not work.
    pub(super) directories_stopped: Vec<String>,
    pub(super) settings: BTreeMap<LogId, Setting>,
}

#[derive(Clone)]
pub(super) struct FakeStore(pub(super) Rc<RefCell<Machine>>);

impl FakeStore {
    pub(super) fn on(disk: Disk, steps_left: usize) -> Self {
        let (staged, broken, settings) = (disk.records.clone(), Vec::new(), BTreeMap::new());
        let directories_stopped = Vec::new();
        let faults = BTreeSet::new();
        let machine = Machine { disk, staged, steps_left, broken, faults, directories_stopped, settings };
        Self(Rc::new(RefCell::new(machine)))
    }

    /// One touch of the device; after the last one nothing ever resolves.
    async fn step(&self) {
        yield_now().await;
        if self.0.borrow().steps_left == 0 {
            future::pending::<()>().await;
        }
        self.0.borrow_mut().steps_left -= 1;
    }

    pub(super) fn has_power(&self) -> bool {
        self.0.borrow().steps_left > 0
    }
}

impl Store for FakeStore {
    async fn stage(&self, records: Vec<Bytes>) -> Result<Offset, StoreError> {
        self.step().await;
        let mut machine = self.0.borrow_mut();
        machine.staged.extend(records);
        Ok(Offset::new(machine.staged.len() as i64))
    }

    async fn durable(&self, end: Offset) -> Result<(), StoreError> {
        self.step().await;
        let mut machine = self.0.borrow_mut();
        let end = end.as_i64() as usize;
        if machine.disk.records.len() < end {
            machine.disk.records = machine.staged[..end].to_vec();
        }
        Ok(())
    }

    async fn create_metadata_log(&self) -> Result<(), StoreError> {
        self.step().await;
        self.0.borrow_mut().disk.has_metadata_log = true;
        Ok(())
    }

    async fn replay(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        let records = self.0.borrow().disk.records.clone();
        for record in records {
            each(&record);
        }
        Ok(())
    }

    fn directories_stopped(&self) -> Vec<String> {
        self.0.borrow().directories_stopped.clone()
    }

    async fn logs(&self) -> Result<Vec<FoundLog>, StoreError> {
        let machine = self.0.borrow();
        let found = |log: &NewLog| FoundLog {
            shard: log.owner,
            identity: log.identity.clone(),
            fault: machine
                .faults
                .contains(&log.identity.log_id)
                .then(|| "its log directory stopped".to_owned()),
        };
        let mut logs: Vec<FoundLog> = machine.disk.logs.values().map(found).collect();
        if machine.disk.has_metadata_log {
            let identity = crate::cluster::metadata_log();
            assert_eq!(identity.log_id, METADATA_LOG_ID);
            logs.push(FoundLog { shard: ShardId(0), identity, fault: None });
        }
        Ok(logs)
    }

    async fn create_logs(&self, logs: Vec<NewLog>) -> Result<(), String> {
        for log in logs {
            self.step().await;
            let mut machine = self.0.borrow_mut();
            if machine.broken.contains(&log.owner) {
                return Err("no log directory works".to_owned());
            }
            machine.disk.logs.entry(log.identity.log_id).or_insert(log);
        }
        Ok(())
    }

    async fn delete_logs(&self, logs: Vec<(ShardId, LogId)>) -> Result<(), String> {
        for (_, log_id) in logs {
            self.step().await;
            let mut machine = self.0.borrow_mut();
            if machine.disk.logs.remove(&log_id).is_none() && !machine.directories_stopped.is_empty() {
                return Err("it may be in a directory that does not work".to_owned());
            }
        }
        Ok(())
    }

    async fn configure(&self, settings: Vec<Setting>) {
        for setting in settings {
            self.0.borrow_mut().settings.insert(setting.log_id, setting);
        }
    }
}

/// One life of a broker.
pub(super) struct Life {
    pub(super) lead: Rc<Lead<FakeStore>>,
    pub(super) store: FakeStore,
    pub(super) image: Arc<ArcSwap<Image>>,
    pub(super) started: ClusterStarted,
}

pub(super) fn rules() -> Rules {
    Rules::new(Arc::new(Config::of(BTreeMap::new()).unwrap()), SHARD_COUNT).unwrap()
}

impl Life {
    /// Starts on these shards; `None` when the power went during the start.
    pub(super) fn start_on(store: &FakeStore, unclean: bool) -> Result<Option<Self>, ClusterStartError> {
        let image = Arc::new(ArcSwap::from_pointee(Image::default()));
        let started = start(store.clone(), "c".into(), unclean, Arc::clone(&image), rules());
        let Some(started) = run_until_dark(store, started) else { return Ok(None) };
        let (lead, started) = started?;
        Ok(Some(Self { lead, store: store.clone(), image, started }))
    }

    /// Starts on what the last life left.
    pub(super) fn start(disk: Disk, unclean: bool) -> Self {
        Self::start_on(&FakeStore::on(disk, usize::MAX), unclean).unwrap().expect("there is power")
    }

    /// Does `work` beside the lead's own loop; `None` when the power went first.
    pub(super) fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Option<T> {
        let driven = Rc::clone(&self.lead).run();
        let endless = async {
            driven.await;
            unreachable!("the loop ends only when told to")
        };
        let work = future::or(work, endless);
        run_until_dark(&self.store, work)
    }

    pub(super) fn disk(self) -> Disk {
        self.store.0.borrow().disk.clone()
    }

    pub(super) fn published(&self) -> Arc<Image> {
        self.image.load_full()
    }
}

/// Polls until it resolves or there is no power and nothing moves any more.
fn run_until_dark<T>(store: &FakeStore, work: impl Future<Output = T>) -> Option<T> {
    block_on(async {
        let dark = async {
            while store.has_power() {
                yield_now().await;
            }
            for _ in 0..1000 {
                yield_now().await; // what needs no device may still finish
            }
            None
        };
        future::or(async { Some(work.await) }, dark).await
    })
}
