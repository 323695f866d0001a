//! Start the threads, wait for them, put their figures together: one run from the settings to the result.
mod backlog;
mod consume;
mod crash;
pub(crate) mod files;
mod group;
mod ladder;
mod produce;
mod progress;
mod roundtrip;

pub use progress::Progress;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::ClientError;
use crate::machine::Machine;
use crate::result::RunResult;
use crate::spec::{Spec, SpecError};
use crate::verify::LedgerError;

/// Why a run could not be made or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings are wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A broker cannot be reached or answers wrongly.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A batch could not be compressed.
    #[error(transparent)]
    Codec(#[from] crate::batch::CodecError),
    /// An acknowledgement journal cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// This machine refuses.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The result cannot be written.
    #[error("{}: {source}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A connection has one leader; several leaders need several connections.
    #[error(
        "the topic's partitions have {leaders} leaders, so at least as many connections are needed, not {connections}"
    )]
    TooFewConnections {
        /// Brokers that lead a partition.
        leaders: usize,
        /// Connections asked for.
        connections: u32,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// As asked for.
        partition: i32,
    },
    /// The journal tells of another topic.
    #[error("{} tells of topic {journal}, not of {topic}", path.display())]
    OtherTopic {
        /// The journal.
        path: PathBuf,
        /// Its topic.
        journal: String,
        /// The one that was read.
        topic: String,
    },
    /// The process may not have so many sockets.
    #[error("{sockets} sockets are needed, the limit of open files is {maximum}: raise it (ulimit -Hn)")]
    TooFewFiles {
        /// The hard limit.
        maximum: u64,
        /// As needed.
        sockets: u64,
    },
    /// A thread of ours panicked: a fault of this program.
    #[error("a thread of the load generator panicked")]
    Panicked,
}

/// Asks a run to end, from any thread or a signal.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Nothing more is sent or asked for; answers under way are awaited.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// Makes one run.
///
/// # Errors
/// If it could not begin, or this machine failed it. A broker that failed it is told in the result.
pub fn run(spec: Spec, stop: &Stop) -> Result<RunResult, RunError> {
    let machine = Machine::look(spec.common().data_dir.as_deref());
    // Wake-ups at the time asked for, not 50 us later; a kernel that refuses only costs precision.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let cpu_before = cpu_time();
    let mut result = match &spec {
        Spec::Produce { common, produce } => produce::run(common, produce, machine, stop)?,
        Spec::Consume { common, consume } => consume::run(common, consume, machine, stop)?,
        Spec::Roundtrip { common, produce, roundtrip } => {
            roundtrip::run(common, produce, roundtrip, machine, stop)?
        }
        Spec::Group { common, produce, group } => group::run(common, produce, group, machine, stop)?,
        Spec::Ladder { common, produce, roundtrip, ladder } => {
            ladder::run(common, produce, roundtrip, ladder, &machine, stop)?
        }
        Spec::Backlog { common, produce, backlog } => backlog::run(common, produce, backlog, &machine, stop)?,
        Spec::Tail { common, produce, roundtrip, backlog, tail } => {
            backlog::tail(common, produce, roundtrip, backlog, *tail, &machine, stop)?
        }
        Spec::Crash { common, produce, crash } => crash::run(common, produce, crash, &machine, stop)?,
    };
    result.generator_cpu_s = (cpu_time().saturating_sub(cpu_before)).as_secs_f64();
    result.spec = Some(spec);
    Ok(result)
}

/// Processor time of all threads of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Sleeps, unless someone asks to stop.
fn pause(length: Duration, stop: &Stop) {
    const PIECE: Duration = Duration::from_millis(20);
    let start = std::time::Instant::now();
    while start.elapsed() < length && !stop.is_asked() {
        std::thread::sleep(PIECE.min(length.saturating_sub(start.elapsed())));
    }
}

/// Waits for threads that each return a part, printing progress meanwhile.
fn join<T>(
    handles: Vec<std::thread::JoinHandle<Result<T, RunError>>>,
    progress: &Progress,
) -> Result<Vec<T>, RunError> {
    progress.watch(|| handles.iter().all(std::thread::JoinHandle::is_finished));
    handles.into_iter().map(|handle| handle.join().map_err(|_| RunError::Panicked)?).collect()
}
