//! Producers and groups under way: the load generator's runs, in this process, which go on over every kill.

use super::dice::Plan;
use super::stage::{GROUPED, KINDS, Kind};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use thalweg_loadgen::batch::Codec;
use thalweg_loadgen::group::{Action, Event};
use thalweg_loadgen::result::RunResult;
use thalweg_loadgen::run::{RunError, Stop, run};
use thalweg_loadgen::spec::{Acks, Command, CommonFlags, GroupFlags, ProduceFlags, Spec};
use thalweg_loadgen::verify::Ledger;

/// A broker may be away for so long.
const RETRY_TIME_S: f64 = 60.0;
const DRAIN_S: f64 = 60.0;
/// Longer than any round: the campaign ends its runs itself.
const RUN_S: f64 = 3_600.0;
/// A static member that came again is known by its new id once the rebalance is over. A kill before that takes the
/// coordinator back to the old one, and the new one is fenced: in Kafka, too, no promise was made to it.
const FENCED_INSTANCE: &str = "FencedInstanceId";
const PAUSE: Duration = Duration::from_millis(30);

/// Everything that runs against the broker in a round.
pub(super) struct Load {
    producing: Vec<(usize, PathBuf, Stop, JoinHandle<Result<Option<RunResult>, String>>)>,
    groups: Vec<(Stop, JoinHandle<Result<Option<RunResult>, String>>)>,
}

/// What the load left behind.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// By place in `KINDS`.
    pub(super) ledgers: Vec<(usize, Ledger)>,
    /// Answered commits by group and partition.
    pub(super) committed: BTreeMap<String, Vec<i64>>,
    pub(super) violations: Vec<String>,
}

impl Load {
    /// Begins: a run for each topic, static members of groups that live as long as the topic, and others of this round alone.
    pub(super) fn begin(address: &str, dir: &Path, plan: &Plan, round: u32) -> Self {
        let random = &mut StdRng::seed_from_u64(plan.seed ^ 1);
        let drain_s = if plan.gives_up { 0.0 } else { DRAIN_S };
        let mut producing = Vec::new();
        for (place, kind) in KINDS.iter().enumerate() {
            // Not every topic in every round: idle logs beside busy ones.
            if random.random_ratio(1, 6) {
                continue;
            }
            let acked = dir.join(format!("acked-{}", kind.name));
            let _ = std::fs::remove_file(&acked);
            let command = Command::Produce {
                common: common(address, kind.name),
                produce: produce(kind, &acked, drain_s, random),
            };
            let (stop, handle) = spawn(command);
            producing.push((place, acked, stop, handle));
        }
        // Lasting groups need not read to the end; what they committed before would not reach them again.
        let members =
            [("lasting".to_owned(), 4, true, 2, 0.3), (format!("round-{round}"), 2, false, 1, DRAIN_S)];
        let groups = members.into_iter().map(|(name, count, is_static, member_count, drain_s)| {
            spawn(Command::Group {
                common: common(address, KINDS[GROUPED].name),
                produce: ProduceFlags {
                    time_s: Some(RUN_S),
                    drain_s: Some(drain_s),
                    ..ProduceFlags::default()
                },
                group: group(name, count, is_static, member_count, random),
            })
        });
        Self { producing, groups: groups.collect() }
    }

    /// Asks all producers to end; those that are given up do so at once.
    pub(super) fn stop_producing(&self) {
        self.producing.iter().for_each(|(_, _, stop, _)| stop.ask());
    }

    /// Ends everything and waits for it.
    pub(super) fn end(self) -> Left {
        let mut left = Left::default();
        self.stop_producing();
        for (place, acked, _, handle) in self.producing {
            let name = KINDS[place].name;
            match handle.join().expect("a load does not panic") {
                Ok(None) => continue,
                Ok(Some(result)) => left
                    .violations
                    .extend(result.failures.iter().map(|failure| format!("a producer of {name}: {failure}"))),
                Err(error) => left.violations.push(format!("a producer of {name}: {error}")),
            }
            match Ledger::read(&acked) {
                Ok(ledger) => left.ledgers.push((place, ledger)),
                Err(error) => left.violations.push(error.to_string()),
            }
        }
        self.groups.iter().for_each(|(stop, _)| stop.ask());
        for (_, handle) in self.groups {
            match handle.join().expect("a load does not panic") {
                Ok(result) => left.take_groups(result),
                Err(error) => left.violations.push(format!("a group: {error}")),
            }
        }
        left
    }
}

impl Left {
    fn take_groups(&mut self, result: Option<RunResult>) {
        let Some(result) = result else { return };
        let failures = result.failures.iter().filter(|failure| !failure.contains(FENCED_INSTANCE));
        self.violations.extend(failures.map(|failure| format!("a group: {failure}")));
        let Some(group) = result.group else { return };
        self.violations.extend(group.gone_back_examples);
        // Groups of one round began at the log's start: each record must have reached one of their members.
        if group.committed_offsets.keys().all(|name| name.starts_with("round-")) {
            self.violations
                .extend(group.missed_examples.iter().map(|what| format!("nobody was given: {what}")));
        }
        self.committed.extend(group.committed_offsets);
    }
}

/// A run that begins when a broker is there to begin with; `None` if it was ended before.
fn spawn(command: Command) -> (Stop, JoinHandle<Result<Option<RunResult>, String>>) {
    let stop = Stop::default();
    let asked = stop.clone();
    let handle = thread::spawn(move || {
        let spec = Spec::from_command(command).map_err(|error| error.to_string())?;
        loop {
            match run(spec.clone(), &stop) {
                Ok(result) => return Ok(Some(result)),
                // Nothing has been sent: a run that was prepared ends without an error, whatever becomes of the broker.
                Err(RunError::Client(_)) if stop.is_asked() => return Ok(None),
                Err(RunError::Client(_)) => thread::sleep(PAUSE),
                Err(error) => return Err(error.to_string()),
            }
        }
    });
    (asked, handle)
}

fn common(address: &str, topic: &str) -> CommonFlags {
    CommonFlags {
        brokers: Some(address.to_owned()),
        topic: Some(topic.to_owned()),
        retry_time_s: Some(RETRY_TIME_S),
        ..CommonFlags::default()
    }
}

fn produce(kind: &Kind, acked: &Path, drain_s: f64, random: &mut StdRng) -> ProduceFlags {
    let codecs = [Codec::None, Codec::None, Codec::Lz4, Codec::Zstd, Codec::Gzip, Codec::Snappy];
    ProduceFlags {
        connection_count: Some(kind.connections),
        in_flight_count: Some(random.random_range(1..=5)),
        batch_bytes: Some(900_000),
        batch_record_count: Some(random.random_range(kind.batch_records.0..=kind.batch_records.1)),
        record_bytes: Some(random.random_range(kind.record_bytes.0..=kind.record_bytes.1)),
        key_bytes: Some(random.random_range(0..20)),
        rate_records_per_s: Some(random.random_range(kind.rate.0..=kind.rate.1)),
        codec: Some(codecs[random.random_range(0..codecs.len())]),
        acks: Some(Acks::All),
        idempotent: Some(true),
        drain_s: Some(drain_s),
        acked: Some(acked.to_owned()),
        seed: Some(random.random()),
        ..ProduceFlags::default()
    }
}

fn group(
    name: String,
    group_count: u32,
    is_static: bool,
    member_count: u32,
    random: &mut StdRng,
) -> GroupFlags {
    let join = Event { at_s: 0.0, action: Action::Join, member_count, over_s: 0.0 };
    // Some come again while it goes on: what they are told then was committed before.
    let again =
        Event { at_s: random.random_range(0.2..1.5), action: Action::Restart, member_count: 1, over_s: 0.0 };
    GroupFlags {
        name: Some(name),
        group_count: Some(group_count),
        events: Some(vec![join, again]),
        is_static: Some(is_static),
        session_timeout_ms: Some(3_000),
        rebalance_timeout_ms: Some(3_000),
        heartbeat_ms: Some(100),
        commit_interval_ms: Some(random.random_range(20..200)),
        read: Some(true),
        fetch_max_wait_ms: Some(100),
        ..GroupFlags::default()
    }
}
