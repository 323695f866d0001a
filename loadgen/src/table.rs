//! What runs cost, and runs that are made of several, as text.
use std::fmt::Write as _;

use crate::machine::Machine;
use crate::resources::{ProcessFigures, ResourceFigures};
use crate::result::{LadderFigures, Part, RunResult};

/// What the machine's disk and the broker told of themselves.
pub(crate) fn write_ground(out: &mut String, machine: &Machine) {
    if let Some(disk) = machine.data_dir.as_ref().and_then(|data_dir| data_dir.disk.as_ref()) {
        let _ = writeln!(
            out,
            "disk {} {}, {:.0} GB, {}",
            disk.name,
            disk.model,
            disk.size_bytes as f64 / 1e9,
            disk.write_cache
        );
    }
    if let Some(broker) = &machine.broker {
        let version = broker.version.as_deref().unwrap_or("of a version that nobody told");
        let features: Vec<_> =
            broker.features.iter().map(|(name, level)| format!("{name} {level}")).collect();
        let _ = writeln!(out, "broker {version}, {} APIs {}", broker.api_count, features.join(", "));
    }
}

/// What a run cost.
pub(crate) fn write_resources(out: &mut String, resources: &ResourceFigures) {
    let _ = writeln!(out, "  cost over {:.1} s", resources.window_s);
    write_process(out, "generator", &resources.generator);
    for broker in &resources.brokers {
        write_process(out, "broker", broker);
    }
}

fn write_process(out: &mut String, role: &str, process: &ProcessFigures) {
    let per = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let _ = writeln!(
        out,
        "    {role} {} ({}): {} us a record ({:.2} s user, {:.2} s system; {} ns a byte), {:.1} MB resident, at most {:.1}",
        process.pid,
        process.name,
        per(process.cpu_us_per_record, 3),
        process.cpu_user_s,
        process.cpu_system_s,
        per(process.cpu_ns_per_byte, 3),
        process.resident_bytes as f64 / 1e6,
        process.resident_bytes_max as f64 / 1e6,
    );
    let count = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    let _ = writeln!(
        out,
        "      {} system calls ({} a record); {} reads, {} writes; {} MB written to the device, {} a byte sent",
        count(process.syscalls),
        per(process.syscalls_per_record, 3),
        count(process.read_calls),
        count(process.write_calls),
        per(process.disk_written_bytes.map(|bytes| bytes as f64 / 1e6), 1),
        per(process.disk_written_per_sent_byte, 3),
    );
    for reason in &process.unknown {
        let _ = writeln!(out, "      {reason}");
    }
}

/// Parts, one after the other, and what they say together.
pub(crate) fn write_parts(out: &mut String, result: &RunResult) {
    for (number, reader) in (1..).zip(&result.readers) {
        let latency = &reader.end_to_end_latency;
        let at = |name: &str| {
            let found = latency.percentiles.iter().find(|found| found.name == name);
            found.and_then(|found| found.us).map_or("-".to_owned(), |us| format!("{:.3}", us / 1e3))
        };
        let _ = writeln!(
            out,
            "  reader {number}: {} records; end to end, ms: p50 {} p99 {} p99.9 {} max {:.3}{}",
            reader.consume.read_records,
            at("p50"),
            at("p99"),
            at("p99.9"),
            latency.max_us / 1e3,
            if reader.verdict.is_good() { "" } else { "; FAULTS" }
        );
    }
    for part in &result.parts {
        write_part(out, part);
    }
    if let Some(ladder) = &result.ladder {
        write_ladder(out, ladder);
    }
    for restart in result.crash.iter().flat_map(|crash| &crash.restarts) {
        let told = restart.exit_status.map_or("no exit status".to_owned(), |code| format!("status {code}"));
        let _ = writeln!(out, "restart at {:.1} s: took {:.1} s, {told}", restart.at_s, restart.took_s);
    }
}

/// A part is told as a run is, without the machine and the seconds.
fn write_part(out: &mut String, part: &Part) {
    let _ = writeln!(out, "== {}, from {:.1} s", part.name, part.start_s);
    crate::report::write_halves(
        out,
        part.produce.as_ref(),
        part.consume.as_ref(),
        part.end_to_end_latency.as_ref(),
        part.end_to_end_service.as_ref(),
    );
    if let Some(resources) = &part.resources {
        write_resources(out, resources);
    }
    if let Some(verdict) = &part.verdict {
        crate::report::write_verdict(out, verdict);
    }
    for (word, lines) in [("warning", &part.warnings), ("FAILURE", &part.failures)] {
        for line in lines {
            let _ = writeln!(out, "  {word}: {line}");
        }
    }
}

fn write_ladder(out: &mut String, ladder: &LadderFigures) {
    let _ = writeln!(
        out,
        "ladder: p99 of {} within {} ms, {} % of the rate acknowledged\n  {:>14} {:>14} {:>10}",
        ladder.measured, ladder.p99_max_ms, ladder.kept_percent, "offered/s", "achieved/s", "p99 ms"
    );
    let mut steps: Vec<_> = ladder.steps.iter().collect();
    steps.sort_by_key(|step| step.offered_records_per_s);
    for step in steps {
        let p99 = step.p99_ms.map_or("-".to_owned(), |p99| format!("{p99:.3}"));
        let told = if step.kept { "kept".to_owned() } else { step.reasons.join(", ") };
        let _ = writeln!(
            out,
            "  {:>14} {:>14.0} {p99:>10}  {told}",
            step.offered_records_per_s, step.achieved_records_per_s
        );
    }
    let _ = match (ladder.knee_records_per_s, ladder.broken_records_per_s) {
        (Some(knee), Some(broken)) => {
            writeln!(out, "  knee: {knee} records/s are kept, {broken} are not")
        }
        (Some(knee), None) => writeln!(out, "  knee: above {knee} records/s, the end of the ladder"),
        (None, Some(broken)) => writeln!(out, "  knee: below {broken} records/s"),
        (None, None) => writeln!(out, "  no step was judged"),
    };
}
