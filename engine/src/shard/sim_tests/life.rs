//! One life of a broker on the simulated disk: recover, compare with the model, append, read, create, delete, end.

use super::model::{Being, ModelLog, NOW, PRODUCER};
use super::promise;
use crate::batch::Origin;
use crate::io::Disk;
use crate::io::sim::{Faults, Random, SimDisk, Simulation};
use crate::log::DurabilityMode;
use crate::shard::{Append, Engine, EngineSettings, Isolation, LogError, Read, ReadError, recover};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

type Logs = Rc<RefCell<Vec<ModelLog>>>;

/// Topics that come and go; a name is used again after its log was deleted.
const TOPICS: u64 = 6;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    PowerCut,
    Kill,
    /// A write or sync fails sooner or later.
    Fault,
    /// The disk fills up; what was accepted must not suffer, and the end is clean.
    Full,
}

/// What one life does.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) ending: Ending,
    pub(super) faults: Faults,
    pub(super) shard_count: usize,
    /// Operations of each actor.
    pub(super) operations: u64,
    pub(super) settings: EngineSettings,
    /// Bits of journals were turned: what cannot be trusted is offline, and what is served is right.
    pub(super) rotten: bool,
    /// At its end no files are left of what was removed.
    pub(super) tidy: bool,
}

impl Plan {
    pub(super) fn random(random: &mut Random) -> Self {
        let ending = match random.below(10) {
            0..2 => Ending::Clean,
            2..6 => Ending::PowerCut,
            6..8 => Ending::Kill,
            8 => Ending::Full,
            _ => Ending::Fault,
        };
        let mut faults = Faults { slow: random.below(2) * 300, ..Faults::default() };
        match ending {
            Ending::PowerCut | Ending::Kill => {
                let most = [100, 1000, 6000][random.below(3) as usize];
                faults.cut_after_steps = Some(1 + random.below(most));
            }
            Ending::Fault => match random.below(4) {
                0 => faults.write_fails = 100,
                1 => faults.storage_bytes_max = (16 << 20) + random.below(16 << 20),
                _ => faults.sync_fails = 200,
            },
            Ending::Clean | Ending::Full => {}
        }
        let operations = [3, 20, 60][random.below(3) as usize];
        let settings = random_settings(random);
        Self {
            ending,
            faults,
            shard_count: 1 + random.below(3) as usize,
            operations,
            settings,
            rotten: false,
            tidy: false,
        }
    }

    /// A last look at a disk that is well.
    pub(super) fn calm() -> Self {
        let settings = random_settings(&mut Random::new(1));
        Self {
            ending: Ending::Clean,
            faults: Faults::default(),
            shard_count: 2,
            operations: 2,
            settings,
            rotten: false,
            tidy: true,
        }
    }
}

fn random_settings(random: &mut Random) -> EngineSettings {
    EngineSettings {
        directories: vec![PathBuf::from("sim")],
        journal_file_bytes: [576 << 10, 1 << 20][random.below(2) as usize],
        journal_files_max: 4,
        commit_bytes_max: [32 << 10, 128 << 10][random.below(2) as usize],
        commit_entries_max: 64,
        state_bytes_max: 320 << 10,
        large_run_bytes: [12 << 10, 64 << 10][random.below(2) as usize],
        write_back_bytes_per_s: [0, 20 << 20][random.below(2) as usize],
        tail_memory_bytes: [1 << 20, 8 << 20][random.below(2) as usize],
        cache_bytes: 1 << 20,
        unpacked_bytes_max: 1 << 20,
        producer_expiration_ms: 86_400_000,
        producers_max: 1000,
        retention_check_ms: 2_000,
        retention_delay_ms: random.below(2) * 2_000,
        open_files_max: [4, 100][random.below(2) as usize],
        ..EngineSettings::default()
    }
}

/// What the actors of one life share.
#[derive(Clone)]
struct Broker {
    simulation: Simulation,
    engines: Rc<Vec<Engine<SimDisk>>>,
    logs: Logs,
    /// What is being done, by whom.
    busy: Rc<RefCell<BTreeMap<u64, String>>>,
    number: Rc<Cell<u64>>,
    faulty: bool,
    full: bool,
}

/// Until the life is over or the disk is cut under it.
pub(super) async fn live(simulation: Simulation, disk: SimDisk, mut random: Random, logs: Logs, plan: Plan) {
    let shard_count = plan.shard_count;
    let faulty = plan.ending == Ending::Fault;
    let recovered =
        match recover(std::slice::from_ref(&disk), &plan.settings, shard_count, Timestamp(NOW)).await {
            Ok(recovered) => recovered,
            Err(error) if faulty || plan.rotten => return drop(error),
            Err(error) => panic!("recovery: {error}"),
        };
    let nameless = recovered.nameless.clone();
    assert!(nameless.is_empty() || plan.rotten, "a state is gone on a disk that is well");
    let mut engines = Vec::new();
    for share in recovered.split(shard_count, |identity| owner(identity.log_id, shard_count)) {
        match Engine::start(vec![disk.clone()], plan.settings.clone(), share).await {
            Ok(engine) => engines.push(engine),
            Err(error) if faulty => return drop(error),
            Err(error) => panic!("start: {error}"),
        }
    }
    let broker = Broker {
        simulation,
        engines: Rc::new(engines),
        logs,
        busy: Rc::default(),
        number: Rc::default(),
        faulty,
        full: plan.ending == Ending::Full,
    };
    broker.compare(&mut random, plan.rotten, &nameless).await;
    if plan.rotten {
        return;
    }
    if broker.full {
        // Enough for the journals: without a second file nothing could ever be freed.
        let journals = 3 * shard_count as u64 * plan.settings.journal_file_bytes;
        disk.leave_storage(journals + random.below(4 << 20));
    }
    for actor in 0..TOPICS {
        broker.act(Random::new(random.next_u64()), actor, plan.operations);
    }
    broker.rest().await;
    if plan.ending == Ending::Clean {
        broker.compare_bounds();
    }
    if plan.tidy {
        // Time for what has expired to be sealed, to go, and for its files to follow: a minute for what was cut before the
        // log was told its settings.
        broker.simulation.sleep(Duration::from_secs(100)).await;
        broker.compare_files(&disk);
    }
    for (shard, engine) in broker.engines.iter().enumerate() {
        let (engine, logs) = (engine.clone(), Rc::clone(&broker.logs));
        broker.spawn(format!("stop of shard {shard}"), async move {
            let stopped = engine.stop().await;
            assert!(stopped.is_ok() || faulty, "the stop failed: {stopped:?}");
            if stopped.is_ok() {
                let of_shard = |log: &&mut ModelLog| owner(log.id(), shard_count) == shard;
                logs.borrow_mut().iter_mut().filter(of_shard).for_each(|log| log.is_rested = true);
            }
        });
    }
    broker.rest().await;
    if matches!(plan.ending, Ending::PowerCut | Ending::Kill) {
        disk.sleep(Duration::from_millis(1)).await;
    }
}

fn owner(log_id: LogId, shard_count: usize) -> usize {
    crc32c::crc32c(&log_id.0) as usize % shard_count
}

impl Broker {
    fn engine(&self, log_id: LogId) -> &Engine<SimDisk> {
        &self.engines[owner(log_id, self.engines.len())]
    }

    /// Only a directory that stopped may refuse.
    fn refused(&self, log_id: LogId, error: &impl std::fmt::Debug) {
        let full = format!("{error:?}").contains("no blocks for its segment");
        let is_stopped = self.engine(log_id).stopped().is_some();
        assert!(
            (self.faulty && (is_stopped || full)) || (self.full && full && !is_stopped),
            "refused on a disk that is well: {error:?}"
        );
    }

    /// Everybody has done what they wanted, and nobody waits any more.
    async fn rest(&self) {
        let end = self.simulation.clock() + Duration::from_secs(900);
        while !self.busy.borrow().is_empty() {
            if self.simulation.clock() >= end {
                let engines: String = self.engines.iter().map(Engine::describe).collect();
                panic!("{:?} wait for ever{engines}", self.busy.borrow());
            }
            self.simulation.sleep(Duration::from_millis(50)).await;
        }
    }

    fn spawn(&self, what: String, work: impl Future<Output = ()> + 'static) {
        self.number.set(self.number.get() + 1);
        let (number, busy) = (self.number.get(), Rc::clone(&self.busy));
        busy.borrow_mut().insert(number, what);
        self.simulation.spawn(async move {
            work.await;
            busy.borrow_mut().remove(&number);
        });
    }

    /// What recovery found against what was promised.
    async fn compare(&self, random: &mut Random, rotten: bool, nameless: &[LogId]) {
        let count = self.logs.borrow().len();
        for at in 0..count {
            let (log_id, settings, being) = {
                let log = &self.logs.borrow()[at];
                (log.id(), log.settings.clone(), log.being)
            };
            let engine = self.engine(log_id);
            let bounds = match engine.bounds(log_id) {
                Ok(bounds) => bounds,
                Err(LogError::Unknown { .. }) if nameless.contains(&log_id) => continue,
                Err(LogError::Unknown { .. }) => {
                    assert!(being != Being::Live, "log {at} is gone");
                    self.logs.borrow_mut()[at].being = Being::Deleted;
                    continue;
                }
                Err(LogError::Offline { .. }) if rotten => continue,
                Err(error) if self.faulty && engine.stopped().is_some() => return drop(error),
                Err(error) => panic!("log {at}: {error}"),
            };
            assert!(being != Being::Deleted, "log {at} was deleted and is here again");
            assert_eq!((bounds.durable_end, bounds.high_watermark), (bounds.log_end, bounds.log_end));
            engine.configure(log_id, settings).unwrap();
            let sequence = engine.expected_sequence(log_id, PRODUCER);
            let records_end = engine.records_end(log_id).map(Offset::as_i64);
            {
                let log = &mut self.logs.borrow_mut()[at];
                log.being = Being::Live;
                log.starts_at(bounds.log_start.as_i64());
                log.recovered(sequence, records_end, bounds.log_end.as_i64());
            }
            if !self.read_all(at, random).await {
                return;
            }
        }
    }

    fn compare_bounds(&self) {
        for log in self.logs.borrow().iter().filter(|log| log.being == Being::Live) {
            let bounds = self.engine(log.id()).bounds(log.id()).unwrap();
            assert_eq!((bounds.log_end.as_i64(), bounds.high_watermark.as_i64()), (log.next, log.next));
        }
    }

    /// Reads a log from its start to its end; false when the disk failed meanwhile.
    async fn read_all(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, start, end) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.start_acked, log.end())
        };
        let mut offset = start;
        while offset < end {
            match self.read(at, log_id, offset, random).await {
                Some(found) => {
                    let engine = || self.engine(log_id).describe();
                    assert!(found > offset, "log {at}: nothing at {offset} of {end}{}", engine());
                    offset = found;
                }
                None => return false,
            }
        }
        true
    }

    async fn read(&self, at: usize, log_id: LogId, offset: i64, random: &mut Random) -> Option<i64> {
        let read = Read {
            offset: Offset::new(offset),
            bytes_max: [1, 5_000, 200_000][random.below(3) as usize],
            first_batch_whole: true,
            isolation: Isolation::Uncommitted,
        };
        match self.engine(log_id).read(log_id, read).await {
            Ok(found) => {
                let log = &mut self.logs.borrow_mut()[at];
                let end = log.check_read(offset, &found.slices.concat());
                let visible_end = found.bounds.high_watermark.as_i64();
                assert!(end == offset || end <= visible_end, "log {at}: read beyond the high watermark");
                log.seen_end = log.seen_end.max(visible_end);
                Some(end)
            }
            // Removed before or under the reader: it goes on where the log starts.
            Err(ReadError::OutOfRange { log_start, .. }) if log_start.as_i64() > offset => {
                self.logs.borrow_mut()[at].seen_to_start_at(log_start.as_i64());
                Some(log_start.as_i64())
            }
            Err(error) => {
                if self.logs.borrow()[at].being == Being::Live {
                    self.refused(log_id, &error);
                }
                None
            }
        }
    }

    /// One topic's life: its log is made, written, read, deleted, made again under the same name.
    fn act(&self, mut random: Random, topic: u64, operations: u64) {
        let broker = self.clone();
        self.spawn(format!("actor {topic}"), async move {
            for _ in 0..operations {
                let name = format!("t{topic}");
                let found = broker
                    .logs
                    .borrow()
                    .iter()
                    .position(|log| log.identity.topic == name && log.being == Being::Live);
                let went_on = match (found, random.below(100)) {
                    (None, _) => broker.create(topic, &mut random).await,
                    (Some(at), 0..3) => broker.delete(at).await,
                    (Some(at), 3..20) => broker.read_somewhere(at, &mut random).await,
                    (Some(at), 20..25) => broker.append_again(at).await,
                    (Some(at), 25..28) => broker.remove_records(at, &mut random).await,
                    (Some(at), 32..34) => broker.change_mode(at, &mut random),
                    (Some(_), 28..32) => {
                        broker.simulation.sleep(Duration::from_millis(random.below(8_000))).await;
                        true
                    }
                    (Some(at), _) => broker.append(at, &mut random).await,
                };
                if !went_on {
                    return;
                }
            }
        });
    }

    async fn create(&self, topic: u64, random: &mut Random) -> bool {
        let (at, identity, settings) = {
            let mut logs = self.logs.borrow_mut();
            let number = logs.len() as u64;
            let mut log = ModelLog::new(number, topic, random);
            log.was_weak = log.settings.durability.mode != DurabilityMode::Media;
            let found = (logs.len(), log.identity.clone(), log.settings.clone());
            logs.push(log);
            found
        };
        let log_id = identity.log_id;
        match self.engine(log_id).create(identity, settings, LeaderEpoch(0)).await {
            Ok(()) => {
                self.logs.borrow_mut()[at].being = Being::Live;
                true
            }
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }

    async fn delete(&self, at: usize) -> bool {
        let log_id = {
            let log = &mut self.logs.borrow_mut()[at];
            log.being = Being::Deleting;
            log.id()
        };
        match self.engine(log_id).delete(log_id).await {
            Ok(()) if self.engine(log_id).stopped().is_none() => {
                self.logs.borrow_mut()[at].being = Being::Deleted;
                true
            }
            Ok(()) => false,
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }

    /// `DeleteRecords`, up to somewhere below what was acknowledged.
    async fn remove_records(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, start) = {
            let log = &mut self.logs.borrow_mut()[at];
            let start = random.below(log.acked_end.max(log.seen_end) as u64 + 1) as i64;
            log.start_max = log.start_max.max(start);
            (log.id(), start)
        };
        match self.engine(log_id).raise_start(log_id, Offset::new(start)).await {
            Ok(found) => {
                assert!(found.as_i64() >= start, "log {at}: asked to start at {start}, starts at {found}");
                self.logs.borrow_mut()[at].starts_at(found.as_i64());
                true
            }
            Err(error) => {
                if self.logs.borrow()[at].being == Being::Live {
                    self.refused(log_id, &error);
                }
                false
            }
        }
    }

    /// Of every log there is at most one file that begins at or below its start.
    fn compare_files(&self, disk: &SimDisk) {
        for log in self.logs.borrow().iter().filter(|log| log.being == Being::Live) {
            let start = self.engine(log.id()).bounds(log.id()).unwrap().log_start;
            let directory = PathBuf::from(format!("{}-0", log.identity.topic));
            let names = disk.files().into_iter().filter(|(path, _)| path.parent() == Some(&directory));
            let bases = names.filter_map(|(path, _)| {
                path.to_str()?.rsplit('/').next()?.strip_suffix(".log")?.parse::<i64>().ok()
            });
            let below: Vec<i64> = bases.filter(|base| *base <= start.as_i64()).collect();
            let engine = self.engine(log.id()).describe();
            assert!(
                below.len() <= 1,
                "{}: starts at {start}, has files {below:?}{engine}",
                log.identity.topic
            );
        }
    }

    async fn read_somewhere(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, end) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.end())
        };
        self.read(at, log_id, random.below(end as u64 + 1) as i64, random).await.is_some()
    }

    /// Stages a batch; its durability is waited for beside, or at once.
    async fn append(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, records) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.next_batch(random))
        };
        let append = Append { records: records.clone(), zstd_allowed: true, origin: Origin::Client };
        let staged = match self.engine(log_id).stage(log_id, &append, Timestamp(NOW)).await {
            Ok(staged) => staged,
            Err(error) => {
                self.refused(log_id, &error);
                return false;
            }
        };
        assert!(!staged.duplicate, "a new batch is taken for an old one");
        let now = self.simulation.clock();
        self.logs.borrow_mut()[at].staged(staged.base_offset, staged.offset_end, records, now);
        let broker = self.clone();
        let is_durable = random.below(8) == 0;
        let answer = async move {
            broker.wait_answerable(at, log_id, staged.offset_end).await;
            if is_durable {
                broker.wait_durable(at, log_id, staged.offset_end).await;
            }
        };
        if random.below(3) == 0 {
            answer.await;
        } else {
            self.spawn(format!("log {at} to {}", staged.offset_end), answer);
        }
        true
    }

    /// The topic gets another durability mode while it is written.
    fn change_mode(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, settings) = {
            let log = &mut self.logs.borrow_mut()[at];
            log.settings.durability = promise::random(random);
            log.was_weak |= log.settings.durability.mode != DurabilityMode::Media;
            (log.id(), log.settings.clone())
        };
        self.engine(log_id).configure(log_id, settings).unwrap();
        true
    }

    async fn wait_answerable(&self, at: usize, log_id: LogId, end: Offset) {
        match self.engine(log_id).answerable(log_id, end).await {
            Ok(()) => self.logs.borrow_mut()[at].answered(end.as_i64()),
            Err(error) if self.logs.borrow()[at].being == Being::Live => self.refused(log_id, &error),
            Err(_) => {}
        }
    }

    async fn wait_durable(&self, at: usize, log_id: LogId, end: Offset) {
        match self.engine(log_id).durable(log_id, end).await {
            Ok(()) => {
                let log = &mut self.logs.borrow_mut()[at];
                log.acked_end = log.acked_end.max(end.as_i64());
            }
            Err(error) if self.logs.borrow()[at].being == Being::Live => self.refused(log_id, &error),
            Err(_) => {}
        }
    }

    /// A client that got no answer sends its last batch again.
    async fn append_again(&self, at: usize) -> bool {
        let (log_id, last) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.batches.last().map(|batch| (batch.records.clone(), batch.base)))
        };
        let Some((records, base)) = last else { return true };
        let append = Append { records, zstd_allowed: true, origin: Origin::Client };
        match self.engine(log_id).stage(log_id, &append, Timestamp(NOW)).await {
            Ok(staged) => {
                assert_eq!((staged.base_offset.as_i64(), staged.duplicate), (base, true), "stored twice");
                self.wait_answerable(at, log_id, staged.offset_end).await;
                true
            }
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }
}
