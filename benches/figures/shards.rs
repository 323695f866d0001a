//! What a second shard costs where one would do: processor time of the same load, far below saturation.

use crate::disk::remove;
use crate::load::{Bench, at_rest, broker_cpu_s};
use crate::process::Program;
use crate::table::{Row, Table};
use serde_json::Value;
use std::io;
use thalweg_benches::numbers::ratios;

/// Offered, records of 1 KiB a second.
const RATE: &str = "200000";
const LOAD: [&str; 14] = [
    "--topic",
    "figures",
    "--partitions",
    "16",
    "--connections",
    "16",
    "--in-flight",
    "5",
    "--batch-bytes",
    "65536",
    "--record-bytes",
    "1024",
    "--rate",
    RATE,
];

/// A fixed rate against one shard on the first CPU and against two on both; the sender has the second one, as always.
pub(crate) fn shards(
    bench: &Bench,
    broker: &Program,
    port: u16,
    rounds: usize,
    table: &mut Table,
) -> io::Result<()> {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for (cpus, per_gb) in [([0].as_slice(), &mut one), ([0, 1].as_slice(), &mut two)] {
            per_gb.push(cpu_s_per_gb(bench, broker, port, cpus)?);
        }
        eprintln!("shards, round {round}: {:.2} and {:.2} CPU s for each GB", one[round], two[round]);
    }
    let share = ratios(&two, &one);
    let rows = vec![
        Row::new("one shard", "CPU s/GB", one),
        Row::new("two shards", "CPU s/GB", two),
        Row::new("two / one, same round", "", share).at_most(1.15),
    ];
    table.push(
        "200 000 records/s of 1 KiB in batches of 64 KiB, 16 partitions and connections, acks=all",
        rows,
    );
    Ok(())
}

fn cpu_s_per_gb(bench: &Bench, program: &Program, port: u16, cpus: &[usize]) -> io::Result<f64> {
    let directory = bench.fresh("broker")?;
    let broker = at_rest(program.start_pinned(&directory, port, cpus, &[]))?;
    let (time, warm_up) = ((bench.time_s + bench.warm_up_s).to_string(), bench.warm_up_s.to_string());
    let pid = broker.pid().to_string();
    let mut arguments = vec!["--time", &time, "--warm-up", &warm_up, "--broker-pid", &pid];
    arguments.extend(LOAD);
    let sent: Value = bench.produce_result(port, &arguments)?;
    let value = |part: &Value| part.as_f64().unwrap_or(f64::NAN);
    let bytes = value(&sent["produce"]["rates"]["mb_per_s"]) * 1e6 * value(&sent["resources"]["window_s"]);
    broker.kill()?;
    remove(&directory)?;
    Ok(broker_cpu_s(&sent) / (bytes / 1e9))
}
