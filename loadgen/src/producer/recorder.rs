//! Count what became of the batches of one thread: figures inside of the measured window, the ledger for all of them.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::lane::Pending;
use crate::client::Cause;
use crate::histogram::Latencies;
use crate::run::Progress;
use crate::series::{Kinds, Series};
use crate::verify::{Ledger, StreamId};

/// Latencies of the series, in this order.
const KINDS: Kinds = &["produce", "produce_service", "reopen"];
const LATENCY: usize = 0;
const SERVICE: usize = 1;
const REOPEN: usize = 2;

/// All figures of one sending thread.
#[derive(Debug)]
pub struct Recorder {
    warm_up: Duration,
    end: Option<Duration>,
    keeps_ledger: bool,
    progress: Arc<Progress>,
    /// Intended time to acknowledgement, of records meant to leave after the warm-up.
    pub latencies: Latencies,
    /// Intended time to the first sending, by record: how much of the latency is waiting for room on the connection.
    pub waits: Latencies,
    /// The first sending to the acknowledgement, by record.
    pub services: Latencies,
    /// How long each batch waited for this generator alone: it was due and had room on its connection.
    pub own_waits: Latencies,
    /// Connections opened again by plan: from the time they were meant to be closed to the first answer on the new one.
    pub reopens: Latencies,
    /// Second by second, the warm-up included.
    pub series: Series,
    /// Batches acknowledged inside of the measured window.
    pub measured: Totals,
    /// Batches acknowledged at all.
    pub acknowledged: Totals,
    /// When the last acknowledgement came.
    pub last_acknowledged: Duration,
    /// Answers with an error, by code.
    pub errors: BTreeMap<i16, u64>,
    /// Batches sent again.
    pub repeated_batches: u64,
    /// Batches that were put back to be sent again, by cause.
    pub retries: BTreeMap<Cause, u64>,
    /// Records whose outcome nobody knows.
    pub unknown_records: u64,
    /// Records the broker refused.
    pub refused_records: u64,
    /// Records that were due and never sent, because the run ended first.
    pub unsent_records: u64,
    /// Connections that broke.
    pub lost_links: u64,
    /// Why connections ended before their work was done.
    pub failures: Vec<String>,
    /// Outcomes by producer and partition.
    pub ledger: Ledger,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Batches.
    pub batches: u64,
    /// Bytes of batches as sent.
    pub batch_bytes: u64,
    /// Bytes of keys and values before compression.
    pub payload_bytes: u64,
}

impl Totals {
    fn add(&mut self, batch: &Pending) {
        self.records += u64::from(batch.body.record_count());
        self.batches += 1;
        self.batch_bytes += batch.body.batch_bytes() as u64;
        self.payload_bytes += batch.body.payload_bytes();
    }

    /// Adds another thread's sums.
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.batch_bytes += other.batch_bytes;
        self.payload_bytes += other.payload_bytes;
    }
}

impl Recorder {
    /// Measures from `warm_up` to `end`. A ledger is kept only if someone will read it.
    pub fn new(
        warm_up: Duration,
        end: Option<Duration>,
        keeps_ledger: bool,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            warm_up,
            end,
            keeps_ledger,
            progress,
            latencies: Latencies::new(),
            waits: Latencies::new(),
            services: Latencies::new(),
            own_waits: Latencies::new(),
            reopens: Latencies::new(),
            series: Series::new(KINDS),
            measured: Totals::default(),
            acknowledged: Totals::default(),
            last_acknowledged: Duration::ZERO,
            errors: BTreeMap::new(),
            repeated_batches: 0,
            retries: BTreeMap::new(),
            unknown_records: 0,
            refused_records: 0,
            unsent_records: 0,
            lost_links: 0,
            failures: Vec::new(),
            ledger: Ledger::default(),
        }
    }

    /// A batch is in the log; the latency of each of its records counts from the time that one was meant to leave.
    pub fn on_acknowledged(&mut self, stream: StreamId, batch: &Pending, base_offset: i64, now: Duration) {
        let sent = batch.first_sent.unwrap_or(now);
        let service = now.saturating_sub(sent);
        for (intended, records) in batch.intended_times() {
            let latency = now.saturating_sub(intended);
            if intended >= self.warm_up {
                self.latencies.record_many(latency, records);
                self.waits.record_many(sent.saturating_sub(intended), records);
                self.services.record_many(service, records);
            }
            self.progress.took(latency, records);
            self.series.record_latency(now, LATENCY, latency, records);
            self.series.record_latency(now, SERVICE, service, records);
        }
        if now >= self.warm_up && self.end.is_none_or(|end| now < end) {
            self.measured.add(batch);
        }
        self.acknowledged.add(batch);
        self.last_acknowledged = now;
        let records = u64::from(batch.body.record_count());
        self.progress.add(records, batch.body.batch_bytes() as u64);
        self.series.record(now, records, batch.body.batch_bytes() as u64);
        if self.keeps_ledger {
            let base_offset = (base_offset >= 0).then_some(base_offset);
            self.ledger.acknowledged(stream, batch.sequence..batch.sequence_end(), base_offset);
        }
    }

    /// A batch of a plan leaves at `sent`; it was ready at `ready`, and could not before `free_since`.
    pub fn on_sent(&mut self, ready: Duration, free_since: Duration, sent: Duration) {
        if ready >= self.warm_up {
            self.own_waits.record(sent.saturating_sub(ready.max(free_since)));
        }
    }

    /// A connection that was to be closed at `intended` is opened again, and the broker has answered on it.
    pub fn on_reopened(&mut self, intended: Duration, now: Duration) {
        let took = now.saturating_sub(intended);
        if intended >= self.warm_up {
            self.reopens.record(took);
        }
        self.series.record_latency(now, REOPEN, took, 1);
    }

    /// So many batches will be sent again because of this.
    pub fn on_retries(&mut self, cause: Cause, count: u64, now: Duration) {
        if count > 0 {
            *self.retries.entry(cause).or_default() += count;
            self.series.record_retries(now, cause, count);
        }
    }

    /// A batch is sent again.
    pub fn on_repeated(&mut self) {
        self.repeated_batches += 1;
        self.ledger.repeated += 1;
    }

    /// The broker answered with an error.
    pub fn on_error(&mut self, code: i16, now: Duration) {
        *self.errors.entry(code).or_default() += 1;
        self.series.record_error(now, Cause::Code(code));
        self.progress.failed();
    }

    /// Nobody knows whether the batch is in the log.
    pub fn on_unknown(&mut self, stream: StreamId, batch: &Pending) {
        self.unknown_records += u64::from(batch.body.record_count());
        self.ledger.unknown(stream, batch.sequence..batch.sequence_end());
    }

    /// The batch is not in the log.
    pub fn on_refused(&mut self, stream: StreamId, batch: &Pending) {
        self.refused_records += u64::from(batch.body.record_count());
        self.ledger.refused(stream, batch.sequence..batch.sequence_end());
    }

    /// Takes over another thread's figures, all but its series.
    pub fn merge(&mut self, other: &mut Self) {
        self.latencies.merge(&other.latencies);
        self.waits.merge(&other.waits);
        self.services.merge(&other.services);
        self.own_waits.merge(&other.own_waits);
        self.reopens.merge(&other.reopens);
        self.measured.merge(&other.measured);
        self.acknowledged.merge(&other.acknowledged);
        self.last_acknowledged = self.last_acknowledged.max(other.last_acknowledged);
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        for (cause, count) in &other.retries {
            *self.retries.entry(*cause).or_default() += count;
        }
        self.repeated_batches += other.repeated_batches;
        self.unknown_records += other.unknown_records;
        self.refused_records += other.refused_records;
        self.unsent_records += other.unsent_records;
        self.lost_links += other.lost_links;
        self.failures.append(&mut other.failures);
        self.ledger.merge(std::mem::take(&mut other.ledger));
    }
}
