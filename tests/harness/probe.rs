//! What the broker answers on its port for probes and scrapes: plain HTTP, and Prometheus' text read strictly.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Status code and body of a `GET`.
///
/// # Panics
/// If the port does not answer, or answers no HTTP.
pub fn get(port: u16, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port for probes takes connections");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket takes a time limit");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").expect("a request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer comes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_string())
}

/// One number of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name, with the ending of a histogram's part.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All that one scrape told.
#[derive(Debug, Default)]
pub struct Scrape {
    /// Name and kind, in order.
    pub kinds: Vec<(String, String)>,
    /// The numbers.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Scrapes a broker.
    ///
    /// # Panics
    /// If what it answers is not the text format to its last character.
    pub fn of(port: u16) -> Self {
        let (status, text) = get(port, "/metrics");
        assert_eq!(status, 200);
        Self::read(&text)
    }

    /// The sum over all samples of a name whose labels include these.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matching = self.samples.iter().filter(|sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|is| is == value);
            sample.name == name && labels.iter().all(has)
        });
        matching.map(|sample| sample.value).sum()
    }

    /// As strictly as `promtool check metrics` reads: help and type before the numbers, once each; names, labels and
    /// values well formed; no sample twice; histograms cumulative with `+Inf` as their count.
    fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut help = String::new();
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').expect("a help has words");
                assert!(!words.trim().is_empty(), "{line}");
                help = name.to_string();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a kind");
                assert_eq!(name, help, "help stands before type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(scrape.kinds.iter().all(|(known, _)| known != name), "{name} is described twice");
                scrape.kinds.push((name.to_string(), kind.to_string()));
            } else {
                let sample = sample(line);
                let (name, kind) = scrape.kinds.last().expect("a type stands before numbers");
                let parts: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(
                    parts.iter().any(|part| sample.name == format!("{name}{part}")),
                    "{line} under {name}"
                );
                scrape.samples.push(sample);
            }
        }
        scrape.check_numbers();
        scrape
    }

    fn check_numbers(&self) {
        let mut seen = std::collections::BTreeSet::new();
        let mut buckets: BTreeMap<String, f64> = BTreeMap::new();
        for sample in &self.samples {
            assert!(seen.insert(format!("{}{:?}", sample.name, sample.labels)), "twice: {sample:?}");
            assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
            let mut series = sample.labels.clone();
            let bound = series.remove("le");
            if let (Some(bound), Some(name)) = (bound, sample.name.strip_suffix("_bucket")) {
                let below = buckets.entry(format!("{name}{series:?}")).or_default();
                assert!(*below <= sample.value, "buckets count up to their bound: {sample:?}");
                *below = sample.value;
                assert!(bound == "+Inf" || bound.parse::<f64>().is_ok(), "{sample:?}");
            } else if let Some(name) = sample.name.strip_suffix("_count") {
                assert_eq!(buckets.get(&format!("{name}{series:?}")), Some(&sample.value), "{sample:?}");
            }
        }
    }
}

/// `name{label="value",...} number`.
fn sample(line: &str) -> Sample {
    let (start, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no number in {line}"));
    let (name, inner) = start.split_once('{').unwrap_or((start, "}"));
    let inner = inner.strip_suffix('}').unwrap_or_else(|| panic!("labels do not end in {line}"));
    let word = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    assert!(word(name), "{line}");
    let mut labels = BTreeMap::new();
    for label in inner.split(',').filter(|label| !label.is_empty()) {
        let (label, quoted) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let text = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = text.unwrap_or_else(|| panic!("a label is quoted: {line}"));
        assert!(word(label) && !text.is_empty() && !text.contains(['"', '\\', '\n']), "{line}");
        assert!(labels.insert(label.to_string(), text.to_string()).is_none(), "a label twice: {line}");
    }
    Sample { name: name.to_string(), labels, value: value.parse().unwrap_or_else(|_| panic!("{line}")) }
}
