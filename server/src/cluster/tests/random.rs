//! Random changes with the power cut after every number of steps.

use super::fake::{Disk, FakeStore, Life};
use super::lives::new;
use crate::cluster::Topic;
use crate::cluster::image::Image;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Clone, Debug)]
enum Step {
    Create { name: u8, partition_count: usize },
    Delete { name: u8 },
    Grow { name: u8, by: usize },
    Alter { name: u8, value: u8 },
    ProducerIds,
    Restart { unclean: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..5u8;
    prop_oneof![
        4 => (name.clone(), 1..6usize).prop_map(|(name, partition_count)| Step::Create { name, partition_count }),
        2 => name.clone().prop_map(|name| Step::Delete { name }),
        2 => (name.clone(), 1..4usize).prop_map(|(name, by)| Step::Grow { name, by }),
        2 => (name, any::<u8>()).prop_map(|(name, value)| Step::Alter { name, value }),
        1 => Just(Step::ProducerIds),
        1 => any::<bool>().prop_map(|unclean| Step::Restart { unclean }),
    ]
}

/// What the user was told: by name, how many partitions and which value; `None` when an answer did not come.
#[derive(Default)]
struct Told {
    topics: BTreeMap<String, (usize, Option<String>)>,
    producer_id_end: i64,
    in_doubt: Option<String>,
}

fn alter(topic: &Topic, value: u8) -> BTreeMap<String, String> {
    let mut overrides = topic.overrides.clone();
    overrides.insert("segment.bytes".into(), value.to_string());
    overrides
}

/// Does one step; false when the power went.
fn act(life: &Life, step: &Step, told: &mut Told) -> bool {
    let lead = Rc::clone(&life.lead);
    match step.clone() {
        Step::Create { name, partition_count } => {
            let name = format!("t{name}");
            told.in_doubt = Some(name.clone());
            let created = life.run({
                let new = new(&name, partition_count);
                async move { lead.create_topic(new).await }
            });
            let Some(created) = created else { return false };
            assert_eq!(created.is_ok(), !told.topics.contains_key(&name), "{created:?}");
            told.topics.entry(name).or_insert((partition_count, None));
        }
        Step::Delete { name } => {
            let name = format!("t{name}");
            let Some(id) = life.published().topic(&name).map(|topic| topic.id) else { return true };
            told.in_doubt = Some(name.clone());
            let Some(deleted) = life.run(async move { lead.delete_topic(id).await }) else { return false };
            assert!(deleted.is_ok());
            told.topics.remove(&name);
        }
        Step::Grow { name, by } => {
            let name = format!("t{name}");
            let Some(known) = told.topics.get(&name).map(|known| known.0) else { return true };
            told.in_doubt = Some(name.clone());
            let grown = life.run({
                let name = name.clone();
                async move { lead.add_partitions(name, known + by).await }
            });
            let Some(grown) = grown else { return false };
            assert_eq!(grown.unwrap().partitions.len(), known + by);
            told.topics.get_mut(&name).unwrap().0 = known + by;
        }
        Step::Alter { name, value } => {
            let name = format!("t{name}");
            told.in_doubt = Some(name.clone());
            let altered = life.run({
                let name = name.clone();
                async move { lead.alter_configs(name, |topic| Ok::<_, ()>(alter(topic, value))).await }
            });
            let Some(altered) = altered else { return false };
            assert_eq!(altered.is_ok(), told.topics.contains_key(&name));
            if let Some(known) = told.topics.get_mut(&name) {
                known.1 = Some(value.to_string());
            }
        }
        Step::ProducerIds => {
            let Some(block) = life.run(async move { lead.allocate_producer_ids().await }) else {
                return false;
            };
            let block = block.unwrap();
            assert!(block.start >= told.producer_id_end);
            told.producer_id_end = block.end;
        }
        Step::Restart { .. } => {}
    }
    told.in_doubt = None;
    true
}

/// Everything the user was told is there, and nothing else but what is in doubt.
fn check(life: &Life, told: &Told) {
    let image = life.published();
    for (name, (partition_count, value)) in &told.topics {
        if told.in_doubt.as_ref() == Some(name) {
            continue;
        }
        let topic = image.topic(name).unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(topic.partitions.len(), *partition_count);
        assert_eq!(topic.overrides.get("segment.bytes"), value.as_ref());
    }
    let machine = life.store.0.borrow();
    let mut log_count = 0;
    for topic in image.topics() {
        assert!(
            told.topics.contains_key(&topic.name) || told.in_doubt.as_ref() == Some(&topic.name),
            "{}",
            topic.name
        );
        for partition in &topic.partitions {
            assert!(partition.online);
            assert!(machine.disk.logs.contains_key(&partition.log_id));
            log_count += 1;
        }
    }
    assert_eq!(log_count, machine.disk.logs.len(), "no log without a topic");
    let state = life.lead.state.borrow();
    assert_eq!(log_count, state.durable.partition_count());
    assert!(state.durable.producer_id_end >= told.producer_id_end);
}

fn replayed(life: &Life) -> Image {
    let mut image = Image::new("c".into());
    for record in &life.store.0.borrow().disk.records {
        let change = crate::cluster::Change::decode(record).unwrap();
        image.apply(&change, &super::fake::rules()).unwrap();
    }
    image
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replay_gives_the_image_that_was_live(steps in proptest::collection::vec(step(), 1..30)) {
        let mut told = Told::default();
        let mut life = Life::start(Disk::default(), false);
        for step in &steps {
            assert!(act(&life, step, &mut told));
            if let Step::Restart { unclean } = step {
                life = Life::start(life.disk(), *unclean);
            }
            prop_assert_eq!(&replayed(&life), &life.lead.state.borrow().durable);
            prop_assert!(life.published().topics().eq(replayed(&life).topics()), "what is seen is what is durable");
            check(&life, &told);
        }
    }

    #[test]
    fn what_was_told_survives_a_cut_of_power_at_any_step(
        steps in proptest::collection::vec(step(), 1..12),
        cuts in proptest::collection::vec(1..60usize, 1..4),
    ) {
        let mut told = Told::default();
        let mut disk = Disk::default();
        let cuts = cuts.into_iter().chain([usize::MAX]);
        let mut steps = steps.iter();
        let mut epoch = None;
        for steps_left in cuts {
            let store = FakeStore::on(disk, steps_left);
            let Some(life) = Life::start_on(&store, true).unwrap() else {
                disk = store.0.borrow().disk.clone();
                continue;
            };
            check(&life, &told);
            let epoch_now = life.published().unclean_start_count;
            prop_assert!(epoch.is_none_or(|epoch| epoch < epoch_now));
            epoch = Some(epoch_now);
            // What was in doubt is known now.
            if let Some(name) = told.in_doubt.take() {
                told.topics.remove(&name);
                if let Some(topic) = life.published().topic(&name) {
                    let value = topic.overrides.get("segment.bytes").cloned();
                    told.topics.insert(name, (topic.partitions.len(), value));
                }
            }
            for step in steps.by_ref() {
                if !act(&life, step, &mut told) {
                    break;
                }
            }
            disk = life.disk();
        }
    }
}

/// A start is cut at each of its own steps, again and again, until one comes through.
#[test]
fn a_start_may_be_cut_at_any_step_and_the_next_one_completes() {
    for cut in 0..40 {
        let life = Life::start(Disk::default(), false);
        let mut told = Told::default();
        for step in [
            Step::Create { name: 0, partition_count: 3 },
            Step::Create { name: 1, partition_count: 2 },
            Step::Grow { name: 0, by: 2 },
        ] {
            assert!(act(&life, &step, &mut told));
        }
        life.store.0.borrow_mut().steps_left = cut;
        for step in [
            Step::Delete { name: 1 },
            Step::Grow { name: 0, by: 3 },
            Step::Create { name: 2, partition_count: 4 },
        ] {
            if !act(&life, &step, &mut told) {
                break;
            }
        }
        let left = life.disk();
        for steps_left in 0.. {
            let store = FakeStore::on(left.clone(), steps_left);
            if let Some(life) = Life::start_on(&store, true).unwrap() {
                check(&life, &told);
                break;
            }
            let disk = store.0.borrow().disk.clone();
            check(&Life::start(disk, true), &told);
        }
    }
}
