//! A broker that is killed again and again under load, and audited each time: the campaign behind `tests/campaign kill`.
//!
//! ```text
//!  dice: what is done in a round        stage: the topics          load: producers, groups (the load generator's)
//!  witness: a consumer that remembers   churn: topics come and go  audit, dump: what must hold afterwards
//! ```
//! What is random comes from the seed; when threads run does not, so a seed repeats what was done and not what came of it.
mod audit;
mod churn;
mod dice;
mod dump;
mod load;
mod stage;
mod witness;

use crate::Broker;
use crate::process::resident_bytes;
use churn::{Churn, Names};
use dice::{Kill, Plan};
use load::{Left, Load};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stage::{CUT, GROUPED, KINDS, Topic};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use witness::{Testimony, Witness};

const SETTINGS: [(&str, &str); 4] = [
    ("log.retention.check.interval.ms", "200"),
    ("log.segment.delete.delay.ms", "500"),
    ("group.min.session.timeout.ms", "500"),
    ("thalweg.large.run.bytes", "131072"),
];
/// A topic is read whole and made anew after so many rounds.
const AGES: std::ops::Range<u32> = 6..14;
/// Words of the broker's log that no kill explains.
const COMPLAINTS: [&str; 4] = ["panicked at", "fenced", "offline", "ERROR"];

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Rounds, each with at least one kill.
    pub rounds: u32,
    /// Of all that is random.
    pub seed: u64,
    /// Kafka's tool reads the segments now and then.
    pub dumps: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Rounds made.
    pub rounds: u32,
    /// Kills, those in the middle of a start included.
    pub kills: u32,
    /// Of them, those in the middle of a start.
    pub kills_at_start: u32,
    /// Clean stops.
    pub stops: u32,
    /// Records acknowledged and found.
    pub acknowledged_records: u64,
    /// Commits of groups that were held against what was told later: offsets.
    pub committed_offsets: u64,
    /// Topics that were made and deleted under load.
    pub topics_made: u64,
    /// Segments that Kafka read.
    pub dumped_segments: usize,
    /// From each start to its first answers.
    pub recoveries: Vec<Duration>,
    /// All that was wrong, by round.
    pub violations: Vec<(u32, String)>,
    /// Where the data of rounds with violations lies.
    pub kept: Vec<PathBuf>,
}

impl Summary {
    /// In words, one line each.
    pub fn words(&self) -> String {
        let mut starts: Vec<_> = self.recoveries.iter().map(Duration::as_millis).collect();
        starts.sort_unstable();
        let at =
            |percent: usize| starts.get((starts.len() * percent / 100).min(starts.len().saturating_sub(1)));
        let mut words = format!(
            "{} rounds, {} kills ({} of them in the middle of a start), {} clean stops\n\
             {} records acknowledged, {} committed offsets, {} topics made under load, {} segments read by Kafka\n\
             ready again after {} ms (p50), {} ms (p99), {} ms (worst)\nviolations: {}",
            self.rounds,
            self.kills,
            self.kills_at_start,
            self.stops,
            self.acknowledged_records,
            self.committed_offsets,
            self.topics_made,
            self.dumped_segments,
            at(50).unwrap_or(&0),
            at(99).unwrap_or(&0),
            starts.last().unwrap_or(&0),
            self.violations.len()
        );
        for dir in &self.kept {
            words.extend(["\nkept: ", &dir.to_string_lossy()]);
        }
        words
    }
}

/// Makes the rounds; prints a line for each, and every violation with it.
///
/// # Panics
/// If a broker does not start on a fresh directory.
pub fn campaign(settings: Settings) -> Summary {
    let mut summary = Summary::default();
    let mut stage = Stage::set();
    for number in 0..settings.rounds {
        let plan = Plan::draw(settings.seed, number);
        let begun = Instant::now();
        let outcome = stage.round(&plan, number, settings.dumps, &mut summary);
        summary.rounds += 1;
        println!(
            "round {number}: {} partitions, {} records acknowledged, {}; ready after {:?} ms; {} MiB; {} violations; {:.1} s",
            stage.partitions(),
            summary.acknowledged_records,
            plan.words(),
            outcome.starts.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            outcome.resident_bytes >> 20,
            outcome.violations.len(),
            begun.elapsed().as_secs_f64()
        );
        summary.recoveries.extend(outcome.starts);
        if outcome.violations.is_empty() {
            continue;
        }
        for what in &outcome.violations {
            println!("round {number}: VIOLATION: {what}");
        }
        summary.violations.extend(outcome.violations.into_iter().map(|what| (number, what)));
        summary.kept.push(stage.keep());
        stage = Stage::set();
    }
    summary
}

/// What one round showed.
#[derive(Debug, Default)]
struct Outcome {
    starts: Vec<Duration>,
    resident_bytes: u64,
    violations: Vec<String>,
}

/// The broker, its topics, and all that was promised about them.
struct Stage {
    broker: Broker,
    topics: Vec<Topic>,
    names: Names,
    committed: BTreeMap<String, Vec<i64>>,
    /// How much of the broker's log was looked at.
    log_read: usize,
}

impl Stage {
    fn set() -> Self {
        let broker = Broker::with(&SETTINGS);
        let mut client = broker.client();
        let topics = KINDS.iter().map(|kind| Topic::make(*kind, &mut client)).collect();
        let names = Names::new(KINDS[CUT].partitions);
        Self { broker, topics, names, committed: BTreeMap::new(), log_read: 0 }
    }

    fn partitions(&self) -> usize {
        self.topics.iter().map(|topic| topic.audited.len()).sum()
    }

    /// Ends the broker as it stands; returns where its data and log are kept.
    fn keep(&mut self) -> PathBuf {
        if self.broker.is_alive() {
            self.broker.kill();
        }
        self.broker.keep();
        self.broker.dir().to_owned()
    }

    fn round(&mut self, plan: &Plan, number: u32, dumps: bool, summary: &mut Summary) -> Outcome {
        let mut outcome = Outcome::default();
        let address = self.broker.address();
        let load = Load::begin(&address, self.broker.dir(), plan, number);
        let positions = self.topics.iter().flat_map(|topic| {
            (0..).zip(&topic.audited).map(|(partition, known)| ((topic.kind.name, partition), known.end))
        });
        let witness = Witness::begin(address.clone(), positions.collect());
        let names = std::mem::replace(&mut self.names, Names::new(0));
        let churn = Churn::begin(address, names, plan.seed);
        for (place, kill) in plan.kills.iter().enumerate() {
            let gives_up = plan.gives_up && place + 1 == plan.kills.len();
            self.kill(kill, gives_up.then_some(&load), summary, &mut outcome);
        }
        thread::sleep(plan.after);
        let left = load.end();
        let testimony = witness.end();
        self.names = churn.end();
        outcome.resident_bytes = resident_bytes(self.broker.pid()).unwrap_or(0);
        self.take(left, &testimony, summary, &mut outcome);
        self.look(&testimony, false, &mut outcome);
        if dumps && plan.dumps && !plan.stops {
            self.dump(false, summary, &mut outcome);
        }
        if plan.stops {
            self.broker.stop();
            summary.stops += 1;
            if dumps && plan.dumps {
                self.dump(true, summary, &mut outcome);
            }
            outcome.starts.push(self.broker.start_again(Some(plan.cores)));
            self.look(&Testimony::default(), false, &mut outcome);
        }
        if plan.idle_kill {
            self.broker.kill();
            summary.kills += 1;
            outcome.starts.push(self.broker.start_again(Some(plan.cores)));
            self.look(&Testimony::default(), false, &mut outcome);
        }
        self.renew(plan, summary, &mut outcome);
        self.look_at_log(&mut outcome);
        outcome
    }

    /// Kills the broker and starts it again; starts that are killed, too, come between.
    fn kill(&mut self, kill: &Kill, given_up: Option<&Load>, summary: &mut Summary, outcome: &mut Outcome) {
        thread::sleep(kill.after);
        self.broker.kill();
        summary.kills += 1;
        if let Some(load) = given_up {
            load.stop_producing();
        }
        for after in &kill.at_starts {
            self.broker.begin(Some(kill.cores));
            thread::sleep(*after);
            self.broker.kill();
            summary.kills += 1;
            summary.kills_at_start += 1;
        }
        outcome.starts.push(self.broker.start_again(Some(kill.cores)));
    }

    /// Takes over what the load and the churn were told.
    fn take(&mut self, left: Left, testimony: &Testimony, summary: &mut Summary, outcome: &mut Outcome) {
        outcome.violations.extend(left.violations);
        outcome.violations.extend(testimony.violations.iter().cloned());
        for (place, ledger) in left.ledgers {
            summary.acknowledged_records += ledger.acknowledged_count();
            self.topics[place].ledgers.push(ledger);
        }
        for (group, answered) in left.committed {
            summary.committed_offsets += answered.iter().filter(|offset| **offset >= 0).count() as u64;
            let known = self.committed.entry(group).or_insert_with(|| vec![-1; answered.len()]);
            known.iter_mut().zip(answered).for_each(|(known, answered)| *known = (*known).max(answered));
        }
        for (known, (answered, asked)) in self.topics[CUT].audited.iter_mut().zip(&self.names.cuts) {
            known.log_start = known.log_start.max(*answered);
            known.log_start_asked = known.log_start_asked.max(*asked);
        }
        summary.topics_made += std::mem::take(&mut self.names.made);
    }

    /// Audits everything.
    fn look(&mut self, testimony: &Testimony, whole: bool, outcome: &mut Outcome) {
        let address = self.broker.address();
        for topic in &mut self.topics {
            outcome.violations.extend(audit::audit(&address, topic, testimony, whole));
        }
        let mut client = self.broker.client();
        if let Err(error) = self.names.settle(&mut client) {
            outcome.violations.push(format!("names cannot be looked at: {error}"));
        }
        outcome.violations.append(&mut self.names.violations);
        self.look_at_commits(outcome);
    }

    /// A commit that was answered is there, or a later one, and none lies behind the log's end.
    fn look_at_commits(&mut self, outcome: &mut Outcome) {
        let mut client = self.broker.client();
        let grouped = &self.topics[GROUPED];
        let partitions: Vec<i32> = (0..grouped.kind.partitions).collect();
        for (group, answered) in &mut self.committed {
            let told = client.committed(group, grouped.kind.name, &partitions);
            for ((partition, answered), (told, _)) in (0..).zip(answered).zip(told) {
                let end = grouped.audited[partition].end;
                if told < *answered || told > end {
                    outcome.violations.push(format!(
                        "group {group}, partition {partition}: committed {told}, {answered} was answered, the log ends at {end}"
                    ));
                }
                *answered = told.max(*answered);
            }
        }
    }

    fn dump(&self, is_stopped: bool, summary: &mut Summary, outcome: &mut Outcome) {
        let (count, violations) = dump::dump(&self.broker.data_dir(), &self.topics, is_stopped);
        summary.dumped_segments += count.unwrap_or(0);
        outcome.violations.extend(violations);
    }

    /// Topics that are old enough are read whole, deleted and made again under their names, perhaps with a kill between.
    fn renew(&mut self, plan: &Plan, summary: &mut Summary, outcome: &mut Outcome) {
        let random = &mut StdRng::seed_from_u64(plan.seed ^ 3);
        for place in 0..self.topics.len() {
            self.topics[place].age += 1;
            if self.topics[place].age < random.random_range(AGES) {
                continue;
            }
            let address = self.broker.address();
            let violations = audit::audit(&address, &mut self.topics[place], &Testimony::default(), true);
            outcome.violations.extend(violations);
            let kind = self.topics[place].kind;
            let code = self.broker.client().delete_topic(kind.name);
            if code != 0 {
                outcome.violations.push(format!("{}: deleting it was answered with {code}", kind.name));
            }
            if random.random_ratio(1, 3) {
                self.broker.kill();
                summary.kills += 1;
                outcome.starts.push(self.broker.start_again(Some(plan.cores)));
            }
            let before = self.topics[place].id;
            self.topics[place] = Topic::make(kind, &mut self.broker.client());
            if self.topics[place].id == before {
                outcome.violations.push(format!("{}: made anew with the old id", kind.name));
            }
            match place {
                CUT => self.names.cuts.fill((0, 0)),
                // Its offsets go with the topic; groups begin anew.
                GROUPED => self.committed.clear(),
                _ => {}
            }
        }
    }

    /// The broker's own log since the last look, and directories that no deletion explains.
    fn look_at_log(&mut self, outcome: &mut Outcome) {
        let text = self.broker.log_text();
        let new = text.get(self.log_read..).unwrap_or(&text);
        let complaints = new.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
        outcome.violations.extend(complaints.take(5).map(|line| format!("the broker says: {line}")));
        self.log_read = text.len();
        let entries = fs::read_dir(self.broker.data_dir()).into_iter().flatten().flatten();
        let kept = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "kept"));
        outcome.violations.extend(kept.map(|path| format!("{} was kept out of the way", path.display())));
    }
}
