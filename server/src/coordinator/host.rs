//! The machines of one shard, and the hands that carry out what they decide.
//!
//! ```text
//! ask ──► handle ──► answers ──────────────────────────► whoever asked
//!                └─► records ─► log ─► run: durable ─┘
//! open ─► run: load ─► ready         run: tick, when a deadline has come
//! ```
//! Never leaves its core. `ask` acts at once, in the order of the calls; everything that waits (durable records, loading,
//! deadlines) is done by `run`, which the shard spawns once. No decision about groups or transactions is made here.

use super::log::Store;
use super::reply::{Reply, reply};
use super::{AppendId, Clock, Effects, Loaded, Machine, Now, Refusal, RequestId, loader, log};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use thalweg_engine::batch::Codec;
use thalweg_engine::shard::{AppendError, Engine, ReadError};
use thalweg_engine::units::LogId;

/// The longest that `run` sleeps: a bound on what a missed wake-up could cost.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Why a partition cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Its log is being read; ask again.
    #[error("the coordinator is loading")]
    Loading,
    /// It is not open on this shard, or its log failed while the request waited.
    #[error("not the coordinator of this partition")]
    NotHere,
}

type Work<M> = Pin<Box<dyn Future<Output = Done<M>>>>;

enum Done<M> {
    Loaded { partition: i32, log_id: LogId, outcome: Result<(Box<M>, Loaded), ReadError>, time: Duration },
    Appended { partition: i32, incarnation: u64, append: AppendId, outcome: Result<(), AppendError> },
}

enum Hosted<M: Machine> {
    Loading {
        log_id: LogId,
    },
    Ready(Box<Active<M>>),
    /// Its log failed; opened again it tries anew.
    Closed,
}

struct Active<M: Machine> {
    machine: M,
    log_id: LogId,
    /// Tells this machine from one that ran on the same log before: append ids begin anew.
    incarnation: u64,
    waiting: FxHashMap<RequestId, Reply<M::Answer>>,
    request_next: u64,
    /// Appends whose end the machine has not been told, in their order, with the end where it is known.
    appends: VecDeque<(AppendId, Option<Result<(), Refusal>>)>,
}

struct Inner<M: Machine, S: Store> {
    name: &'static str,
    store: S,
    clock: Clock,
    /// How batches are compressed.
    codec: Cell<Codec>,
    make: Box<dyn Fn() -> M>,
    partitions: RefCell<BTreeMap<i32, Hosted<M>>>,
    /// Work begun since `run` last looked.
    begun: RefCell<Vec<Work<M>>>,
    runner: RefCell<Option<Waker>>,
    /// When `run` means to wake up by itself.
    sleeps_until: Cell<Duration>,
    incarnation_next: Cell<u64>,
    is_stopping: Cell<bool>,
}

/// The machines of one shard, by partition. Cheap to clone; stays on its core.
pub struct Host<M: Machine, S: Store = Engine>(Rc<Inner<M, S>>);

impl<M: Machine, S: Store> Clone for Host<M, S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<M: Machine, S: Store> Host<M, S> {
    /// A host without partitions; `make` makes the machine of a partition before its log is replayed.
    pub fn new(name: &'static str, store: S, clock: Clock, make: impl Fn() -> M + 'static) -> Self {
        Self(Rc::new(Inner {
            name,
            store,
            clock,
            codec: Cell::new(Codec::None),
            make: Box::new(make),
            partitions: RefCell::new(BTreeMap::new()),
            begun: RefCell::new(Vec::new()),
            runner: RefCell::new(None),
            sleeps_until: Cell::new(Duration::MAX),
            incarnation_next: Cell::new(0),
            is_stopping: Cell::new(false),
        }))
    }

    /// Compresses what is stored from now on; what was stored before is read whatever it is.
    #[must_use]
    pub fn compressed(self, codec: Codec) -> Self {
        self.0.codec.set(codec);
        self
    }

    /// Makes sure that a partition is open or being opened. An empty log is ready at once.
    pub fn open(&self, partition: i32, log_id: LogId) {
        match self.0.partitions.borrow().get(&partition) {
            Some(Hosted::Loading { log_id: known }) if *known == log_id => return,
            Some(Hosted::Ready(active)) if active.log_id == log_id => return,
            _ => {}
        }
        let Ok(bounds) = self.0.store.bounds(log_id) else {
            self.close(partition);
            return;
        };
        let machine = (self.0.make)();
        if bounds.log_start == bounds.log_end {
            self.ready(partition, log_id, machine);
            return;
        }
        self.0.partitions.borrow_mut().insert(partition, Hosted::Loading { log_id });
        let (store, clock) = (self.0.store.clone(), self.0.clock);
        self.begin(Box::pin(async move {
            let (mut machine, start) = (machine, clock.now().uptime);
            let outcome = loader::load(&store, log_id, &mut machine).await;
            let time = clock.now().uptime.saturating_sub(start);
            Done::Loaded {
                partition,
                log_id,
                outcome: outcome.map(|loaded| (Box::new(machine), loaded)),
                time,
            }
        }));
    }

    /// Lets a partition go; whoever waits on it learns `NotHere`.
    pub fn close(&self, partition: i32) {
        let closed = self.0.partitions.borrow_mut().insert(partition, Hosted::Closed);
        drop(closed); // wakes those who wait, after the borrow has ended
    }

    /// Partitions that answer now.
    pub fn ready_partitions(&self) -> Vec<i32> {
        let partitions = self.0.partitions.borrow();
        let ready = partitions.iter().filter(|(_, hosted)| matches!(hosted, Hosted::Ready(_)));
        ready.map(|(partition, _)| *partition).collect()
    }

    /// Reads a machine's state, for those who describe it.
    ///
    /// # Errors
    /// `Loading`, `NotHere`.
    pub fn look<T>(&self, partition: i32, read: impl FnOnce(&M) -> T) -> Result<T, HostError> {
        match self.0.partitions.borrow().get(&partition) {
            Some(Hosted::Ready(active)) => Ok(read(&active.machine)),
            Some(Hosted::Loading { .. }) => Err(HostError::Loading),
            Some(Hosted::Closed) | None => Err(HostError::NotHere),
        }
    }

    /// Asks a partition's machine. It has acted when this returns; the future waits for the answer.
    ///
    /// # Errors
    /// `Loading`, `NotHere`.
    pub fn ask(
        &self,
        partition: i32,
        command: M::Command,
    ) -> impl Future<Output = Result<M::Answer, HostError>> + 'static {
        let awaited = self.hand_in(partition, command);
        async move { awaited?.await.ok_or(HostError::NotHere) }
    }

    fn hand_in(
        &self,
        partition: i32,
        command: M::Command,
    ) -> Result<super::reply::Awaited<M::Answer>, HostError> {
        let (answer, awaited) = reply();
        self.act(partition, |active, now, effects| {
            let request = RequestId(active.request_next);
            active.request_next += 1;
            active.waiting.insert(request, answer);
            active.machine.handle(request, command, now, effects);
        })?;
        Ok(awaited)
    }

    /// Gives one machine a turn and carries out what it decides.
    fn act(
        &self,
        partition: i32,
        event: impl FnOnce(&mut Active<M>, Now, &mut Effects<M::Answer>),
    ) -> Result<(), HostError> {
        let now = self.0.clock.now();
        let mut partitions = self.0.partitions.borrow_mut();
        let active = match partitions.get_mut(&partition) {
            Some(Hosted::Ready(active)) => active,
            Some(Hosted::Loading { .. }) => return Err(HostError::Loading),
            Some(Hosted::Closed) | None => return Err(HostError::NotHere),
        };
        let mut effects = Effects::default();
        event(active, now, &mut effects);
        self.carry_out(partition, active, now, effects);
        let deadline = active.machine.next_deadline().unwrap_or(Duration::MAX);
        drop(partitions);
        if deadline < self.0.sleeps_until.get() {
            self.wake_runner();
        }
        Ok(())
    }

    fn carry_out(&self, partition: i32, active: &mut Active<M>, now: Now, effects: Effects<M::Answer>) {
        for (request, answer) in effects.answers {
            if let Some(waiting) = active.waiting.remove(&request) {
                waiting.send(answer);
            }
        }
        for (append, records) in effects.appends {
            active.appends.push_back((append, None));
            let (incarnation, log_id) = (active.incarnation, active.log_id);
            let batch = log::encode(&records, self.0.codec.get(), now.wall);
            let stored = batch.map(|batch| self.0.store.append(log_id, batch, now.wall));
            // First polled in the order they are begun: that is the order of the log.
            self.begin(Box::pin(async move {
                let outcome = match stored {
                    Ok(stored) => stored.await,
                    Err(error) => Err(error.into()),
                };
                Done::Appended { partition, incarnation, append, outcome }
            }));
        }
    }

    /// Notes the end of an append and tells the machine of all ends that are next in order.
    fn appended(&self, partition: i32, incarnation: u64, append: AppendId, outcome: Result<(), AppendError>) {
        if !self.is_running(partition, incarnation) {
            return; // whoever waited for it was told when the partition closed
        }
        let end = match outcome {
            Ok(()) => Ok(()),
            Err(AppendError::Full { .. } | AppendError::Busy { .. }) => Err(Refusal::Busy),
            Err(AppendError::Log(error)) => {
                tracing::error!(coordinator = self.0.name, partition, %error, "a coordinator's log failed");
                self.close(partition);
                return;
            }
            Err(error) => {
                tracing::warn!(coordinator = self.0.name, partition, %error, "records were refused");
                Err(Refusal::TooLarge)
            }
        };
        // The partition runs: it was looked at above.
        let _ = self.act(partition, |active, now, effects| {
            if let Some(noted) = active.appends.iter_mut().find(|(noted, _)| *noted == append) {
                noted.1 = Some(end);
            }
            while let Some((append, Some(end))) = active.appends.front().copied() {
                active.appends.pop_front();
                match end {
                    Ok(()) => active.machine.durable(append, now, effects),
                    Err(refusal) => active.machine.refused(append, refusal, now, effects),
                }
            }
        });
    }

    fn begin(&self, work: Work<M>) {
        self.0.begun.borrow_mut().push(work);
        self.wake_runner();
    }

    fn wake_runner(&self) {
        let waker = self.0.runner.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn ready(&self, partition: i32, log_id: LogId, machine: M) {
        let incarnation = self.0.incarnation_next.replace(self.0.incarnation_next.get() + 1);
        let active = Active {
            machine,
            log_id,
            incarnation,
            waiting: FxHashMap::default(),
            request_next: 0,
            appends: VecDeque::new(),
        };
        let before = self.0.partitions.borrow_mut().insert(partition, Hosted::Ready(Box::new(active)));
        drop(before);
        // A partition that was just put in can be asked.
        let _ = self.act(partition, |active, now, effects| active.machine.loaded(now, effects));
    }

    /// Ends `run`.
    pub fn stop(&self) {
        self.0.is_stopping.set(true);
        self.wake_runner();
    }

    /// Carries on until `stop`: loads, waits for the device, keeps time. Spawned once per shard.
    pub async fn run<T: Future<Output = ()>>(&self, mut sleep: impl FnMut(Duration) -> T) {
        let mut work = FuturesUnordered::new();
        let mut timer = Box::pin(sleep(self.plan_sleep()));
        while !self.0.is_stopping.get() {
            let (done, is_due) = poll_fn(|context| self.poll_work(context, &mut work, timer.as_mut())).await;
            for done in done {
                self.finish(done);
            }
            let now = self.0.clock.now().uptime;
            if is_due || self.next_deadline().is_some_and(|at| at <= now) {
                self.tick(now);
            }
            if is_due || self.next_deadline().is_some_and(|at| at < self.0.sleeps_until.get()) {
                timer = Box::pin(sleep(self.plan_sleep()));
            }
        }
    }

    /// Ready when something was done, a deadline came, or someone woke the runner for an earlier one.
    fn poll_work<T: Future<Output = ()>>(
        &self,
        context: &mut Context<'_>,
        work: &mut FuturesUnordered<Work<M>>,
        timer: Pin<&mut T>,
    ) -> Poll<(Vec<Done<M>>, bool)> {
        let is_undisturbed = self.0.runner.borrow_mut().replace(context.waker().clone()).is_some();
        work.extend(self.0.begun.borrow_mut().drain(..));
        let mut done = Vec::new();
        while let Poll::Ready(Some(one)) = work.poll_next_unpin(context) {
            done.push(one);
        }
        let is_due = timer.poll(context).is_ready();
        let is_woken = !is_undisturbed || self.0.is_stopping.get();
        if done.is_empty() && !is_due && !is_woken { Poll::Pending } else { Poll::Ready((done, is_due)) }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let mut partitions = self.0.partitions.borrow_mut();
        let each = partitions.values_mut().filter_map(|hosted| match hosted {
            Hosted::Ready(active) => active.machine.next_deadline(),
            Hosted::Loading { .. } | Hosted::Closed => None,
        });
        each.min()
    }

    fn plan_sleep(&self) -> Duration {
        let now = self.0.clock.now().uptime;
        let until = self.next_deadline().unwrap_or(Duration::MAX).min(now + SLEEP_MAX);
        self.0.sleeps_until.set(until);
        until.saturating_sub(now)
    }

    fn tick(&self, now: Duration) {
        for partition in self.ready_partitions() {
            let is_due = |active: &mut Active<M>| active.machine.next_deadline().is_some_and(|at| at <= now);
            // A partition that closed meanwhile has nothing due.
            let _ = self.act(partition, |active, now, effects| {
                if is_due(active) {
                    active.machine.tick(now, effects);
                }
            });
        }
    }

    fn is_running(&self, partition: i32, incarnation: u64) -> bool {
        let partitions = self.0.partitions.borrow();
        matches!(partitions.get(&partition), Some(Hosted::Ready(active)) if active.incarnation == incarnation)
    }

    fn finish(&self, done: Done<M>) {
        match done {
            Done::Loaded { partition, log_id, outcome, time } => {
                self.loaded(partition, log_id, outcome, time);
            }
            Done::Appended { partition, incarnation, append, outcome } => {
                self.appended(partition, incarnation, append, outcome);
            }
        }
    }

    fn loaded(
        &self,
        partition: i32,
        log_id: LogId,
        outcome: Result<(Box<M>, Loaded), ReadError>,
        time: Duration,
    ) {
        let is_expected = matches!(
            self.0.partitions.borrow().get(&partition),
            Some(Hosted::Loading { log_id: known }) if *known == log_id
        );
        match outcome {
            _ if !is_expected => {}
            Ok((machine, Loaded { record_count, malformed_count })) => {
                let ms = time.as_millis() as u64;
                tracing::info!(
                    coordinator = self.0.name,
                    partition,
                    record_count,
                    malformed_count,
                    ms,
                    "loaded"
                );
                self.ready(partition, log_id, *machine);
            }
            Err(error) => {
                tracing::error!(coordinator = self.0.name, partition, %error, "a coordinator's log cannot be read");
                self.close(partition);
            }
        }
    }
}
