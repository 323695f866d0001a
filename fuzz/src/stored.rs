//! A log as the engine left it on its simulated disk after a clean stop, and what every reader of it must get.
//!
//! Small segments, batches of every codec and several sizes, timestamps that rise and fall. A target changes files and
//! starts an engine on them: each answer is then held against what was appended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thalweg_engine::batch::{BatchBuilder, Codec, Origin, ProducerFields, walk};
use thalweg_engine::io::sim::{SimDisk, Simulation};
use thalweg_engine::log::{LogIdentity, LogSettings};
use thalweg_engine::shard::{
    Append, Engine, EngineSettings, Isolation, Read, ReadError, ReadOutcome, TimedOffset, recover,
};
use thalweg_engine::units::{LeaderEpoch, LogId, Offset, Timestamp};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LOG: LogId = LogId([1; 16]);
const BATCHES: i64 = 24;
const RECORDS_A_BATCH: i64 = 3;
/// No answer takes more of the disk's steps: each request is two.
const STEPS_MAX: u64 = 4000;
/// The files, and what is in them.
pub struct Stored {
    /// Every file of the disk.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Stored batches by their first offset.
    batches: BTreeMap<i64, Vec<u8>>,
}

/// How one reader asks.
#[derive(Clone, Copy)]
pub struct Reader {
    /// Where it begins; wraps at the log's end.
    pub first: u8,
    /// Its limit.
    pub bytes_max: usize,
    /// It takes one batch beyond its limit.
    pub first_batch_whole: bool,
}

/// What the files were given before a life on them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// What a disk may do.
    Damage,
    /// An index with a right checksum: what it says of times is believed, what it says of places is not.
    Index,
    /// With right checksums: only whole batches in their places, and ends, are promised.
    Forgery,
}

fn settings() -> EngineSettings {
    EngineSettings {
        directories: vec![PathBuf::from("sim")],
        journal_file_bytes: 192 << 10,
        journal_files_max: 4,
        commit_bytes_max: 16 << 10,
        commit_entries_max: 64,
        state_bytes_max: 64 << 10,
        large_run_bytes: 16 << 10,
        tail_memory_bytes: 2 << 20,
        cache_bytes: 1 << 20,
        unpacked_bytes_max: 1 << 20,
        ..EngineSettings::default()
    }
}

async fn start(disk: &SimDisk) -> Option<Engine<SimDisk>> {
    let recovered = recover(std::slice::from_ref(disk), &settings(), 1, NOW).await.ok()?;
    let share = recovered.split(1, |_| 0).pop()?;
    Engine::start(vec![disk.clone()], settings(), share).await.ok()
}

/// Of record `offset`: they fall as often as they rise.
fn timestamp(offset: i64) -> Timestamp {
    Timestamp(NOW.0 + offset * 37 % 100)
}

impl Stored {
    /// Runs an engine, stops it, and takes its files.
    ///
    /// # Panics
    /// When anything goes wrong on a disk that is well.
    pub fn make() -> Self {
        let simulation = Simulation::new(1);
        let disk = SimDisk::new(&simulation, 1);
        let inner = disk.clone();
        let batches = simulation.run(async move {
            let engine = start(&inner).await.expect("a new disk");
            let identity =
                LogIdentity { log_id: LOG, topic_id: [1; 16], topic: "t".to_owned(), partition: 0 };
            let log =
                LogSettings { segment_bytes: 8000, index_interval_bytes: 500, ..LogSettings::default() };
            engine.create(identity, log, LeaderEpoch(0)).await.expect("a new log");
            for number in 0..BATCHES {
                let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
                let codec = codecs[(number % 5) as usize];
                let value = vec![number as u8; [10, 200, 1500][(number % 3) as usize]];
                let base = number * RECORDS_A_BATCH;
                let batch = (base..base + RECORDS_A_BATCH).fold(BatchBuilder::new(codec), |batch, offset| {
                    batch.record(timestamp(offset), Some(&offset.to_be_bytes()), Some(&value))
                });
                let producer =
                    ProducerFields { producer_id: 3, producer_epoch: 0, base_sequence: base as i32 };
                let records = batch.build(producer).expect("a batch of ours");
                let append = Append { records, zstd_allowed: true, origin: Origin::Client };
                let staged = engine.stage(LOG, &append, NOW).await.expect("a disk that is well");
                engine.durable(LOG, staged.offset_end).await.expect("a disk that is well");
            }
            let read = |offset| Read {
                offset,
                bytes_max: 1 << 20,
                first_batch_whole: true,
                isolation: Isolation::Uncommitted,
            };
            let mut batches = BTreeMap::new();
            while (batches.len() as i64) < BATCHES {
                let offset = Offset::new(batches.len() as i64 * RECORDS_A_BATCH);
                let bytes =
                    engine.read(LOG, read(offset)).await.expect("a disk that is well").slices.concat();
                for found in walk(&bytes) {
                    let (at, header) = found.expect("whole batches");
                    batches.insert(header.base_offset, bytes[at..at + header.batch_bytes()].to_vec());
                }
            }
            engine.stop().await.expect("a disk that is well");
            batches
        });
        let files = disk.files().into_iter().map(|(path, _)| (path.clone(), disk.content(&path))).collect();
        Self { files, batches: batches.expect("nothing cuts this run") }
    }

    /// Paths of the log's files that end so, in order, the longest names last.
    pub fn paths(&self, extension: &str) -> Vec<&Path> {
        let paths = self.files.iter().map(|(path, _)| path.as_path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }

    /// A life on changed files: reads from every offset and by many times. Returns how many answers there were.
    ///
    /// # Panics
    /// When an answer is wrong, or takes too long.
    pub fn live(&'static self, files: &[(PathBuf, Vec<u8>)], change: Change, reader: Reader) -> u64 {
        let simulation = Simulation::new(2);
        let disk = SimDisk::new(&simulation, 2);
        for (path, bytes) in files {
            disk.put(path, bytes).expect("the disk is new");
        }
        let inner = disk.clone();
        let claims: BTreeMap<i64, i64> =
            self.batches.keys().map(|base| (*base, self.claimed_bytes(files, *base))).collect();
        let answers = simulation.run(async move {
            let engine = start(&inner).await?;
            let mut answers = 0;
            let end = BATCHES * RECORDS_A_BATCH;
            for step in 0..end {
                let offset = Offset::new((i64::from(reader.first) + step) % end);
                let read = Read {
                    offset,
                    bytes_max: reader.bytes_max,
                    first_batch_whole: reader.first_batch_whole,
                    isolation: Isolation::Uncommitted,
                };
                let before = inner.steps();
                let found = engine.read(LOG, read).await;
                assert!(inner.steps() - before < STEPS_MAX, "a read goes on and on");
                answers += u64::from(found.is_ok());
                let claim = claims.range(..=offset.as_i64()).next_back().map_or(0, |(_, bytes)| *bytes);
                let is_called_long = claim > read.bytes_max as i64;
                self.judge(&read, found, change, is_called_long);
                if step % 8 == 0 {
                    let time = timestamp(offset.as_i64());
                    let found = engine.offset_for_time(LOG, time).await;
                    answers += u64::from(found.is_ok());
                    self.judge_time(|timestamp| timestamp >= time, found, change);
                }
            }
            let greatest = (0..end).map(timestamp).max();
            let found = engine.offset_of_max_timestamp(LOG).await;
            self.judge_time(|timestamp| Some(timestamp) == greatest, found, change);
            assert!(inner.steps() < STEPS_MAX * 100, "a life goes on and on");
            let _ = engine.stop().await;
            Some(answers)
        });
        // A start that is refused is an answer, too.
        answers.flatten().unwrap_or(0)
    }

    /// How long the batch that begins at this offset calls itself in its changed file.
    fn claimed_bytes(&self, files: &[(PathBuf, Vec<u8>)], base: i64) -> i64 {
        let segments = files.iter().filter_map(|(path, bytes)| {
            let is_segment = path.extension().is_some_and(|extension| extension == "log");
            let first: i64 = path.file_stem()?.to_str()?.parse().ok()?;
            (is_segment && first <= base).then_some((first, bytes))
        });
        let Some((first, bytes)) = segments.max_by_key(|(first, _)| *first) else { return 0 };
        let at: usize = self.batches.range(first..base).map(|(_, batch)| batch.len()).sum();
        let length = bytes.get(at + 8..).and_then(|rest| rest.first_chunk());
        length.map_or(0, |length| i64::from(i32::from_be_bytes(*length)) + 12)
    }

    /// Changed, a batch may call itself longer than it was (`is_called_long`: than what was asked for): who is not owed a
    /// whole one hears nothing of it, and its checksum is asked when somebody is.
    fn judge(
        &self,
        read: &Read,
        found: Result<ReadOutcome, ReadError>,
        change: Change,
        is_called_long: bool,
    ) {
        let Ok(found) = found else { return };
        let bytes = found.slices.concat();
        assert_eq!(bytes.len(), found.bytes);
        let (first, expected) =
            self.batches.range(..=read.offset.as_i64()).next_back().expect("offset 0 is there");
        if bytes.is_empty() {
            let is_too_long = !read.first_batch_whole && (expected.len() > read.bytes_max || is_called_long);
            assert!(
                is_too_long || change == Change::Forgery && !read.first_batch_whole,
                "silence at {read:?}"
            );
            return;
        }
        let (mut count, mut next) = (0, *first);
        for batch in walk(&bytes) {
            let (at, header) = batch.expect("only whole batches are answered");
            let stored = &bytes[at..at + header.batch_bytes()];
            // Forged, the first one may say that it reaches over those behind it.
            let reaches = header.base_offset <= read.offset.as_i64() && read.offset < header.offset_end();
            let is_in_place =
                header.base_offset == next || change == Change::Forgery && count == 0 && reaches;
            assert!(is_in_place, "an answer begins or goes on at {}, not {next}", header.base_offset);
            next = header.offset_end().as_i64();
            count += 1;
            match change {
                Change::Damage | Change::Index => self.assert_stored(header.base_offset, stored),
                Change::Forgery => {}
            }
        }
        assert!(
            count == 1 && read.first_batch_whole || bytes.len() <= read.bytes_max,
            "more than was asked for"
        );
    }

    fn assert_stored(&self, base: i64, found: &[u8]) {
        let stored = self.batches.get(&base).expect("a batch begins there");
        assert!(found == stored, "batch {base} is another one");
    }

    /// The first record that is wanted; where an index was forged, any that is.
    fn judge_time(
        &self,
        is_wanted: impl Fn(Timestamp) -> bool,
        found: Result<Option<TimedOffset>, ReadError>,
        change: Change,
    ) {
        let Ok(found) = found else { return };
        let first = (0..BATCHES * RECORDS_A_BATCH).find(|offset| is_wanted(timestamp(*offset)));
        let found = found.map(|found| (found.offset.as_i64(), found.timestamp));
        match change {
            Change::Damage => {
                let expected = first.map(|offset| (offset, timestamp(offset)));
                assert_eq!(found, expected, "another record is the first of that time");
            }
            Change::Index => {
                let is_right = |(offset, time)| time == timestamp(offset) && is_wanted(time);
                assert!(found.is_none_or(is_right), "{found:?} has another time");
            }
            Change::Forgery => {}
        }
    }
}
