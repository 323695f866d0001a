//! One run as text, for people.
use std::fmt::Write as _;

use crate::histogram::LatencySummary;
use crate::result::{ConsumeFigures, GroupFigures, ProduceFigures, Rates, RunResult};
use crate::series::Second;
use crate::table;
use crate::verify::Verdict;

/// More seconds than this are told only by their worst.
const SECONDS_SHOWN_MAX: usize = 30;
const SECONDS_WORST: usize = 10;

/// The whole report. Writing into a String cannot fail, so the results of `write!` say nothing.
pub fn text(result: &RunResult) -> String {
    let mut out = String::new();
    let machine = &result.machine;
    let broker = machine.broker.as_ref().map(|broker| broker.address.to_string()).unwrap_or_default();
    let _ = writeln!(
        out,
        "broker {broker}; {} x {}, kernel {}, {} MiB; loadgen {}",
        machine.core_count, machine.cpu, machine.kernel, machine.memory_mib, machine.loadgen_commit
    );
    if let Some(found) = &machine.data_dir {
        let _ = writeln!(
            out,
            "data {} on {} ({}, {})",
            found.path.display(),
            found.kind,
            found.device,
            found.options
        );
    }
    table::write_ground(&mut out, machine);
    if let Some(group) = &result.group {
        write_group(&mut out, group);
    }
    write_halves(
        &mut out,
        result.produce.as_ref(),
        result.consume.as_ref(),
        result.end_to_end_latency.as_ref(),
        result.end_to_end_service.as_ref(),
    );
    let _ = writeln!(out, "  load generator: {:.2} s of processor time", result.generator_cpu_s);
    if let Some(resources) = &result.resources {
        table::write_resources(&mut out, resources);
    }
    table::write_parts(&mut out, result);
    write_series(&mut out, "sent", &result.produce_series);
    write_series(&mut out, "read", &result.consume_series);
    write_series(&mut out, "commits", &result.group_series);
    if let Some(verdict) = &result.verdict {
        write_verdict(&mut out, verdict);
    }
    for (word, lines) in [("warning", &result.warnings), ("FAILURE", &result.failures)] {
        for line in lines {
            let _ = writeln!(out, "{word}: {line}");
        }
    }
    out
}

/// The sending half, the reading half, and both together.
pub(crate) fn write_halves(
    out: &mut String,
    produce: Option<&ProduceFigures>,
    consume: Option<&ConsumeFigures>,
    latency: Option<&LatencySummary>,
    service: Option<&LatencySummary>,
) {
    if let Some(produce) = produce {
        write_produce(out, produce);
    }
    if let Some(consume) = consume {
        write_consume(out, consume);
    }
    if let Some(latency) = latency {
        write_latency(out, "end to end, per record, from the intended time", latency);
    }
    if let Some(service) = service {
        write_latency(out, "end to end, per record, from the sending", service);
    }
}

fn write_rates(out: &mut String, rates: &Rates) {
    let _ = writeln!(
        out,
        "  {:.3} s measured: {} records in {} batches, {:.1} MB\n  {:>12.0} records/s {:>10.0} batches/s {:>10.2} MB/s",
        rates.window_s,
        rates.records,
        rates.batches,
        rates.batch_bytes as f64 / 1e6,
        rates.records_per_s,
        rates.batches_per_s,
        rates.mb_per_s
    );
}

fn write_produce(out: &mut String, produce: &ProduceFigures) {
    let _ = writeln!(
        out,
        "produce, run {}, {} loop, {} partitions, batches of {:.0} bytes{}",
        produce.run,
        if produce.open_loop { "open" } else { "closed" },
        produce.partition_count,
        produce.batch_bytes_mean,
        if produce.prebuilt_batches { " made before the run" } else { "" }
    );
    write_rates(out, &produce.rates);
    let since = if produce.open_loop { "the intended time" } else { "the making of the batch" };
    write_latency(out, &format!("acknowledgement, per record, from {since}"), &produce.latency);
    if produce.open_loop {
        write_latency(out, "of it waiting to be sent", &produce.wait);
        write_latency(out, "service time, per record, from the sending", &produce.service);
    }
    if let Some(schedule) = &produce.schedule {
        write_latency(out, "waiting for this generator alone", &schedule.own_wait);
    }
    if produce.reopen.samples > 0 {
        write_latency(out, "connections opened again, from the plan to the first answer", &produce.reopen);
    }
    let _ = write!(out, "  acknowledged {} records", produce.acknowledged_records);
    for (words, count) in [
        ("records of unknown outcome", produce.unknown_records),
        ("records refused", produce.refused_records),
        ("records due and never sent", produce.unsent_records),
        ("batches sent again", produce.repeated_batches),
        ("connections lost", produce.lost_links),
    ] {
        if count > 0 {
            let _ = write!(out, "; {count} {words}");
        }
    }
    out.push('\n');
    for (name, count) in &produce.errors {
        let _ = writeln!(out, "  answered {name}: {count} times");
    }
}

fn write_consume(out: &mut String, consume: &ConsumeFigures) {
    let _ = writeln!(out, "consume, {} partitions", consume.partition_count);
    write_rates(out, &consume.rates);
    let _ = writeln!(
        out,
        "  {} fetches with {:.0} bytes each, {} empty ones; {} records in all; {} connections lost",
        consume.fetches,
        consume.fetch_bytes_mean,
        consume.empty_fetches,
        consume.read_records,
        consume.lost_links
    );
    write_latency(out, "fetch, from asking to the last byte", &consume.fetch_latency);
    for (name, count) in &consume.errors {
        let _ = writeln!(out, "  answered {name}: {count} times");
    }
}

fn write_group(out: &mut String, group: &GroupFigures) {
    let _ = writeln!(
        out,
        "group, {} groups, {} members at the end; {} rebalances; {} connections lost",
        group.group_count, group.live_members, group.rebalances, group.lost_links
    );
    for event in &group.events {
        write_latency(
            out,
            &format!("{}: to a stable assignment, by group", event.event),
            &event.time_to_stable,
        );
        if event.never_stable > 0 {
            let _ = writeln!(out, "    {} groups were not stable after it", event.never_stable);
        }
    }
    let _ = writeln!(out, "  assignments were stable {:.2} % of the time", group.stable_share * 100.0);
    write_latency(out, "stop the world, by partition and rebalance", &group.stop_the_world);
    write_latency(out, "join, from asking to a generation", &group.join_latency);
    write_latency(out, "sync, from asking to a share", &group.sync_latency);
    write_latency(out, "heartbeat", &group.heartbeat_latency);
    if group.commit_latency.samples > 0 || group.unsent_commits > 0 {
        let _ = writeln!(
            out,
            "  {:.3} s measured: {:.0} commits/s, {:.0} offsets/s; {} due and never sent, {} without an answer",
            group.commit_window_s,
            group.commits_per_s,
            group.committed_offsets_per_s,
            group.unsent_commits,
            group.lost_commits
        );
        write_latency(out, "commit, from the intended time", &group.commit_latency);
        write_latency(out, "commit, from the sending", &group.commit_service);
    }
    if let Some(missed) = group.missed_records {
        let _ = writeln!(
            out,
            "  {} records reached members, {} of them again; {missed} reached nobody{}",
            group.read_records,
            group.doubled_records,
            if missed == 0 { ": GOOD" } else { ": FAULT" }
        );
        for example in &group.missed_examples {
            let _ = writeln!(out, "    {example}");
        }
    }
    if group.gone_back_offsets > 0 {
        let _ = writeln!(out, "  {} committed offsets went back: FAULT", group.gone_back_offsets);
        for example in &group.gone_back_examples {
            let _ = writeln!(out, "    {example}");
        }
    }
    if group.overlaps > 0 {
        let _ = writeln!(out, "  {} times a partition got a reader while it had another", group.overlaps);
    }
    for (name, count) in &group.errors {
        let _ = writeln!(out, "  answered {name}: {count} times");
    }
}

fn write_latency(out: &mut String, what: &str, latency: &LatencySummary) {
    let _ = write!(out, "  {what} ({} samples), ms\n   ", latency.samples);
    for percentile in &latency.percentiles {
        let _ = match percentile.us {
            Some(us) => write!(out, " {} {:.3}", percentile.name, us / 1e3),
            None => write!(out, " {} -", percentile.name),
        };
    }
    let _ = writeln!(out, " max {:.3} (mean {:.3})", latency.max_us / 1e3, latency.mean_us / 1e3);
    let open: Vec<_> =
        latency.percentiles.iter().filter(|found| found.us.is_none()).map(|found| found.name).collect();
    if !open.is_empty() && latency.samples > 0 {
        let _ = writeln!(
            out,
            "    {} measurements are too few to tell {}",
            latency.measurements,
            open.join(", ")
        );
    }
}

fn write_series(out: &mut String, word: &str, series: &[Second]) {
    if series.len() < 2 {
        return;
    }
    let mut shown: Vec<&Second> = series.iter().collect();
    if series.len() > SECONDS_SHOWN_MAX {
        let _ = writeln!(
            out,
            "  {} seconds, all of them in the JSON; the {SECONDS_WORST} with the worst latency:",
            series.len()
        );
        shown.sort_by(|one, other| other.max_us.total_cmp(&one.max_us));
        shown.truncate(SECONDS_WORST);
        shown.sort_by_key(|second| second.at_s);
    }
    let _ = writeln!(
        out,
        "  {:>6} {:>12} {:>10} {:>9} {:>9} {:>9} {:>7}",
        "second",
        format!("{word}/s"),
        "MB/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "errors"
    );
    for second in shown {
        let _ = writeln!(
            out,
            "  {:>6} {:>12} {:>10.2} {:>9.3} {:>9.3} {:>9.3} {:>7}",
            second.at_s,
            second.records,
            second.bytes as f64 / 1e6,
            second.p50_us / 1e3,
            second.p99_us / 1e3,
            second.max_us / 1e3,
            second.errors
        );
    }
}

pub(crate) fn write_verdict(out: &mut String, verdict: &Verdict) {
    let _ = writeln!(
        out,
        "verification: {} records of {} partitions read, {} acknowledged ones looked for",
        verdict.records, verdict.partitions, verdict.acknowledged_records
    );
    for (words, count) in [
        ("records without a tag: only their batches were checked", verdict.untagged_records),
        ("acknowledged records lie before the place where reading began", verdict.expired_records),
        ("records of unknown outcome are there", verdict.unknown_found_records),
        ("records of unknown outcome are not there", verdict.unknown_absent_records),
        ("records are there twice, after repetitions without idempotence", verdict.forgiven_doubled_records),
        (
            "records are out of order, after repetitions without idempotence",
            verdict.forgiven_out_of_order_records,
        ),
    ] {
        if count > 0 {
            let _ = writeln!(out, "  {count} {words}");
        }
    }
    if verdict.is_good() {
        let _ = writeln!(out, "  GOOD: {}", proven(verdict));
    }
    for (kind, found) in verdict.faults.iter() {
        let _ = writeln!(out, "  FAULT: {} {}", found.count, kind.words());
        for example in &found.examples {
            let _ = writeln!(out, "    {example}");
        }
    }
}

/// What a verdict without faults has shown: never more than was looked at.
fn proven(verdict: &Verdict) -> &'static str {
    if verdict.acknowledged_records > 0 {
        "nothing that was acknowledged is lost, nothing doubled, changed or out of order"
    } else if verdict.untagged_records < verdict.records {
        "nothing is missing between the records found, nothing doubled, changed or out of order; \
         whether the end is whole, only a journal (--acked) can tell"
    } else {
        "offsets are dense and every batch is whole; records without tags (--verifiable) show nothing more"
    }
}
