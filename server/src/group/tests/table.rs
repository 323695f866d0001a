//! Every state of a group against every event, as one text that a reader can check. `UPDATE=1` writes it anew.

use super::bench::{Bench, protocol, shown};
use crate::coordinator::Refusal;
use crate::group::GroupSettings;
use bytes::Bytes;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// A group with leader `a` and follower `b`; `s` is static; `n` and `m` are new; `x` believes it is a member.
type Prepare = fn(&mut Bench);

const STATES: &[(&str, Prepare)] = &[
    ("no group", |_| {}),
    ("Empty", |bench| {
        stable(bench);
        for who in ["a", "b"] {
            let members = vec![bench.leaving(who)];
            bench.leave(who, members);
        }
    }),
    ("PreparingRebalance, the first", |bench| {
        bench.join("a");
        bench.join("b");
    }),
    ("PreparingRebalance, b has not joined", |bench| {
        stable(bench);
        bench.join("a");
    }),
    ("CompletingRebalance", completing),
    ("CompletingRebalance, b waits for its share", |bench| {
        completing(bench);
        bench.sync("b", Vec::new());
    }),
    ("CompletingRebalance, the assignment is under way", |bench| {
        completing(bench);
        bench.is_held = true;
        assign(bench);
    }),
    ("Stable, b has not synced", |bench| {
        completing(bench);
        assign(bench);
    }),
    ("Stable", stable),
    ("Stable, static s comes back, not stored yet", |bench| {
        stable(bench);
        bench.join("s");
        bench.join("a");
        bench.join("b");
        assign(bench);
        bench.sync("b", Vec::new());
        bench.sync("s", Vec::new());
        bench.is_held = true;
        bench.client("s").member_id.clear();
        bench.join("s");
    }),
];

type Event = fn(&mut Bench);

const EVENTS: &[(&str, Event)] = &[
    ("join n, id not required", |bench| bench.join("n")),
    ("join m, id required", |bench| {
        bench.client("m").version = 9;
        bench.join("m");
    }),
    ("join static s", |bench| {
        bench.client("s").member_id.clear();
        bench.join("s");
    }),
    ("join a, the leader", |bench| bench.join("a")),
    ("join b, as before", |bench| bench.join("b")),
    ("join b, new subscription", |bench| {
        bench.client("b").protocols = vec![protocol("range", "other")];
        bench.join("b");
    }),
    ("join n, nothing in common", |bench| {
        bench.client("n").protocols = vec![protocol("other", "x")];
        bench.join("n");
    }),
    ("join x, a stranger's id", |bench| bench.join("x")),
    ("sync a, the leader", assign),
    ("sync b", |bench| bench.sync("b", Vec::new())),
    ("sync b, old generation", |bench| {
        bench.client("b").generation -= 1;
        bench.sync("b", Vec::new());
    }),
    ("sync x", |bench| bench.sync("x", Vec::new())),
    ("heartbeat b", |bench| bench.heartbeat("b")),
    ("heartbeat b, old generation", |bench| {
        bench.client("b").generation -= 1;
        bench.heartbeat("b");
    }),
    ("heartbeat x", |bench| bench.heartbeat("x")),
    ("leave a, the leader", |bench| {
        let members = vec![bench.leaving("a")];
        bench.leave("a", members);
    }),
    ("leave b", |bench| {
        let members = vec![bench.leaving("b")];
        bench.leave("b", members);
    }),
    ("leave x", |bench| {
        let members = vec![bench.leaving("x")];
        bench.leave("x", members);
    }),
    ("commit b", |bench| bench.commit("b", "t", 0, 1)),
    ("commit b, old generation", |bench| {
        bench.client("b").generation -= 1;
        bench.commit("b", "t", 0, 1);
    }),
    ("commit of a tool", |bench| bench.commit("tool", "t", 0, 1)),
    ("records become durable", Bench::release),
    ("the log refuses from now on, a syncs", |bench| {
        bench.refusal = Some(Refusal::Busy);
        assign(bench);
    }),
    ("only a is heard for a session", |bench| {
        bench.wait(Duration::from_secs(9));
        bench.heartbeat("a");
        bench.answered.pop();
        bench.wait(Duration::from_secs(1));
    }),
    ("everyone is heard for a rebalance timeout", |bench| {
        for _ in 0..12 {
            bench.wait(Duration::from_secs(5));
            for who in ["a", "b", "s"] {
                bench.heartbeat(who);
                bench.answered.pop();
            }
        }
    }),
    ("restart", Bench::restart),
];

fn bench() -> Bench {
    let mut bench = Bench::new(GroupSettings::default());
    for who in ["a", "b", "n"] {
        bench.client(who).version = 3;
    }
    bench.client("s").instance_id = Some("i".to_owned());
    bench.client("x").member_id = "nobody".to_owned();
    bench.client("x").generation = 1;
    bench
}

fn completing(bench: &mut Bench) {
    bench.join("a");
    bench.join("b");
    bench.wait(Duration::from_secs(6));
}

fn assign(bench: &mut Bench) {
    let each = ["a", "b", "s"]
        .map(|who| (bench.client(who).member_id.clone(), Bytes::copy_from_slice(who.as_bytes())));
    bench.sync("a", each.to_vec());
}

fn stable(bench: &mut Bench) {
    completing(bench);
    assign(bench);
    bench.sync("b", Vec::new());
}

fn table() -> String {
    let mut out = String::from(
        "Every state of a group against every event. Members: a leads, b follows, s is static, n and m are new, x is a\n\
         stranger. `=` is the state after, indented are the answers that left. Written by the test `table`, UPDATE=1.\n",
    );
    for (state, prepare) in STATES {
        writeln!(out, "\n## {state}").unwrap();
        for (event, happen) in EVENTS {
            let mut bench = bench();
            prepare(&mut bench);
            bench.answered.clear();
            happen(&mut bench);
            writeln!(out, "{event} = {}", bench.summary()).unwrap();
            for (asked, answer) in bench.answered.drain(..) {
                writeln!(out, "    {} {}: {}", asked.who, asked.verb, shown(&answer)).unwrap();
            }
        }
    }
    out
}

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/group/tests/table.txt");
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, table).unwrap();
    } else {
        assert_eq!(table, std::fs::read_to_string(path).unwrap(), "UPDATE=1 rewrites it");
    }
}
