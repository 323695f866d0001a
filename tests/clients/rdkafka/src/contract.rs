//! The command line, the commands and the events, whatever the client.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::process::exit;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// `key=value` arguments over their defaults.
pub struct Keys(BTreeMap<&'static str, String>);

impl Keys {
    /// Reads the arguments after the verb; no others than `known` are taken.
    pub fn parse(known: &[(&'static str, &str)]) -> Self {
        let mut keys: BTreeMap<_, _> =
            known.iter().map(|&(key, default)| (key, default.to_string())).collect();
        for argument in std::env::args().skip(2) {
            let (key, value) = argument.split_once('=').unwrap_or((&argument, ""));
            match keys.get_mut(key) {
                Some(place) => *place = value.to_string(),
                None => refuse(&format!("unknown key {key}")),
            }
        }
        Self(keys)
    }

    pub fn text(&self, key: &str) -> &str {
        &self.0[key]
    }

    pub fn list(&self, key: &str) -> Vec<&str> {
        self.text(key).split(',').filter(|part| !part.is_empty()).collect()
    }

    pub fn number(&self, key: &str) -> i64 {
        self.text(key).parse().unwrap_or_else(|error| refuse(&format!("{key}: {error}")))
    }

    pub fn one(&self, key: &str, allowed: &[&str]) -> &str {
        let value = self.text(key);
        if allowed.contains(&value) { value } else { refuse(&format!("{key} is one of {allowed:?}")) }
    }
}

/// A call that is not of the contract.
pub fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    exit(2)
}

/// One event, at once.
pub fn emit(event: &Value) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{event}").and_then(|()| out.flush()).is_err() {
        exit(1) // nobody listens any more
    }
}

pub fn failed(message: &str, fatal: bool) {
    emit(&json!({"event": "error", "message": message, "fatal": fatal}));
}

pub fn at(topic: &str, partition: i32) -> String {
    format!("{topic}:{partition}")
}

/// `topic:partition`, read.
pub fn place(at: &str) -> (String, i32) {
    let parsed =
        at.rsplit_once(':').and_then(|(topic, number)| Some((topic.to_string(), number.parse().ok()?)));
    parsed.unwrap_or_else(|| refuse(&format!("not topic:partition: {at}")))
}

pub enum Command {
    Pause,
    Resume,
    Seek(String, i32, i64),
    SeekTime(i64),
    Commit,
    Stop,
}

/// The commands of standard input; the client is abandoned right here, whatever it is doing.
pub fn commands() -> Receiver<Command> {
    let (sender, receiver) = channel();
    thread::spawn(move || listen(&sender));
    receiver
}

fn listen(sender: &Sender<Command>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.parse().unwrap_or_else(|_| refuse(&format!("not a number: {word}")));
        let command = match words[..] {
            ["pause"] => Command::Pause,
            ["resume"] => Command::Resume,
            ["seek", at, offset] => {
                let (topic, partition) = place(at);
                Command::Seek(topic, partition, number(offset))
            }
            ["seek_time", time] => Command::SeekTime(number(time)),
            ["commit"] => Command::Commit,
            ["stop"] => Command::Stop,
            ["abandon"] => exit(0),
            _ => refuse(&format!("unknown command: {line}")),
        };
        if sender.send(command).is_err() {
            return;
        }
    }
    let _ = sender.send(Command::Stop);
}
