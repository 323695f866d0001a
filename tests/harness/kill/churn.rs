//! Topics that come and go: made, written to, cut, deleted and made again under the same names while the broker is killed.
//!
//! One thread, one request at a time, so that at most one outcome is open when a connection breaks; the next look settles it.

use crate::Client;
use crate::records::{self, Batch};
use crate::verbs::{code, fetch_request, produce_request, topic_name};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, ProduceRequest};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use uuid::Uuid;

const NAME_COUNT: usize = 6;
const PAUSE: Duration = Duration::from_millis(10);
const CUT_TOPIC: &str = "cut";
const RECORDS: usize = 3;
/// Batches that are under way when their topic is deleted.
const UNDER_WAY: usize = 4;

/// A topic as its owner knows it.
#[derive(Clone, Debug)]
struct Living {
    id: Option<Uuid>,
    /// Tells the records of topics of one name apart.
    incarnation: u64,
    /// By partition: records acknowledged, and sent.
    partitions: Vec<(usize, usize)>,
}

/// What is open since the last connection broke.
#[derive(Clone, Debug)]
enum Open {
    Nothing,
    Create(Living),
    Delete,
}

#[derive(Clone, Debug)]
struct Name {
    called: String,
    living: Option<Living>,
    open: Open,
}

/// All names, what is known of each, and of the log starts of the topic that is cut.
#[derive(Debug)]
pub(super) struct Names {
    all: Vec<Name>,
    incarnations: u64,
    /// By partition: the highest start that was answered, and that was asked for.
    pub(super) cuts: Vec<(i64, i64)>,
    pub(super) violations: Vec<String>,
    /// How often a topic was made and deleted.
    pub(super) made: u64,
    pub(super) deleted: u64,
}

/// The thread at work.
pub(super) struct Churn {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Names>,
}

impl Churn {
    /// Goes on with these names until it is ended.
    pub(super) fn begin(address: String, mut names: Names, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let random = &mut StdRng::seed_from_u64(seed ^ 2);
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(PAUSE);
                // A connection that breaks is made anew; what it left open is settled first.
                let Ok(mut client) = Client::connect_within(&address, Duration::from_secs(1)) else {
                    continue;
                };
                let _ = names
                    .settle(&mut client)
                    .and_then(|()| names.work(&mut client, &address, &ended, random));
            }
            names
        });
        Self { stop, thread }
    }

    pub(super) fn end(self) -> Names {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the churn does not panic")
    }
}

impl Names {
    /// Nothing is there; `cut_partitions` are those of the topic that is cut.
    pub(super) fn new(cut_partitions: i32) -> Self {
        let name =
            |number| Name { called: format!("comes-and-goes-{number}"), living: None, open: Open::Nothing };
        Self {
            all: (0..NAME_COUNT).map(name).collect(),
            incarnations: 0,
            cuts: vec![(0, 0); cut_partitions as usize],
            violations: Vec::new(),
            made: 0,
            deleted: 0,
        }
    }

    /// Looks at every name: is it there if it must be, the topic that it was, with all that was acknowledged and nothing else?
    ///
    /// # Errors
    /// If the connection breaks: nothing more is known then.
    pub(super) fn settle(&mut self, client: &mut Client) -> io::Result<()> {
        for place in 0..self.all.len() {
            let mut name = self.all[place].clone();
            let told = client.try_metadata(&name.called)?;
            let there = told.error_code == code::NONE;
            match (std::mem::replace(&mut name.open, Open::Nothing), there) {
                (Open::Create(living), true) => name.living = Some(living),
                (Open::Delete, false) => name.living = None,
                _ => {}
            }
            match (&mut name.living, there) {
                (None, true) => {
                    self.violations.push(format!("{}: deleted, and there again", name.called));
                }
                (Some(_), false) => {
                    self.violations
                        .push(format!("{}: made, and not there: code {}", name.called, told.error_code));
                    name.living = None;
                }
                (Some(living), true) => {
                    if *living.id.get_or_insert(told.topic_id) != told.topic_id {
                        self.violations.push(format!("{}: another topic's id", name.called));
                    }
                    let wrong = look(client, &name.called, living)?;
                    self.violations.extend(wrong);
                }
                (None, false) => {}
            }
            self.all[place] = name;
        }
        Ok(())
    }

    fn work(
        &mut self,
        client: &mut Client,
        address: &str,
        ended: &AtomicBool,
        random: &mut StdRng,
    ) -> io::Result<()> {
        while !ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(random.random_range(0..8)));
            let place = random.random_range(0..self.all.len());
            match (self.all[place].living.is_some(), random.random_range(0..10)) {
                (_, 0) => self.cut(client, random)?,
                (false, _) => self.create(client, place, random)?,
                (true, 1) => self.delete(client, address, place, random)?,
                (true, _) => self.produce(client, place, random)?,
            }
        }
        Ok(())
    }

    fn create(&mut self, client: &mut Client, place: usize, random: &mut StdRng) -> io::Result<()> {
        self.incarnations += 1;
        let partition_count = random.random_range(1..=4);
        let living =
            Living { id: None, incarnation: self.incarnations, partitions: vec![(0, 0); partition_count] };
        let name = &mut self.all[place];
        name.open = Open::Create(living.clone());
        let (code, id) = client.make_topic(&name.called, partition_count as i32)?;
        name.open = Open::Nothing;
        if code == code::NONE {
            self.made += 1;
            name.living = Some(Living { id: Some(id), ..living });
        } else {
            self.violations.push(format!("{}: making it was answered with {code}", name.called));
        }
        Ok(())
    }

    fn delete(
        &mut self,
        client: &mut Client,
        address: &str,
        place: usize,
        random: &mut StdRng,
    ) -> io::Result<()> {
        let mut other = Client::connect_within(address, Duration::from_secs(1))?;
        for _ in 0..random.random_range(0..=UNDER_WAY) {
            // Nobody waits for these: they may come before the deletion, behind it, or never.
            let name = &mut self.all[place];
            let Some(living) = &mut name.living else { return Ok(()) };
            let partition = random.random_range(0..living.partitions.len());
            let request = next_batch(&name.called, living, partition);
            if other.send::<ProduceRequest>(9, &request).is_err() {
                break;
            }
        }
        let name = &mut self.all[place];
        name.open = Open::Delete;
        let code = client.remove_topic(&name.called)?;
        name.open = Open::Nothing;
        if code == code::NONE {
            self.deleted += 1;
            name.living = None;
        } else {
            self.violations.push(format!("{}: deleting it was answered with {code}", name.called));
        }
        Ok(())
    }

    fn produce(&mut self, client: &mut Client, place: usize, random: &mut StdRng) -> io::Result<()> {
        let name = &mut self.all[place];
        let Some(living) = &mut name.living else { return Ok(()) };
        let partition = random.random_range(0..living.partitions.len());
        let first = living.partitions[partition].1;
        let request = next_batch(&name.called, living, partition);
        let answer = client.try_call::<ProduceRequest>(9, &request)?;
        let answer = &answer.responses[0].partition_responses[0];
        let is_right = answer.error_code == code::NONE && answer.base_offset == first as i64;
        living.partitions[partition].0 = first + RECORDS;
        if !is_right {
            self.violations.push(format!(
                "{}-{partition}: batch {first} was answered with {} at {}",
                name.called, answer.error_code, answer.base_offset
            ));
        }
        Ok(())
    }

    /// Raises the log start of a partition under load.
    fn cut(&mut self, client: &mut Client, random: &mut StdRng) -> io::Result<()> {
        let partition = random.random_range(0..self.cuts.len());
        let known = client.try_call(11, &fetch_request(CUT_TOPIC, partition as i32, i64::MAX))?;
        let end = known.responses[0].partitions[0].high_watermark;
        let (answered, asked) = &mut self.cuts[partition];
        if end <= *answered {
            return Ok(());
        }
        let offset = random.random_range(*answered..=end);
        *asked = (*asked).max(offset);
        let part =
            DeleteRecordsPartition::default().with_partition_index(partition as i32).with_offset(offset);
        let topic =
            DeleteRecordsTopic::default().with_name(topic_name(CUT_TOPIC)).with_partitions(vec![part]);
        let request = DeleteRecordsRequest::default().with_timeout_ms(20_000).with_topics(vec![topic]);
        let answer = client.try_call(2, &request)?;
        let part = &answer.topics[0].partitions[0];
        if part.error_code == code::NONE && part.low_watermark >= offset {
            *answered = (*answered).max(part.low_watermark);
        } else {
            self.violations.push(format!(
                "{CUT_TOPIC}-{partition}: DeleteRecords up to {offset} was answered with {} at {}",
                part.error_code, part.low_watermark
            ));
        }
        Ok(())
    }
}

/// The next batch of a partition; it counts as sent.
fn next_batch(name: &str, living: &mut Living, partition: usize) -> ProduceRequest {
    let first = living.partitions[partition].1;
    living.partitions[partition].1 = first + RECORDS;
    let values: Vec<_> =
        (first..first + RECORDS).map(|number| format!("{}/{number}", living.incarnation)).collect();
    let batch = Batch::of(&values.iter().map(String::as_str).collect::<Vec<_>>());
    produce_request(name, partition as i32, -1, batch.encode())
}

/// Reads a topic whole; what is there that was not known to be counts as acknowledged from now on.
fn look(client: &mut Client, name: &str, living: &mut Living) -> io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (partition, (acked, sent)) in living.partitions.iter_mut().enumerate() {
        let answer = client.try_call(11, &fetch_request(name, partition as i32, 0))?;
        let part = &answer.responses[0].partitions[0];
        if part.error_code != code::NONE {
            wrong.push(format!("{name}-{partition}: answers {} to a fetch", part.error_code));
            continue;
        }
        let values = records::values(&records::decode(&part.records.clone().unwrap_or_default()));
        let expected = (0..values.len()).map(|number| format!("{}/{number}", living.incarnation));
        if !values.iter().cloned().eq(expected) || values.len() < *acked || values.len() > *sent {
            wrong.push(format!(
                "{name}-{partition}: {acked} records of {} were acknowledged, {sent} sent; there are {values:?}",
                living.incarnation
            ));
        }
        (*acked, *sent) = (values.len(), values.len());
    }
    Ok(wrong)
}
