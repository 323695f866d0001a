//! One cell of the matrix: a client, a verb, an outcome. A column runs every client through one verb.
//!
//! Most of a cell's time is waiting for groups to settle, so a few run side by side; all columns together never run more than
//! `CELLS_AT_ONCE`, since every client beside them has processes of its own.

use super::report;
use harness::driver::Driver;
use harness::records::{Batch, KeyValue};
use harness::subjects::{Ready, SUBJECTS, Subject};
use harness::verbs::fresh;
use harness::{Broker, Client, skip};
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{any::Any, env, thread};

/// Clients that are tried at the same time, over all columns.
const CELLS_AT_ONCE: usize = 4;

/// What a cell shows.
pub(super) struct Verb {
    /// Its column.
    pub(super) name: &'static str,
    /// Without these a client cannot be asked.
    pub(super) needs: &'static [&'static str],
    /// Whether the assignor makes a difference.
    pub(super) groups: bool,
    /// How it is shown.
    pub(super) run: Run,
}

/// How a column is run.
pub(super) enum Run {
    /// Each client for itself, on the shared broker.
    Each(fn(&Trial) -> Shown),
    /// A few clients at once, on a broker that something happens to.
    Together(fn(&mut Broker), fn(&Trial, &dyn Fn()) -> Shown),
}

/// What a green cell has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// Records that went through and were compared.
    pub(super) records: usize,
    /// What was left out, with the reason.
    pub(super) without: Vec<String>,
}

/// What became of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Green(Shown),
    Failed(String),
    NotApplicable(String),
    Skipped(String),
}

/// One client and the broker it is tried on.
pub(super) struct Trial {
    pub(super) client: Ready,
    pub(super) address: String,
}

impl Trial {
    /// A raw connection.
    pub(super) fn raw(&self) -> Client {
        Client::connect_within(&self.address, Duration::from_secs(30)).expect("the broker takes connections")
    }

    /// A new topic.
    pub(super) fn topic(&self, partitions: i32) -> String {
        let topic = fresh("matrix");
        self.raw().create_topic(&topic, partitions);
        topic
    }

    /// Writes records `numbers` as the drivers would, by hand.
    pub(super) fn write(&self, topic: &str, partition: i32, numbers: impl IntoIterator<Item = usize>) {
        self.raw().produce(topic, partition, &numbered(numbers));
    }

    /// Produces `numbers` through the client, which must bring all of them to the broker.
    pub(super) fn produce(&self, topic: &str, numbers: Range<usize>, keys: &[(&str, &str)]) {
        let (first, count) = (numbers.start.to_string(), numbers.len().to_string());
        let mut all = vec![("bootstrap", self.address.as_str()), ("topic", topic)];
        all.extend([("first", first.as_str()), ("count", count.as_str())]);
        all.extend(keys);
        let mut producer = self.client.start("produce", &all);
        let seen = producer.ended();
        assert_eq!((seen.acked, seen.failed), (numbers.len() as u64, 0), "{keys:?}: {:?}", seen.errors);
    }

    /// Starts a consumer; sessions are long where the verb says nothing else, so that a slow machine does not end them.
    pub(super) fn consume(&self, keys: &[(&str, &str)]) -> Driver {
        let mut all = vec![("bootstrap", self.address.as_str())];
        if !keys.iter().any(|(key, _)| *key == "session_ms") {
            all.push(("session_ms", "25000"));
        }
        all.push(("heartbeat_ms", "500"));
        all.extend(keys);
        self.client.start("consume", &all)
    }
}

/// A batch of records `key-N`, `value-N`.
pub(super) fn numbered(numbers: impl IntoIterator<Item = usize>) -> Batch {
    let record = |number| KeyValue {
        key: Some(format!("key-{number}").into_bytes()),
        value: Some(format!("value-{number}").into_bytes()),
    };
    let mut batch = Batch::of(&[]);
    batch.records = numbers.into_iter().map(record).collect();
    batch
}

/// Tries every client with one verb, keeps the outcomes for the report, and fails if a cell has failed.
pub(super) fn column(verb: &Verb) {
    let begun = Instant::now();
    let chosen = env::var("THALWEG_MATRIX_CLIENTS").unwrap_or_default();
    let chosen: Vec<&str> = chosen.split(';').filter(|name| !name.is_empty()).collect();
    let rows: Vec<&Subject> =
        SUBJECTS.iter().filter(|row| chosen.is_empty() || chosen.contains(&row.name)).collect();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut ready = VecDeque::new();
    for (index, row) in rows.iter().enumerate() {
        let early = beforehand(verb, row);
        if let Ok(client) = &early {
            ready.push_back((index, client.clone()));
        }
        outcomes.push(early.err());
    }
    for (index, outcome) in try_all(verb, ready) {
        outcomes[index] = Some(outcome);
    }
    let outcomes: Vec<(&str, Outcome)> =
        rows.iter().map(|row| row.name).zip(outcomes.into_iter().flatten()).collect();
    assert_eq!(outcomes.len(), rows.len(), "every cell has an outcome");
    report::keep(verb.name, &outcomes);
    let greens = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Green(_))).count();
    let took = begun.elapsed().as_secs();
    skip::loud(&format!("matrix, {}: {greens} of {} clients green, {took} s", verb.name, rows.len()));
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(row, outcome)| match outcome {
            Outcome::Failed(why) => Some(format!("{row}: {why}")),
            _ => None,
        })
        .collect();
    assert!(failed.is_empty(), "{}:\n{}", verb.name, failed.join("\n"));
}

/// A client to be tried, or why it is not.
fn beforehand(verb: &Verb, row: &Subject) -> Result<Ready, Outcome> {
    if row.groups_only && !verb.groups {
        return Err(Outcome::NotApplicable("the client's first row shows it".to_string()));
    }
    let client = row.ready().ok_or(Outcome::Skipped("it cannot be had on this machine".to_string()))?;
    match verb.needs.iter().find_map(|need| client.lacks.get(*need)) {
        Some(why) => Err(Outcome::NotApplicable(why.clone())),
        None => Ok(client),
    }
}

fn try_all(verb: &Verb, clients: VecDeque<(usize, Ready)>) -> Vec<(usize, Outcome)> {
    let mut clients: Vec<_> = clients.into();
    match verb.run {
        Run::Each(run) => {
            let broker = Broker::shared();
            let waiting = Mutex::new(VecDeque::from(clients));
            let outcomes = Mutex::new(Vec::new());
            let work = || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((index, client)) = next else { return };
                    let _permit = Permit::take(1);
                    let trial = Trial { client, address: broker.address() };
                    let mut outcome = outcome_of(|| run(&trial));
                    if let (Outcome::Failed(failed), Some(why)) = (&outcome, trial.client.stumbles) {
                        let row = trial.client.name;
                        skip::loud(&format!(
                            "matrix, {}: {row} is tried once more, since {why}: {failed}",
                            verb.name
                        ));
                        outcome = outcome_of(|| run(&trial));
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
                }
            };
            thread::scope(|scope| (0..CELLS_AT_ONCE).for_each(|_| drop(scope.spawn(work))));
            outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)
        }
        Run::Together(happens, run) => {
            let mut outcomes = Vec::new();
            while !clients.is_empty() {
                let round: Vec<_> = clients.drain(..clients.len().min(CELLS_AT_ONCE)).collect();
                let _permit = Permit::take(round.len());
                outcomes.extend(together(happens, run, round));
            }
            outcomes
        }
    }
}

/// One broker, a few clients on it; when each of them is under way or has failed, it happens, and they go on.
fn together(
    happens: fn(&mut Broker),
    run: fn(&Trial, &dyn Fn()) -> Shown,
    round: Vec<(usize, Ready)>,
) -> Vec<(usize, Outcome)> {
    let mut broker = Broker::start();
    let address = broker.address();
    let gate = Gate { state: Mutex::new((round.len(), None)), changed: Condvar::new() };
    thread::scope(|scope| {
        let cells: Vec<_> = round
            .into_iter()
            .map(|(index, client)| {
                let (gate, address) = (&gate, address.clone());
                scope.spawn(move || {
                    let arrival = Arrival(gate, std::cell::Cell::new(false));
                    let trial = Trial { client, address };
                    (index, outcome_of(|| run(&trial, &|| arrival.arrive_and_wait())))
                })
            })
            .collect();
        gate.wait_for_all();
        // Also where the broker does not come back: nobody waits for it for ever.
        gate.open(catch_unwind(AssertUnwindSafe(|| happens(&mut broker))).is_ok());
        let outcomes: Vec<_> =
            cells.into_iter().map(|cell| cell.join().expect("outcomes are caught")).collect();
        if outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_))) {
            eprintln!("--- the log of the broker that something happened to\n{}", broker.log_text());
        }
        outcomes
    })
}

/// Where cells wait until the broker is back: how many are not here yet, and whether it came back, once that is known.
struct Gate {
    state: Mutex<(usize, Option<bool>)>,
    changed: Condvar,
}

impl Gate {
    fn wait_for_all(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(state, |(missing, _)| *missing > 0));
    }

    fn open(&self, is_back: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(is_back);
        self.changed.notify_all();
    }
}

/// One cell's arrival at the gate; a cell that fails before counts as arrived.
struct Arrival<'a>(&'a Gate, std::cell::Cell<bool>);

impl Arrival<'_> {
    fn arrive(&self) {
        if !self.1.replace(true) {
            self.0.state.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
            self.0.changed.notify_all();
        }
    }

    fn arrive_and_wait(&self) {
        self.arrive();
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.0.changed.wait_while(state, |(_, is_back)| is_back.is_none());
        let is_back = opened.unwrap_or_else(PoisonError::into_inner).1;
        assert_eq!(is_back, Some(true), "the broker came back");
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.arrive();
    }
}

fn outcome_of(cell: impl FnOnce() -> Shown) -> Outcome {
    match catch_unwind(AssertUnwindSafe(cell)) {
        Ok(shown) => Outcome::Green(shown),
        Err(panic) => Outcome::Failed(words(panic.as_ref())),
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string())).unwrap_or_default()
}

/// Some of the places for cells; given back with the value.
struct Permit(usize);

static FREE: Mutex<usize> = Mutex::new(CELLS_AT_ONCE);
static FREED: Condvar = Condvar::new();

impl Permit {
    fn take(places: usize) -> Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = FREED.wait_while(free, |free| *free < places);
        *waited.unwrap_or_else(PoisonError::into_inner) -= places;
        Self(places)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREED.notify_all();
    }
}
