//! The client matrix: every client that people use, through every verb of their day. docs/compat.md has the table.
//!
//! ```sh
//! cargo test -p thalweg-tests --test all -- matrix                            # all of it
//! THALWEG_MATRIX_CLIENTS="aiokafka;kafka-python" cargo test ... -- matrix::  # some rows
//! THALWEG_WRITE_MATRIX=1 cargo test ... -- matrix                            # writes the outcomes into docs/compat.md
//! ```
//! The clients and their drivers are `harness::subjects`; a cell is green, failed, not applicable or skipped (`cells.rs`).

mod cells;
mod members;
mod positions;
mod records;
mod report;
mod restarts;

use cells::{Run, Verb, column};

/// Every column, in the order of the table.
const VERBS: [&Verb; 14] = [
    &PRODUCE, &LARGE, &MANY, &SUBSCRIBE, &TWO, &FIVE, &KILLED, &STATIC, &COMMIT, &PAUSE, &TIME, &PATTERN,
    &RESTARTED, &CRASHED,
];

const PRODUCE: Verb =
    Verb { name: "every codec", needs: &[], groups: false, run: Run::Each(records::every_codec) };
const LARGE: Verb =
    Verb { name: "records of 1 MB", needs: &[], groups: false, run: Run::Each(records::a_megabyte_each) };
const MANY: Verb = Verb {
    name: "200 partitions",
    needs: &[],
    groups: true,
    run: Run::Each(records::two_hundred_partitions),
};
const SUBSCRIBE: Verb =
    Verb { name: "subscribe", needs: &["group"], groups: true, run: Run::Each(members::one_member) };
const TWO: Verb =
    Verb { name: "two members", needs: &["group"], groups: true, run: Run::Each(members::two_members) };
const FIVE: Verb =
    Verb { name: "five members", needs: &["group"], groups: true, run: Run::Each(members::five_members) };
const KILLED: Verb =
    Verb { name: "one killed", needs: &["group"], groups: true, run: Run::Each(members::one_killed) };
const STATIC: Verb = Verb {
    name: "static restart",
    needs: &["group", "static"],
    groups: true,
    run: Run::Each(members::static_members_restart),
};
const COMMIT: Verb = Verb {
    name: "commit, resume",
    needs: &["group"],
    groups: false,
    run: Run::Each(positions::commit_and_resume),
};
const PAUSE: Verb =
    Verb { name: "pause, seek", needs: &["pause"], groups: false, run: Run::Each(positions::pause_and_seek) };
const TIME: Verb = Verb {
    name: "seek by time",
    needs: &["seek_time"],
    groups: false,
    run: Run::Each(positions::seek_by_time),
};
const PATTERN: Verb = Verb {
    name: "wildcard",
    needs: &["pattern"],
    groups: false,
    run: Run::Each(positions::a_topic_that_comes_later),
};
const RESTARTED: Verb = Verb {
    name: "broker restarted",
    needs: &[],
    groups: true,
    run: Run::Together(restarts::stop_and_start, restarts::keeps_going),
};
const CRASHED: Verb = Verb {
    name: "broker killed",
    needs: &[],
    groups: true,
    run: Run::Together(restarts::kill_and_start, restarts::keeps_going),
};

#[test]
fn every_client_writes_every_codec_and_reads_it_back() {
    column(&PRODUCE);
}

#[test]
fn every_client_carries_records_of_a_megabyte() {
    column(&LARGE);
}

#[test]
fn every_client_serves_two_hundred_partitions() {
    column(&MANY);
}

#[test]
fn every_client_reads_what_it_subscribes_to() {
    column(&SUBSCRIBE);
}

#[test]
fn two_members_of_every_client_share_the_partitions() {
    column(&TWO);
}

#[test]
fn five_members_of_every_client_come_and_go() {
    column(&FIVE);
}

#[test]
fn the_partitions_of_a_killed_member_go_to_the_other() {
    column(&KILLED);
}

#[test]
fn static_members_restart_without_a_rebalance() {
    column(&STATIC);
}

#[test]
fn every_client_goes_on_where_it_committed() {
    column(&COMMIT);
}

#[test]
fn every_client_pauses_resumes_and_seeks() {
    column(&PAUSE);
}

#[test]
fn every_client_finds_offsets_by_time() {
    column(&TIME);
}

#[test]
fn a_wildcard_finds_topics_that_come_later() {
    column(&PATTERN);
}

#[test]
fn every_client_goes_on_through_a_restart_of_the_broker() {
    column(&RESTARTED);
}

#[test]
fn every_client_goes_on_through_a_kill_of_the_broker() {
    column(&CRASHED);
}
