//! Count what one thread read, and look into it as deep as was asked.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Batches, RecordBatch};
use crate::client::Cause;
use crate::histogram::Latencies;
use crate::run::Progress;
use crate::series::{Kinds, Series};
use crate::verify::{Checker, FaultKind};

/// Latencies of the series: of a reader that measures the age of records, and of one that does not.
const AGES: Kinds = &["end_to_end", "end_to_end_service", "fetch"];
const FETCHES: Kinds = &["fetch"];
const LATENCY: usize = 0;
const SERVICE: usize = 1;

/// All figures of one reading thread.
#[derive(Debug)]
pub struct Tally {
    warm_up: Duration,
    end: Option<Duration>,
    progress: Arc<Progress>,
    /// Looks at every record, if asked.
    pub checker: Option<Checker>,
    /// The run whose records' ages are measured.
    measured_run: Option<u64>,
    /// From asking to the last byte of an answer, of answers with records.
    pub fetches: Latencies,
    /// From the intended send time to the arrival, of records of the measured run.
    pub arrivals: Latencies,
    /// From the sending of their batch to the arrival.
    pub services: Latencies,
    /// Second by second, the warm-up included; latencies are those of arrivals if they are measured, else of fetches.
    pub series: Series,
    /// Read inside of the measured window.
    pub measured: ReadTotals,
    /// Read at all.
    pub all: ReadTotals,
    /// When the last records came.
    pub last_read: Duration,
    /// Answers with an error, by code.
    pub errors: BTreeMap<i16, u64>,
    /// Connections that broke.
    pub lost_links: u64,
    /// How often reading began again, of all connections.
    pub laps: u64,
    /// Why reading of something ended before its time.
    pub failures: Vec<String>,
}

/// Sums.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadTotals {
    /// Records.
    pub records: u64,
    /// Batches.
    pub batches: u64,
    /// Bytes of batches as they came.
    pub batch_bytes: u64,
    /// Answers with records in them.
    pub fetches: u64,
    /// Answers without.
    pub empty_fetches: u64,
}

impl ReadTotals {
    /// Adds another's sums.
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.batch_bytes += other.batch_bytes;
        self.fetches += other.fetches;
        self.empty_fetches += other.empty_fetches;
    }
}

impl Tally {
    /// Measures from `warm_up` to `end`. `checks`: looks at every record; `measured_run`: measures the age of its records.
    pub fn new(
        warm_up: Duration,
        end: Option<Duration>,
        checks: bool,
        measured_run: Option<u64>,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            warm_up,
            end,
            progress,
            checker: (checks || measured_run.is_some()).then(Checker::default),
            measured_run,
            fetches: Latencies::new(),
            arrivals: Latencies::new(),
            services: Latencies::new(),
            series: Series::new(if measured_run.is_some() { AGES } else { FETCHES }),
            measured: ReadTotals::default(),
            all: ReadTotals::default(),
            last_read: Duration::ZERO,
            errors: BTreeMap::new(),
            lost_links: 0,
            laps: 0,
            failures: Vec::new(),
        }
    }

    /// Reading of a partition begins.
    pub fn begin(&mut self, partition: i32, offset: i64) {
        if let Some(checker) = &mut self.checker {
            checker.begin(partition, offset);
        }
    }

    /// Takes the records of one partition from one answer; returns the offset after the last, and adds to `sums`.
    ///
    /// # Errors
    /// What is wrong with a batch, if the next one cannot be found behind it.
    pub fn take(
        &mut self,
        partition: i32,
        from: i64,
        records: bytes::Bytes,
        sums: &mut ReadTotals,
        now: Duration,
    ) -> Result<i64, String> {
        let mut next = from;
        for batch in Batches::new(records) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(fault) => {
                    let told = format!("partition {partition}, after offset {next}: {fault}");
                    if let Some(checker) = &mut self.checker {
                        checker.faults.add(FaultKind::BatchBroken, 1, || told.clone());
                    }
                    return Err(told);
                }
            };
            let header = batch.header();
            let end = header.base_offset().saturating_add(header.last_offset_delta()).saturating_add(1);
            if end > next {
                sums.records += (end - header.base_offset().max(next)) as u64;
            }
            sums.batches += 1;
            sums.batch_bytes += batch.batch_bytes() as u64;
            self.look(partition, &batch, now);
            next = next.max(end);
        }
        Ok(next)
    }

    fn look(&mut self, partition: i32, batch: &RecordBatch, now: Duration) {
        let Some(checker) = &mut self.checker else { return };
        let (measured_run, warm_up) = (self.measured_run, self.warm_up);
        let (arrivals, services, series) = (&mut self.arrivals, &mut self.services, &mut self.series);
        let progress = &self.progress;
        checker.batch(partition, batch, |tag| {
            if measured_run == Some(tag.run) {
                let intended = Duration::from_nanos(tag.intended_nanos);
                let age = now.saturating_sub(intended);
                let service = now.saturating_sub(Duration::from_nanos(tag.sent_nanos));
                if intended >= warm_up {
                    arrivals.record(age);
                    services.record(service);
                }
                progress.took(age, 1);
                series.record_latency(now, LATENCY, age, 1);
                series.record_latency(now, SERVICE, service, 1);
            }
        });
    }

    /// One answer is done.
    pub fn on_answer(&mut self, sums: &ReadTotals, took: Duration, now: Duration) {
        let mut sums = *sums;
        if sums.records == 0 {
            sums.empty_fetches = 1;
        } else {
            sums.fetches = 1;
            self.last_read = now;
            self.progress.add(sums.records, sums.batch_bytes);
            self.series.record(now, sums.records, sums.batch_bytes);
            if self.measured_run.is_none() {
                self.progress.took(took, sums.records);
            }
            let kinds = if self.measured_run.is_some() { AGES } else { FETCHES };
            self.series.record_latency(now, kinds.len() - 1, took, sums.records);
        }
        self.all.merge(&sums);
        if now >= self.warm_up && self.end.is_none_or(|end| now < end) {
            self.measured.merge(&sums);
            if sums.fetches > 0 {
                self.fetches.record_many(took, sums.records);
            }
        }
    }

    /// The broker answered with an error.
    pub fn on_error(&mut self, code: i16, now: Duration) {
        *self.errors.entry(code).or_default() += 1;
        self.series.record_error(now, Cause::Code(code));
        self.progress.failed();
    }

    /// A connection broke.
    pub fn on_link_lost(&mut self, now: Duration) {
        self.lost_links += 1;
        self.series.record_error(now, Cause::LinkLost);
        self.progress.failed();
    }

    /// Takes over another thread's figures, all but its series.
    pub fn merge(&mut self, other: &mut Self) {
        self.fetches.merge(&other.fetches);
        self.arrivals.merge(&other.arrivals);
        self.services.merge(&other.services);
        self.measured.merge(&other.measured);
        self.all.merge(&other.all);
        self.last_read = self.last_read.max(other.last_read);
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        self.lost_links += other.lost_links;
        self.laps += other.laps;
        self.failures.append(&mut other.failures);
        if let (Some(own), Some(others)) = (&mut self.checker, other.checker.take()) {
            own.merge(others);
        }
    }
}
