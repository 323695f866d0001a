//! Under which conditions: machine, workload, what it cost. With several results, what differs between them is marked.
use std::collections::BTreeSet;

use super::markup::{Table, made, utc, words};
use super::{named, section};
use crate::compare::conditions;
use crate::quantity::{bytes, grouped, number};
use crate::saved::{Disk, Run, Saved};

/// What a reader looks for first; everything else is in the list of all settings.
const MAIN: [(&str, fn(&Run) -> Option<String>); 13] = [
    ("started", |run| (run.start_unix_ms > 0).then(|| utc(run.start_unix_ms))),
    ("processor", |run| {
        let machine = &run.machine;
        (!machine.cpu.is_empty()).then(|| format!("{} \u{d7} {}", machine.core_count, machine.cpu))
    }),
    ("memory", |run| {
        (run.machine.memory_mib > 0).then(|| format!("{} MiB", grouped(run.machine.memory_mib as f64)))
    }),
    ("kernel", |run| Some(run.machine.kernel.clone())),
    ("disk", |run| {
        let mount = run.machine.data_dir.as_ref()?;
        let told = |disk: &Disk| {
            format!("; {} {}, {}, {}", disk.name, disk.model, bytes(disk.size_bytes as f64), disk.write_cache)
        };
        let disk = mount.disk.as_ref().map(told).unwrap_or_default();
        Some(format!("{} on {} ({}){disk}", mount.kind, mount.device, mount.options))
    }),
    ("broker", |run| {
        let broker = run.machine.broker.as_ref()?;
        let version = broker.version.as_ref().map(|version| format!("{version}, ")).unwrap_or_default();
        Some(format!(
            "{version}{}{}",
            broker.address,
            if broker.same_machine { ", on the same machine" } else { "" }
        ))
    }),
    ("commit of the load generator", |run| {
        let build = if run.machine.optimized { "" } else { ", debug build" };
        Some(format!("{}{build}", run.machine.loadgen_commit)).filter(|told| !told.is_empty())
    }),
    ("records", |run| {
        let (sent, read) = (run.produce.as_ref(), run.consume.as_ref());
        let sent = sent.map(|sent| format!("{} acknowledged", grouped(sent.acknowledged_records as f64)));
        let read = read.map(|read| format!("{} read", grouped(read.read_records as f64)));
        join([sent, read])
    }),
    ("partitions", |run| {
        let sent = run.produce.as_ref().map(|sent| sent.partition_count);
        sent.or(run.consume.as_ref().map(|read| read.partition_count)).map(|count| grouped(count as f64))
    }),
    ("batches", |run| {
        let produce = run.produce.as_ref()?;
        let made = if produce.prebuilt_batches { ", made before the run" } else { "" };
        Some(format!("{} bytes in the mean{made}", grouped(produce.batch_bytes_mean)))
    }),
    ("measured", |run| {
        let rates =
            run.produce.as_ref().map(|sent| &sent.rates).or(run.consume.as_ref().map(|read| &read.rates))?;
        Some(format!(
            "{} s, {} MB/s, {} batches/s",
            number(rates.window_s),
            number(rates.mb_per_s),
            number(rates.batches_per_s)
        ))
    }),
    ("answers with errors, lost connections", |run| {
        let half = |errors: &std::collections::BTreeMap<String, u64>, lost: u64| {
            let mut told: Vec<String> =
                errors.iter().map(|(name, count)| format!("{name}: {count}")).collect();
            if lost > 0 {
                told.push(format!("{lost} connections lost"));
            }
            (!told.is_empty()).then(|| told.join(", "))
        };
        let sent = run.produce.as_ref().and_then(|sent| half(&sent.errors, sent.lost_links));
        let read = run.consume.as_ref().and_then(|read| half(&read.errors, read.lost_links));
        let group = run.group.as_ref().and_then(|group| half(&group.errors, 0));
        join([sent, read, group])
    }),
    ("file", |_| None),
];

fn join<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let told: Vec<String> = parts.into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The table, and all settings to be unfolded.
pub(super) fn html(results: &[Saved]) -> String {
    let names: Vec<String> = (0..results.len()).map(|index| named(results, index)).collect();
    let mut main = table(results.len(), &names);
    for (heading, of) in MAIN {
        let values: Vec<String> = results
            .iter()
            .map(|saved| {
                let told =
                    if heading == "file" { Some(saved.path.display().to_string()) } else { of(&saved.run) };
                told.unwrap_or_else(|| "-".to_owned())
            })
            .collect();
        if values.iter().any(|value| value != "-") {
            row(&mut main, heading, &values, !matches!(heading, "started" | "file" | "measured" | "records"));
        }
    }
    let flat: Vec<Vec<(String, String)>> = results.iter().map(|saved| conditions(&saved.run)).collect();
    let keys: BTreeSet<&String> = flat.iter().flatten().map(|(key, _)| key).collect();
    let mut all = table(results.len(), &names);
    for key in keys {
        let of = |settings: &Vec<(String, String)>| {
            settings.iter().find(|(known, _)| known == key).map_or("-".to_owned(), |(_, value)| value.clone())
        };
        row(&mut all, key, &flat.iter().map(of).collect::<Vec<_>>(), true);
    }
    let content = format!("{}<details><summary>All settings</summary>{}</details>", main.html(), all.html());
    let note = if results.len() > 1 {
        "What is not the same in all runs is marked."
    } else {
        "A figure without them says nothing."
    };
    section("Conditions", note, &content)
}

fn table(count: usize, names: &[String]) -> Table {
    if count < 2 { Table::new(&[]) } else { Table::with_head(names) }
}

fn row(table: &mut Table, heading: &str, values: &[String], counts: bool) {
    let mut cells = vec![words(heading)];
    let differs = counts && values.iter().any(|value| *value != values[0]);
    cells.extend(values.iter().map(|value| made(super::escaped(value))));
    table.marked_row(if differs { "differs" } else { "" }, cells);
}
