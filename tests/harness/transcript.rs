//! Answers as text, held against what Apache Kafka answered to the same requests: `tests/golden/answers`.
//!
//! A scenario is a list of steps, each a name and an answer. Against Thalweg every step must read as Kafka's did, or, where it
//! `differs` and says why, as it was recorded here; a difference that is none any more fails, too. `THALWEG_TEST_RECORD=1` writes
//! the file anew: Kafka's part against Kafka, the differing parts against Thalweg.
//!
//! Facts only: a message is noted as said or not, in whatever words; addresses, ids and times are named, not printed.

use crate::broker::{Against, Broker};
use crate::client::{Client, frame};
use crate::scratch::{repository, target_dir};
use crate::skip;
use crate::told::{Names, told};
use kafka_protocol::protocol::Request;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::{env, fs, thread, time::Duration};

/// What was recorded of one step.
#[derive(Clone, Debug, Default)]
struct Recorded {
    kafka: String,
    /// Why Thalweg answers something else, and what.
    here: Option<(String, String)>,
}

/// One run of a scenario against one broker.
#[derive(Debug)]
pub struct Transcript {
    scenario: &'static str,
    broker: Broker,
    client: Client,
    names: Names,
    differs: Option<String>,
    steps: Vec<(String, Recorded)>,
}

impl Transcript {
    /// A broker of its own for a scenario whose golden answers come from Kafka 4.3.1; `None` if another release is asked.
    pub fn begin(scenario: &'static str, settings: &[(&str, &str)]) -> Option<Self> {
        Self::begin_of("4.3.1", scenario, settings)
    }

    /// The same for another release: for versions that Kafka 4 dropped.
    pub fn begin_of(release: &str, scenario: &'static str, settings: &[(&str, &str)]) -> Option<Self> {
        if matches!(Against::chosen(), Against::Kafka(other) if other != release) {
            skip::skip_test(scenario, "its answers are those of another release");
            return None;
        }
        let broker = Broker::with(settings);
        let client = broker.client();
        let names = Names::default();
        Some(Self { scenario, broker, client, names, differs: None, steps: Vec::new() })
    }

    /// The broker that is asked.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The connection, for what is no step.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// A fresh connection, where the old one was closed or left in the middle.
    pub fn reconnect(&mut self) {
        self.client = self.broker.client();
    }

    /// The next step's answer is another one here, for this reason.
    pub fn differs(&mut self, why: &str) -> &mut Self {
        self.differs = Some(why.to_string());
        self
    }

    /// Sends a request and notes the answer.
    pub fn ask<R: Request>(&mut self, what: &str, version: i16, request: &R)
    where
        R::Response: Debug,
    {
        self.ask_and(what, version, request, |_| {});
    }

    /// Sends a request and notes the answer after `arrange` has put it into an order. A closed connection is an answer too.
    ///
    /// # Panics
    /// If the answer cannot be decoded.
    pub fn ask_and<R: Request>(
        &mut self,
        what: &str,
        version: i16,
        request: &R,
        arrange: impl FnOnce(&mut R::Response),
    ) where
        R::Response: Debug,
    {
        match self.client.try_call(version, request) {
            Ok(mut answer) => {
                arrange(&mut answer);
                self.note(what, &answer);
            }
            Err(error) => {
                let text = match error.kind() {
                    ErrorKind::InvalidData => panic!("{what}: {error}"),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer",
                    _ => "the connection is closed",
                };
                self.note_text(what, text.to_string());
                self.client = self.broker.client();
            }
        }
    }

    /// The same for a version that `kafka-protocol` does not have: the body goes as it is, and the answer is noted in hexadecimal digits.
    ///
    /// # Panics
    /// If the broker does not take the request.
    pub fn ask_raw(&mut self, what: &str, key: i16, version: i16, is_flexible: bool, body: &[u8]) {
        let mut request = Vec::new();
        for number in [key, version, 0, 9, -1] {
            request.extend_from_slice(&i16::to_be_bytes(number)); // the correlation id is 9, there is no client id
        }
        request.extend_from_slice(if is_flexible { &[0] } else { &[] });
        request.extend_from_slice(body);
        self.client.send_bytes(&frame(&request)).expect("the broker takes requests");
        let text = match self.client.receive_frame() {
            Ok(answer) => {
                let digits: Vec<String> = answer.iter().skip(4).map(|byte| format!("{byte:02x}")).collect();
                digits.chunks(40).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n")
            }
            Err(_) => {
                self.reconnect();
                "the connection is closed".to_string()
            }
        };
        self.note_text(what, text);
    }

    /// Notes an answer, or what is made of it.
    pub fn note(&mut self, what: &str, answer: &impl Debug) {
        let said = format!("{answer:?}");
        let text = told(&said, &mut self.names);
        self.note_text(what, text);
        self.keep_words(what, &said);
    }

    /// Notes a text as it is.
    ///
    /// # Panics
    /// If two steps have one name.
    pub fn note_text(&mut self, what: &str, text: String) {
        let text = text.trim_end().to_string();
        assert!(self.steps.iter().all(|(known, _)| known != what), "two steps are named {what}");
        let recorded = match (self.differs.take(), self.broker.against().is_thalweg()) {
            (Some(why), true) => Recorded { kafka: String::new(), here: Some((why, text)) },
            (why, _) => Recorded { kafka: text, here: why.map(|why| (why, String::new())) },
        };
        self.steps.push((what.to_string(), recorded));
    }

    /// Kafka's own changes reach its broker with a delay; here they are there when they are answered.
    pub fn settle(&self) {
        if !self.broker.against().is_thalweg() {
            thread::sleep(Duration::from_millis(400));
        }
    }

    /// Compares all steps with what was recorded, or records them.
    ///
    /// # Panics
    /// If a step reads otherwise, is missing or was never recorded.
    pub fn close(self) {
        let path = repository().join(format!("tests/golden/answers/{}.txt", self.scenario));
        let golden = parse(&fs::read_to_string(&path).unwrap_or_default());
        let is_thalweg = self.broker.against().is_thalweg();
        if env::var("THALWEG_TEST_RECORD").as_deref() == Ok("1") {
            let text = self.recorded(&golden, is_thalweg);
            fs::create_dir_all(path.parent().expect("a file lies in a folder"))
                .expect("a folder can be made");
            fs::write(&path, text).expect("golden answers can be written");
            return;
        }
        let mut faults = Vec::new();
        for (what, seen) in &self.steps {
            let Some(known) = golden.get(what) else {
                faults.push(format!("{what}: never recorded"));
                continue;
            };
            let (seen, expected) = match (&seen.here, is_thalweg) {
                (Some((_, here)), true) => {
                    if *here == known.kafka {
                        faults.push(format!("{what}: differs no more"));
                    }
                    (here, known.here.as_ref().map(|(_, text)| text))
                }
                _ => (&seen.kafka, Some(&known.kafka)),
            };
            match expected {
                Some(expected) if expected == seen => {}
                expected => faults.push(difference(what, expected.map_or("", String::as_str), seen)),
            }
        }
        let missing = golden.keys().filter(|what| self.steps.iter().all(|(seen, _)| seen != *what));
        faults.extend(missing.map(|what| format!("{what}: recorded, and not asked any more")));
        assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), self.scenario, faults.join("\n"));
    }

    fn recorded(&self, golden: &BTreeMap<String, Recorded>, is_thalweg: bool) -> String {
        let mut text = String::new();
        for (what, seen) in &self.steps {
            let known = golden.get(what).cloned().unwrap_or_default();
            let kafka = if is_thalweg { &known.kafka } else { &seen.kafka };
            let _ = write!(text, "## {what}\n{kafka}\n");
            if let Some((why, here)) = &seen.here {
                let here = if is_thalweg {
                    here.clone()
                } else {
                    known.here.map(|(_, here)| here).unwrap_or_default()
                };
                let _ = write!(text, "-- here: {why}\n{here}\n");
            }
        }
        text
    }

    /// The words of both brokers side by side are for people: `target/answers/<scenario>.<broker>.txt`.
    fn keep_words(&self, what: &str, said: &str) {
        if env::var("THALWEG_TEST_WORDS").as_deref() != Ok("1") {
            return;
        }
        let folder: PathBuf = target_dir().join("answers");
        let name = if self.broker.against().is_thalweg() { "thalweg" } else { "kafka" };
        let path = folder.join(format!("{}.{name}.txt", self.scenario));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let mut text =
            if self.steps.len() == 1 { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
        let _ = writeln!(text, "{what}: {said}");
        fs::write(&path, text).expect("a file can be written");
    }
}

fn parse(text: &str) -> BTreeMap<String, Recorded> {
    let mut steps = BTreeMap::new();
    for block in text.split("## ").skip(1) {
        let (what, body) = block.split_once('\n').unwrap_or((block, ""));
        let (kafka, here) = match body.split_once("-- here: ") {
            Some((kafka, here)) => (
                kafka,
                here.split_once('\n').map(|(why, text)| (why.to_string(), text.trim_end().to_string())),
            ),
            None => (body, None),
        };
        steps.insert(what.to_string(), Recorded { kafka: kafka.trim_end().to_string(), here });
    }
    steps
}

/// The lines that differ.
fn difference(what: &str, expected: &str, seen: &str) -> String {
    let mut text = format!("{what}:");
    let (expected, seen): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), seen.lines().collect());
    for line in expected.iter().filter(|line| !seen.contains(line)) {
        let _ = write!(text, "\n  - {line}");
    }
    for line in seen.iter().filter(|line| !expected.contains(line)) {
        let _ = write!(text, "\n  + {line}");
    }
    if text.lines().count() == 1 {
        let _ = write!(text, "\n  another order or number of lines\n  - {expected:?}\n  + {seen:?}");
    }
    text
}
