//! What a run needs to know of its topic: partitions, their leaders, their ends; and making it if it is missing.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::control::resolve;
use super::{ClientError, Control, is_retriable};

const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_EXISTS: i16 = 36;
/// A new topic has leaders within this time, or something is wrong.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);
const LEADERS_PAUSE: Duration = Duration::from_millis(50);
/// Versions after these name topics by id or need fields that this generator has no use for.
const METADATA_VERSION_MAX: i16 = 9;
const LIST_OFFSETS_VERSION_MAX: i16 = 7;
const CREATE_TOPICS_VERSION_MAX: i16 = 7;
/// Asks for the offset after the last record, or for the first.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// A topic as its brokers describe it, at one moment.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// All partitions, by number.
    pub partitions: Vec<Partition>,
}

/// One partition and where its leader listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number, from 0.
    pub index: i32,
    /// Where requests for it go.
    pub leader: SocketAddr,
}

impl Topic {
    /// The topic if it is there; else, with `partition_count`, makes it with so many and `configs`, and waits for leaders.
    ///
    /// # Errors
    /// If it is missing and no count is given, if it has another count, or if a broker refuses.
    pub fn ensure(
        control: &mut Control,
        name: &str,
        partition_count: Option<u32>,
        replication: i16,
        configs: &[(String, String)],
    ) -> Result<Self, ClientError> {
        let start = Instant::now();
        let mut created = false;
        loop {
            let found = Self::look_up(control, name);
            let code = match &found {
                Ok(topic) => {
                    if created {
                        // A broker may name itself leader before it acts as one; it does once it tells the bounds.
                        topic.bounds(control.client_id())?;
                    }
                    return match partition_count {
                        Some(wanted) if topic.partitions.len() != wanted as usize => {
                            Err(ClientError::PartitionCount {
                                topic: name.to_owned(),
                                found: topic.partitions.len(),
                                wanted: wanted as usize,
                            })
                        }
                        _ => found,
                    };
                }
                Err(ClientError::NoLeader { .. }) => 0,
                Err(ClientError::Refused { code, .. }) => *code,
                Err(_) => return found,
            };
            match partition_count {
                Some(count) if code == UNKNOWN_TOPIC && !created => {
                    create(control, name, count as i32, replication, configs)?;
                    created = true;
                }
                // A topic just made is known to all brokers a little later.
                _ if start.elapsed() < LEADERS_TIMEOUT
                    && (created || code == 0 || (code != UNKNOWN_TOPIC && is_retriable(code))) =>
                {
                    sleep(LEADERS_PAUSE);
                }
                _ => return found,
            }
        }
    }

    /// The topic as it is now.
    ///
    /// # Errors
    /// `Refused` if it is missing, `NoLeader` if a partition cannot be written to.
    pub fn look_up(control: &mut Control, name: &str) -> Result<Self, ClientError> {
        let request = MetadataRequest::default()
            .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(topic_name(name)))]))
            .with_allow_auto_topic_creation(false);
        let (answer, _) = control.ask(METADATA_VERSION_MAX, &request)?;
        let refused = |code| ClientError::Refused { api: "Metadata", subject: name.to_owned(), code };
        let topic = answer.topics.first().ok_or_else(|| refused(UNKNOWN_TOPIC))?;
        if topic.error_code != 0 {
            return Err(refused(topic.error_code));
        }
        let mut brokers = BTreeMap::new();
        for broker in &answer.brokers {
            let found = resolve(&format!("{}:{}", broker.host.as_str(), broker.port))?;
            brokers.extend(found.first().map(|address| (broker.node_id.0, *address)));
        }
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let leader = *brokers
                .get(&partition.leader_id.0)
                .ok_or_else(|| ClientError::NoLeader { topic: name.to_owned(), partition: index })?;
            partitions.push(Partition { index, leader });
        }
        partitions.sort_by_key(|partition| partition.index);
        Ok(Self { name: name.to_owned(), partitions })
    }

    /// The first offset and the offset after the last record of every partition, as `ListOffsets` -2 and -1 tell.
    ///
    /// Leaders that are not ready yet are asked again for a while.
    ///
    /// # Errors
    /// If a leader cannot be asked or refuses.
    pub fn bounds(&self, client_id: &str) -> Result<BTreeMap<i32, Range<i64>>, ClientError> {
        let mut bounds = BTreeMap::new();
        let mut leaders: Vec<_> = self.partitions.iter().map(|partition| partition.leader).collect();
        leaders.sort_unstable();
        leaders.dedup();
        for leader in leaders {
            let mut control = Control::connect(&leader.to_string(), client_id)?;
            let of_leader = self.partitions.iter().filter(|partition| partition.leader == leader);
            let led: Vec<_> = of_leader.map(|partition| partition.index).collect();
            let start = Instant::now();
            let found = loop {
                match self.bounds_at(&mut control, &led) {
                    Err(ClientError::Refused { code, .. })
                        if is_retriable(code) && start.elapsed() < LEADERS_TIMEOUT =>
                    {
                        sleep(LEADERS_PAUSE);
                    }
                    found => break found?,
                }
            };
            bounds.extend(found);
        }
        Ok(bounds)
    }

    fn bounds_at(&self, control: &mut Control, led: &[i32]) -> Result<Vec<(i32, Range<i64>)>, ClientError> {
        let starts = self.offsets(control, led, EARLIEST)?;
        let ends = self.offsets(control, led, LATEST)?;
        Ok(starts.into_iter().zip(ends).map(|((index, start), (_, end))| (index, start..end)).collect())
    }

    fn offsets(
        &self,
        control: &mut Control,
        led: &[i32],
        time: i64,
    ) -> Result<BTreeMap<i32, i64>, ClientError> {
        let partitions = led
            .iter()
            .map(|index| ListOffsetsPartition::default().with_partition_index(*index).with_timestamp(time))
            .collect();
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![
            ListOffsetsTopic::default().with_name(topic_name(&self.name)).with_partitions(partitions),
        ]);
        let (answer, version) = control.ask(LIST_OFFSETS_VERSION_MAX, &request)?;
        let mut offsets = BTreeMap::new();
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if partition.error_code != 0 {
                return Err(ClientError::Refused {
                    api: "ListOffsets",
                    subject: format!("{}-{}", self.name, partition.partition_index),
                    code: partition.error_code,
                });
            }
            offsets.insert(partition.partition_index, partition.offset);
        }
        if offsets.len() == led.len() {
            return Ok(offsets);
        }
        let reason = format!("{} partitions asked, {} answered", led.len(), offsets.len());
        Err(ClientError::Decode { api: "ListOffsets", version, reason })
    }
}

fn create(
    control: &mut Control,
    name: &str,
    partition_count: i32,
    replication: i16,
    configs: &[(String, String)],
) -> Result<(), ClientError> {
    let configs = configs
        .iter()
        .map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string(key.clone()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        })
        .collect();
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partition_count)
        .with_replication_factor(replication)
        .with_configs(configs);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let (answer, _) = control.ask(CREATE_TOPICS_VERSION_MAX, &request)?;
    match answer.topics.first().map_or(-1, |topic| topic.error_code) {
        0 | TOPIC_EXISTS => Ok(()),
        code => Err(ClientError::Refused { api: "CreateTopics", subject: name.to_owned(), code }),
    }
}

/// The name in the form the codec wants.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
