//! Files that were cut, flipped, swapped or taken away while the broker was stopped: it says by name what is wrong and serves the
//! rest, or refuses the start in one line. It never serves wrong bytes and never forgets a log.
//!
//! The table below is the one in `docs/reliability.md`, "Damaged files".

use harness::broker::Sources;
use harness::records::{self, Batch};
use harness::siege::alone;
use harness::verbs::{code, fetch_request, text, topic_name};
use harness::{Against, Broker, Client};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

const STORAGE_ERROR: i16 = 56;
/// A partition of a topic of which it does not matter which one.
const ANY: i32 = -1;
/// Topics by what lies where: sealed segments, an active one that was written back, records in the journal alone.
const TOPICS: [(&str, i32); 3] = [("sealed", 2), ("active", 2), ("fresh", 2)];
const SETTINGS: [(&str, &str); 2] = [("log.segment.bytes", "1048576"), ("offsets.topic.num.partitions", "3")];
const LOG_PAUSE: Duration = Duration::from_millis(200);
/// Cases under way at once.
const AT_ONCE: usize = 3;

/// What must be in each partition.
type Expected = BTreeMap<(&'static str, i32), Vec<String>>;

/// A stopped broker's data, to be copied for each case.
struct Master {
    _broker: Broker,
    data: PathBuf,
    /// The journal directory as it was some time before.
    older_journal: PathBuf,
    expected: Expected,
    committed: Vec<(i64, String)>,
}

fn master(clean: bool) -> Master {
    let mut broker = Broker::prepared(&SETTINGS, Sources::default());
    broker.start_again(Some("1"));
    let mut client = broker.client();
    let mut expected = Expected::new();
    for (topic, partitions) in TOPICS {
        client.create_topic(topic, partitions);
    }
    let mut feed = |client: &mut Client,
                    topic: &'static str,
                    partition: i32,
                    batches: usize,
                    bytes: usize| {
        let values = expected.entry((topic, partition)).or_default();
        for _ in 0..batches {
            let batch = Batch::numbered(values.len(), 20, bytes + partition as usize);
            client.produce(topic, partition, &batch);
            values.extend(
                batch.records.iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()),
            );
        }
    };
    for partition in 0..2 {
        feed(&mut client, "sealed", partition, 100, 1_200);
        feed(&mut client, "active", partition, 10, 1_200);
        feed(&mut client, "fresh", partition, 1, 50);
    }
    let older_journal = broker.dir().join("older-journal");
    copy(&broker.data_dir().join("thalweg-journal"), &older_journal);
    // A second life, so that there are journals of an earlier one, and segments that were written back.
    broker.stop();
    broker.start_again(Some("1"));
    let mut client = broker.client();
    for (topic, partitions) in TOPICS {
        client.wait_for_topic(topic, partitions);
    }
    for partition in 0..2 {
        feed(&mut client, "active", partition, 3, 1_200);
        feed(&mut client, "fresh", partition, 2, 50);
    }
    // Indexes of sealed segments are made when somebody asks by time.
    for partition in 0..2 {
        client.list_offset("sealed", partition, records::now_ms());
        client.read_from("sealed", partition, 0);
    }
    commit(&mut client);
    let committed = client.committed("g", "sealed", &[0, 1]);
    if clean {
        broker.stop()
    } else {
        broker.kill()
    }
    Master { data: broker.data_dir(), older_journal, expected, committed, _broker: broker }
}

fn commit(client: &mut Client) {
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    while client.call(4, &find).coordinators[0].error_code != code::NONE {
        thread::sleep(Duration::from_millis(20));
    }
    client.committed("g", "sealed", &[0]);
    let part = |partition| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(7 + i64::from(partition))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name("sealed"))
        .with_partitions(vec![part(0), part(1)]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer = client.call(8, &request);
    assert!(answer.topics[0].partitions.iter().all(|part| part.error_code == code::NONE), "{answer:?}");
}

/// Copies a directory; blocks of zeros become holes, or a hundred copies of journals would fill the disk.
fn copy(source: &Path, target: &Path) {
    fs::create_dir_all(target).unwrap();
    for entry in fs::read_dir(source).unwrap().flatten() {
        let (path, to) = (entry.path(), target.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            copy_file(&path, &to);
        }
    }
}

fn copy_file(source: &Path, target: &Path) {
    const BLOCK: usize = 65_536;
    let bytes = fs::read(source).unwrap();
    let file = fs::File::create(target).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, (number * BLOCK) as u64).unwrap();
        }
    }
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    CutToHalf,
    CutToNothing,
    FlippedHead,
    FlippedMiddle,
    FlippedEnd,
    Swapped,
    Removed,
    Older,
}
use Damage::{CutToHalf, CutToNothing, FlippedEnd, FlippedHead, FlippedMiddle, Older, Removed, Swapped};

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    JournalInUse,
    JournalFree,
    Manifest,
    MetaProperties,
    Sealed,
    Active,
    Index,
    Id,
    Directory,
}

impl Kind {
    fn all() -> [Self; 9] {
        use Kind::*;
        [JournalInUse, JournalFree, Manifest, MetaProperties, Sealed, Active, Index, Id, Directory]
    }

    /// The file, and one of its kind to be swapped with.
    fn files(self, data: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
        let journals = |used: bool| {
            let mut files = listed(&data.join("thalweg-journal"), ".journal");
            files.retain(|path| (extent(path) > 0) == used);
            files
        };
        Some(match self {
            Self::JournalInUse => {
                let used = journals(true);
                let newest = used.last()?.clone();
                (
                    newest,
                    used.first()
                        .filter(|_| used.len() > 1)
                        .cloned()
                        .or_else(|| journals(false).first().cloned()),
                )
            }
            Self::JournalFree => {
                let free = journals(false);
                (free.last()?.clone(), free.first().filter(|_| free.len() > 1).cloned())
            }
            Self::Manifest => (data.join("thalweg-journal/manifest"), None),
            Self::MetaProperties => (data.join("meta.properties"), None),
            Self::Sealed => {
                let files = listed(&data.join("sealed-0"), ".log");
                (files[1].clone(), Some(listed(&data.join("sealed-1"), ".log")[1].clone()))
            }
            Self::Active => {
                (listed(&data.join("active-0"), ".log").pop()?, listed(&data.join("active-1"), ".log").pop())
            }
            Self::Index => {
                let files = listed(&data.join("sealed-0"), ".twindex");
                (files.first()?.clone(), listed(&data.join("sealed-1"), ".twindex").first().cloned())
            }
            Self::Id => {
                (listed(&data.join("sealed-0"), ".id").pop()?, listed(&data.join("sealed-1"), ".id").pop())
            }
            Self::Directory => (data.join("sealed-0"), Some(data.join("sealed-1"))),
        })
    }
}

fn listed(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

/// Where the last byte that is not zero ends.
fn extent(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

fn do_damage(master: &Master, kind: Kind, damage: Damage, data: &Path) -> Option<()> {
    let (path, other) = kind.files(data)?;
    let flip = |at: u64| {
        let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).ok()?;
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        Some(())
    };
    let cut = |to: u64| fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(to).unwrap();
    if path.is_dir() && !matches!(damage, Swapped | Removed)
        || kind == Kind::Id && !matches!(damage, Swapped | Removed)
    {
        return None;
    }
    let held = if path.is_dir() { 0 } else { extent(&path) };
    match damage {
        CutToHalf => cut(held / 2),
        CutToNothing => cut(0),
        FlippedHead => flip(20)?,
        FlippedMiddle => flip(held / 2)?,
        FlippedEnd => flip(held.checked_sub(1)?)?,
        Swapped => {
            let other = other?;
            let aside = data.join("aside");
            if kind == Kind::Id {
                // Ids are names.
                let (one, two) = (path.file_name()?, other.file_name()?);
                fs::rename(&path, path.with_file_name(two)).unwrap();
                fs::rename(&other, other.with_file_name(one)).unwrap();
            } else {
                fs::rename(&path, &aside).unwrap();
                fs::rename(&other, &path).unwrap();
                fs::rename(&aside, &other).unwrap();
            }
        }
        Removed if path.is_dir() => fs::remove_dir_all(&path).unwrap(),
        Removed => fs::remove_file(&path).unwrap(),
        Older => {
            let older =
                (kind == Kind::JournalInUse || kind == Kind::Manifest).then_some(&master.older_journal)?;
            let source = older.join(path.file_name()?);
            if !source.exists() {
                return None;
            }
            copy_file(&source, &path);
        }
    }
    Some(())
}

/// What a start on damaged data led to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is there and right.
    Whole,
    /// It does not start, and says this.
    Refused(String),
    /// These partitions answer KAFKA_STORAGE_ERROR; the rest is there and right.
    Offline(BTreeSet<(String, i32)>),
    /// What must not be.
    Wrong(Vec<String>),
}

/// Starts a broker on the data and looks at everything.
fn outcome(broker: &mut Broker, master: &Master) -> Outcome {
    let log_at = broker.log_text().len();
    let begun = broker.begin(Some("1"));
    if let Err(ended) = broker.ready_or_ended(begun) {
        thread::sleep(LOG_PAUSE);
        let text = broker.log_text()[log_at..].to_owned();
        let lines: Vec<_> =
            text.lines().filter(|line| line.contains("ERROR") || line.starts_with("thalweg:")).collect();
        let said = lines.last().map_or_else(|| text.clone(), |line| (*line).to_owned());
        if text.contains("panicked") || ended.code() != Some(1) || lines.is_empty() {
            return Outcome::Wrong(vec![format!("ended with {ended:?}: {text}")]);
        }
        return Outcome::Refused(said);
    }
    let mut wrong = Vec::new();
    let mut offline = BTreeSet::new();
    let mut client = broker.client();
    for ((topic, partition), values) in &master.expected {
        match look(&mut client, topic, *partition, values) {
            Ok(true) => {}
            Ok(false) => drop(offline.insert(((*topic).to_owned(), *partition))),
            Err(what) => wrong.push(format!("{topic}-{partition}: {what}")),
        }
    }
    match committed(&mut client) {
        Some(committed) if committed != master.committed => {
            wrong.push(format!("committed {committed:?}, expected {:?}", master.committed));
        }
        Some(_) => {}
        None => drop(offline.insert(("__consumer_offsets".to_owned(), ANY))),
    }
    thread::sleep(LOG_PAUSE); // the log comes through a pipe
    let text = broker.log_text()[log_at..].to_owned();
    if text.contains("panicked") {
        wrong.push(text.lines().find(|line| line.contains("panicked")).unwrap_or_default().to_owned());
    }
    for (topic, partition) in &offline {
        let number = if *partition == ANY { String::new() } else { format!("partition={partition}") };
        let names =
            |line: &str| line.contains("ERROR") && line.contains(topic.as_str()) && line.contains(&number);
        if !text.lines().any(names) {
            wrong.push(format!("{topic}-{partition} is offline and the log does not say why"));
        }
    }
    if !wrong.is_empty() {
        return Outcome::Wrong(wrong);
    }
    if offline.is_empty() { Outcome::Whole } else { Outcome::Offline(offline) }
}

/// Whether a partition holds exactly these records, or is offline: then to everybody who asks.
fn look(client: &mut Client, topic: &str, partition: i32, expected: &[String]) -> Result<bool, String> {
    let mut found: Vec<String> = Vec::new();
    let mut offline = false;
    while found.len() < expected.len() && !offline {
        let answer = client.try_call(11, &fetch_request(topic, partition, found.len() as i64));
        let mut answer = answer.map_err(|error| format!("fetch: {error}"))?;
        let part = answer.responses.remove(0).partitions.remove(0);
        match part.error_code {
            code::NONE => {}
            STORAGE_ERROR => offline = true,
            other => return Err(format!("a fetch at {} is answered with {other}", found.len())),
        }
        let bytes = part.records.unwrap_or_default();
        // The checksum as every client checks it: wrong bytes must not leave the broker at all.
        for batch in records::batches(&bytes) {
            let stored = u32::from_be_bytes(records::field(&batch, 17));
            if crc32c::crc32c(&batch[21..]) != stored {
                return Err(format!("a batch behind {} was served whose checksum is wrong", found.len()));
            }
        }
        let new: Vec<_> = records::values(&records::decode(&bytes));
        if new.is_empty() && !offline {
            return Err(format!("{} of {} records are there", found.len(), expected.len()));
        }
        found.extend(new);
    }
    if !expected.starts_with(&found) {
        return Err("other records than were written".to_owned());
    }
    if !offline {
        let end = client.list_offset(topic, partition, -1);
        return if end.offset == expected.len() as i64 {
            Ok(true)
        } else {
            Err(format!("ends at {}", end.offset))
        };
    }
    let end = client.list_offset(topic, partition, -1).error_code;
    let produced = client.try_produce(topic, partition, Batch::of(&["more"]).encode()).error_code;
    if (end, produced) == (STORAGE_ERROR, STORAGE_ERROR) {
        Ok(false)
    } else {
        Err(format!("offline to a fetch, but ListOffsets is answered with {end} and Produce with {produced}"))
    }
}

/// What the group has committed; `None` if its coordinator is not available.
fn committed(client: &mut Client) -> Option<Vec<(i64, String)>> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic_name("sealed"))
        .with_partition_indexes(vec![0, 1]);
    let group =
        OffsetFetchRequestGroup::default().with_group_id(GroupId(text("g"))).with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    // Loading passes, an offline log does not.
    for _ in 0..40 {
        let answer = client.call(8, &request).groups.remove(0);
        if answer.error_code == code::NONE {
            let parts = answer.topics[0].partitions.iter();
            return Some(
                parts
                    .map(|part| {
                        (part.committed_offset, part.metadata.clone().unwrap_or_default().to_string())
                    })
                    .collect(),
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    None
}

/// Puts back what was damaged.
fn mend(master: &Master, data: &Path, kind: Kind, damage: Damage) {
    let (path, other) = kind.files(&master.data).unwrap();
    let other = other.filter(|_| damage == Swapped);
    for path in [Some(path), other].into_iter().flatten() {
        let target = data.join(path.strip_prefix(&master.data).unwrap());
        if kind == Kind::Id {
            for id in listed(target.parent().unwrap(), ".id") {
                fs::remove_file(id).unwrap();
            }
        }
        if path.is_dir() {
            let _ = fs::remove_dir_all(&target);
            copy(&path, &target);
        } else {
            copy_file(&path, &target);
        }
    }
}

/// What a case may lead to.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Whole,
    /// Not started; the line holds these words.
    Refused(&'static str),
    /// Exactly these partitions of `sealed` or `active` are offline.
    Offline(&'static str, &'static [i32]),
    /// Whatever the bit was part of: logs whose bytes are gone are offline, by name.
    SomeOffline,
}

/// The table. Several in a row: it depends on what the place held.
fn expected(kind: Kind, damage: Damage) -> &'static [Expect] {
    use Expect::{Offline, Refused, SomeOffline};
    use Kind::*;
    match (kind, damage) {
        (JournalInUse | JournalFree, CutToHalf | CutToNothing | Removed) => {
            &[Refused("is missing or cut: restore it")]
        }
        (JournalInUse, FlippedHead | FlippedMiddle | FlippedEnd) => {
            &[Expect::Whole, SomeOffline, Refused("the metadata log is offline")]
        }
        (JournalInUse, Older) => &[Refused("are older than their manifest: put back")],
        (JournalInUse | JournalFree, _) => &[Expect::Whole],
        (Manifest, Removed) => &[Refused("holds partitions but no journal: restore")],
        (Manifest, Older) => &[Refused("is older than its journal files: put back")],
        (Manifest, _) => &[Refused("manifest does not check: restore it")],
        (MetaProperties, Removed) => &[Refused("meta.properties: it is missing")],
        // Kafka's file has no checksum: another cluster's id reads as one.
        (MetaProperties, FlippedHead | FlippedMiddle | FlippedEnd) => {
            &[Expect::Whole, Refused("meta.properties")]
        }
        (MetaProperties, _) => &[Refused("meta.properties")],
        (Sealed | Directory | Id, Swapped) => &[Offline("sealed", &[0, 1])],
        (Active, Swapped) => &[Offline("active", &[0, 1])],
        // What the journal still holds is written again.
        (Active, FlippedHead | FlippedMiddle | FlippedEnd) => &[Offline("active", &[0]), Expect::Whole],
        (Sealed | Directory, _) => &[Offline("sealed", &[0])],
        (Active, _) => &[Offline("active", &[0])],
        (Index | Id, _) => &[Expect::Whole],
    }
}

fn fits(expected: &[Expect], outcome: &Outcome) -> bool {
    expected.iter().any(|expect| match (expect, outcome) {
        (Expect::Whole, Outcome::Whole) => true,
        (Expect::Refused(words), Outcome::Refused(said)) => said.contains(words) && !said.contains('\n'),
        (Expect::SomeOffline, Outcome::Offline(_)) => true,
        (Expect::Offline(topic, partitions), Outcome::Offline(found)) => {
            let named: BTreeSet<_> =
                partitions.iter().map(|partition| ((*topic).to_owned(), *partition)).collect();
            *found == named
        }
        _ => false,
    })
}

/// One case: damage, a start, putting it back, another start. What is wrong with it, if anything.
fn case(master: &Master, kind: Kind, damage: Damage) -> Option<String> {
    let mut broker = Broker::prepared(&SETTINGS, Sources::default());
    copy(&master.data, &broker.data_dir());
    do_damage(master, kind, damage, &broker.data_dir())?;
    let first = outcome(&mut broker, master);
    if !fits(expected(kind, damage), &first) {
        return Some(format!("{kind:?} {damage:?}: {first:?}, expected {:?}", expected(kind, damage)));
    }
    if broker.is_alive() {
        broker.kill();
        // A start has gone on with these files: a copy from before is older than what was written since.
        let is_written = matches!(
            kind,
            Kind::JournalInUse | Kind::JournalFree | Kind::Manifest | Kind::MetaProperties | Kind::Active
        );
        if is_written {
            return None;
        }
    }
    mend(master, &broker.data_dir(), kind, damage);
    let second = outcome(&mut broker, master);
    (second != Outcome::Whole).then(|| format!("{kind:?} {damage:?}, put back: {second:?}"))
}

fn damage_everything(clean: bool) {
    if !Against::chosen().is_thalweg() {
        return;
    }
    let _alone = alone();
    let damages = [CutToHalf, CutToNothing, FlippedHead, FlippedMiddle, FlippedEnd, Swapped, Removed, Older];
    let master = master(clean);
    let cases = Kind::all().into_iter().flat_map(|kind| damages.map(|damage| (kind, damage)));
    let next = Mutex::new(cases.collect::<Vec<_>>().into_iter());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((kind, damage)) = next.lock().unwrap().next() else { return };
                    let what = case(&master, kind, damage);
                    wrong.lock().unwrap().extend(what);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_damaged_file_is_named_and_nothing_wrong_is_served_after_a_kill() {
    damage_everything(false);
}

#[test]
fn a_damaged_file_is_named_and_nothing_wrong_is_served_after_a_clean_stop() {
    damage_everything(true);
}
