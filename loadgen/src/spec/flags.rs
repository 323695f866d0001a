//! The command line, and the same keys in a workload file. All are optional here; [`super::Spec`] has what counts.
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Deserialize;

use super::scenes::{BacklogFlags, CrashFlags, LadderFlags, TailFlags};
use super::{Acks, KeySpread, Profile, ReadFrom};
use crate::batch::Codec;
use crate::group::{Assignor, Event};

/// Measures a broker that speaks Kafka's protocol.
#[derive(Debug, Parser)]
#[command(name = "thalweg-loadgen", version, about, max_term_width = 120)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send records and measure acknowledgements
    Produce {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// This command's.
        #[command(flatten)]
        produce: ProduceFlags,
    },
    /// Read records and measure fetches; with --verify prove what was read
    Consume {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// This command's.
        #[command(flatten)]
        consume: ConsumeFlags,
    },
    /// Send and read at once: from the intended send time to the hands of a consumer
    Roundtrip {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// Those of the sending half.
        #[command(flatten)]
        produce: ProduceFlags,
        /// Those of the reading half.
        #[command(flatten)]
        roundtrip: RoundtripFlags,
    },
    /// Send at one rate after the other, and find the highest that is kept within a bound of p99
    Ladder {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// Those of the sending half; --rate, --time and --count are the ladder's.
        #[command(flatten)]
        produce: ProduceFlags,
        /// Those of the reading half, with --end-to-end.
        #[command(flatten)]
        roundtrip: RoundtripFlags,
        /// Those of the ladder.
        #[command(flatten)]
        ladder: LadderFlags,
    },
    /// Fill a topic, then measure how fast a reader catches up
    Backlog {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// Those of the filling.
        #[command(flatten)]
        produce: ProduceFlags,
        /// Those of the backlog and its reader.
        #[command(flatten)]
        backlog: BacklogFlags,
    },
    /// Round trips without and with a reader of the whole backlog beside them
    Tail {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// Those of the sending half.
        #[command(flatten)]
        produce: ProduceFlags,
        /// Those of the reading half.
        #[command(flatten)]
        roundtrip: RoundtripFlags,
        /// Those of the backlog and its reader.
        #[command(flatten)]
        backlog: BacklogFlags,
        /// Those of the windows.
        #[command(flatten)]
        tail: TailFlags,
    },
    /// Send while a command kills and starts the broker, then prove that all that was acknowledged is there
    Crash {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// Those of the sending; it is idempotent and verifiable.
        #[command(flatten)]
        produce: ProduceFlags,
        /// Those of the restarts.
        #[command(flatten)]
        crash: CrashFlags,
    },
    /// Groups of consumers whose members come, go and die by a script
    Group {
        /// All commands' flags.
        #[command(flatten)]
        common: CommonFlags,
        /// Those of what is sent meanwhile; the topic's and the time's count always.
        #[command(flatten)]
        produce: ProduceFlags,
        /// Those of the members.
        #[command(flatten)]
        group: GroupFlags,
    },
}

/// A set of keys, each of which the line may give, else the file.
macro_rules! overlay_keys {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $name {
            /// These keys, and those of `below` where these are not given.
            #[must_use]
            pub fn over(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field)),* }
            }
        }
    };
}
pub(super) use overlay_keys;

/// Keys of every command.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonFlags {
    /// Workload file; flags on the line win over it
    #[arg(long, value_name = "FILE.toml")]
    #[serde(skip)]
    pub workload: Option<PathBuf>,
    /// Brokers to ask first, host:port, comma between several [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Topic
    #[arg(long)]
    pub topic: Option<String>,
    /// Client id in every request [default: thalweg-loadgen]
    #[arg(long)]
    pub client_id: Option<String>,
    /// Threads that drive the connections [default: 1]
    #[arg(long = "threads", value_name = "COUNT")]
    pub thread_count: Option<u32>,
    /// Seconds at the start that no figure counts [default: 0]
    #[arg(long = "warm-up", value_name = "S")]
    pub warm_up_s: Option<f64>,
    /// Seconds after which a broker that is away or refuses ends the run [default: 120]
    #[arg(long = "retry-time", value_name = "S")]
    pub retry_time_s: Option<f64>,
    /// Write the result as JSON to this file, or to stdout for `-` (the table then goes to stderr)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write every latency, second by second, to this file in HdrHistogram's log format
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Print a line a second to stderr: rate, latencies of that second, errors, what is left [default: where stderr is a terminal]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub progress: Option<bool>,
    /// The broker's data directory, if it is on this machine: its file system is written into the result
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Number of a broker's process on this machine, whose processor time, memory and writes go into the result; may be repeated
    #[arg(long = "broker-pid", value_name = "PID")]
    pub broker_pids: Option<Vec<u32>>,
    /// Name and version of the broker, for the result: Kafka's protocol does not tell them
    #[arg(long, value_name = "TEXT")]
    pub broker_version: Option<String>,
    /// Count all system calls of this generator and of the broker's processes; needs root, and costs them a little
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub count_syscalls: Option<bool>,
}
overlay_keys!(CommonFlags {
    workload,
    brokers,
    topic,
    client_id,
    thread_count,
    warm_up_s,
    retry_time_s,
    json,
    hlog,
    progress,
    data_dir,
    broker_pids,
    broker_version,
    count_syscalls,
});

/// Keys of `produce`, and of the sending half of `roundtrip`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProduceFlags {
    /// Partitions; a missing topic is made with so many, one that is there must have them [default: as it is]
    #[arg(long = "partitions", value_name = "COUNT")]
    pub partition_count: Option<u32>,
    /// Replicas of each partition of a topic that is made [default: the broker's]
    #[arg(long = "replication", value_name = "COUNT")]
    pub replica_count: Option<i16>,
    /// Setting of a topic that is made, KEY=VALUE; may be repeated
    #[arg(long = "topic-config", value_name = "KEY=VALUE")]
    pub topic_configs: Option<Vec<String>>,
    /// Connections, each a producer with partitions of its own [default: 1]
    #[arg(long = "connections", value_name = "COUNT")]
    pub connection_count: Option<u32>,
    /// Requests in flight on each connection, a batch each [default: 5]
    #[arg(long = "in-flight", value_name = "COUNT")]
    pub in_flight_count: Option<u32>,
    /// Most bytes of a batch before compression, header included [default: 16384]
    #[arg(long)]
    pub batch_bytes: Option<usize>,
    /// Most records of a batch [default: as many as the bytes hold]
    #[arg(long = "batch-records", value_name = "COUNT")]
    pub batch_record_count: Option<u32>,
    /// With --rate: records come one by one, and a batch leaves when it is full or its first record has waited so long,
    /// milliseconds [default: the records of a batch come together]
    #[arg(long, value_name = "MS")]
    pub linger_ms: Option<f64>,
    /// What the records say [default: filler]
    #[arg(long)]
    pub profile: Option<Profile>,
    /// Bytes of a value, profile filler [default: 1000]
    #[arg(long)]
    pub record_bytes: Option<usize>,
    /// Share of a filler value that does not compress, in percent [default: 50]
    #[arg(long)]
    pub random_percent: Option<u8>,
    /// Bytes of a key; 0: none [default: 0; with --key-count 16]
    #[arg(long)]
    pub key_bytes: Option<usize>,
    /// Different keys, of all connections together; without it every record has a key of its own
    #[arg(long, value_name = "COUNT")]
    pub key_count: Option<u64>,
    /// How often each of --key-count keys comes [default: uniform]
    #[arg(long)]
    pub key_spread: Option<KeySpread>,
    /// With --key-spread zipf: key number k comes in proportion to 1 / k^EXPONENT [default: 0.99]
    #[arg(long, value_name = "EXPONENT")]
    pub zipf_exponent: Option<f64>,
    /// Records to send, all connections together [default: no limit]
    #[arg(long = "count", value_name = "RECORDS")]
    pub record_count: Option<u64>,
    /// Seconds to send, warm-up included [default: no limit; Ctrl-C ends the run]
    #[arg(long = "time", value_name = "S")]
    pub time_s: Option<f64>,
    /// Records a second, all connections together, open loop; 0: as fast as answers come [default: 0]
    #[arg(long = "rate", value_name = "RECORDS_PER_S")]
    pub rate_records_per_s: Option<u64>,
    /// Connections a second, of all together, that are closed and opened again [default: 0]
    #[arg(long = "reopen-rate", value_name = "CONNECTIONS_PER_S")]
    pub reopens_per_s: Option<u64>,
    /// Compression [default: none]
    #[arg(long)]
    pub codec: Option<Codec>,
    /// Acknowledgements to wait for [default: all]
    #[arg(long)]
    pub acks: Option<Acks>,
    /// Each connection asks for a producer id and sends a batch again until it is acknowledged
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub idempotent: Option<bool>,
    /// Without --idempotent: how often a batch may be sent again, perhaps doubling it [default: 0]
    #[arg(long = "retries", value_name = "COUNT")]
    pub retry_count: Option<u32>,
    /// How long the broker may take for a request, milliseconds [default: 30000]
    #[arg(long)]
    pub timeout_ms: Option<u32>,
    /// How long to wait for answers at the end, seconds [default: 30]
    #[arg(long = "drain", value_name = "S")]
    pub drain_s: Option<f64>,
    /// Every record carries run, producer, sequence and checksum in a header `tw`
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub verifiable: Option<bool>,
    /// Write what was acknowledged to this file, for `consume --verify`; implies --verifiable
    #[arg(long, visible_alias = "verify-file", value_name = "FILE")]
    pub acked: Option<PathBuf>,
    /// Seed of all that is random in the records [default: drawn, and told in the result]
    #[arg(long)]
    pub seed: Option<u64>,
}
overlay_keys!(ProduceFlags {
    partition_count,
    replica_count,
    topic_configs,
    connection_count,
    in_flight_count,
    batch_bytes,
    batch_record_count,
    linger_ms,
    profile,
    record_bytes,
    random_percent,
    key_bytes,
    key_count,
    key_spread,
    zipf_exponent,
    record_count,
    time_s,
    rate_records_per_s,
    reopens_per_s,
    codec,
    acks,
    idempotent,
    retry_count,
    timeout_ms,
    drain_s,
    verifiable,
    acked,
    seed,
});

/// Keys of `consume`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumeFlags {
    /// Where to begin: earliest, latest, or an offset [default: earliest]
    #[arg(long)]
    pub from: Option<ReadFrom>,
    /// Partitions: all, or numbers and ranges as in 0,3,8-11 [default: all]
    #[arg(long, value_name = "LIST")]
    pub partitions: Option<String>,
    /// Connections, each reads partitions of its own [default: 1]
    #[arg(long = "connections", value_name = "COUNT")]
    pub connection_count: Option<u32>,
    /// Most bytes of an answer [default: 52428800]
    #[arg(long)]
    pub fetch_bytes: Option<u32>,
    /// Most bytes of one partition in an answer [default: 1048576]
    #[arg(long)]
    pub partition_bytes: Option<u32>,
    /// Bytes the broker waits for [default: 1]
    #[arg(long)]
    pub min_bytes: Option<u32>,
    /// How long it waits for them, milliseconds [default: 500]
    #[arg(long)]
    pub max_wait_ms: Option<u32>,
    /// End after so many records [default: no limit]
    #[arg(long = "count", value_name = "RECORDS")]
    pub record_count: Option<u64>,
    /// End after so many seconds, warm-up included [default: no limit]
    #[arg(long = "time", value_name = "S")]
    pub time_s: Option<f64>,
    /// End at the offsets that were the end at the start [default: with --from earliest or an offset, if no other end is given]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub until_end: Option<bool>,
    /// At the end begin again at the start, until --time is over
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub repeat: Option<bool>,
    /// Check every batch and record, and compare with the journals given
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub verify: Option<bool>,
    /// Acknowledgement journal of a run; implies --verify; may be repeated
    #[arg(long, value_name = "FILE")]
    pub acked: Option<Vec<PathBuf>>,
}
overlay_keys!(ConsumeFlags {
    from,
    partitions,
    connection_count,
    fetch_bytes,
    partition_bytes,
    min_bytes,
    max_wait_ms,
    record_count,
    time_s,
    until_end,
    repeat,
    verify,
    acked,
});

/// Keys of `roundtrip`'s reading half.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundtripFlags {
    /// Connections that share the reading [default: 1]
    #[arg(long = "consumers", value_name = "COUNT")]
    pub consumer_count: Option<u32>,
    /// Readers, each of which reads everything, over connections and a thread of its own [default: 1]
    #[arg(long = "readers", value_name = "COUNT")]
    pub reader_count: Option<u32>,
    /// Bytes the broker waits for before it answers a fetch [default: 1]
    #[arg(long)]
    pub fetch_min_bytes: Option<u32>,
    /// How long it waits for them, milliseconds [default: 500]
    #[arg(long)]
    pub fetch_max_wait_ms: Option<u32>,
}
overlay_keys!(RoundtripFlags { consumer_count, reader_count, fetch_min_bytes, fetch_max_wait_ms });

/// Keys of `group`.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFlags {
    /// Id of the group; of several, the beginning of their ids [default: drawn, and told in the result]
    #[arg(long = "group", value_name = "ID")]
    pub name: Option<String>,
    /// Groups, each of which plays the script [default: 1]
    #[arg(long = "groups", value_name = "COUNT")]
    pub group_count: Option<u32>,
    /// A line of the script, AT_S:join|leave|die|restart:MEMBERS[:OVER_S]; may be repeated
    #[arg(long = "event", value_name = "EVENT")]
    pub events: Option<Vec<Event>>,
    /// How the leader shares partitions [default: range]
    #[arg(long)]
    pub assignor: Option<Assignor>,
    /// Members are static: they have instance ids
    #[arg(long = "static", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub is_static: Option<bool>,
    /// How long a member may be silent, milliseconds [default: 45000]
    #[arg(long)]
    pub session_timeout_ms: Option<u32>,
    /// How long a rebalance waits for a member, milliseconds [default: 300000]
    #[arg(long)]
    pub rebalance_timeout_ms: Option<u32>,
    /// Between two heartbeats, milliseconds [default: 3000]
    #[arg(long)]
    pub heartbeat_ms: Option<u32>,
    /// Commits a second, all members together, open loop; 0: only by interval [default: 0]
    #[arg(long = "commit-rate", value_name = "COMMITS_PER_S")]
    pub commits_per_s: Option<u64>,
    /// Seconds after the start of the run from which commits are due [default: 0]
    #[arg(long = "commit-start", value_name = "S")]
    pub commit_start_s: Option<f64>,
    /// Most partitions in a commit at a rate [default: 1]
    #[arg(long = "commit-partitions", value_name = "COUNT")]
    pub commit_partition_count: Option<u32>,
    /// Between two commits of what a member read, milliseconds; 0: only when it lets go of something [default: 5000]
    #[arg(long)]
    pub commit_interval_ms: Option<u32>,
    /// Members fetch what they own, and what reached them is compared with the log
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub read: Option<bool>,
    /// Where a member begins without a commit: earliest or latest [default: earliest]
    #[arg(long)]
    pub from: Option<ReadFrom>,
    /// Bytes the broker waits for before it answers a fetch [default: 1]
    #[arg(long)]
    pub fetch_min_bytes: Option<u32>,
    /// How long it waits for them, milliseconds [default: 500]
    #[arg(long)]
    pub fetch_max_wait_ms: Option<u32>,
    /// Send meanwhile, as the flags of `produce` say
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub feed: Option<bool>,
}
overlay_keys!(GroupFlags {
    name,
    group_count,
    events,
    assignor,
    is_static,
    session_timeout_ms,
    rebalance_timeout_ms,
    heartbeat_ms,
    commits_per_s,
    commit_start_s,
    commit_partition_count,
    commit_interval_ms,
    read,
    from,
    fetch_min_bytes,
    fetch_max_wait_ms,
    feed,
});
