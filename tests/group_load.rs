//! Groups under way: members come, leave, die and restart while records are sent, and the broker is killed and started again. What
//! was acknowledged reaches a member, and a group that nothing happened to does not notice the broker's restart.

use harness::broker::loadgen_binary;
use harness::scratch::Scratch;
use harness::siege::alone;
use harness::{Broker, process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

const OVER_WITHIN: Duration = Duration::from_mins(3);
const SETTINGS: [(&str, &str); 2] =
    [("group.initial.rebalance.delay.ms", "500"), ("group.min.session.timeout.ms", "1000")];
/// Sends and reads; idempotent, so that what is sent again over a restart is there once.
const LOAD: [&str; 21] = [
    "--read",
    "--feed",
    "--idempotent",
    "--rate",
    "1000",
    "--batch-records",
    "10",
    "--record-bytes",
    "100",
    "--connections",
    "2",
    "--partitions",
    "12",
    "--session-timeout-ms",
    "3000",
    "--heartbeat-ms",
    "200",
    "--commit-interval-ms",
    "300",
    "--drain",
    "60",
];

fn begin(broker: &Broker, dir: &Path, topic: &str, words: &[&str]) -> Child {
    let mut command = Command::new(loadgen_binary());
    command.args(["group", "--brokers", &broker.address(), "--topic", topic, "--group", topic]);
    command.args(LOAD).args(words).arg("--json").arg(dir.join("result.json"));
    process::spawn(&command).unwrap()
}

/// Waits for the run; its groups' figures, if it ended well.
fn end(mut run: Child, dir: &Path, broker: &Broker) -> Value {
    let status = process::wait(&mut run, OVER_WITHIN).expect("the load generator ends in time");
    let result: Value = serde_json::from_slice(&fs::read(dir.join("result.json")).unwrap()).unwrap();
    assert!(status.success(), "{status}: {:#}\n{}", result["group"], broker.log_text());
    let group = &result["group"];
    assert_eq!(group["missed_records"], 0, "{group:#}");
    assert_eq!(group["read_records"].as_u64(), sent(&result).checked_add(doubled(group)), "{group:#}");
    group.clone()
}

fn sent(result: &Value) -> u64 {
    result["produce"]["acknowledged_records"].as_u64().unwrap()
}

fn doubled(group: &Value) -> u64 {
    group["doubled_records"].as_u64().unwrap()
}

#[test]
fn members_come_leave_die_and_restart_and_every_record_reaches_one_of_them() {
    let _alone = alone();
    let broker = Broker::with(&SETTINGS);
    for assignor in ["range", "cooperative-sticky"] {
        let scratch = Scratch::new(&format!("group_load_{assignor}"));
        let script = [
            "--event",
            "0:join:8",
            "--event",
            "3:leave:2:1",
            "--event",
            "6:die:2",
            "--event",
            "12:restart:2",
        ];
        let words = [&script[..], &["--assignor", assignor, "--time", "16"]].concat();
        let group = end(begin(&broker, scratch.path(), assignor, &words), scratch.path(), &broker);
        assert_eq!(group["live_members"], 4, "{group:#}");
        for event in group["events"].as_array().unwrap() {
            assert_eq!(event["never_stable"], 0, "{group:#}");
        }
    }
}

#[test]
fn members_of_a_group_read_on_where_they_were_when_the_broker_is_killed_and_started_again() {
    let _alone = alone();
    let mut broker = Broker::with(&SETTINGS);
    let scratch = Scratch::new("group_load_killed");
    let words = ["--event", "0:join:4", "--time", "14"];
    let run = begin(&broker, scratch.path(), "killed", &words);
    thread::sleep(Duration::from_secs(6));
    broker.kill();
    broker.start_again(None);
    let group = end(run, scratch.path(), &broker);
    assert_eq!(group["live_members"], 4, "{group:#}");
    assert!(group["lost_links"].as_u64().unwrap() >= 4, "{group:#}");
    assert_eq!(group["rebalances"], 1, "nobody has to join again: {group:#}");
}
