//! One life of a broker on simulated disks: recover, compare with the model, let the actors act, end.

use super::actor::TOPICS;
use super::damage::INDEXES;
use super::happened;
use super::model::{Being, ModelLog, NOW};
use super::plan::{Ending, Plan};
use crate::io::Disk;
use crate::io::sim::{Random, SimDisk, Simulation};
use crate::shard::{Engine, Isolation, LogError, Read, ReadError, recover};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

pub(super) type Logs = Rc<RefCell<Vec<ModelLog>>>;

/// Longer than an idle journal waits with its witness, and than a lap takes.
const QUIET: Duration = Duration::from_secs(5);
/// Longer than the writes of a killed process take to land.
const LATE: Duration = Duration::from_millis(100);

/// What the actors of one life share.
#[derive(Clone)]
pub(super) struct Broker {
    pub(super) simulation: Simulation,
    engines: Rc<Vec<Engine<SimDisk>>>,
    pub(super) logs: Logs,
    plan: Rc<Plan>,
    nameless: Rc<Vec<LogId>>,
    /// What is being done, by whom.
    busy: Rc<RefCell<BTreeMap<u64, String>>>,
    number: Rc<Cell<u64>>,
}

/// Until the life is over or a disk is cut under it.
pub(super) async fn live(
    simulation: Simulation,
    disks: Vec<SimDisk>,
    mut random: Random,
    logs: Logs,
    plan: Plan,
) {
    let Some((engines, nameless)) = start(&disks, &plan).await else { return };
    let ending = plan.ending;
    let broker = Broker {
        simulation,
        engines: Rc::new(engines),
        logs,
        plan: Rc::new(plan),
        nameless: Rc::new(nameless),
        busy: Rc::default(),
        number: Rc::default(),
    };
    let plan = &broker.plan;
    broker.compare(&mut random).await;
    if plan.rotten {
        return;
    }
    if ending == Ending::Full {
        // Enough for the journals: without a second file nothing could ever be freed.
        let journals = 3 * plan.shard_count as u64 * plan.settings.journal_file_bytes;
        disks[plan.faulty].leave_storage(journals + random.below(4 << 20));
    }
    for actor in 0..TOPICS {
        broker.act(Random::new(random.next_u64()), actor, plan.operations);
    }
    broker.rest().await;
    broker.compare_at_the_end(&disks, &mut random).await;
    if ending == Ending::Quiet {
        broker.simulation.sleep(QUIET).await;
        return;
    }
    broker.stop();
    broker.rest().await;
    if matches!(ending, Ending::PowerCut | Ending::Kill) {
        disks[0].sleep(Duration::from_millis(1)).await;
    }
}

/// Recovery and the start of all shards, with the ids of logs whose states are gone; `None` where the disk or what was done
/// to it forbade that.
async fn start(disks: &[SimDisk], plan: &Plan) -> Option<(Vec<Engine<SimDisk>>, Vec<LogId>)> {
    let (shard_count, now) = (plan.shard_count, Timestamp(NOW));
    let may_fail = plan.ending == Ending::Fault || plan.faults.read_fails > 0 || plan.rotten;
    if plan.twice {
        // Until the last write of a killed process is there: it belongs to nobody, and may be found or not.
        disks[0].sleep(LATE).await;
    }
    let mut recovered = match recover(disks, &plan.settings, shard_count, now).await {
        Err(error) if plan.hurt.refused => return drop_refused(error),
        Err(error) if may_fail => return drop_refused(error),
        Err(error) => {
            let files: Vec<_> = disks.iter().map(SimDisk::files).collect();
            panic!("recovery after {:?}: {error}, files {files:?}", plan.hurt.what)
        }
        // The other directory would be served; here that is the end of the life.
        Ok(recovered) if plan.hurt.refused => {
            assert!(!recovered.absent.is_empty(), "nobody noticed: {}", plan.hurt.what);
            happened::mark("starts refused or failed");
            return None;
        }
        Ok(recovered) if !recovered.absent.is_empty() => {
            assert!(may_fail, "left out after {:?}: {:?}", plan.hurt.what, recovered.absent);
            happened::mark("starts refused or failed");
            return None;
        }
        Ok(recovered) => recovered,
    };
    if plan.twice {
        let first = recovered.describe();
        recovered = match recover(disks, &plan.settings, shard_count, now).await {
            Ok(recovered) if !recovered.absent.is_empty() && may_fail => return None,
            Ok(recovered) => recovered,
            Err(error) if may_fail => return drop_refused(error),
            Err(error) => panic!("the same recovery again: {error}"),
        };
        assert_eq!(first, recovered.describe(), "a recovery that is repeated finds something else");
        happened::mark("recoveries repeated at once");
    }
    let nameless = recovered.nameless.clone();
    let mut engines = Vec::new();
    for share in recovered.split(shard_count, |identity| owner(identity.log_id, shard_count)) {
        match Engine::start(disks.to_vec(), plan.settings.clone(), share).await {
            Ok(engine) => engines.push(engine),
            Err(error) if plan.ending == Ending::Fault => return drop_refused(error),
            Err(error) => panic!("start: {error}"),
        }
    }
    happened::mark("starts that served");
    Some((engines, nameless))
}

fn drop_refused<T>(_: impl std::error::Error) -> Option<T> {
    happened::mark("starts refused or failed");
    None
}

fn owner(log_id: LogId, shard_count: usize) -> usize {
    crc32c::crc32c(&log_id.0) as usize % shard_count
}

impl Broker {
    pub(super) fn engine(&self, log_id: LogId) -> &Engine<SimDisk> {
        &self.engines[owner(log_id, self.engines.len())]
    }

    fn is_faulty(&self) -> bool {
        self.plan.ending == Ending::Fault
    }

    /// The log's directory stopped; of a log that is in none, any.
    fn is_stopped(&self, log_id: LogId) -> bool {
        let stored = self.engine(log_id).stored_logs().into_iter();
        let directory = stored.filter(|log| log.identity.log_id == log_id).map(|log| log.directory).next();
        let stopped = self.engine(log_id).directories_stopped();
        directory.map_or(!stopped.is_empty(), |directory| stopped.contains_key(&directory))
    }

    /// Only a directory that stopped may refuse, or one that has no room for a segment.
    pub(super) fn refused(&self, log_id: LogId, error: &impl std::fmt::Debug) {
        let full = format!("{error:?}").contains("Full {");
        let is_stopped = self.is_stopped(log_id);
        let is_full = self.plan.ending == Ending::Full;
        assert!(
            (self.is_faulty() && (is_stopped || full)) || (is_full && full && !is_stopped),
            "refused on a disk that is well: {error:?}, {:?}",
            self.engine(log_id).bounds(log_id)
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

    pub(super) fn spawn(&self, what: String, work: impl Future<Output = ()> + 'static) {
        self.number.set(self.number.get() + 1);
        let (number, busy) = (self.number.get(), Rc::clone(&self.busy));
        busy.borrow_mut().insert(number, what);
        self.simulation.spawn(async move {
            work.await;
            busy.borrow_mut().remove(&number);
        });
    }

    fn stop(&self) {
        for (shard, engine) in self.engines.iter().enumerate() {
            let (engine, plan, logs) = (engine.clone(), Rc::clone(&self.plan), Rc::clone(&self.logs));
            self.spawn(format!("stop of shard {shard}"), async move {
                let stopped = engine.stop().await;
                if stopped.is_ok() {
                    let of_shard = |log: &&mut ModelLog| owner(log.id(), plan.shard_count) == shard;
                    logs.borrow_mut()
                        .iter_mut()
                        .filter(of_shard)
                        .for_each(|log| log.is_rested = log.is_found);
                }
                let faulty = plan.ending == Ending::Fault;
                assert!(stopped.is_ok() || faulty, "the stop failed: {stopped:?} ({})", plan.hurt.what);
                let directories = engine.directories_stopped();
                let expected = |directory: &usize| faulty && *directory == plan.faulty;
                assert!(directories.keys().all(expected), "directories {directories:?} stopped");
                if faulty && !directories.is_empty() && plan.settings.directories.len() > 1 {
                    happened::mark("directories that stopped beside one that went on");
                }
            });
        }
    }

    /// What recovery found against what was promised.
    async fn compare(&self, random: &mut Random) {
        let count = self.logs.borrow().len();
        let lookups = if self.plan.hurt.what == INDEXES { 20 } else { 1 };
        for at in 0..count {
            if self.compare_log(at, random) {
                self.read_all(at, random).await;
                for _ in 0..lookups {
                    self.check_lookups(at, random).await;
                }
            }
        }
    }

    /// Whether the log is served.
    fn compare_log(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, settings, being) = {
            let log = &mut self.logs.borrow_mut()[at];
            log.hurt = self.plan.hurt.logs.contains(&log.id());
            log.is_found = false;
            (log.id(), log.settings.clone(), log.being)
        };
        let engine = self.engine(log_id);
        let bounds = match engine.bounds(log_id) {
            Ok(bounds) => bounds,
            // Where all that named it is gone from the journals only the metadata know it: they keep it offline.
            Err(LogError::Unknown { .. }) if self.nameless.contains(&log_id) || self.may_be_nameless(at) => {
                self.lose(at, "its state is gone");
                return false;
            }
            Err(LogError::Unknown { .. }) => {
                assert!(!matches!(being, Being::Live | Being::Lost), "log {at} is gone");
                self.logs.borrow_mut()[at].being = Being::Deleted;
                return false;
            }
            Err(LogError::Offline { .. }) if self.is_faulty() && self.is_stopped(log_id) => return false,
            Err(LogError::Offline { reason, .. }) => {
                self.lose(at, &reason);
                return false;
            }
        };
        assert!(being != Being::Deleted, "log {at} was deleted and is here again");
        assert!(being != Being::Lost, "log {at} lost bytes and is served again");
        assert_eq!((bounds.durable_end, bounds.high_watermark), (bounds.log_end, bounds.log_end));
        engine.configure(log_id, settings).unwrap();
        let records_end = engine.records_end(log_id).map(Offset::as_i64);
        let log = &mut self.logs.borrow_mut()[at];
        log.being = Being::Live;
        log.starts_at(bounds.log_start.as_i64());
        log.recovered(|id| engine.newest_sequence(log_id, id), records_end, bounds.log_end.as_i64());
        // It rises after an unclean stop; the broker keeps it elsewhere.
        assert!(bounds.leader_epoch.0 <= log.leader_epoch);
        log.leader_epoch += i32::from(random.below(3) == 0);
        engine.lead(log_id, LeaderEpoch(log.leader_epoch)).unwrap();
        true
    }

    fn may_be_nameless(&self, at: usize) -> bool {
        let log = &self.logs.borrow()[at];
        log.is_lost || (log.hurt && self.plan.hurt.is_lasting)
    }

    /// A log is offline: that must have a reason in what was done to the files.
    fn lose(&self, at: usize, reason: &str) {
        let log = &mut self.logs.borrow_mut()[at];
        let (hurt, rotten) = (&self.plan.hurt, self.plan.rotten);
        let is_known = log.is_lost || log.hurt || rotten;
        assert!(is_known, "log {at} is offline after {:?}: {reason}", hurt.what);
        happened::mark("logs fenced by name");
        // Also one whose deletion was asked for and did not come through.
        log.is_lost |= hurt.is_lasting || rotten;
        if log.is_lost {
            log.being = Being::Lost;
        }
    }

    async fn compare_at_the_end(&self, disks: &[SimDisk], random: &mut Random) {
        if self.plan.ending == Ending::Clean {
            self.compare_bounds();
        }
        if self.is_faulty() {
            // What lives in the other directories is served as before.
            let served = |log: &ModelLog| log.being == Being::Live && !self.is_stopped(log.id());
            let count = self.logs.borrow().len();
            for at in 0..count {
                let (log_id, is_served) = {
                    let log = &self.logs.borrow()[at];
                    (log.id(), served(log))
                };
                if is_served && self.engine(log_id).bounds(log_id).is_ok() {
                    self.read_all(at, random).await;
                }
            }
        }
        if self.plan.tidy {
            // Time for what has expired to be sealed, to go, and for its files to follow: a minute for what was cut before
            // the log was told its settings.
            self.simulation.sleep(Duration::from_secs(100)).await;
            disks.iter().for_each(|disk| self.compare_files(disk));
        }
    }

    fn compare_bounds(&self) {
        for log in self.logs.borrow().iter().filter(|log| log.being == Being::Live && !log.hurt) {
            let bounds = self.engine(log.id()).bounds(log.id()).unwrap();
            assert_eq!((bounds.log_end.as_i64(), bounds.high_watermark.as_i64()), (log.next, log.next));
        }
    }

    /// Reads a log from its start to its end, as far as it is served.
    async fn read_all(&self, at: usize, random: &mut Random) {
        let (log_id, start, end) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.start_acked, log.acked_end)
        };
        let mut offset = start;
        while offset < end {
            let Some(found) = self.read(at, log_id, offset, random).await else { return };
            assert!(found > offset, "log {at}: nothing at {offset} of {end}");
            offset = found;
        }
    }

    /// Returns how far it read; `None` when the log is not served, for a reason.
    pub(super) async fn read(
        &self,
        at: usize,
        log_id: LogId,
        offset: i64,
        random: &mut Random,
    ) -> Option<i64> {
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
                self.unread(at, &error);
                None
            }
        }
    }

    /// A read was refused: for what was done to the log's files, for a disk that cannot be read, or as an append may be.
    fn unread(&self, at: usize, error: &ReadError) {
        let log = &self.logs.borrow()[at];
        if log.being != Being::Live {
            return;
        }
        if log.hurt {
            happened::mark("bad bytes that a read met");
            return;
        }
        if self.plan.faults.read_fails > 0 {
            let is_served = self.engine(log.id()).bounds(log.id()).is_ok();
            let is_offline = matches!(error, ReadError::Log(LogError::Offline { .. }));
            assert!(is_served && is_offline, "a read that failed fenced its log: {error:?}");
            happened::mark("reads answered with an error");
            return;
        }
        self.refused(log.id(), error);
    }

    /// Records are found by their times, which are their offsets in these tests, and each has its epoch.
    pub(super) async fn check_lookups(&self, at: usize, random: &mut Random) {
        let (log_id, end) = {
            let log = &self.logs.borrow()[at];
            if log.hurt || log.acked_end <= log.start_acked {
                return;
            }
            (log.id(), log.acked_end)
        };
        let wanted = random.below(end as u64) as i64;
        let engine = self.engine(log_id);
        let found = match engine.offset_for_time(log_id, Timestamp(NOW + wanted)).await {
            Ok(found) => found,
            Err(error) => return self.unread(at, &error),
        };
        let Ok(bounds) = engine.bounds(log_id) else { return };
        let log = &self.logs.borrow()[at];
        let (start, name) = (bounds.log_start.as_i64(), &log.identity.topic);
        match found {
            Some(found) => {
                let offset = found.offset.as_i64();
                // In a gap the next record is found.
                let first = log.record_from(wanted.max(start)).unwrap_or(i64::MAX);
                assert!(offset >= wanted && offset <= first, "{name}: {wanted} is found at {offset}");
                assert_eq!(found.timestamp.0 - NOW, offset, "{name}: its time");
                assert_eq!(Some(found.leader_epoch), log.epoch_at(offset), "{name}: its epoch");
            }
            None => assert!(wanted < start, "{name}: {wanted} is found nowhere"),
        }
        if wanted >= start && log.record_from(wanted) == Some(wanted) {
            let found = engine.epoch_at(log_id, Offset::new(wanted)).unwrap();
            assert_eq!(found, log.epoch_at(wanted), "{name}: the epoch of {wanted}");
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
}
