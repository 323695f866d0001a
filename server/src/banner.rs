//! The first lines of the log: what the broker is and what it runs on.

use crate::config::Config;
use crate::ground::Ground;
use crate::start::MemoryPlan;

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// Tells it, in a few lines.
pub fn tell(config: &Config, ground: &Ground, memory: MemoryPlan, cluster_id: &str) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        kernel = ground.kernel,
        node_id = config.node_id,
        cluster_id,
        "thalweg"
    );
    for directory in &ground.directories {
        let on = match directory.device.as_str() {
            "" => directory.file_system.clone(),
            device => format!("{} on {device}", directory.file_system),
        };
        tracing::info!(path = directory.path, file_system = on, "log directory");
    }
    let cores = config.thalweg_cores.count() as u64;
    let each = config.thalweg_journal_file_bytes * config.thalweg_journal_files_max as u64;
    let directories = ground.directories.len() as u64;
    tracing::info!(
        cores,
        memory_each = size((memory.requests + memory.tails + memory.cache) as u64),
        requests = size(memory.requests as u64),
        tails = size(memory.tails as u64),
        cache = size(memory.cache as u64),
        machine = size(ground.memory_bytes),
        "memory"
    );
    tracing::info!(
        file = size(config.thalweg_journal_file_bytes),
        each_core_and_directory_at_most = size(each),
        all_at_most = size(each * cores * directories),
        alignment_bytes = thalweg_engine::io::BLOCK_BYTES,
        open_files_max = ground.files_max,
        "journal"
    );
    for warning in &ground.warnings {
        tracing::warn!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_keeps_digits() {
        assert_eq!(
            [size(4096), size(64 << 20), size(4 << 30), size(64 << 30)],
            ["4 KiB", "64 MiB", "4096 MiB", "64 GiB"]
        );
    }
}
