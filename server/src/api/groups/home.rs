//! Where groups live: the offsets topic, its partitions on this shard, and the way to a group's partition.

use super::AskError;
use crate::api::RequestContext;
use crate::cluster::{Image, Topic};
use crate::coordinator::{Clock, Host, HostError};
use crate::group::{self, Answer, Budget, Command, DeletedTopic, GroupSettings, ListedGroup, Partition};
use crate::route::ShardId;
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use futures_util::future::join_all;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use thalweg_engine::batch::Codec;
use thalweg_engine::shard::Engine;
use thalweg_engine::units::LogId;

/// The topic that holds groups and their offsets.
pub(super) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// How often the image is looked at for topics that came or went.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Kafka has no text for this but that of the error code.
const UNKNOWN_KEY_TYPE: &str = "This most likely occurs because of a request being malformed by the client library or the \
                                message was sent to an incompatible broker. See the broker logs for more details.";

const KEY_TYPE_GROUP: i8 = 0;
const KEY_TYPE_TRANSACTION: i8 = 1;
const KEY_TYPE_SHARE: i8 = 2;

/// The groups of one shard. Owned by the shard, never leaves its core.
#[derive(Clone)]
pub struct Groups {
    host: Host<Partition>,
    budget: Budget,
    /// Partitions whose offsets were held against the topics that exist.
    reconciled: Rc<RefCell<BTreeSet<i32>>>,
}

impl Groups {
    /// A shard without groups; `run` opens its partitions.
    pub fn new(engine: Engine, clock: Clock, settings: GroupSettings, codec: Codec) -> Self {
        let budget = Budget::default();
        let (settings, held) = (Rc::new(settings), budget.clone());
        let host =
            Host::new("groups", engine, clock, move || Partition::new(Rc::clone(&settings), held.clone()));
        Self { host: host.compressed(codec), budget, reconciled: Rc::default() }
    }

    /// What the groups of this shard hold.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Ends `run`.
    pub fn stop(&self) {
        self.host.stop();
    }

    /// Opens this shard's partitions, stores, keeps time and tidies up, until `stop`. Spawned once per shard, after the
    /// image was first published.
    pub async fn run(shard: Rc<Shard>) {
        let groups = shard.groups.clone();
        let look = async {
            let mut deleted_before = [None, None];
            loop {
                let image = shard.cluster.image();
                groups.open_partitions(&shard, &image);
                // Looked at twice: a commit may have been on its way when its topic went.
                if deleted_before != [Some(image.deleted_count); 2] {
                    groups.reconciled.borrow_mut().clear();
                }
                groups.reconcile(&image).await;
                deleted_before = [deleted_before[1], Some(image.deleted_count)];
                shard.router.sleep(LOOK_INTERVAL).await;
            }
        };
        futures_lite::future::or(groups.host.run(|time| shard.router.sleep(time)), look).await;
    }

    fn open_partitions(&self, shard: &Shard, image: &Image) {
        let Some(topic) = image.topic(OFFSETS_TOPIC) else { return };
        for partition in topic.partitions.iter().filter(|partition| partition.owner == shard.id) {
            self.host.open(partition.index, partition.log_id);
        }
    }

    /// Forgets offsets of topics that were deleted, also while the broker was down.
    async fn reconcile(&self, image: &Image) {
        for partition in self.host.ready_partitions() {
            if self.reconciled.borrow().contains(&partition) {
                continue;
            }
            let Ok(Answer::StoredTopics(stored)) = self.host.ask(partition, Command::StoredTopics).await
            else {
                continue;
            };
            let gone = stored.into_iter().filter(|(name, topic_id)| !is_there(image, name, *topic_id));
            let gone: Vec<DeletedTopic> =
                gone.map(|(name, topic_id)| DeletedTopic { name, topic_id }).collect();
            if !gone.is_empty() {
                tracing::info!(partition, topics = gone.len(), "offsets of deleted topics are removed");
                if let Err(error) = self.host.ask(partition, Command::TopicsDeleted(gone)).await {
                    tracing::warn!(partition, ?error, "offsets of deleted topics stay until the next look");
                    continue;
                }
            }
            self.reconciled.borrow_mut().insert(partition);
        }
    }

    /// Asks a partition of this shard.
    async fn ask_here(&self, partition: i32, log_id: LogId, command: Command) -> Result<Answer, AskError> {
        self.host.open(partition, log_id);
        Ok(self.host.ask(partition, command).await?)
    }
}

/// Whether the topic that offsets were committed for is still there; of old records only its name is known.
fn is_there(image: &Image, name: &str, topic_id: [u8; 16]) -> bool {
    let id = uuid::Uuid::from_bytes(topic_id);
    if id.is_nil() { image.topic(name).is_some() } else { image.topic_by_id(id).is_some() }
}

/// Asks the partition that a group belongs to, on whichever shard it is.
pub(super) async fn ask(shard: &Rc<Shard>, group_id: &str, command: Command) -> Result<Answer, AskError> {
    let image = shard.cluster.image();
    let topic: &Arc<Topic> = image.topic(OFFSETS_TOPIC).ok_or(AskError::NotAvailable)?;
    let index = group::partition_of(group_id, topic.partitions.len() as i32);
    let home =
        topic.partitions.get(index as usize).filter(|home| home.online).ok_or(AskError::NotAvailable)?;
    let log_id = home.log_id;
    let asked = shard.router.call(home.owner, move |shard: Rc<Shard>| async move {
        shard.groups.clone().ask_here(index, log_id, command).await
    });
    asked.await.unwrap_or(Err(AskError::NotAvailable))
}

/// The groups of every partition of the offsets topic that `keep` lets pass, each shard asked once for all of its own. A
/// partition that is not here, since its directory failed, is left out as another broker's would be.
///
/// # Errors
/// When one of them is loading, or a shard has stopped.
pub(super) async fn list(
    shard: &Rc<Shard>,
    keep: impl Fn(&ListedGroup) -> bool + Clone + Send + 'static,
) -> Result<Vec<ListedGroup>, AskError> {
    let image = shard.cluster.image();
    let Some(topic) = image.topic(OFFSETS_TOPIC) else { return Ok(Vec::new()) };
    let mut homes: BTreeMap<ShardId, Vec<(i32, LogId)>> = BTreeMap::new();
    for home in topic.partitions.iter().filter(|home| home.online) {
        homes.entry(home.owner).or_default().push((home.index, home.log_id));
    }
    let asked = homes.into_iter().map(|(owner, partitions)| {
        let keep = keep.clone();
        shard.router.call(owner, move |shard: Rc<Shard>| async move {
            let mut listed = Vec::new();
            for (index, log_id) in partitions {
                match shard.groups.ask_here(index, log_id, Command::List).await {
                    Ok(Answer::Listed(groups)) => listed.extend(groups.into_iter().filter(&keep)),
                    Ok(other) => unreachable!("a listing was answered with {other:?}"),
                    Err(AskError::Host(HostError::NotHere)) => {}
                    Err(error) => return Err(error),
                }
                shard.router.yield_if_needed().await;
            }
            Ok(listed)
        })
    });
    let mut all = Vec::new();
    for listed in join_all(asked).await {
        all.append(&mut listed.unwrap_or(Err(AskError::NotAvailable))?);
    }
    Ok(all)
}

/// `FindCoordinator`: this broker, once the topic behind the key is there.
pub async fn find_coordinator(
    shard: &Rc<Shard>,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let version = context.header.api_version;
    let found = find(shard, version, request.key_type).await;
    let is_batched = version >= 4;
    let keys = if is_batched { request.coordinator_keys } else { vec![request.key] };
    let answer = |key: String| coordinator(shard, context, key, &found, is_batched);
    let mut coordinators: Vec<Coordinator> = keys.into_iter().map(answer).collect();
    if is_batched {
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let Some(one) = coordinators.pop() else { return FindCoordinatorResponse::default() };
    FindCoordinatorResponse {
        error_code: one.error_code,
        error_message: one.error_message,
        node_id: one.node_id,
        host: one.host,
        port: one.port,
        ..FindCoordinatorResponse::default()
    }
}

async fn find(shard: &Rc<Shard>, version: i16, key_type: i8) -> Result<(), (ErrorCode, &'static str)> {
    match key_type {
        KEY_TYPE_GROUP => match shard.cluster.ensure_internal_topic(shard, OFFSETS_TOPIC).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the offsets topic cannot be made");
                Err((ErrorCode::CoordinatorNotAvailable, "The offsets topic is not available."))
            }
        },
        KEY_TYPE_TRANSACTION => Err((
            ErrorCode::TransactionalIdAuthorizationFailed,
            "Transactions are not served by this broker.",
        )),
        KEY_TYPE_SHARE if version >= 6 => {
            Err((ErrorCode::InvalidRequest, "Share groups are not served by this broker."))
        }
        _ => Err((ErrorCode::InvalidRequest, UNKNOWN_KEY_TYPE)),
    }
}

fn coordinator(
    shard: &Rc<Shard>,
    context: &RequestContext,
    key: String,
    found: &Result<(), (ErrorCode, &'static str)>,
    is_batched: bool,
) -> Coordinator {
    match found {
        Ok(()) => {
            let broker = shard.config.advertised(context.listener);
            // Kafka says NONE where the answer carries one message, and nothing where it carries several.
            let message = if is_batched { "" } else { "NONE" };
            Coordinator {
                key,
                node_id: shard.config.node_id,
                host: broker.host.clone(),
                port: i32::from(broker.port),
                error_code: ErrorCode::None,
                error_message: Some(message.to_owned()),
            }
        }
        Err((error_code, message)) => Coordinator {
            key,
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: *error_code,
            error_message: Some((*message).to_owned()),
        },
    }
}
