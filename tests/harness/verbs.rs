//! What tests say to a broker, in the domain's words, over the single requests of `client.rs`.

use crate::Client;
use crate::records::{self, Batch};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateTopicsRequest, DeleteTopicsRequest,
    FetchRequest, GroupId, IncrementalAlterConfigsRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, OffsetFetchRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{io, process, thread};
use uuid::Uuid;

/// Error codes that the tests name.
pub mod code {
    #![expect(missing_docs, reason = "the names are Kafka's own")]
    pub const UNKNOWN_SERVER_ERROR: i16 = -1;
    pub const NONE: i16 = 0;
    pub const OFFSET_OUT_OF_RANGE: i16 = 1;
    pub const CORRUPT_MESSAGE: i16 = 2;
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub const LEADER_NOT_AVAILABLE: i16 = 5;
    pub const MESSAGE_TOO_LARGE: i16 = 10;
    /// Loading, not available, not here: asked again.
    pub const COORDINATOR_COMES: [i16; 3] = [14, 15, 16];
    pub const INVALID_TOPIC_EXCEPTION: i16 = 17;
    pub const INVALID_REQUIRED_ACKS: i16 = 21;
    pub const ILLEGAL_GENERATION: i16 = 22;
    pub const UNKNOWN_MEMBER_ID: i16 = 25;
    pub const INVALID_SESSION_TIMEOUT: i16 = 26;
    pub const INVALID_TIMESTAMP: i16 = 32;
    pub const UNSUPPORTED_VERSION: i16 = 35;
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    pub const INVALID_PARTITIONS: i16 = 37;
    pub const INVALID_REPLICATION_FACTOR: i16 = 38;
    pub const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
    pub const INVALID_CONFIG: i16 = 40;
    pub const INVALID_REQUEST: i16 = 42;
    pub const POLICY_VIOLATION: i16 = 44;
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
    pub const INVALID_PRODUCER_EPOCH: i16 = 47;
    pub const KAFKA_STORAGE_ERROR: i16 = 56;
    pub const FETCH_SESSION_ID_NOT_FOUND: i16 = 70;
    pub const INVALID_FETCH_SESSION_EPOCH: i16 = 71;
    pub const FENCED_LEADER_EPOCH: i16 = 74;
    pub const UNKNOWN_LEADER_EPOCH: i16 = 75;
    pub const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
    pub const MEMBER_ID_REQUIRED: i16 = 79;
    pub const INVALID_RECORD: i16 = 87;
    pub const UNKNOWN_TOPIC_ID: i16 = 100;
}

/// How long a new topic may take until its partitions answer (Kafka's own metadata travels to its broker with a delay).
const TOPIC_WITHIN: Duration = Duration::from_secs(15);

/// A topic name that no other test uses.
pub fn fresh(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A topic's name as requests carry it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_string()))
}

/// Text as requests carry it.
pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_string())
}

/// A Produce request of one batch to one partition.
pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(20_000).with_topic_data(vec![topic])
}

/// A Fetch request without session from one partition, by name (up to version 12): all that is there, at once.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let from = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(64 * 1024 * 1024);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![from]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(64 * 1024 * 1024)
        .with_session_id(0)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// A CreateTopics request for one topic.
fn create_request(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreateTopicsRequest {
    let configs = configs.iter().map(|&(key, value)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(configs.collect());
    CreateTopicsRequest::default().with_timeout_ms(20_000).with_topics(vec![topic])
}

impl Client {
    /// What the broker serves, asked as a client that names itself.
    pub fn api_versions(&mut self) -> ApiVersionsResponse {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text("thalweg-tests"))
            .with_client_software_version(text("1"));
        self.call(3, &request)
    }

    /// Creates a topic and waits until every partition answers; returns its id.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> Uuid {
        self.create_topic_with(name, partitions, &[])
    }

    /// The same with configs of its own.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn create_topic_with(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let (code, message) = self.try_create_topic(name, partitions, configs);
        assert_eq!(code, code::NONE, "creating {name}: {message:?}");
        self.wait_for_topic(name, partitions)
    }

    /// Waits until every partition of a topic answers; returns its id.
    ///
    /// # Panics
    /// If that takes longer than 15 seconds.
    pub fn wait_for_topic(&mut self, name: &str, partitions: i32) -> Uuid {
        let deadline = Instant::now() + TOPIC_WITHIN;
        loop {
            let there = self.metadata(name).partitions.len() as i32 == partitions;
            if there
                && (0..partitions).all(|index| self.list_offset(name, index, -1).error_code == code::NONE)
            {
                return self.metadata(name).topic_id;
            }
            assert!(Instant::now() < deadline, "{name} does not answer within {TOPIC_WITHIN:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks for a topic; the answer is its error code and message.
    pub fn try_create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> (i16, Option<StrBytes>) {
        let answer = self.call(7, &create_request(name, partitions, configs));
        (answer.topics[0].error_code, answer.topics[0].error_message.clone())
    }

    /// Asks for a topic with the default settings; its error code and id.
    ///
    /// # Errors
    /// If the connection breaks: nobody knows whether the topic is there.
    pub fn make_topic(&mut self, name: &str, partitions: i32) -> io::Result<(i16, Uuid)> {
        let answer = self.try_call(7, &create_request(name, partitions, &[]))?;
        Ok((answer.topics[0].error_code, answer.topics[0].topic_id))
    }

    /// Sets one config of a topic.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn set_config(&mut self, topic: &str, key: &str, value: &str) {
        let (error_code, message) = self.try_set_config(topic, key, value);
        assert_eq!(error_code, code::NONE, "{message}");
    }

    /// Code and text of a change of one key.
    pub fn try_set_config(&mut self, topic: &str, key: &str, value: &str) -> (i16, String) {
        let change = AlterableConfig::default().with_name(text(key)).with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(topic))
            .with_configs(vec![change]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.call(1, &request).responses.remove(0);
        (answer.error_code, answer.error_message.map(|text| text.to_string()).unwrap_or_default())
    }

    /// Deletes a topic; the answer is its error code.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn delete_topic(&mut self, name: &str) -> i16 {
        self.remove_topic(name).unwrap_or_else(|error| panic!("deleting {name}: {error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// If the connection breaks: nobody knows whether the topic is there.
    pub fn remove_topic(&mut self, name: &str) -> io::Result<i16> {
        let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
        let request = DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(vec![topic]);
        Ok(self.try_call(6, &request)?.responses[0].error_code)
    }

    /// What Metadata says of one topic, without creating it.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn metadata(&mut self, name: &str) -> MetadataResponseTopic {
        self.try_metadata(name).unwrap_or_else(|error| panic!("metadata of {name}: {error}"))
    }

    /// The same.
    ///
    /// # Errors
    /// If the connection breaks.
    pub fn try_metadata(&mut self, name: &str) -> io::Result<MetadataResponseTopic> {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        Ok(self.try_call(12, &request)?.topics.remove(0))
    }

    /// Produces one batch with acks=all; the whole answer for its partition.
    pub fn try_produce(&mut self, topic: &str, partition: i32, records: Bytes) -> PartitionProduceResponse {
        self.produce_as(9, -1, topic, partition, records)
    }

    /// Produces with another version and other acks.
    pub fn produce_as(
        &mut self,
        version: i16,
        acks: i16,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> PartitionProduceResponse {
        let mut answer = self.call(version, &produce_request(topic, partition, acks, records));
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// Produces one batch that must be taken; its base offset.
    ///
    /// # Panics
    /// If the broker refuses it.
    pub fn produce(&mut self, topic: &str, partition: i32, batch: &Batch) -> i64 {
        let answer = self.try_produce(topic, partition, batch.encode());
        assert_eq!(answer.error_code, code::NONE, "{:?}", answer.error_message);
        answer.base_offset
    }

    /// Fetches from one partition once, without waiting.
    ///
    /// # Panics
    /// If the whole answer is an error; a partition's own is in its data.
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> PartitionData {
        let mut answer = self.call(11, &fetch_request(topic, partition, offset));
        assert_eq!(answer.error_code, code::NONE);
        answer.responses.remove(0).partitions.remove(0)
    }

    /// All records of a partition from an offset up to the high watermark.
    ///
    /// # Panics
    /// If a fetch is refused.
    pub fn read_from(&mut self, topic: &str, partition: i32, offset: i64) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let next = all.last().map_or(offset, |record| record.offset + 1);
            let part = self.fetch(topic, partition, next);
            assert_eq!(part.error_code, code::NONE, "fetching {topic}-{partition} from {next}");
            let bytes = part.records.unwrap_or_default();
            let records = records::decode(&bytes);
            let before = all.len();
            all.extend(records.into_iter().filter(|record| record.offset >= next));
            if next >= part.high_watermark || all.len() == before {
                return all;
            }
        }
    }

    /// `ListOffsets` for one partition and time, in the oldest version that every release knows or that the time needs.
    pub fn list_offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> ListOffsetsPartitionResponse {
        let version = match timestamp {
            -5 => 9,
            -4 => 8,
            _ => 7,
        };
        self.list_offset_as(version, topic, partition, timestamp)
    }

    /// The same in another version.
    pub fn list_offset_as(
        &mut self,
        version: i16,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> ListOffsetsPartitionResponse {
        let part = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![part]);
        let mut request =
            ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        if version >= 10 {
            request = request.with_timeout_ms(5_000);
        }
        self.call(version, &request).topics.remove(0).partitions.remove(0)
    }

    /// Committed offset and metadata of each partition asked for, as soon as the coordinator is there; -1 where there is none.
    ///
    /// # Panics
    /// If the group is refused.
    pub fn committed(&mut self, group: &str, topic: &str, partitions: &[i32]) -> Vec<(i64, String)> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(partitions.to_vec());
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]);
        let deadline = Instant::now() + TOPIC_WITHIN;
        let answer = loop {
            let answer = self.call(8, &request).groups.remove(0);
            if !code::COORDINATOR_COMES.contains(&answer.error_code) || Instant::now() > deadline {
                break answer;
            }
            thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(answer.error_code, code::NONE);
        let parts = &answer.topics[0].partitions;
        parts
            .iter()
            .map(|part| (part.committed_offset, part.metadata.clone().unwrap_or_default().to_string()))
            .collect()
    }

    /// A producer id and epoch for an idempotent producer.
    ///
    /// # Panics
    /// If the broker refuses.
    pub fn init_producer(&mut self) -> (i64, i16) {
        let request =
            InitProducerIdRequest::default().with_transaction_timeout_ms(60_000).with_transactional_id(None);
        let deadline = Instant::now() + TOPIC_WITHIN;
        loop {
            let answer = self.call(4, &request);
            if answer.error_code == code::NONE {
                return (answer.producer_id.0, answer.producer_epoch);
            }
            assert!(Instant::now() < deadline, "InitProducerId answers {}", answer.error_code); // 14 while it loads
            thread::sleep(Duration::from_millis(50));
        }
    }
}
