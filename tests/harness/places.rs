//! Where partitions lie, as `DescribeLogDirs` says it.

use crate::Client;
use kafka_protocol::messages::DescribeLogDirsRequest;
use std::collections::BTreeMap;

/// One log directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its path.
    pub directory: String,
    /// 0, or why it does not work.
    pub error_code: i16,
    /// Bytes of its file system.
    pub total_bytes: i64,
    /// Those that may still be used.
    pub usable_bytes: i64,
    /// Bytes of each partition in it.
    pub partitions: BTreeMap<(String, i32), i64>,
}

impl Client {
    /// All log directories, in the broker's order.
    pub fn places(&mut self) -> Vec<Place> {
        let answer = self.call(4, &DescribeLogDirsRequest::default().with_topics(None));
        let place = |result: kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| {
            let partitions = result.topics.iter().flat_map(|topic| {
                let name = topic.name.to_string();
                let sizes = topic.partitions.iter();
                sizes.map(move |part| ((name.clone(), part.partition_index), part.partition_size))
            });
            Place {
                directory: result.log_dir.to_string(),
                error_code: result.error_code,
                total_bytes: result.total_bytes,
                usable_bytes: result.usable_bytes,
                partitions: partitions.collect(),
            }
        };
        answer.results.into_iter().map(place).collect()
    }

    /// The directory that a partition lies in: its number among them.
    ///
    /// # Panics
    /// If it lies in none.
    pub fn place_of(&mut self, topic: &str, partition: i32) -> usize {
        let key = (topic.to_string(), partition);
        let places = self.places();
        places
            .iter()
            .position(|place| place.partitions.contains_key(&key))
            .expect("the partition lies somewhere")
    }
}
