//! Watches a broker while a test does it harm: another client's latency, the process, its memory, its log.

use crate::records::Batch;
use crate::verbs::{code, fresh};
use crate::{Broker, Client, process, skip};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Asked for at least this often while the siege lasts.
const PAUSE: Duration = Duration::from_millis(25);
/// Generous: this bounds starvation, not speed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Takes the place of the one heavy test that may run at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A broker under attack and the well-behaved client beside it.
#[derive(Debug)]
pub struct Siege<'a> {
    broker: &'a Broker,
    pid: u32,
    ended: Arc<AtomicBool>,
    peak_bytes: Arc<AtomicU64>,
    witness: JoinHandle<Witnessed>,
    sampler: JoinHandle<()>,
}

/// What the well-behaved client saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Witnessed {
    /// Rounds of produce, fetch and metadata that were answered.
    pub rounds: u64,
    /// The slowest round.
    pub worst: Duration,
}

impl<'a> Siege<'a> {
    /// Begins to watch: a topic of its own, one connection, a round of requests every 25 ms.
    ///
    /// # Panics
    /// If the broker does not serve the first round.
    pub fn begin(broker: &'a Broker) -> Self {
        let topic = fresh("witness");
        let mut client = broker.client();
        client.create_topic(&topic, 1);
        let pid = broker.pid();
        let (ended, peak_bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let witness = {
            let ended = Arc::clone(&ended);
            thread::spawn(move || watch(&mut client, &topic, &ended))
        };
        let sampler = {
            let (ended, peak_bytes) = (Arc::clone(&ended), Arc::clone(&peak_bytes));
            thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    peak_bytes.fetch_max(process::resident_bytes(pid).unwrap_or(0), Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            })
        };
        Self { broker, pid, ended, peak_bytes, witness, sampler }
    }

    /// Ends the watch and asserts what must hold: the witness was served, the process is the same, no thread of it panicked; of a
    /// broker of ours also that each round was prompt and memory stayed below the limit.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn end(self, what: &str, resident_bytes_max: u64) {
        self.ended.store(true, Ordering::Relaxed);
        let witnessed =
            self.witness.join().unwrap_or_else(|_| panic!("{what}: the well-behaved client was not served"));
        let _ = self.sampler.join();
        let peak = self.peak_bytes.load(Ordering::Relaxed);
        skip::loud(&format!(
            "hostile, {what}: {} rounds of a well-behaved client, the slowest {} ms; resident memory at most {} MiB",
            witnessed.rounds,
            witnessed.worst.as_millis(),
            peak >> 20
        ));
        assert!(witnessed.rounds > 0, "{what}: no round was answered");
        assert!(
            self.broker.is_alive() && self.broker.pid() == self.pid,
            "{what}: the broker is another process"
        );
        let log = self.broker.log_text();
        assert!(!log.contains("panicked at"), "{what}: a panic in the broker's log\n{log}");
        if self.broker.against().is_thalweg() {
            assert!(witnessed.worst < ANSWER_WITHIN, "{what}: a round took {:?}", witnessed.worst);
            assert!(
                peak < resident_bytes_max,
                "{what}: {} MiB resident, limit {} MiB",
                peak >> 20,
                resident_bytes_max >> 20
            );
        }
    }
}

fn watch(client: &mut Client, topic: &str, ended: &AtomicBool) -> Witnessed {
    let mut witnessed = Witnessed::default();
    loop {
        let begun = Instant::now();
        let number = witnessed.rounds as i64;
        assert_eq!(client.produce(topic, 0, &Batch::numbered(number as usize, 1, 100)), number);
        let read = client.fetch(topic, 0, number);
        assert_eq!((read.error_code, read.high_watermark), (code::NONE, number + 1));
        assert_eq!(client.metadata(topic).error_code, code::NONE);
        witnessed.worst = witnessed.worst.max(begun.elapsed());
        witnessed.rounds += 1;
        if ended.load(Ordering::Relaxed) {
            return witnessed;
        }
        thread::sleep(PAUSE);
    }
}
