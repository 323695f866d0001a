//! What a command line and a workload file come to.
use super::{Acks, Arguments, Produce, Spec, SpecError};
use clap::Parser as _;

fn spec(line: &str) -> Result<Spec, SpecError> {
    let words = std::iter::once("thalweg-loadgen").chain(line.split_whitespace());
    Spec::from_command(Arguments::try_parse_from(words).unwrap().command)
}

fn produce(line: &str) -> Produce {
    match spec(line).unwrap() {
        Spec::Produce { produce, .. } => produce,
        other => panic!("{other:?}"),
    }
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "command = \"produce\"\n[common]\ntopic = \"a\"\n[produce]\nconnection_count = 7\nacks = \"1\"\nidempotent = false\n",
    )
    .unwrap();
    let line = format!("produce --workload {} --connections 9", file.path().display());
    let found = produce(&line);
    assert_eq!((found.connection_count, found.acks, found.in_flight_count), (9, Acks::Leader, 5));
    let line = format!("{line} --idempotent --acks all");
    assert!(produce(&line).idempotent);
}

#[test]
fn a_file_for_another_command_or_with_an_unknown_key_is_refused_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = format!("produce --topic t --workload {}", file.path().display());
    std::fs::write(file.path(), "command = \"consume\"\n").unwrap();
    assert!(matches!(spec(&line), Err(SpecError::OtherCommand { .. })));
    std::fs::write(file.path(), "command = \"produce\"\n[produce]\nrate = 5\n").unwrap();
    let told = spec(&line).unwrap_err().to_string();
    assert!(told.contains("rate") && told.contains("rate_records_per_s"), "{told}");
}

#[test]
fn contradictions_are_named() {
    for (line, key) in [
        ("produce", "--topic"),
        ("produce --topic t --idempotent --acks 1", "--acks"),
        ("produce --topic t --connections 0", "--connections"),
        ("produce --topic t --time -1", "--time"),
        ("roundtrip --topic t --acks 0", "--acks"),
        ("consume --topic t --partitions 3-1", "--partitions"),
        ("consume --topic t --repeat", "--repeat"),
        ("consume --topic t --repeat --time 5 --verify", "--repeat"),
        ("produce --topic t --linger-ms 5", "--linger-ms"),
        ("produce --topic t --linger-ms 90000 --rate 5", "--linger-ms"),
        ("produce --topic t --key-spread zipf", "--key-spread"),
        ("produce --topic t --key-count 300 --key-bytes 2", "--key-bytes"),
        ("ladder --topic t", "--rates"),
        ("ladder --topic t --rates 5 --rate 5", "--rate"),
        ("ladder --topic t --rates 5 --end-to-end --acks 0", "--acks"),
        ("backlog --topic t --count 5", "--count"),
        ("tail --topic t", "--time"),
        ("crash --topic t --time 5 --crash-at 6 --crash-command x", "--crash-at"),
        ("crash --topic t --time 5 --crash-at 1", "--crash-command"),
        ("crash --topic t --acks 1 --time 5 --crash-at 1 --crash-command x", "--acks"),
    ] {
        let line = line.replace("--time -1", "--time=-1");
        let told = spec(&line).unwrap_err().to_string();
        assert!(told.starts_with(key), "{line}: {told}");
    }
}

#[test]
fn no_two_flags_of_a_command_have_one_name() {
    use clap::CommandFactory as _;
    Arguments::command().debug_assert();
}

#[test]
fn a_crash_run_is_idempotent_and_verifiable_and_its_times_are_sorted() {
    match spec("crash --topic t --time 9 --crash-at 5,2.5 --crash-command x").unwrap() {
        Spec::Crash { produce, crash, .. } => {
            assert!(produce.idempotent && produce.verifiable);
            assert_eq!(crash.at_s, [2.5, 5.0]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_of_a_space_are_not_taken_from_batches_made_before() {
    assert!(produce("produce --topic t").prebuilds_batches());
    let with_keys = produce("produce --topic t --key-count 100");
    assert!(!with_keys.prebuilds_batches() && with_keys.key_bytes == 16);
}

#[test]
fn a_journal_asks_for_tags_and_for_verification() {
    assert!(produce("produce --topic t --acked /tmp/x").verifiable);
    match spec("consume --topic t --acked /tmp/x --acked /tmp/y").unwrap() {
        Spec::Consume { consume, .. } => {
            assert!(consume.verify && consume.until_end);
            assert_eq!(consume.acked.len(), 2);
        }
        other => panic!("{other:?}"),
    }
}
