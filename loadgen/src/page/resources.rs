//! What a run cost the broker and the generator, and what each of several readers saw.
use super::markup::{Table, figure, made, words};
use super::{named, section};
use crate::quantity::{bytes, grouped, number, time};
use crate::saved::{Process, Saved};

/// Costs, readers, restarts.
pub(super) fn html(results: &[Saved]) -> String {
    costs(results) + &readers(results) + &restarts(results)
}

fn costs(results: &[Saved]) -> String {
    let mut table = Table::new(&[
        "result",
        "process",
        "CPU per record",
        "CPU per byte",
        "CPU, user + system",
        "calls per record",
        "written per byte sent",
        "memory",
        "at most",
    ]);
    let mut unknown: Vec<&String> = Vec::new();
    for (index, saved) in results.iter().enumerate() {
        let Some(resources) = &saved.run.resources else { continue };
        let brokers = resources.brokers.iter().map(|broker| ("broker", broker));
        for (role, process) in brokers.chain([("generator", &resources.generator)]) {
            table.row(row(named(results, index), role, process));
            unknown.extend(process.unknown.iter().filter(|told| !told.is_empty()));
        }
    }
    if table.is_empty() {
        return String::new();
    }
    unknown.sort();
    unknown.dedup();
    let mut note = "From the end of the warm-up to the last answer. What is per record is per record sent, or read if none was sent.".to_owned();
    for told in unknown {
        note.extend([" Not known: ", told, "."]);
    }
    section("Cost", &note, &table.of_results(results.len()).html())
}

fn row(name: String, role: &str, process: &Process) -> Vec<super::markup::Cell> {
    let told = |value: Option<f64>, words: fn(f64) -> String| value.map_or("-".to_owned(), words);
    let program =
        if process.name.is_empty() { role.to_owned() } else { format!("{role} ({})", process.name) };
    vec![
        made(name),
        words(&program),
        figure(&told(process.cpu_us_per_record, time)),
        figure(&told(process.cpu_ns_per_byte, |ns| format!("{}\u{a0}ns", number(ns)))),
        figure(&format!("{} + {}\u{a0}s", number(process.cpu_user_s), number(process.cpu_system_s))),
        figure(&told(process.syscalls_per_record, number)),
        figure(&told(process.disk_written_per_sent_byte, number)),
        figure(&bytes(process.resident_bytes as f64)),
        figure(&bytes(process.resident_bytes_max as f64)),
    ]
}

fn readers(results: &[Saved]) -> String {
    let mut table = Table::new(&["result", "reader", "records", "p50", "p99", "p99.9", "max"]);
    for (index, saved) in results.iter().enumerate() {
        for (number, reader) in (1..).zip(&saved.run.readers) {
            let latency = &reader.end_to_end_latency;
            let at = |name| latency.at(name).map_or("-".to_owned(), time);
            table.row(vec![
                made(named(results, index)),
                figure(&number.to_string()),
                figure(&grouped(reader.consume.read_records as f64)),
                figure(&at("p50")),
                figure(&at("p99")),
                figure(&at("p99.9")),
                figure(&time(latency.max_us)),
            ]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    section(
        "Readers",
        "Each of several readers of the same topic, end to end, from the intended time.",
        &table.of_results(results.len()).html(),
    )
}

fn restarts(results: &[Saved]) -> String {
    let mut table = Table::new(&["result", "at", "took", "exit status"]);
    for (index, saved) in results.iter().enumerate() {
        for restart in saved.run.crash.iter().flat_map(|crash| &crash.restarts) {
            table.row(vec![
                made(named(results, index)),
                figure(&format!("{}\u{a0}s", number(restart.at_s))),
                figure(&time(restart.took_s * 1e6)),
                figure(&restart.exit_status.map_or("none".to_owned(), |status| status.to_string())),
            ]);
        }
    }
    if table.is_empty() {
        return String::new();
    }
    section(
        "Restarts",
        "How the broker was restarted while records were sent; seconds count from the start of the run.",
        &table.of_results(results.len()).html(),
    )
}
