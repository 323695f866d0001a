//! Carries changes out, on shard 0: record them, touch the logs, publish, answer.
//!
//! Jobs are taken in by `submit` and driven by `run`, not by who asked: a connection that closes while its topic is
//! being created must not leave the work half done. What is decided is in `state`, what is touched in `store`.

use super::changes::Change;
use super::errors::{AddPartitionsError, AlterConfigsError, CreateTopicError, DeleteTopicError, StoreError};
use super::image::{Image, Partition, Topic};
use super::state::{NewTopic, State};
use super::store::{NewLog, Setting, Store};
use super::turn::Turns;
use arc_swap::ArcSwap;
use futures_util::future::LocalBoxFuture;
use futures_util::lock::Mutex;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use thalweg_engine::log::LogIdentity;
use thalweg_engine::units::{LeaderEpoch, LogId};
use uuid::Uuid;

/// The one who changes the cluster. Owned by shard 0, made by its start.
pub(super) struct Lead<S: Store> {
    pub(super) store: S,
    pub(super) state: RefCell<State>,
    published: Arc<ArcSwap<Image>>,
    /// Held while a change is decided and staged: decisions are made in the order of the log.
    order: Mutex<()>,
    turns: Turns,
    stopped: RefCell<Option<StoreError>>,
    jobs: RefCell<Vec<LocalBoxFuture<'static, ()>>>,
    runner: RefCell<Option<Waker>>,
    publication: RefCell<Publication>,
    is_stopping: Cell<bool>,
}

/// Who waits for the next image. Publishing clones it, so one publication serves all that wait.
#[derive(Default)]
struct Publication {
    count: u64,
    wanted: bool,
    wakers: Vec<Waker>,
}

impl<S: Store> Lead<S> {
    pub(super) fn new(store: S, state: State, published: Arc<ArcSwap<Image>>) -> Self {
        Self {
            store,
            state: RefCell::new(state),
            published,
            order: Mutex::new(()),
            turns: Turns::default(),
            stopped: RefCell::new(None),
            jobs: RefCell::default(),
            runner: RefCell::new(None),
            publication: RefCell::default(),
            is_stopping: Cell::new(false),
        }
    }

    /// Has `job` done by `run` to its end, whether or not the returned future is waited for.
    pub(super) fn submit<T: 'static>(
        &self,
        job: impl Future<Output = T> + 'static,
    ) -> impl Future<Output = Option<T>> + 'static {
        let (answer, awaited) = crate::coordinator::reply();
        let guarded = async move {
            if let Ok(value) = AssertUnwindSafe(job).catch_unwind().await {
                answer.send(value);
            } else {
                tracing::error!("a change of the cluster panicked: whoever asked gets no answer");
            }
        };
        self.jobs.borrow_mut().push(Box::pin(guarded));
        self.wake_runner();
        awaited
    }

    fn wake_runner(&self) {
        let waker = self.runner.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Works until `stop`. Spawned once.
    pub(super) async fn run(self: Rc<Self>) {
        let mut working = FuturesUnordered::new();
        poll_fn(|context| self.poll_jobs(context, &mut working)).await;
    }

    fn poll_jobs(
        &self,
        context: &mut Context<'_>,
        working: &mut FuturesUnordered<LocalBoxFuture<'static, ()>>,
    ) -> Poll<()> {
        *self.runner.borrow_mut() = Some(context.waker().clone());
        loop {
            working.extend(self.jobs.borrow_mut().drain(..));
            while let Poll::Ready(Some(())) = working.poll_next_unpin(context) {}
            if self.publish_if_wanted() {
                continue;
            }
            if self.jobs.borrow().is_empty() {
                let is_over = self.is_stopping.get() && working.is_empty();
                return if is_over { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    }

    /// Ends `run` once what was begun is done.
    pub(super) fn stop(&self) {
        self.is_stopping.set(true);
        self.wake_runner();
    }

    /// Shows every shard what is durable.
    pub(super) fn publish_now(&self) {
        self.publication.borrow_mut().wanted = true;
        self.publish_if_wanted();
    }

    fn publish_if_wanted(&self) -> bool {
        let wakers = {
            let mut publication = self.publication.borrow_mut();
            if !std::mem::take(&mut publication.wanted) {
                return false;
            }
            publication.count += 1;
            std::mem::take(&mut publication.wakers)
        };
        self.published.store(Arc::new(self.state.borrow().durable.clone()));
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// Resolves when every shard can see what is durable now.
    async fn publish(&self) {
        let before = self.publication.borrow().count;
        self.publication.borrow_mut().wanted = true;
        self.wake_runner();
        poll_fn(|context| {
            let mut publication = self.publication.borrow_mut();
            if publication.count > before {
                return Poll::Ready(());
            }
            publication.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Decides on the staged state, records what was decided and waits until it is durable.
    pub(super) async fn commit<T, E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&State) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        let (end, value) = {
            let _turn = self.order.lock().await;
            if let Some(error) = self.stopped.borrow().clone() {
                return Err(error.into());
            }
            let (changes, value) = decide(&self.state.borrow())?;
            if changes.is_empty() {
                return Ok(value);
            }
            let end = self.store.stage(changes.iter().map(Change::encode).collect()).await?;
            self.state.borrow_mut().stage(end, changes);
            (end, value)
        };
        if let Err(error) = self.store.durable(end).await {
            tracing::error!(%error, "the fate of a metadata record is unknown: no more changes before the next start");
            self.stopped.borrow_mut().get_or_insert(error.clone());
            return Err(error.into());
        }
        self.state.borrow_mut().settle(end);
        Ok(value)
    }

    /// Creates a topic: when this returns every shard sees it and its logs take records.
    pub(super) async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, CreateTopicError> {
        let _turn = self.turns.take(&new.name, || false).await;
        self.create_in_turn(new).await
    }

    /// As `create_topic`; a topic that is there already, or is there as soon as others have made it, is as good.
    pub(super) async fn ensure_topic(&self, new: NewTopic) -> Result<Arc<Topic>, CreateTopicError> {
        let existing = || self.published.load().topic(&new.name).cloned();
        let _turn = self.turns.take(&new.name, || existing().is_some()).await;
        match existing() {
            Some(topic) => Ok(topic),
            None => self.create_in_turn(new).await,
        }
    }

    async fn create_in_turn(&self, new: NewTopic) -> Result<Arc<Topic>, CreateTopicError> {
        let topic_id = random_topic_id();
        let log_ids = random_log_ids(new.partition_count);
        self.commit(|state| Ok::<_, CreateTopicError>((vec![state.create(&new, topic_id, log_ids)?], ())))
            .await?;
        let created = self.state.borrow().staged.any_by_id(topic_id).cloned();
        let topic = created.unwrap_or_else(|| unreachable!("a topic whose turn is ours is there"));
        if let Err(reason) = self.make_logs(&topic, &topic.partitions).await {
            tracing::error!(topic = new.name, reason, "a topic was not created: its logs could not be made");
            self.unmake(&topic).await;
            return Err(CreateTopicError::Logs { name: new.name, reason });
        }
        self.commit(|_| Ok::<_, CreateTopicError>((vec![Change::TopicReady { topic_id }], ()))).await?;
        self.publish().await;
        tracing::info!(topic = new.name, %topic_id, partitions = new.partition_count, "created a topic");
        Ok(self.published.load().topic_by_id(topic_id).cloned().unwrap_or(topic))
    }

    /// Takes back a topic that was never seen. What cannot be done now, the next start does.
    async fn unmake(&self, topic: &Topic) {
        let topic_id = topic.id;
        let deleted =
            self.commit(|_| Ok::<_, StoreError>((vec![Change::TopicDeleted { topic_id }], ()))).await;
        if deleted.is_ok() {
            self.delete_logs(topic).await;
        }
    }

    /// Deletes a topic: when this returns no shard sees it and its bytes are gone.
    pub(super) async fn delete_topic(&self, topic_id: Uuid) -> Result<Arc<Topic>, DeleteTopicError> {
        let named = self.state.borrow().staged.topic_by_id(topic_id).map(|topic| topic.name.clone());
        let name = named.ok_or(DeleteTopicError::Unknown)?;
        let _turn = self.turns.take(&name, || false).await;
        let topic = self
            .commit(|state| {
                let change = state.delete(topic_id)?;
                let topic = state.staged.topic_by_id(topic_id).cloned().ok_or(DeleteTopicError::Unknown)?;
                Ok::<_, DeleteTopicError>((vec![change], topic))
            })
            .await?;
        self.publish().await;
        tracing::info!(topic = name, %topic_id, "deleted a topic");
        self.delete_logs(&topic).await;
        Ok(topic)
    }

    pub(super) async fn delete_logs(&self, topic: &Topic) {
        let logs = topic.partitions_all().map(|partition| (partition.owner, partition.log_id)).collect();
        let topic_id = topic.id;
        match self.store.delete_logs(logs).await {
            // The record only spares the next start the look; if it cannot be written, that start writes it.
            Ok(()) => {
                drop(self.commit(|_| Ok::<_, StoreError>((vec![Change::TopicGone { topic_id }], ()))).await);
            }
            Err(reason) => {
                tracing::error!(
                    topic = topic.name,
                    reason,
                    "logs of a deleted topic are left; the next start that finds them deletes them"
                );
                if !self.store.directories_stopped().is_empty() {
                    self.state.borrow_mut().left_behind.insert(topic_id);
                }
            }
        }
    }

    /// Says of every partition whose log cannot be asked any more that it is offline. Nothing is recorded: the next start
    /// looks for itself, and the metadata log may be among what stopped.
    pub(super) async fn take_offline(&self) -> Result<usize, StoreError> {
        let logs = self.store.logs().await?;
        let lost =
            logs.into_iter().filter(|log| log.fault.is_some()).map(|log| log.identity.log_id).collect();
        let count = {
            let mut state = self.state.borrow_mut();
            state.staged.take_offline(&lost);
            state.durable.take_offline(&lost)
        };
        self.publish().await;
        Ok(count)
    }

    /// Gives a topic more partitions.
    pub(super) async fn add_partitions(
        &self,
        name: String,
        count: usize,
    ) -> Result<Arc<Topic>, AddPartitionsError> {
        let _turn = self.turns.take(&name, || false).await;
        let topic_id = self
            .commit(|state| {
                let topic = state.check_add_partitions(&name, count)?;
                let log_ids = random_log_ids(count - topic.partitions.len());
                Ok::<_, AddPartitionsError>((
                    vec![Change::PartitionsAdded { topic_id: topic.id, log_ids }],
                    topic.id,
                ))
            })
            .await?;
        let grown = self.state.borrow().staged.topic_by_id(topic_id).cloned();
        let topic = grown.ok_or(AddPartitionsError::Unknown)?;
        if let Err(reason) = self.make_logs(&topic, &topic.partitions_adding).await {
            tracing::error!(topic = name, reason, "partitions were not added: their logs could not be made");
            let logs = topic.partitions_adding.iter().map(|new| (new.owner, new.log_id)).collect();
            if self.store.delete_logs(logs).await.is_ok() {
                let dropped = Change::PartitionsDropped { topic_id };
                // If it cannot be written the next start makes the partitions after all.
                drop(self.commit(|_| Ok::<_, StoreError>((vec![dropped], ()))).await);
            }
            return Err(AddPartitionsError::Logs { name, reason });
        }
        self.commit(|_| Ok::<_, AddPartitionsError>((vec![Change::PartitionsReady { topic_id }], ())))
            .await?;
        self.publish().await;
        tracing::info!(topic = name, partitions = count, "added partitions");
        Ok(self.published.load().topic_by_id(topic_id).cloned().unwrap_or(topic))
    }

    /// Replaces what a topic sets by what `change` makes of it; open logs follow before this returns.
    pub(super) async fn alter_configs<E>(
        &self,
        name: String,
        change: impl FnOnce(&Topic) -> Result<BTreeMap<String, String>, E>,
    ) -> Result<(), AlterConfigsError<E>> {
        let _turn = self.turns.take(&name, || false).await;
        let topic_id = self
            .commit(|state| {
                let unknown = || AlterConfigsError::Unknown { name: name.clone() };
                let topic = state.staged.topic(&name).ok_or_else(unknown)?;
                let overrides = change(topic).map_err(AlterConfigsError::Invalid)?;
                let is_same = overrides == topic.overrides;
                let change = Change::ConfigsChanged { topic_id: topic.id, overrides };
                let changes = if is_same { Vec::new() } else { vec![change] };
                Ok::<_, AlterConfigsError<E>>((changes, topic.id))
            })
            .await?;
        let changed = self.state.borrow().staged.topic_by_id(topic_id).cloned();
        if let Some(topic) = changed {
            self.configure(&topic).await;
            self.publish().await;
        }
        Ok(())
    }

    /// Producer ids that nobody else was given or will be.
    pub(super) async fn allocate_producer_ids(&self) -> Result<Range<i64>, StoreError> {
        self.commit(|state| {
            let change = state.producer_ids();
            let start = state.staged.producer_id_end;
            Ok((vec![change], start..start + super::state::PRODUCER_IDS_PER_BLOCK))
        })
        .await
    }

    /// Makes the logs of these partitions of a topic.
    pub(super) async fn make_logs(&self, topic: &Topic, partitions: &[Partition]) -> Result<(), String> {
        let settings = topic.settings.log_settings();
        let new = |partition: &Partition| NewLog {
            owner: partition.owner,
            identity: identity(topic, partition),
            settings: settings.clone(),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
        };
        self.store.create_logs(partitions.iter().map(new).collect()).await
    }

    /// Gives the open logs of a topic their rules and epochs.
    pub(super) async fn configure(&self, topic: &Topic) {
        let settings = topic.settings.log_settings();
        let setting = |partition: &Partition| Setting {
            owner: partition.owner,
            log_id: partition.log_id,
            settings: settings.clone(),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
        };
        let online = topic.partitions.iter().filter(|partition| partition.online);
        self.store.configure(online.map(setting).collect()).await;
    }
}

/// Who the log of a partition is.
pub(super) fn identity(topic: &Topic, partition: &Partition) -> LogIdentity {
    LogIdentity {
        log_id: partition.log_id,
        topic_id: topic.id.into_bytes(),
        topic: topic.name.clone(),
        partition: partition.index,
    }
}

fn random_log_ids(count: usize) -> Vec<LogId> {
    (0..count).map(|_| LogId(Uuid::new_v4().into_bytes())).collect()
}

/// As Kafka's: its text in URL-safe base 64 does not begin with `-`, which tools would take for an option.
fn random_topic_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if id.as_bytes()[0] >> 2 != 62 {
            return id;
        }
    }
}
