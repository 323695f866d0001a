//! One executor on one core: the settings that were found to matter.

use super::Pulse;
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};
use std::future::Future;
use std::time::Duration;
use thalweg_engine::io::{Rouser, take_turns_after};

/// Memory for the device's reads and writes that is registered with the rings; what is over it is allocated.
const IO_MEMORY_BYTES: usize = 16 << 20;
/// Entries of each ring. The kernel keeps the polls of a ring, one for each connection, in a table whose size follows from
/// it, and walks a part of that table whenever anything is cancelled, the executor's own timers included. At glommio's 128
/// the table has 8 parts: with 15 000 connections the walks took 27-38 % of a core. From 4096 on it has 256, its most.
const RING_ENTRIES: usize = 4096;
/// Locked memory that an executor takes where it may: its buffers are registered with each of its three rings.
pub const LOCKED_BYTES: usize = 3 * IO_MEMORY_BYTES;
/// How long a task queue runs before others get their turn. Far below it, an executor was seen to sleep on runnable tasks.
const TURN: Duration = Duration::from_millis(1);
/// How long an executor keeps its core while its ring's workers want it.
const SLICE: Duration = Duration::from_micros(100);
/// Threads for calls that block, apart from the executor's core.
const BLOCKING_THREADS: usize = 2;

const _: () = assert!(TURN.as_millis() >= 1);

/// Runs `work` to its end on an executor in this thread, pinned to `cpu` if there is one; an idle one looks for work for
/// `spin` before it sleeps (not where it is unpinned), and `pulse` wakes it at times.
///
/// # Errors
/// When the system refuses an executor: no io_uring, too little locked memory, no such CPU.
pub fn run_core<T>(
    pulse: &Pulse,
    name: &str,
    cpu: Option<usize>,
    spin: Duration,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    if let Err(error) = take_turns_after(SLICE) {
        tracing::info!(%error, "syncs wait longer while a core is busy");
    }
    let make = || {
        LocalExecutorBuilder::new(cpu.map_or(Placement::Unbound, Placement::Fixed))
            .name(name)
            .spin_before_park(spin)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_ENTRIES)
            .preempt_timer(TURN)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(BLOCKING_THREADS))
            .make()
    };
    let (executor, rouser) =
        Rouser::of(make).map_err(|error| format!("the process's descriptors cannot be listed: {error}"))?;
    let executor = executor.map_err(|error| error.to_string())?;
    if rouser.is_empty() {
        return Err("an executor has no eventfd: nothing could wake it".to_owned());
    }
    let _follower = pulse.follow(rouser);
    Ok(executor.run(work))
}
