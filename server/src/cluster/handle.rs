//! What every shard has of the cluster: the image to look at, and the way to have it changed.

use super::errors::{AddPartitionsError, AlterConfigsError, CreateTopicError, DeleteTopicError, StoreError};
use super::image::{Image, Topic};
use super::lead::Lead;
use super::names::{INTERNAL_OFFSETS, is_internal};
use super::rules::Rules;
use super::shards::Shards;
use super::start::{ClusterStartError, ClusterStarted};
use super::state::NewTopic;
use crate::config::ConfigError;
use crate::route::ShardId;
use crate::shard::Shard;
use arc_swap::{ArcSwap, Guard};
use futures_util::lock::Mutex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// Where the image is published; one per broker, its copies are the same.
#[derive(Clone, Default)]
pub struct View(Arc<ArcSwap<Image>>);

/// A shard's hold on the cluster. Changes go to shard 0, whichever shard they are asked of.
pub struct Cluster {
    view: View,
    /// On shard 0, once it has started.
    lead: RefCell<Option<Rc<Lead<Shards>>>>,
    /// Producer ids that this shard may give.
    producer_ids: Mutex<Range<i64>>,
}

impl Cluster {
    /// A shard's handle, before the start: the image is empty.
    pub fn new(view: View) -> Self {
        Self { view, lead: RefCell::new(None), producer_ids: Mutex::new(0..0) }
    }

    /// What exists now. Costs a reference count shared by all cores; `look` does not.
    pub fn image(&self) -> Arc<Image> {
        self.view.0.load_full()
    }

    /// What exists now, for a short look without an await.
    pub fn look(&self) -> Guard<Arc<Image>> {
        self.view.0.load()
    }

    /// Loads the metadata log, raises leader epochs after an unclean stop, completes what that stop cut short, publishes
    /// the image and begins to take changes. To be called once, on shard 0, when the engines of all shards run.
    ///
    /// # Errors
    /// When the metadata log is missing, cannot be read, or was written by a newer release; nothing is served then.
    ///
    /// # Panics
    /// On another shard.
    pub async fn start(shard: &Rc<Shard>, unclean: bool) -> Result<ClusterStarted, ClusterStartError> {
        assert_eq!(shard.id, ShardId(0), "the metadata log is on shard 0");
        let rules = Rules::new(Arc::clone(&shard.config), shard.shard_count)?;
        let (store, published) = (Shards(Rc::downgrade(shard)), Arc::clone(&shard.cluster.view.0));
        let cluster_id = shard.cluster_id.clone();
        let (lead, started) = super::start::start(store, cluster_id, unclean, published, rules).await?;
        *shard.cluster.lead.borrow_mut() = Some(Rc::clone(&lead));
        shard.router.spawn("changes of the cluster", lead.run());
        Ok(started)
    }

    /// Lets changes that were begun end and takes no more. To be called on shard 0 before its engine stops.
    pub fn stop(&self) {
        if let Some(lead) = self.lead.borrow_mut().take() {
            lead.stop();
        }
    }

    /// Has shard 0 do a job to its end.
    async fn ask<T, F>(
        shard: &Rc<Shard>,
        job: impl FnOnce(Rc<Lead<Shards>>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let asked = shard.router.call(ShardId(0), move |shard| async move {
            let lead = shard.cluster.lead.borrow().clone()?;
            lead.submit(job(Rc::clone(&lead))).await
        });
        asked.await.ok().flatten().ok_or(StoreError::NotReady)
    }

    /// Log directories have stopped: every shard sees their partitions offline when this returns. To be called on shard 0.
    ///
    /// # Errors
    /// Before the start and after the stop.
    pub async fn take_offline(shard: &Rc<Shard>) -> Result<usize, StoreError> {
        Self::ask(shard, |lead| async move { lead.take_offline().await }).await?
    }

    /// Creates topics, each by itself, at once: when this returns every shard sees them and their logs take records.
    pub async fn create_topics(
        &self,
        shard: &Rc<Shard>,
        topics: Vec<NewTopic>,
    ) -> Vec<Result<Arc<Topic>, CreateTopicError>> {
        let count = topics.len();
        let created = Self::ask(shard, |lead| async move {
            let created = topics.into_iter().map(|new| lead.create_topic(new));
            futures_util::future::join_all(created).await
        });
        created.await.unwrap_or_else(|error| vec![Err(error.into()); count])
    }

    /// Whether these topics could be created now, each by itself.
    pub async fn check_create_topics(
        &self,
        shard: &Rc<Shard>,
        topics: Vec<NewTopic>,
    ) -> Vec<Result<(), CreateTopicError>> {
        let count = topics.len();
        let checked = Self::ask(shard, |lead| async move {
            let state = lead.state.borrow();
            topics.iter().map(|new| state.check_create(new)).collect()
        });
        checked.await.unwrap_or_else(|error| vec![Err(error.into()); count])
    }

    /// A topic as clients get it by asking for it: there already, or made with the broker's defaults. Many who ask at
    /// once get one topic.
    ///
    /// # Errors
    /// `CreateTopicError`, never `Exists`.
    pub async fn auto_create(&self, shard: &Rc<Shard>, name: &str) -> Result<Arc<Topic>, CreateTopicError> {
        if is_internal(name) {
            return self.ensure_internal_topic(shard, name).await;
        }
        let partition_count = usize::try_from(shard.config.num_partitions).unwrap_or(1);
        let new = NewTopic { name: name.to_owned(), partition_count, overrides: BTreeMap::new() };
        self.ensure(shard, new).await
    }

    /// One of the broker's own topics, made at first use: `__consumer_offsets` for now.
    ///
    /// # Errors
    /// `CreateTopicError`, never `Exists`; `Prohibited` for those whose coordinators are not served.
    pub async fn ensure_internal_topic(
        &self,
        shard: &Rc<Shard>,
        name: &str,
    ) -> Result<Arc<Topic>, CreateTopicError> {
        if let Some(topic) = self.look().topic(name) {
            return Ok(Arc::clone(topic));
        }
        let config = &shard.config;
        if name != INTERNAL_OFFSETS {
            return Err(CreateTopicError::Prohibited { name: name.to_owned() });
        }
        let overrides = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            ("segment.bytes", config.offsets_topic_segment_bytes.to_string()),
        ];
        let new = NewTopic {
            name: name.to_owned(),
            partition_count: usize::try_from(config.offsets_topic_num_partitions).unwrap_or(1),
            overrides: overrides.map(|(key, value)| (key.to_owned(), value)).into(),
        };
        self.ensure(shard, new).await
    }

    async fn ensure(&self, shard: &Rc<Shard>, new: NewTopic) -> Result<Arc<Topic>, CreateTopicError> {
        if let Some(topic) = self.look().topic(&new.name) {
            return Ok(Arc::clone(topic));
        }
        super::names::validate_name(&new.name)?;
        Self::ask(shard, |lead| async move { lead.ensure_topic(new).await }).await?
    }

    /// Deletes topics by id, each by itself: when this returns no shard sees them and their bytes are gone.
    pub async fn delete_topics(
        &self,
        shard: &Rc<Shard>,
        ids: Vec<uuid::Uuid>,
    ) -> Vec<Result<Arc<Topic>, DeleteTopicError>> {
        let count = ids.len();
        let deleted = Self::ask(shard, |lead| async move {
            futures_util::future::join_all(ids.into_iter().map(|id| lead.delete_topic(id))).await
        });
        deleted.await.unwrap_or_else(|error| vec![Err(error.into()); count])
    }

    /// Gives topics more partitions, up to the count beside each; with `validate_only` it only says whether it could.
    pub async fn add_partitions(
        &self,
        shard: &Rc<Shard>,
        topics: Vec<(String, usize)>,
        validate_only: bool,
    ) -> Vec<Result<(), AddPartitionsError>> {
        let requested = topics.len();
        let added = Self::ask(shard, move |lead| async move {
            let add = |(name, count): (String, usize)| {
                let lead = &lead;
                async move {
                    if validate_only {
                        return lead.state.borrow().check_add_partitions(&name, count).map(drop);
                    }
                    lead.add_partitions(name, count).await.map(drop)
                }
            };
            futures_util::future::join_all(topics.into_iter().map(add)).await
        });
        added.await.unwrap_or_else(|error| vec![Err(error.into()); requested])
    }

    /// Replaces what a topic sets by what `change` makes of the topic as it is then; its open logs follow before this
    /// returns.
    ///
    /// # Errors
    /// `AlterConfigsError`; nothing was changed then.
    pub async fn alter_configs<E: Send + 'static>(
        &self,
        shard: &Rc<Shard>,
        name: String,
        change: impl FnOnce(&Topic) -> Result<BTreeMap<String, String>, E> + Send + 'static,
    ) -> Result<(), AlterConfigsError<E>> {
        Self::ask(shard, |lead| async move { lead.alter_configs(name, change).await }).await?
    }

    /// A producer id that nobody else was given or will be. Shards take them from shard 0 in blocks.
    ///
    /// # Errors
    /// `StoreError`.
    pub async fn producer_id(&self, shard: &Rc<Shard>) -> Result<i64, StoreError> {
        let mut own = self.producer_ids.lock().await;
        if own.is_empty() {
            *own = Self::ask(shard, |lead| async move { lead.allocate_producer_ids().await }).await??;
        }
        own.next().ok_or(StoreError::NotReady)
    }
}

impl From<ConfigError> for ClusterStartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}
