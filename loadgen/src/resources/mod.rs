//! What did a run cost, this generator and the broker: processor, memory, system calls, bytes written to the device?
//!
//! [`Probe`] looks at the processes from a thread of its own, at the end of the warm-up, once a second, and at the end.
//! `process` reads what the kernel tells of a process, `syscalls` counts them where it may.
mod figures;
mod process;
mod syscalls;

pub use figures::{ProcessFigures, Produced, ResourceFigures};

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::run::{Progress, RunError};
use crate::spec::Common;
use process::{Process, Sample};
use syscalls::Syscalls;

/// Memory is looked at so often.
const PAUSE: Duration = Duration::from_secs(1);

/// What the run does, to set its cost against.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Records sent, if any are.
    pub sent: Option<Arc<Progress>>,
    /// Records read, if any are.
    pub read: Option<Arc<Progress>>,
}

impl Work {
    fn done(&self) -> Produced {
        let of = |progress: &Option<Arc<Progress>>| {
            progress.as_ref().map_or((0, 0), |progress| (progress.records(), progress.bytes()))
        };
        let ((sent_records, sent_bytes), (read_records, read_bytes)) = (of(&self.sent), of(&self.read));
        Produced { sent_records, sent_bytes, read_records, read_bytes }
    }
}

/// A look at the processes of a run that is under way.
#[derive(Debug)]
pub struct Probe {
    over: Sender<()>,
    thread: JoinHandle<ResourceFigures>,
}

/// One process under watch.
struct Watched {
    process: Process,
    syscalls: Result<Syscalls, String>,
    first: Option<Sample>,
    last: Option<Sample>,
    resident_bytes_max: u64,
}

impl Probe {
    /// Looks from now on; the run began at `start`. Call it before the run's threads are started: their system calls
    /// are counted because this thread's children are.
    ///
    /// # Errors
    /// If no thread can be started. A process that cannot be looked at is told in the figures.
    pub fn start(common: &Common, start: Instant, work: Work) -> Result<Self, RunError> {
        let (over, ended) = channel();
        let mut watched = vec![Watched::new(std::process::id(), common.count_syscalls)];
        watched.extend(common.broker_pids.iter().map(|pid| Watched::new(*pid, common.count_syscalls)));
        let warm_up = common.warm_up();
        let thread = std::thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || watch(&mut watched, start, warm_up, &work, &ended))
            .map_err(|source| RunError::System { what: "starting a thread", source })?;
        Ok(Self { over, thread })
    }

    /// The figures up to now.
    ///
    /// # Errors
    /// If the thread panicked: a fault of this program.
    pub fn finish(self) -> Result<ResourceFigures, RunError> {
        drop(self.over);
        self.thread.join().map_err(|_| RunError::Panicked)
    }
}

fn watch(
    watched: &mut [Watched],
    start: Instant,
    warm_up: Duration,
    work: &Work,
    ended: &Receiver<()>,
) -> ResourceFigures {
    // A run that ends within its warm-up has a window of its own length.
    let (mut window_start, mut before) = (start.elapsed(), work.done());
    watched.iter_mut().for_each(Watched::begin);
    let mut is_warm = false;
    loop {
        let pause = if is_warm { PAUSE } else { warm_up.saturating_sub(start.elapsed()).min(PAUSE) };
        let is_over = !matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout));
        if !is_warm && start.elapsed() >= warm_up {
            is_warm = true;
            (window_start, before) = (start.elapsed(), work.done());
            watched.iter_mut().for_each(Watched::begin);
        }
        watched.iter_mut().for_each(Watched::look);
        if is_over {
            let window = start.elapsed().saturating_sub(window_start);
            let produced = work.done().since(&before);
            let mut processes = watched.iter().map(|watched| watched.figures(&produced));
            let generator = processes.next().unwrap_or_default();
            return ResourceFigures {
                window_s: window.as_secs_f64(),
                produced,
                generator,
                brokers: processes.collect(),
            };
        }
    }
}

impl Watched {
    fn new(pid: u32, counts_syscalls: bool) -> Self {
        let syscalls = if counts_syscalls {
            Syscalls::count(pid)
        } else {
            Err("system calls are counted with --count-syscalls".to_owned())
        };
        Self { process: Process::new(pid), syscalls, first: None, last: None, resident_bytes_max: 0 }
    }

    fn begin(&mut self) {
        self.first = self.sample();
        (self.last, self.resident_bytes_max) = (None, 0);
    }

    fn look(&mut self) {
        // What a process that ended left behind is its last sample.
        if let Some(sample) = self.sample() {
            self.resident_bytes_max = self.resident_bytes_max.max(sample.resident_bytes);
            self.last = Some(sample);
        }
    }

    fn sample(&self) -> Option<Sample> {
        let mut sample = self.process.sample()?;
        sample.syscalls = self.syscalls.as_ref().ok().and_then(Syscalls::so_far);
        Some(sample)
    }

    fn figures(&self, produced: &Produced) -> ProcessFigures {
        let mut figures =
            ProcessFigures::new(&self.process, self.first.as_ref(), self.last.as_ref(), produced);
        figures.resident_bytes_max = self.resident_bytes_max;
        if let Err(reason) = &self.syscalls {
            figures.unknown.push(format!("syscalls: {reason}"));
        }
        figures
    }
}
