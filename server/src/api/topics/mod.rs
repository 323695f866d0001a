//! `CreateTopics`, `DeleteTopics`, `CreatePartitions`, `ListPartitionReassignments`.
//!
//! Here: what a request may ask and in which words it is refused, as Kafka 4.3 does. What then happens is `cluster`'s.

mod create;
mod delete;
mod grow;

pub(super) use create::create_topics;
pub(super) use delete::delete_topics;
pub(super) use grow::create_partitions;

use super::RequestContext;
use super::refusal::Refusal;
use crate::shard::Shard;
use crate::wire::ErrorCode;
use crate::wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Partitions that one request may make, Kafka's limit too.
const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;

fn too_many_partitions() -> Refusal {
    Refusal::new(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.")
}

/// Names that occur more than once.
fn twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).map(str::to_owned).collect()
}

/// Checks who a partition is assigned to: this broker, once.
fn check_replicas(broker_ids: &[i32], node_id: i32) -> Result<(), Refusal> {
    let refuse = |text: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, text));
    match broker_ids {
        [] => refuse("The manual partition assignment includes an empty replica list.".to_owned()),
        [own] if *own == node_id => Ok(()),
        _ => {
            if let Some(unknown) = broker_ids.iter().find(|id| **id != node_id) {
                return refuse(format!(
                    "The manual partition assignment includes broker {unknown}, but no such broker is registered."
                ));
            }
            refuse(format!("The manual partition assignment includes the broker {node_id} more than once."))
        }
    }
}

/// `ListPartitionReassignments` 0: with one broker, partitions never move.
pub(super) async fn list_partition_reassignments(
    _shard: &Rc<Shard>,
    _context: &RequestContext,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse {
        error_code: ErrorCode::None,
        error_message: None,
        ..ListPartitionReassignmentsResponse::default()
    }
}
