//! The part of a result that reports and comparisons read; `result.rs` says what each field means.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Run {
    /// Of a part that is a step of a ladder: its rate. Not in the file.
    #[serde(skip)]
    pub step_records_per_s: Option<f64>,
    pub start_unix_ms: i64,
    /// As it lies in the file: shown, never acted on.
    pub spec: Value,
    pub machine: Machine,
    pub produce: Option<Produce>,
    pub consume: Option<Consume>,
    pub group: Option<Group>,
    pub end_to_end_latency: Option<Latency>,
    pub end_to_end_service: Option<Latency>,
    pub readers: Vec<Reader>,
    pub verdict: Option<Verdict>,
    pub parts: Vec<Part>,
    pub ladder: Option<Ladder>,
    pub crash: Option<Crash>,
    pub resources: Option<Resources>,
    pub generator_cpu_s: f64,
    pub warnings: Vec<String>,
    pub failures: Vec<String>,
    pub produce_series: Vec<Second>,
    pub consume_series: Vec<Second>,
    pub group_series: Vec<Second>,
}

/// What it ran on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `machine` say what each means")]
pub struct Machine {
    pub cpu: String,
    pub core_count: u64,
    pub kernel: String,
    pub memory_mib: u64,
    pub data_dir: Option<Mount>,
    pub loadgen_commit: String,
    pub optimized: bool,
    pub broker: Option<Where>,
}

/// The file system under the broker's data.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `machine` say what each means")]
pub struct Mount {
    pub path: String,
    pub kind: String,
    pub device: String,
    pub options: String,
    pub disk: Option<Disk>,
}

/// The disk under it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `machine` say what each means")]
pub struct Disk {
    pub name: String,
    pub model: String,
    pub size_bytes: u64,
    pub write_cache: String,
}

/// Where the broker was.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `machine` say what each means")]
pub struct Where {
    pub address: String,
    pub same_machine: bool,
    pub version: Option<String>,
}

/// Rates over the measured window.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Rates {
    pub window_s: f64,
    pub records: u64,
    pub batches: u64,
    pub batch_bytes: u64,
    pub records_per_s: f64,
    pub batches_per_s: f64,
    pub mb_per_s: f64,
}

/// The sending half.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Produce {
    pub open_loop: bool,
    pub prebuilt_batches: bool,
    pub partition_count: u64,
    pub rates: Rates,
    pub acknowledged_records: u64,
    pub batch_bytes_mean: f64,
    pub latency: Latency,
    pub wait: Latency,
    pub service: Latency,
    pub schedule: Option<Schedule>,
    pub errors: BTreeMap<String, u64>,
    pub repeated_batches: u64,
    pub lost_links: u64,
    pub unknown_records: u64,
    pub refused_records: u64,
    pub unsent_records: u64,
}

/// How well the generator kept its own plan.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Schedule {
    pub kept: bool,
    pub limit_us: f64,
    pub own_wait: Latency,
}

/// The reading half.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Consume {
    pub partition_count: u64,
    pub rates: Rates,
    pub read_records: u64,
    pub fetches: u64,
    pub empty_fetches: u64,
    pub fetch_bytes_mean: f64,
    pub fetch_latency: Latency,
    pub errors: BTreeMap<String, u64>,
    pub lost_links: u64,
}

/// The groups.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Group {
    pub group_count: u64,
    pub live_members: u64,
    pub rebalances: u64,
    pub events: Vec<Event>,
    pub stable_share: f64,
    pub stop_the_world: Latency,
    pub join_latency: Latency,
    pub sync_latency: Latency,
    pub heartbeat_latency: Latency,
    pub commits_per_s: f64,
    pub commit_latency: Latency,
    pub commit_service: Latency,
    pub unsent_commits: u64,
    pub missed_records: Option<u64>,
    pub doubled_records: u64,
    pub errors: BTreeMap<String, u64>,
}

/// One line of a group's script.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Event {
    pub event: String,
    pub never_stable: u64,
    pub time_to_stable: Latency,
}

/// One of several readers of the same topic.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Reader {
    pub consume: Consume,
    pub end_to_end_latency: Latency,
}

/// One of the runs that a run is made of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Part {
    pub name: String,
    pub produce: Option<Produce>,
    pub consume: Option<Consume>,
    pub readers: Vec<Reader>,
    pub end_to_end_latency: Option<Latency>,
    pub end_to_end_service: Option<Latency>,
    pub verdict: Option<Verdict>,
    pub resources: Option<Resources>,
    pub warnings: Vec<String>,
    pub failures: Vec<String>,
    pub produce_series: Vec<Second>,
    pub consume_series: Vec<Second>,
}

/// A ladder of rates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Ladder {
    pub p99_max_ms: f64,
    pub kept_percent: f64,
    pub measured: String,
    /// Each is the part of the same place.
    pub steps: Vec<Step>,
    pub knee_records_per_s: Option<f64>,
    pub broken_records_per_s: Option<f64>,
}

/// One rate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Step {
    pub offered_records_per_s: f64,
    pub achieved_records_per_s: f64,
    pub kept: bool,
    pub reasons: Vec<String>,
}

/// How the broker was restarted meanwhile.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Crash {
    pub restarts: Vec<Restart>,
}

/// One time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `result` say what each means")]
pub struct Restart {
    pub at_s: f64,
    pub took_s: f64,
    pub exit_status: Option<i32>,
}

/// What a run cost.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `resources` say what each means")]
pub struct Resources {
    pub window_s: f64,
    pub generator: Process,
    pub brokers: Vec<Process>,
}

/// What one process cost.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `resources` say what each means")]
pub struct Process {
    pub pid: u32,
    pub name: String,
    pub cpu_user_s: f64,
    pub cpu_system_s: f64,
    pub cpu_us_per_record: Option<f64>,
    pub cpu_ns_per_byte: Option<f64>,
    pub resident_bytes: u64,
    pub resident_bytes_max: u64,
    pub syscalls: Option<u64>,
    pub syscalls_per_record: Option<f64>,
    pub disk_written_bytes: Option<u64>,
    pub disk_written_per_sent_byte: Option<f64>,
    pub unknown: Vec<String>,
}

/// The proof.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `verify` say what each means")]
pub struct Verdict {
    pub records: u64,
    pub acknowledged_records: u64,
    /// By kind; empty: proven.
    pub faults: BTreeMap<String, Value>,
}

/// Latencies, microseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `histogram` say what each means")]
pub struct Latency {
    pub samples: u64,
    pub measurements: u64,
    pub min_us: f64,
    pub mean_us: f64,
    pub percentiles: Vec<Percentile>,
    pub max_us: f64,
}

/// One percentile; without `us` the measurements were too few.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `histogram` say what each means")]
pub struct Percentile {
    pub name: String,
    pub us: Option<f64>,
}

/// One second.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields of the same names in `series` say what each means")]
pub struct Second {
    pub at_s: u64,
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
    pub errors: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Latency {
    /// The percentile of this name, if the samples could tell it.
    pub fn at(&self, name: &str) -> Option<f64> {
        self.percentiles.iter().find(|found| found.name == name)?.us
    }

    /// Whether there is anything to show.
    pub fn is_measured(&self) -> bool {
        self.samples > 0
    }
}

impl Percentile {
    /// The share of samples beyond it: 0.01 of `p99`. `None` for a name that is no percentile.
    pub fn beyond(&self) -> Option<f64> {
        let percent: f64 = self.name.strip_prefix('p')?.parse().ok()?;
        (0.0..100.0).contains(&percent).then_some((100.0 - percent) / 100.0)
    }
}

impl Run {
    /// A setting of the run, by the path of its key, as in `/produce/rate_records_per_s`.
    pub fn setting(&self, path: &str) -> Option<&Value> {
        self.spec.pointer(path).filter(|value| !value.is_null())
    }

    /// Records a second that were to be sent; `None`: as fast as answers came, or nothing was sent.
    ///
    /// Of a run that is a step of a ladder, that step's.
    pub fn offered_per_s(&self) -> Option<f64> {
        if self.step_records_per_s.is_some() {
            return self.step_records_per_s;
        }
        self.produce.as_ref().filter(|produce| produce.open_loop)?;
        self.setting("/produce/rate_records_per_s").and_then(Value::as_f64).filter(|rate| *rate > 0.0)
    }

    /// `produce`, `consume`, ..; empty if the file does not say.
    pub fn command(&self) -> &str {
        self.setting("/command").and_then(Value::as_str).unwrap_or_default()
    }
}
