//! What happens in one life, and in the next.

use super::fake::{Disk, FakeStore, Life};
use crate::cluster::errors::{AddPartitionsError, CreateTopicError, DeleteTopicError};
use crate::cluster::image::Image;
use crate::cluster::start::ClusterStartError;
use crate::cluster::state::NewTopic;
use crate::cluster::{AlterConfigsError, Topic};
use crate::route::ShardId;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub(super) fn new(name: &str, partition_count: usize) -> NewTopic {
    NewTopic { name: name.into(), partition_count, overrides: BTreeMap::new() }
}

fn create(life: &Life, name: &str, partition_count: usize) -> Result<Arc<Topic>, CreateTopicError> {
    let (lead, new) = (Rc::clone(&life.lead), new(name, partition_count));
    life.run(async move { lead.create_topic(new).await }).unwrap()
}

fn delete(life: &Life, topic: &Topic) -> Result<Arc<Topic>, DeleteTopicError> {
    let (lead, id) = (Rc::clone(&life.lead), topic.id);
    life.run(async move { lead.delete_topic(id).await }).unwrap()
}

fn grow(life: &Life, name: &'static str, count: usize) -> Result<Arc<Topic>, AddPartitionsError> {
    let lead = Rc::clone(&life.lead);
    life.run(async move { lead.add_partitions(name.into(), count).await }).unwrap()
}

#[test]
fn a_topic_is_seen_once_its_logs_are_there() {
    let life = Life::start(Disk::default(), false);
    let topic = create(&life, "t", 5).unwrap();
    assert_eq!(life.published().topic("t"), Some(&topic));
    assert_eq!(life.published().topic_by_id(topic.id), Some(&topic));
    let machine = life.store.0.borrow();
    for partition in &topic.partitions {
        let log = &machine.disk.logs[&partition.log_id];
        assert_eq!(log.owner, partition.owner);
        assert_eq!((log.identity.topic.as_str(), log.identity.partition), ("t", partition.index));
        assert_eq!((partition.leader_epoch, partition.online), (0, true));
    }
    let owners: std::collections::BTreeSet<ShardId> =
        topic.partitions.iter().map(|part| part.owner).collect();
    assert_eq!(owners.len(), super::fake::SHARD_COUNT, "a topic spreads over all shards");
}

#[test]
fn a_topic_made_again_is_another() {
    let life = Life::start(Disk::default(), false);
    let first = create(&life, "t", 1).unwrap();
    assert_eq!(create(&life, "t", 1), Err(CreateTopicError::Exists { name: "t".into() }));
    delete(&life, &first).unwrap();
    assert!(life.published().topic("t").is_none());
    assert!(life.store.0.borrow().disk.logs.is_empty());
    assert_eq!(delete(&life, &first), Err(DeleteTopicError::Unknown));
    let second = create(&life, "t", 1).unwrap();
    assert_ne!(first.id, second.id);
    assert_ne!(first.partitions[0].log_id, second.partitions[0].log_id);
    assert_eq!(life.published().partition_count(), 1);
}

#[test]
fn names_collide_as_long_as_the_other_is_there() {
    let life = Life::start(Disk::default(), false);
    let dotted = create(&life, "a.b", 1).unwrap();
    let collides = CreateTopicError::Collides { name: "a_b".into(), existing: "a.b".into() };
    assert_eq!(create(&life, "a_b", 1), Err(collides.clone()));
    let life = Life::start(life.disk(), false);
    assert_eq!(create(&life, "a_b", 1), Err(collides), "after a restart too");
    delete(&life, &dotted).unwrap();
    create(&life, "a_b", 1).unwrap();
}

#[test]
fn nobody_takes_the_name_of_the_metadata_log() {
    let life = Life::start(Disk::default(), false);
    let name = crate::cluster::METADATA_TOPIC;
    assert_eq!(create(&life, name, 1), Err(CreateTopicError::Prohibited { name: name.into() }));
}

#[test]
fn a_storm_for_one_name_makes_it_once() {
    let life = Life::start(Disk::default(), false);
    let lead = Rc::clone(&life.lead);
    let storm = async move {
        let asked = (0..200).map(|_| {
            let job_lead = Rc::clone(&lead);
            lead.submit(async move { job_lead.ensure_topic(new("t", 2)).await })
        });
        futures_util::future::join_all(asked.collect::<Vec<_>>()).await
    };
    let topics = life.run(storm).unwrap();
    let first = topics[0].clone().unwrap().unwrap();
    assert!(topics.into_iter().all(|topic| topic.unwrap().unwrap().id == first.id));
    assert_eq!(life.store.0.borrow().disk.records.len(), 2, "created and ready, once");
}

#[test]
fn a_job_ends_though_nobody_waits_for_it() {
    let life = Life::start(Disk::default(), false);
    let (lead, image) = (Rc::clone(&life.lead), Arc::clone(&life.image));
    let abandoned = async move {
        let job_lead = Rc::clone(&lead);
        drop(lead.submit(async move { job_lead.create_topic(new("t", 1)).await }));
        while image.load().topic("t").is_none() {
            futures_lite::future::yield_now().await;
        }
    };
    life.run(abandoned).unwrap();
    assert_eq!(life.store.0.borrow().disk.logs.len(), 1);
}

#[test]
fn partitions_are_added_behind_those_that_are_there() {
    let life = Life::start(Disk::default(), false);
    let before = create(&life, "t", 2).unwrap();
    let after = grow(&life, "t", 4).unwrap();
    assert_eq!(after.partitions[..2], before.partitions[..]);
    assert_eq!(after.partitions.iter().map(|part| part.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    for count in [4, 3, 0] {
        let known = AddPartitionsError::Count { name: "t".into(), count: 4, wanted: count };
        assert_eq!(grow(&life, "t", count), Err(known));
    }
    assert_eq!(grow(&life, "u", 4), Err(AddPartitionsError::Unknown));
    let image = life.published();
    let life = Life::start(life.disk(), false);
    assert_eq!(life.published(), image);
}

#[test]
fn the_number_of_partitions_has_an_end() {
    let life = Life::start(Disk::default(), false);
    create(&life, "t", 2).unwrap();
    let refused = create(&life, "u", 99_999);
    assert!(matches!(refused, Err(CreateTopicError::TooManyPartitions { .. })), "{refused:?}");
    let refused = grow(&life, "t", 100_001);
    assert!(matches!(refused, Err(AddPartitionsError::TooManyPartitions { .. })), "{refused:?}");
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let life = Life::start(Disk::default(), false);
    create(&life, "t", 1).unwrap();
    let before = life.published();
    life.store.0.borrow_mut().broken = (0..3).map(ShardId).collect();
    assert!(matches!(create(&life, "u", 3), Err(CreateTopicError::Logs { .. })));
    assert!(matches!(grow(&life, "t", 3), Err(AddPartitionsError::Logs { .. })));
    assert_eq!(life.store.0.borrow().disk.logs.len(), 1);
    life.store.0.borrow_mut().broken.clear();
    assert_eq!(life.published(), before);
    let life = Life::start(life.disk(), false);
    assert_eq!(life.published(), before, "nor after a restart");
    create(&life, "u", 3).unwrap();
    grow(&life, "t", 3).unwrap();
}

#[test]
fn configs_reach_the_open_logs_and_the_next_life() {
    let life = Life::start(Disk::default(), false);
    let topic = create(&life, "t", 2).unwrap();
    let set = |value: &'static str| {
        let lead = Rc::clone(&life.lead);
        let change = move |topic: &Topic| {
            let mut overrides = topic.overrides.clone();
            overrides.insert("segment.bytes".into(), value.into());
            if value == "0" { Err("too small") } else { Ok(overrides) }
        };
        life.run(async move { lead.alter_configs("t".into(), change).await }).unwrap()
    };
    assert_eq!(set("5000"), Ok(()));
    assert_eq!(set("0"), Err(AlterConfigsError::Invalid("too small")));
    for partition in &topic.partitions {
        let settings = life.store.0.borrow().settings[&partition.log_id].settings.clone();
        assert_eq!(settings.segment_bytes, 5000);
    }
    let records = life.store.0.borrow().disk.records.len();
    assert_eq!(set("5000"), Ok(()));
    assert_eq!(life.store.0.borrow().disk.records.len(), records, "no change, no record");
    let life = Life::start(life.disk(), false);
    assert_eq!(life.published().topic("t").unwrap().overrides["segment.bytes"], "5000");
    let settings = life.store.0.borrow().settings[&topic.partitions[0].log_id].settings.clone();
    assert_eq!(settings.segment_bytes, 5000);
}

#[test]
fn epochs_rise_by_one_at_every_unclean_start_and_reach_the_logs() {
    let mut life = Life::start(Disk::default(), false);
    let topic = create(&life, "t", 1).unwrap();
    for (unclean, expected) in [(true, 1), (false, 1), (true, 2)] {
        life = Life::start(life.disk(), unclean);
        assert_eq!(life.published().topic("t").unwrap().partitions[0].leader_epoch, expected);
        let epoch = life.store.0.borrow().settings[&topic.partitions[0].log_id].leader_epoch;
        assert_eq!(epoch.0, expected);
    }
    grow(&life, "t", 2).unwrap();
    assert_eq!(life.published().topic("t").unwrap().partitions[1].leader_epoch, 0, "a new one begins at 0");
}

#[test]
fn a_producer_id_is_never_given_twice() {
    let mut life = Life::start(Disk::default(), false);
    let mut end = 0;
    for _ in 0..3 {
        for _ in 0..2 {
            let lead = Rc::clone(&life.lead);
            let block = life.run(async move { lead.allocate_producer_ids().await }).unwrap().unwrap();
            assert_eq!(block, end..end + 1000);
            end = block.end;
        }
        life = Life::start(life.disk(), true);
    }
}

#[test]
fn a_log_that_was_ready_and_is_missing_stays_offline() {
    let life = Life::start(Disk::default(), false);
    let topic = create(&life, "t", 2).unwrap();
    let mut disk = life.disk();
    let lost = disk.logs.remove(&topic.partitions[1].log_id).unwrap();
    let life = Life::start(disk, true);
    assert_eq!((life.started.offline_count, life.started.completed_count), (1, 0));
    let seen: Vec<bool> =
        life.published().topic("t").unwrap().partitions.iter().map(|part| part.online).collect();
    assert_eq!(seen, [true, false]);
    assert!(!life.store.0.borrow().disk.logs.contains_key(&lost.identity.log_id), "and is not made anew");
}

/// A start while a log directory does not work, on what the last life left.
fn start_without_one(disk: Disk) -> Result<Life, ClusterStartError> {
    let store = FakeStore::on(disk, usize::MAX);
    store.0.borrow_mut().directories_stopped.push("d2".into());
    Ok(Life::start_on(&store, false)?.expect("there is power"))
}

#[test]
fn a_metadata_log_that_may_be_where_nobody_can_look_is_not_made_anew() {
    let refused = start_without_one(Disk::default()).err().unwrap();
    assert_eq!(refused, ClusterStartError::MetadataAbsent { directories: vec!["d2".into()] });
}

#[test]
fn what_may_be_where_nobody_can_look_is_neither_made_nor_taken_for_gone() {
    let life = Life::start(Disk::default(), false);
    let topic = create(&life, "t", 2).unwrap();
    let mut disk = life.disk();
    let away = disk.logs.remove(&topic.partitions[1].log_id).unwrap();
    let life = start_without_one(disk).ok().unwrap();
    assert_eq!(life.started.offline_count, 1);
    // Deleted, with a log that nobody can reach: the name is free at once.
    let (lead, topic_id) = (Rc::clone(&life.lead), topic.id);
    life.run(async move { lead.delete_topic(topic_id).await }).unwrap().unwrap();
    let again = create(&life, "t", 1).unwrap();
    assert_ne!(again.id, topic.id);
    // The directory is back: what was deleted goes now.
    let mut disk = life.disk();
    disk.logs.insert(away.identity.log_id, away.clone());
    let life = Life::start(disk, false);
    assert_eq!(life.started.deleted_count, 1);
    assert!(!life.store.0.borrow().disk.logs.contains_key(&away.identity.log_id));
    assert_eq!(life.published().topic("t").unwrap().id, again.id);
}

#[test]
fn a_topic_that_a_stop_cut_short_waits_until_all_directories_work() {
    let life = Life::start(Disk::default(), false);
    create(&life, "t", 1).unwrap();
    let disk = life.disk();
    let mut records = disk.records.clone();
    records.pop(); // what said that its logs are made
    let life = start_without_one(Disk { records, logs: BTreeMap::default(), ..disk }).ok().unwrap();
    assert_eq!(life.started.completed_count, 0);
    assert!(life.store.0.borrow().disk.logs.is_empty());
    let life = Life::start(life.disk(), false);
    assert_eq!(life.started.completed_count, 1);
    assert!(life.published().topic("t").unwrap().partitions[0].online);
}

#[test]
fn partitions_whose_directory_stops_are_offline_for_everybody_and_stay_so_through_changes() {
    let life = Life::start(Disk::default(), false);
    let topic = create(&life, "t", 2).unwrap();
    life.store.0.borrow_mut().faults.insert(topic.partitions[1].log_id);
    let lead = Rc::clone(&life.lead);
    assert_eq!(life.run(async move { lead.take_offline().await }).unwrap(), Ok(1));
    let online = |life: &Life| -> Vec<bool> {
        life.published().topic("t").unwrap().partitions.iter().map(|part| part.online).collect()
    };
    assert_eq!(online(&life), [true, false]);
    grow(&life, "t", 3).unwrap();
    assert_eq!(online(&life), [true, false, true]);
}

#[test]
fn a_log_that_nobody_knows_is_kept() {
    let life = Life::start(Disk::default(), false);
    create(&life, "t", 1).unwrap();
    let mut disk = life.disk();
    let mut stray = disk.logs.values().next().unwrap().clone();
    stray.identity.log_id.0[0] ^= 1;
    disk.logs.insert(stray.identity.log_id, stray);
    let life = Life::start(disk, false);
    assert_eq!(life.started.unknown_count, 1);
    assert_eq!(life.store.0.borrow().disk.logs.len(), 2);
}

#[test]
fn data_without_its_metadata_log_is_not_served_and_not_touched() {
    let life = Life::start(Disk::default(), false);
    create(&life, "t", 1).unwrap();
    let mut disk = life.disk();
    disk.has_metadata_log = false;
    let store = FakeStore::on(disk, usize::MAX);
    let error = Life::start_on(&store, false).err().unwrap();
    assert_eq!(error, ClusterStartError::MetadataMissing { log_count: 1 });
    assert!(!store.0.borrow().disk.has_metadata_log);
}

#[test]
fn records_of_a_newer_release_stop_the_start() {
    let life = Life::start(Disk::default(), false);
    let mut disk = life.disk();
    disk.records.push(bytes::Bytes::from_static(&[0, 1, 0, 9]));
    let refused = Life::start_on(&FakeStore::on(disk, usize::MAX), false).err().unwrap();
    assert!(refused.to_string().contains("newer"), "{refused}");
}

#[test]
fn an_empty_cluster_starts_empty() {
    let life = Life::start(Disk::default(), false);
    assert_eq!(*life.published(), Image::new("c".into()));
}
