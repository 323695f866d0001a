//! When the logs of the weaker durability modes are committed, and what waits for that.
//!
//! ```text
//! staged, answered ─► urgency ─► now: the queue ─────────────► next commit
//!                         └ at: the timetable ─► it is time ─┘
//! ```
//! The point of these modes is fewer syncs: their logs are queued late, when half of a window is used up (`log::early`
//! says when). The commit loop sleeps until the first of them is due. What is in the timetable is queued at once when memory
//! or the end of the broker asks for it; whoever stages under `media` puts the log into the queue as ever.

use super::directory::{Directory, SharedLog};
use crate::io::Disk;
use crate::log::{EarlyGauge, LogSettings, PartitionLog, Urgency};
use crate::units::LogId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

/// Topics of which a line each is logged when a directory stops.
const TOPICS_TOLD_MAX: usize = 100;

/// Logs that a commit should carry at a time, the first one in front.
#[derive(Default)]
pub(crate) struct Timetable(RefCell<BTreeSet<(Instant, LogId)>>);

impl Timetable {
    /// When the first of them is due.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.0.borrow().first().map(|(due, _)| *due)
    }

    fn pop_due(&self, now: Instant) -> Option<LogId> {
        self.first().filter(|first| *first <= now)?;
        self.pop()
    }

    fn pop(&self) -> Option<LogId> {
        self.0.borrow_mut().pop_first().map(|(_, log_id)| log_id)
    }
}

impl<D: Disk> Directory<D> {
    /// Sees to it that what waits of this log is committed, at once or when it is time.
    pub(crate) fn want_commit(&self, log_id: LogId, log: &mut PartitionLog) {
        if log.queued {
            return;
        }
        match log.urgency(self.settings.commit_bytes_max as u64) {
            None => {}
            Some(Urgency::Now) => self.enqueue(log_id, log),
            Some(Urgency::At(due)) => self.schedule(log_id, log, due),
        }
    }

    /// Queues the log when it is due.
    pub(crate) fn schedule(&self, log_id: LogId, log: &mut PartitionLog, due: Instant) {
        // One that is in the timetable earlier is looked at anew then.
        if log.due.is_some_and(|known| known <= due) {
            return;
        }
        self.unschedule(log_id, log);
        log.due = Some(due);
        let is_first = self.timetable.first().is_none_or(|first| due < first);
        self.timetable.0.borrow_mut().insert((due, log_id));
        if is_first {
            self.commit_wanted.set(); // the commit loop sleeps for longer than that
        }
    }

    /// The log is in a commit now, or gone.
    pub(crate) fn unschedule(&self, log_id: LogId, log: &mut PartitionLog) {
        if let Some(due) = log.due.take() {
            self.timetable.0.borrow_mut().remove(&(due, log_id));
        }
    }

    /// Queues the logs whose time has come.
    pub(crate) fn queue_due(&self) {
        if self.timetable.first().is_none() {
            return;
        }
        let now = self.disk.now();
        while let Some(log_id) = self.timetable.pop_due(now) {
            let Some(log) = self.log(log_id) else { continue };
            let mut log = log.borrow_mut();
            log.due = None;
            match log.urgency(self.settings.commit_bytes_max as u64) {
                Some(Urgency::At(due)) if due > now => self.schedule(log_id, &mut log, due),
                Some(_) => self.enqueue(log_id, &mut log),
                None => {}
            }
        }
    }

    /// Queues all of them: memory is short, which only what is synced can give back.
    pub(crate) fn queue_early(&self) {
        while let Some(log_id) = self.timetable.pop() {
            let Some(log) = self.log(log_id) else { continue };
            let mut log = log.borrow_mut();
            log.due = None;
            self.enqueue(log_id, &mut log);
        }
    }

    /// Nothing is answered before its sync any more; what was is on its way.
    pub(crate) fn stop_early_answers(&self) {
        let logs: Vec<SharedLog> = self.logs.borrow().values().cloned().collect();
        for log in logs {
            let mut log = log.borrow_mut();
            let log_id = log.identity.log_id;
            log.stop_early_answers();
            self.want_commit(log_id, &mut log);
        }
    }

    /// Resolves when a commit carried something of this log, or it has other rules, or it is fenced. The log is queued.
    pub(crate) async fn progress(&self, log: &SharedLog) {
        let before = {
            let mut log = log.borrow_mut();
            let log_id = log.identity.log_id;
            self.unschedule(log_id, &mut log);
            self.enqueue(log_id, &mut log);
            log.progress_count()
        };
        poll_fn(|context| {
            let mut log = log.borrow_mut();
            if log.progress_count() != before {
                return Poll::Ready(());
            }
            log.wake_on_progress(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Takes new settings for a log.
    pub(crate) fn configure(&self, log: &SharedLog, settings: LogSettings) {
        let mut log = log.borrow_mut();
        log.settings = settings;
        log.settings_changed();
        self.note_mode(&mut log);
        let log_id = log.identity.log_id;
        self.want_commit(log_id, &mut log);
    }

    /// A log enters or leaves the list of those whose answers come before their sync.
    pub(crate) fn note_mode(&self, log: &mut PartitionLog) {
        match log.gauge_state() {
            (false, true) => log.set_gauge(Some(self.stats.early.enter(&log.identity))),
            (true, false) => {
                self.stats.early.leave(log.identity.log_id);
                log.set_gauge(None);
            }
            (false, false) | (true, true) => {}
        }
    }

    /// Says what was answered and is perhaps lost, before the logs of a directory that stopped are fenced.
    pub(crate) fn tell_lost(&self) {
        let mut lost: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for log in self.logs.borrow().values() {
            let log = log.borrow();
            let bytes = log.answered_unsynced_bytes();
            if bytes > 0 && !log.is_detached {
                let topic = lost.entry(log.identity.topic.clone()).or_default();
                *topic = (topic.0 + bytes, topic.1 + 1);
            }
        }
        for (topic, (bytes, partitions)) in lost.iter().take(TOPICS_TOLD_MAX) {
            tracing::error!(
                topic,
                bytes,
                partitions,
                "answered before the sync, and not synced: may be lost"
            );
        }
        if lost.len() > TOPICS_TOLD_MAX {
            let rest = || lost.values().skip(TOPICS_TOLD_MAX);
            let (topics, bytes) = (rest().count(), rest().map(|(bytes, _)| *bytes).sum::<u64>());
            tracing::error!(topics, bytes, "answered before the sync, and not synced, in further topics");
        }
    }
}

/// The logs of one shard that answer before they sync. Changed when a topic's mode is, read by scrapes: no append touches it.
#[derive(Debug, Default)]
pub struct EarlyLogs(Mutex<BTreeMap<LogId, (String, Arc<EarlyGauge>)>>);

/// One topic's part of a shard in that list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyTopic {
    /// Its name.
    pub topic: String,
    /// Bytes answered and not synced.
    pub bytes: u64,
    /// Milliseconds since 1970 at which the oldest of them was answered; 0 when there is none.
    pub since_ms: u64,
}

impl EarlyLogs {
    fn logs(&self) -> std::sync::MutexGuard<'_, BTreeMap<LogId, (String, Arc<EarlyGauge>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, identity: &crate::log::LogIdentity) -> Arc<EarlyGauge> {
        let gauge = Arc::new(EarlyGauge::default());
        self.logs().insert(identity.log_id, (identity.topic.clone(), Arc::clone(&gauge)));
        gauge
    }

    pub(crate) fn leave(&self, log_id: LogId) {
        self.logs().remove(&log_id);
    }

    /// What each topic has answered and not synced, in the order of their names.
    pub fn topics(&self) -> Vec<EarlyTopic> {
        let mut topics: BTreeMap<String, EarlyTopic> = BTreeMap::new();
        for (topic, gauge) in self.logs().values() {
            let (bytes, since_ms) =
                (gauge.bytes.load(Ordering::Relaxed), gauge.since_ms.load(Ordering::Relaxed));
            let known = topics.entry(topic.clone()).or_insert_with(|| EarlyTopic {
                topic: topic.clone(),
                bytes: 0,
                since_ms: 0,
            });
            known.bytes += bytes;
            let oldest = [known.since_ms, since_ms].into_iter().filter(|since_ms| *since_ms > 0).min();
            known.since_ms = oldest.unwrap_or(0);
        }
        topics.into_values().collect()
    }
}
