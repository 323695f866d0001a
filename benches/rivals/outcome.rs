//! What one run said: figures, what was asked and done, and what is wrong with it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Rows of a table come in this order of their first appearance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// `None`: it could not be told, as a percentile of too few samples.
    pub(crate) value: Option<f64>,
}

/// A run with one broker, as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) figures: Vec<Figure>,
    /// What it did of what it was asked.
    pub(crate) work: Work,
    /// Work that was not done as asked, or is not there afterwards. One is enough to believe no figure.
    pub(crate) faults: Vec<String>,
    /// What to know of the figures.
    pub(crate) notes: Vec<String>,
    /// Why the broker could not run it at all.
    pub(crate) cannot: Option<String>,
    /// What was in force, in the load generator's words.
    pub(crate) spec: Value,
    /// Whether the page cache was dropped before.
    pub(crate) page_cache: String,
}

/// Counted in records, over the whole run with its warm-up and whatever was filled before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// To be sent by a plan or a number; of a closed loop what was sent.
    pub(crate) asked_records: u64,
    pub(crate) acknowledged_records: u64,
    /// Without an answer: they may be there or not.
    pub(crate) unknown_records: u64,
    /// By the offsets at both ends of all partitions, afterwards.
    pub(crate) found_records: u64,
    /// To be read, and read.
    pub(crate) to_read_records: u64,
    pub(crate) read_records: u64,
    /// Mean of a batch as it crossed the network; the same for all brokers.
    pub(crate) batch_bytes_mean: f64,
}

/// Which commands the load generator was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Produce,
    Roundtrip,
    Consume,
    Tail,
    Ladder,
}

impl Kind {
    pub(crate) fn of(command: &str) -> Option<Self> {
        match command {
            "produce" => Some(Self::Produce),
            "roundtrip" => Some(Self::Roundtrip),
            "consume" => Some(Self::Consume),
            "tail" => Some(Self::Tail),
            "ladder" => Some(Self::Ladder),
            _ => None,
        }
    }
}

impl Outcome {
    pub(crate) fn cannot(reason: String) -> Self {
        Self { cannot: Some(reason), ..Self::default() }
    }

    /// The figures of a run's result.
    pub(crate) fn of(kind: Kind, result: &Value) -> Self {
        let mut outcome = Self { spec: result["spec"].clone(), ..Self::default() };
        match kind {
            Kind::Produce => outcome.sent(result, ""),
            Kind::Roundtrip => {
                outcome.end_to_end(result, "");
                outcome.sent(result, "");
                outcome.push("read by all readers", "MB/s", result["consume"]["rates"]["mb_per_s"].as_f64());
                outcome.push_us("fetch, p99", &result["consume"]["fetch_latency"], "p99");
            }
            Kind::Consume => outcome.read(result, ""),
            Kind::Tail => outcome.tail(result),
            Kind::Ladder => {
                let knee = &result["ladder"]["knee_records_per_s"];
                outcome.push("highest rate kept", "records/s", knee.as_f64());
                outcome.cost(
                    &result["parts"].as_array().and_then(|parts| parts.last()).cloned().unwrap_or_default(),
                    "",
                );
            }
        }
        outcome.heed(result);
        for part in result["parts"].as_array().into_iter().flatten() {
            outcome.heed(part);
        }
        outcome
    }

    pub(crate) fn push(&mut self, name: impl Into<String>, unit: &str, value: Option<f64>) {
        self.figures.push(Figure { name: name.into(), unit: unit.to_owned(), value });
    }

    fn push_us(&mut self, name: impl Into<String>, latency: &Value, percentile: &str) {
        self.push(name, "ms", percentile_us(latency, percentile).map(|us| us / 1e3));
    }

    /// Of a part that sends; names end with `suffix`.
    fn sent(&mut self, part: &Value, suffix: &str) {
        let (produce, rates) = (&part["produce"], &part["produce"]["rates"]);
        self.push(format!("acknowledged{suffix}"), "records/s", rates["records_per_s"].as_f64());
        self.push(format!("acknowledged, bytes{suffix}"), "MB/s", rates["mb_per_s"].as_f64());
        for percentile in ["p50", "p99", "p99.9"] {
            self.push_us(format!("acknowledgement, {percentile}{suffix}"), &produce["latency"], percentile);
        }
        let worst = produce["latency"]["max_us"].as_f64().map(|us| us / 1e3);
        self.push(format!("acknowledgement, worst{suffix}"), "ms", worst);
        for percentile in ["p50", "p99"] {
            self.push_us(format!("service time, {percentile}{suffix}"), &produce["service"], percentile);
        }
        self.cost(part, suffix);
    }

    fn end_to_end(&mut self, part: &Value, suffix: &str) {
        for percentile in ["p50", "p99", "p99.9"] {
            let name = format!("end to end, {percentile}{suffix}");
            self.push_us(name, &part["end_to_end_latency"], percentile);
        }
    }

    fn read(&mut self, part: &Value, suffix: &str) {
        let (consume, rates) = (&part["consume"], &part["consume"]["rates"]);
        self.push(format!("read{suffix}"), "MB/s", rates["mb_per_s"].as_f64());
        self.push(format!("read, records{suffix}"), "records/s", rates["records_per_s"].as_f64());
        self.push_us(format!("fetch, p50{suffix}"), &consume["fetch_latency"], "p50");
        self.push_us(format!("fetch, p99{suffix}"), &consume["fetch_latency"], "p99");
        self.cost(part, suffix);
    }

    /// The first window of each kind: a run here has one of each.
    fn tail(&mut self, result: &Value) {
        let part = |name: &str| {
            let parts = result["parts"].as_array().into_iter().flatten();
            parts.into_iter().find(|part| part["name"] == name).cloned().unwrap_or_default()
        };
        let (without, with) = (part("without backfill"), part("with backfill"));
        self.end_to_end(&without, " without");
        self.end_to_end(&with, " with");
        let p99 = |part: &Value| percentile_us(&part["end_to_end_latency"], "p99");
        let ratio = p99(&with).zip(p99(&without)).map(|(with, without)| with / without);
        self.push("end to end, p99 with / without", "", ratio);
        let read = &part("backfill")["consume"]["rates"]["mb_per_s"];
        self.push("read by the backfill", "MB/s", read.as_f64());
        self.push("acknowledged with", "records/s", with["produce"]["rates"]["records_per_s"].as_f64());
        self.cost(&with, " with");
    }

    /// What it cost the broker, and the generator.
    fn cost(&mut self, part: &Value, suffix: &str) {
        let (broker, generator) = (&part["resources"]["brokers"][0], &part["resources"]["generator"]);
        let per_record_us = broker["cpu_us_per_record"].as_f64().filter(|us| *us > 0.0);
        let records_per_s = per_record_us.map(|us| 1e6 / us);
        self.push(format!("records by CPU second of the broker{suffix}"), "", records_per_s);
        // ns a byte are seconds for 10^9 bytes.
        let by_gb = broker["cpu_ns_per_byte"].as_f64();
        self.push(format!("CPU seconds of the broker by GB{suffix}"), "s", by_gb);
        let mib = broker["resident_bytes_max"].as_f64().map(|bytes| bytes / f64::from(1 << 20));
        self.push(format!("resident memory of the broker{suffix}"), "MiB", mib);
        let written = broker["disk_written_per_sent_byte"].as_f64();
        if written.is_some() {
            self.push(format!("written to the device by byte sent{suffix}"), "", written);
        }
        self.push(
            format!("CPU of the generator by record{suffix}"),
            "us",
            generator["cpu_us_per_record"].as_f64(),
        );
    }

    /// What the load generator says against its own figures.
    fn heed(&mut self, part: &Value) {
        let name = part["name"].as_str().map_or(String::new(), |name| format!("{name}: "));
        for failure in part["failures"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            self.faults.push(format!("{name}{failure}"));
        }
        if part["produce"]["schedule"]["kept"] == false {
            self.notes.push(format!(
                "{name}the generator did not keep its own schedule: its lateness is in the latencies"
            ));
        }
        let count = |name: &str| part["produce"][name].as_u64().filter(|count| *count > 0);
        if let Some(refused) = count("refused_records") {
            self.faults.push(format!("{name}{refused} records refused: {}", part["produce"]["errors"]));
        }
        if let Some(unknown) = count("unknown_records") {
            self.notes.push(format!("{name}{unknown} records had no answer when the run was over"));
        }
        if let Some(unsent) = count("unsent_records") {
            self.notes.push(format!("{name}did not keep the rate: {unsent} records were due and never sent"));
        }
        let verdict = &part["verdict"];
        if !verdict.is_null() {
            let faults = verdict["faults"].as_object().into_iter().flatten();
            for (fault, told) in faults.filter(|(_, told)| told["count"].as_u64().unwrap_or(0) > 0) {
                self.faults.push(format!("{name}the proof failed: {fault}: {told}"));
            }
        }
    }
}

pub(crate) fn percentile_us(latency: &Value, name: &str) -> Option<f64> {
    let mut known = latency["percentiles"].as_array().into_iter().flatten();
    known.find(|known| known["name"] == name)?["us"].as_f64()
}
