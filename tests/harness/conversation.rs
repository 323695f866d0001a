//! What several clients said in turn and what each was answered, as text that is held against what Kafka answered.
//!
//! For what one client asks, step by step, and where answers may differ by intent, there is `transcript`.
//!
//! A test walks through its requests and writes each answer down whole, with what differs from run to run (member ids, ports, topic ids)
//! under a name. The golden file was written by Apache Kafka 4.3.1: `THALWEG_TEST_RECORD=1 THALWEG_TEST_AGAINST=kafka` writes it anew, every other run
//! is compared. So an expectation is never what somebody believes Kafka to do.

use crate::broker::{Against, Broker};
use crate::client::Client;
use crate::scratch::repository;
use crate::skip;
use kafka_protocol::protocol::Request;
use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::{env, fs};

/// The release that wrote the golden files.
const RELEASE: &str = "4.3.1";
/// Of so many lines that differ a failing test tells.
const DIFFERENCES_SHOWN: usize = 12;

/// Requests of several clients and their answers.
#[derive(Debug)]
pub struct Conversation<'a> {
    broker: &'a Broker,
    clients: BTreeMap<&'static str, Client>,
    /// What differs from run to run, and its name.
    names: Vec<(String, String)>,
    waiting: BTreeMap<&'static str, (i16, i32, String)>,
    text: String,
}

impl<'a> Conversation<'a> {
    /// Nothing was said yet.
    pub fn of(broker: &'a Broker) -> Self {
        let mut conversation = Self {
            broker,
            clients: BTreeMap::new(),
            names: Vec::new(),
            waiting: BTreeMap::new(),
            text: String::new(),
        };
        let port =
            broker.address().rsplit(':').next().map(|port| format!("port: {port}")).unwrap_or_default();
        conversation.names.push((port, "port: <port>".to_string()));
        conversation
    }

    /// The connection of one of the clients, made when it is first used.
    pub fn client(&mut self, who: &'static str) -> &mut Client {
        let broker = self.broker;
        self.clients.entry(who).or_insert_with(|| broker.client())
    }

    /// In the whole conversation `real` is written as `<name>`.
    pub fn name(&mut self, real: &str, name: &str) {
        if !real.is_empty() {
            self.names.push((real.to_string(), format!("<{name}>")));
        }
    }

    /// A line of its own between the answers.
    pub fn heading(&mut self, text: &str) {
        writeln!(self.text, "\n# {text}").expect("a text takes more text");
    }

    /// One request and its answer, which is written down and given back; `None` where the broker closes the connection.
    ///
    /// # Panics
    /// If the request cannot be encoded in this version.
    pub fn ask<R: Request>(
        &mut self,
        who: &'static str,
        version: i16,
        what: &str,
        request: &R,
    ) -> Option<R::Response>
    where
        R::Response: Debug,
    {
        let answer = self.client(who).try_call(version, request).ok();
        self.write::<R>(who, version, what, answer.as_ref());
        if answer.is_none() {
            self.clients.remove(who);
        }
        answer
    }

    /// A request whose answer is `hear`d later.
    ///
    /// # Panics
    /// If the connection is gone, or this client waits already.
    pub fn send<R: Request>(&mut self, who: &'static str, version: i16, what: &str, request: &R) {
        let id = self.client(who).send(version, request).expect("the connection is there");
        let before = self.waiting.insert(who, (version, id, what.to_string()));
        assert!(before.is_none(), "{who} waits already");
    }

    /// The answer to what this client sent.
    ///
    /// # Panics
    /// If there is none.
    pub fn hear<R: Request>(&mut self, who: &'static str) -> R::Response
    where
        R::Response: Debug,
    {
        let (version, id, what) = self.waiting.remove(who).expect("something was sent");
        let answer = self.client(who).receive::<R>(version, id);
        let answer = answer.unwrap_or_else(|error| panic!("{who}, {what}: {error}\n{}", self.text));
        self.write::<R>(who, version, &what, Some(&answer));
        answer
    }

    fn write<R: Request>(&mut self, who: &str, version: i16, what: &str, answer: Option<&R::Response>)
    where
        R::Response: Debug,
    {
        let kind = std::any::type_name::<R>().rsplit("::").next().unwrap_or_default();
        let kind = kind.trim_end_matches("Request");
        let shown = answer.map_or_else(|| "closes the connection".to_string(), shown);
        let comma = if what.is_empty() { "" } else { ", " };
        writeln!(self.text, "{kind} {version} {who}{comma}{what}\n    {shown}")
            .expect("a text takes more text");
    }

    /// Something else that was seen.
    pub fn note(&mut self, what: &str, seen: &impl Debug) {
        let shown = shown(seen);
        writeln!(self.text, "{what}\n    {shown}").expect("a text takes more text");
    }

    /// The text with names in place of what differs from run to run, the longest first: one may begin with another.
    fn named(mut self) -> String {
        self.names.sort_by_key(|(real, _)| std::cmp::Reverse(real.len()));
        let mut text = self.text;
        for (real, name) in &self.names {
            text = text.replace(real, name);
        }
        let lines = text.trim_start().lines().map(sorted_members);
        lines.fold(String::new(), |all, line| all + &line + "\n")
    }

    /// Holds the whole against `tests/golden/<name>.txt`.
    ///
    /// # Panics
    /// If it differs.
    pub fn matches(self, name: &str) {
        let path = repository().join("tests/golden").join(format!("{name}.txt"));
        let is_oracle = *self.broker.against() == Against::Kafka(RELEASE.to_string());
        if !is_oracle && !self.broker.against().is_thalweg() {
            skip::loud(&format!("{name}: the answers of another release than {RELEASE} are not compared"));
            return;
        }
        if env::var("THALWEG_TEST_RECORD").as_deref() == Ok("1") {
            assert!(is_oracle, "golden files come from Kafka {RELEASE}: THALWEG_TEST_AGAINST=kafka");
            fs::write(&path, self.named()).expect("the golden file can be written");
            return;
        }
        let expected =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = self.named();
        let (mut at, mut differences) = ("", Vec::new());
        for (number, (theirs, ours)) in expected.lines().zip(text.lines()).enumerate() {
            at = if theirs.starts_with(' ') { at } else { theirs };
            if theirs != ours {
                differences.push(format!("line {}: {at}\n  Kafka: {theirs}\n  here:  {ours}\n", number + 1));
            }
        }
        let some = differences.iter().take(DIFFERENCES_SHOWN).map(String::as_str).collect::<String>();
        assert!(differences.is_empty(), "{}: {} lines differ\n{some}", path.display(), differences.len());
        assert_eq!(text.lines().count(), expected.lines().count(), "{}", path.display());
    }
}

fn shown(answer: &impl Debug) -> String {
    let noise = [", unknown_tagged_fields: {}", "throttle_time_ms: 0, "];
    noise.iter().fold(format!("{answer:?}"), |shown, noise| shown.replace(noise, ""))
}

/// A group's members come in no order.
fn sorted_members(line: &str) -> String {
    let kinds = ["JoinGroupResponseMember { ", "DescribedGroupMember { "];
    let Some(kind) = kinds.iter().find(|kind| line.matches(**kind).count() > 1) else {
        return line.to_string();
    };
    let (head, members) = line.split_once(kind).expect("it is there");
    let (members, tail) = members.split_once("] }").expect("the list ends");
    let mut members: Vec<&str> = members.split(&format!(", {kind}")).collect();
    members.sort_unstable();
    format!("{head}{kind}{}] }}{tail}", members.join(&format!(", {kind}")))
}
