//! The checked form of a run's settings: defaults filled in, ranges held, contradictions named.
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{
    Acks, CommonFlags, ConsumeFlags, KeySpread, Partitions, ProduceFlags, Profile, ReadFrom, RoundtripFlags,
    SpecError,
};
use crate::batch::{BodyShape, Codec};
use crate::payload::{Keys, Payload};

/// One thread drives this many connections well; more wait for file descriptors first.
const CONNECTIONS_MAX: u32 = 20_000;
const IN_FLIGHT_MAX: u32 = 1_000;
const THREADS_MAX: u32 = 64;
/// Each has a thread.
const READERS_MAX: u32 = 1_000;
const BATCH_BYTES_MAX: usize = 100 << 20;
const RECORDS_MAX: u32 = 10_000_000;
const LINGER_MS_MAX: f64 = 60_000.0;
const SECONDS_MAX: f64 = 30.0 * 86_400.0;
/// Kafka's largest batch unless a topic says otherwise (`max.message.bytes`): the bound when only a count is given.
const MESSAGE_BYTES_DEFAULT: usize = 1_048_588;

/// Settings of every command; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Common {
    pub brokers: String,
    pub topic: String,
    pub client_id: String,
    pub thread_count: u32,
    pub warm_up_s: f64,
    pub retry_time_s: f64,
    #[serde(skip)]
    pub json: Option<PathBuf>,
    #[serde(skip)]
    pub hlog: Option<PathBuf>,
    #[serde(skip)]
    pub progress: bool,
    pub data_dir: Option<PathBuf>,
    pub broker_pids: Vec<u32>,
    pub broker_version: Option<String>,
    pub count_syscalls: bool,
}

/// Settings of `produce`; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Produce {
    pub partition_count: Option<u32>,
    pub replica_count: i16,
    pub topic_configs: Vec<(String, String)>,
    pub connection_count: u32,
    pub in_flight_count: u32,
    pub batch_bytes: usize,
    pub batch_record_count: u32,
    pub linger_ms: Option<f64>,
    pub profile: Profile,
    pub record_bytes: usize,
    pub random_percent: u8,
    pub key_bytes: usize,
    pub key_count: Option<u64>,
    pub key_spread: KeySpread,
    pub zipf_exponent: f64,
    pub record_count: Option<u64>,
    pub time_s: Option<f64>,
    pub rate_records_per_s: u64,
    pub reopens_per_s: u64,
    pub codec: Codec,
    pub acks: Acks,
    pub idempotent: bool,
    pub retry_count: u32,
    pub timeout_ms: u32,
    pub drain_s: f64,
    pub verifiable: bool,
    pub acked: Option<PathBuf>,
    pub seed: u64,
}

/// Settings of `consume`; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Consume {
    pub from: ReadFrom,
    pub partitions: Partitions,
    pub connection_count: u32,
    pub fetch_bytes: u32,
    pub partition_bytes: u32,
    pub min_bytes: u32,
    pub max_wait_ms: u32,
    pub record_count: Option<u64>,
    pub time_s: Option<f64>,
    pub until_end: bool,
    pub repeat: bool,
    pub verify: bool,
    pub acked: Vec<PathBuf>,
}

/// Settings of `roundtrip`'s reading half; the flags say what each means.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the flags of the same names say what each means")]
pub struct Roundtrip {
    pub consumer_count: u32,
    pub reader_count: u32,
    pub fetch_min_bytes: u32,
    pub fetch_max_wait_ms: u32,
}

impl Common {
    pub(super) fn check(flags: CommonFlags) -> Result<Self, SpecError> {
        Ok(Self {
            brokers: flags.brokers.unwrap_or_else(|| "127.0.0.1:9092".into()),
            topic: flags.topic.ok_or(SpecError::Missing { key: "topic" })?,
            client_id: flags.client_id.unwrap_or_else(|| "thalweg-loadgen".into()),
            thread_count: within("--threads", flags.thread_count.unwrap_or(1), 1..=THREADS_MAX)?,
            warm_up_s: seconds("--warm-up", flags.warm_up_s.unwrap_or(0.0))?,
            retry_time_s: seconds("--retry-time", flags.retry_time_s.unwrap_or(120.0))?,
            json: flags.json,
            hlog: flags.hlog,
            progress: flags.progress.unwrap_or_else(|| std::io::stderr().is_terminal()),
            data_dir: flags.data_dir,
            broker_pids: flags.broker_pids.unwrap_or_default(),
            broker_version: flags.broker_version,
            count_syscalls: flags.count_syscalls.unwrap_or(false),
        })
    }

    /// Part of the run that no figure counts.
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_s)
    }

    /// How long a broker may be away or refuse.
    pub fn retry_time(&self) -> Duration {
        Duration::from_secs_f64(self.retry_time_s)
    }
}

impl Produce {
    pub(super) fn check(flags: ProduceFlags) -> Result<Self, SpecError> {
        let only_counted = flags.batch_record_count.is_some() && flags.batch_bytes.is_none();
        let batch_bytes =
            flags.batch_bytes.unwrap_or(if only_counted { MESSAGE_BYTES_DEFAULT } else { 16_384 });
        let acks = flags.acks.unwrap_or_default();
        let idempotent = flags.idempotent.unwrap_or(false);
        if idempotent && acks != Acks::All {
            return Err(invalid("--acks", acks.wire(), "--idempotent needs --acks all"));
        }
        if flags.topic_configs.is_some() && flags.partition_count.is_none() {
            return Err(invalid(
                "--topic-config",
                "",
                "needs --partitions: only a topic that is made takes settings",
            ));
        }
        let key_bytes = flags.key_bytes.unwrap_or(if flags.key_count.is_some() { 16 } else { 0 });
        let key_bytes = within("--key-bytes", key_bytes, 0..=1 << 20)?;
        let zipf_exponent = check_keys(&flags, key_bytes)?;
        let topic_configs = flags.topic_configs.unwrap_or_default().into_iter().map(|config| {
            let (key, value) =
                config.split_once('=').ok_or_else(|| invalid("--topic-config", &config, "KEY=VALUE"))?;
            Ok((key.to_owned(), value.to_owned()))
        });
        Ok(Self {
            partition_count: flags
                .partition_count
                .map(|count| within("--partitions", count, 1..=1_000_000))
                .transpose()?,
            replica_count: flags.replica_count.unwrap_or(-1),
            topic_configs: topic_configs.collect::<Result<_, SpecError>>()?,
            connection_count: within(
                "--connections",
                flags.connection_count.unwrap_or(1),
                1..=CONNECTIONS_MAX,
            )?,
            in_flight_count: within("--in-flight", flags.in_flight_count.unwrap_or(5), 1..=IN_FLIGHT_MAX)?,
            batch_bytes: within("--batch-bytes", batch_bytes, 100..=BATCH_BYTES_MAX)?,
            batch_record_count: within(
                "--batch-records",
                flags.batch_record_count.unwrap_or(RECORDS_MAX),
                1..=RECORDS_MAX,
            )?,
            linger_ms: flags
                .linger_ms
                .map(|ms| within("--linger-ms", ms, 0.0..=LINGER_MS_MAX))
                .transpose()?,
            profile: flags.profile.unwrap_or_default(),
            record_bytes: within("--record-bytes", flags.record_bytes.unwrap_or(1_000), 0..=BATCH_BYTES_MAX)?,
            random_percent: within("--random-percent", flags.random_percent.unwrap_or(50), 0..=100)?,
            key_bytes,
            key_count: flags.key_count,
            key_spread: flags.key_spread.unwrap_or_default(),
            zipf_exponent,
            record_count: flags.record_count,
            time_s: flags.time_s.map(|time_s| seconds("--time", time_s)).transpose()?,
            rate_records_per_s: flags.rate_records_per_s.unwrap_or(0),
            reopens_per_s: flags.reopens_per_s.unwrap_or(0),
            codec: flags.codec.unwrap_or_default(),
            acks,
            idempotent,
            retry_count: flags.retry_count.unwrap_or(0),
            timeout_ms: within("--timeout-ms", flags.timeout_ms.unwrap_or(30_000), 1..=3_600_000)?,
            drain_s: seconds("--drain", flags.drain_s.unwrap_or(30.0))?,
            verifiable: flags.verifiable.unwrap_or(false) || flags.acked.is_some(),
            acked: flags.acked,
            seed: flags.seed.unwrap_or_else(drawn),
        })
    }

    /// The same, if records come at times: only then can a batch wait for more of them.
    pub(super) fn paced(self) -> Result<Self, SpecError> {
        match self.linger_ms {
            Some(linger_ms) if self.rate_records_per_s == 0 => Err(invalid(
                "--linger-ms",
                linger_ms,
                "needs --rate: as fast as answers come, no batch waits",
            )),
            _ => Ok(self),
        }
    }

    /// Records are made before the run and sent again and again: they carry no tags and need no key from a whole space.
    pub fn prebuilds_batches(&self) -> bool {
        !self.verifiable && self.key_count.is_none()
    }

    /// How the batches look.
    pub fn shape(&self) -> BodyShape {
        BodyShape {
            records_max: self.batch_record_count,
            batch_bytes_max: self.batch_bytes,
            codec: self.codec,
        }
    }

    /// The payload of connection `stream`.
    pub fn payload(&self, stream: u64) -> Payload {
        let keys = match self.key_count {
            None => Keys::own(self.key_bytes),
            Some(count) => match self.key_spread {
                KeySpread::Uniform => Keys::uniform(self.key_bytes, count),
                KeySpread::Zipf => Keys::zipf(self.key_bytes, count, self.zipf_exponent),
            },
        };
        match self.profile {
            Profile::Filler => {
                Payload::filler(self.record_bytes, self.random_percent, keys, self.seed, stream)
            }
            Profile::Iis => Payload::iis(keys, self.seed, stream),
        }
    }

    /// The same with tags: without its tag nobody knows when a record was meant to leave.
    pub(super) fn tagged(mut self) -> Result<Self, SpecError> {
        if self.acks == Acks::None {
            return Err(invalid("--acks", "0", "a round trip needs answers: 1 or all"));
        }
        self.verifiable = true;
        Ok(self)
    }
}

/// Returns the exponent of the key space.
fn check_keys(flags: &ProduceFlags, key_bytes: usize) -> Result<f64, SpecError> {
    let Some(count) = flags.key_count else {
        if flags.key_spread.is_some() || flags.zipf_exponent.is_some() {
            return Err(invalid("--key-spread, --zipf-exponent", "", "need --key-count"));
        }
        return Ok(Keys::EXPONENT);
    };
    within("--key-count", count, 1..=Keys::COUNT_MAX)?;
    if !Keys::fits(key_bytes, count) {
        return Err(invalid("--key-bytes", key_bytes, "hexadecimal digits enough for all of --key-count"));
    }
    within("--zipf-exponent", flags.zipf_exponent.unwrap_or(Keys::EXPONENT), 0.01..=20.0)
}

impl Consume {
    pub(super) fn check(flags: ConsumeFlags) -> Result<Self, SpecError> {
        let from = flags.from.unwrap_or_default();
        let repeat = flags.repeat.unwrap_or(false);
        if repeat && (flags.time_s.is_none() || flags.verify == Some(true) || flags.acked.is_some()) {
            return Err(invalid("--repeat", "", "needs --time, and proves nothing: no --verify, no --acked"));
        }
        let has_end = flags.record_count.is_some() || flags.time_s.is_some();
        let acked = flags.acked.unwrap_or_default();
        let partition_bytes = flags.partition_bytes.unwrap_or(1 << 20);
        Ok(Self {
            from,
            partitions: flags.partitions.as_deref().unwrap_or("all").parse()?,
            connection_count: within(
                "--connections",
                flags.connection_count.unwrap_or(1),
                1..=CONNECTIONS_MAX,
            )?,
            fetch_bytes: within("--fetch-bytes", flags.fetch_bytes.unwrap_or(50 << 20), 1..=1 << 30)?,
            partition_bytes: within("--partition-bytes", partition_bytes, 1..=1 << 30)?,
            min_bytes: within("--min-bytes", flags.min_bytes.unwrap_or(1), 0..=1 << 30)?,
            max_wait_ms: within("--max-wait-ms", flags.max_wait_ms.unwrap_or(500), 0..=600_000)?,
            record_count: flags.record_count,
            time_s: flags.time_s.map(|time_s| seconds("--time", time_s)).transpose()?,
            until_end: flags.until_end.unwrap_or(repeat || (!has_end && from != ReadFrom::Latest)),
            repeat,
            verify: flags.verify.unwrap_or(false) || !acked.is_empty(),
            acked,
        })
    }
}

impl Roundtrip {
    pub(super) fn check(flags: &RoundtripFlags) -> Result<Self, SpecError> {
        Ok(Self {
            consumer_count: within("--consumers", flags.consumer_count.unwrap_or(1), 1..=CONNECTIONS_MAX)?,
            reader_count: within("--readers", flags.reader_count.unwrap_or(1), 1..=READERS_MAX)?,
            fetch_min_bytes: within("--fetch-min-bytes", flags.fetch_min_bytes.unwrap_or(1), 0..=1 << 30)?,
            fetch_max_wait_ms: within(
                "--fetch-max-wait-ms",
                flags.fetch_max_wait_ms.unwrap_or(500),
                0..=600_000,
            )?,
        })
    }
}

/// A number that nobody chose; the standard library seeds its hash maps from the system's random source.
pub(crate) fn drawn() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

pub(super) fn within<T: PartialOrd + std::fmt::Display>(
    key: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, SpecError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(invalid(key, format!("{value} (allowed: {}..={})", range.start(), range.end()), "out of range"))
}

pub(super) fn seconds(key: &'static str, value: f64) -> Result<f64, SpecError> {
    if (0.0..=SECONDS_MAX).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(key, value, "seconds, at most 30 days"))
    }
}

pub(super) fn invalid(key: &'static str, value: impl std::fmt::Display, wants: &'static str) -> SpecError {
    SpecError::Invalid { key, value: value.to_string(), wants }
}
