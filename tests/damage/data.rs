//! A stopped broker's data, the files in them, and what is done to one.

use super::{SETTINGS, TOPICS};
use harness::broker::Sources;
use harness::records::{self, Batch};
use harness::verbs::{code, text, topic_name};
use harness::{Broker, Client};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetCommitRequest};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What must be in each partition.
pub(super) type Expected = BTreeMap<(&'static str, i32), Vec<String>>;

/// A stopped broker's data, to be copied for each case.
pub(super) struct Master {
    _broker: Broker,
    pub(super) data: PathBuf,
    /// The journal directory as it was some time before.
    older_journal: PathBuf,
    pub(super) expected: Expected,
    pub(super) committed: Vec<(i64, String)>,
}

pub(super) fn master(clean: bool) -> Master {
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
        broker.stop();
    } else {
        broker.kill();
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
pub(super) fn copy(source: &Path, target: &Path) {
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
pub(super) enum Damage {
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
pub(super) enum Kind {
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
    pub(super) fn all() -> [Self; 9] {
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

pub(super) fn do_damage(master: &Master, kind: Kind, damage: Damage, data: &Path) -> Option<()> {
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

/// Puts back what was damaged.
pub(super) fn mend(master: &Master, data: &Path, kind: Kind, damage: Damage) {
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
