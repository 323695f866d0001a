//! Scripts: a command a line, `----`, what it led to. `UPDATE=1` writes the second part anew, for a reader to judge.
//!
//! ```text
//! set KEY=NUMBER            a setting, before the first other command
//! client NAME KEY=VALUE...  version, instance, protocols (range:x,sticky:y), session, rebalance, id, generation
//! join|sync|heartbeat|leave|commit|fetch NAME ...
//! wait SECONDS   hold   release   refuse   accept   restart   delete TOPIC
//! describe   list   delete_group   delete_offset TOPIC/PARTITION
//! ```

use super::bench::{Bench, GROUP, TOPIC_ID, protocol, shown};
use crate::coordinator::Refusal;
use crate::group::{Command, DeletedTopic, GroupSettings, LeaveMember};
use bytes::Bytes;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

fn settings() -> GroupSettings {
    GroupSettings {
        offsets_check_interval_ms: 600_000,
        offsets_retention_ms: 3_600_000,
        ..GroupSettings::default()
    }
}

fn set(settings: &mut GroupSettings, key: &str, value: i64) {
    match key {
        "members_max" => settings.members_max = value as usize,
        "initial_delay" => settings.initial_rebalance_delay_ms = value as i32,
        "groups_max" => settings.groups_max = value as usize,
        "note_max" => settings.offset_metadata_bytes_max = value as usize,
        other => panic!("unknown setting {other}"),
    }
}

fn configure(bench: &mut Bench, name: &str, words: &[&str]) {
    let client = bench.client(name);
    for word in words {
        let (key, value) = word.split_once('=').expect("KEY=VALUE");
        match key {
            "version" => client.version = value.parse().unwrap(),
            "instance" => client.instance_id = Some(value.to_owned()),
            "session" => client.session_ms = value.parse().unwrap(),
            "rebalance" => client.rebalance_ms = value.parse().unwrap(),
            "id" => client.member_id = value.to_owned(),
            "generation" => client.generation = value.parse().unwrap(),
            "protocols" => {
                let each = value.split(',').map(|one| one.split_once(':').expect("NAME:METADATA"));
                client.protocols = each.map(|(name, metadata)| protocol(name, metadata)).collect();
            }
            other => panic!("unknown key {other}"),
        }
    }
}

fn run(bench: &mut Bench, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["client", name, ref rest @ ..] => configure(bench, name, rest),
        ["join", name] => bench.join(name),
        ["sync", name, ref shares @ ..] => {
            let each = shares.iter().map(|share| share.split_once('=').expect("CLIENT=SHARE"));
            let each: Vec<(String, Bytes)> = each
                .map(|(who, share)| {
                    (bench.client(who).member_id.clone(), Bytes::copy_from_slice(share.as_bytes()))
                })
                .collect();
            bench.sync(name, each);
        }
        ["heartbeat", name] => bench.heartbeat(name),
        ["leave", ref names @ ..] => {
            let members = names.iter().map(|name| match name.strip_prefix("instance=") {
                Some(instance) => {
                    LeaveMember { member_id: String::new(), instance_id: Some(instance.to_owned()) }
                }
                None => bench.leaving(name),
            });
            let members = members.collect();
            bench.leave(names[0], members);
        }
        ["commit", name, place] => {
            let (topic, rest) = place.split_once('/').expect("TOPIC/PARTITION@OFFSET");
            let (partition, offset) = rest.split_once('@').expect("PARTITION@OFFSET");
            bench.commit(name, topic, partition.parse().unwrap(), offset.parse().unwrap());
        }
        ["fetch", name] => bench.fetch(name),
        ["wait", seconds] => bench.wait(Duration::from_secs_f64(seconds.parse().unwrap())),
        ["hold"] => bench.is_held = true,
        ["release"] => {
            bench.is_held = false;
            bench.release();
        }
        ["refuse"] => bench.refusal = Some(Refusal::TooLarge),
        ["accept"] => bench.refusal = None,
        ["restart"] => bench.restart(),
        ["describe"] => bench.send("operator", "describe", Command::Describe(GROUP.to_owned())),
        ["list"] => bench.send("operator", "list", Command::List),
        ["delete_group"] => bench.send("operator", "delete", Command::Delete(GROUP.to_owned())),
        ["delete_offset", place] => {
            let (topic, partition) = place.split_once('/').expect("TOPIC/PARTITION");
            let topics = vec![(topic.to_owned(), vec![partition.parse().unwrap()])];
            bench.send("operator", "delete", Command::DeleteOffsets { group_id: GROUP.to_owned(), topics });
        }
        ["delete", topic] => {
            let topics = vec![DeletedTopic { name: topic.to_owned(), topic_id: TOPIC_ID }];
            bench.send("broker", "delete", Command::TopicsDeleted(topics));
        }
        _ => panic!("unknown command: {line}"),
    }
}

/// Runs the commands of a script and writes it with what they lead to.
fn replayed(text: &str) -> String {
    let mut settings = settings();
    let mut out = String::new();
    let mut bench: Option<Bench> = None;
    let mut is_expectation = false;
    for line in text.lines() {
        if line.is_empty() {
            is_expectation = false;
        } else if line == "----" {
            is_expectation = true;
        } else if is_expectation {
            // what it led to last time
        } else if line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
        } else if let Some(setting) = line.strip_prefix("set ") {
            let (key, value) = setting.split_once('=').unwrap();
            set(&mut settings, key, value.parse().unwrap());
            writeln!(out, "{line}").unwrap();
        } else {
            let bench = bench.get_or_insert_with(|| Bench::new(settings.clone()));
            run(bench, line);
            writeln!(out, "{line}\n----").unwrap();
            for (asked, answer) in bench.answered.drain(..) {
                writeln!(out, "{} {}: {}", asked.who, asked.verb, shown(&answer)).unwrap();
            }
            writeln!(out, "= {}\n", bench.summary()).unwrap();
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[test]
fn every_script_leads_where_it_says() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/group/tests/scripts");
    let mut scripts: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() >= 8, "scripts are missing");
    for path in scripts {
        let text = std::fs::read_to_string(&path).unwrap();
        let replayed = replayed(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &replayed).unwrap();
        } else {
            assert_eq!(replayed, text, "{}: UPDATE=1 rewrites it", path.display());
        }
    }
}
