//! System calls of a process that runs, counted by strace from the moment it is attached to the moment it lets go.
//!
//! Also a part of `benches/regress`: nothing here knows the other rooms.

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ATTACHED_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// strace at work. Ends with the value.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Attaches to every thread of `pid`, those to come included; the counts are written to `directory` meanwhile.
    ///
    /// # Errors
    /// Where there is no strace, or it may not trace.
    pub fn attach(pid: u32, directory: &Path) -> io::Result<Self> {
        let output = directory.join("strace.txt");
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-U", "calls,name", "-o"]).arg(&output).args(["-p", &pid.to_string()]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut strace = Self { child, output };
        let start = Instant::now();
        while !is_traced(pid)? {
            let ended = strace.child.try_wait()?;
            if ended.is_some() || start.elapsed() > ATTACHED_WITHIN {
                return Err(io::Error::other(format!("strace did not attach: {ended:?}")));
            }
            sleep(PAUSE);
        }
        Ok(strace)
    }

    /// Lets go; how often each call was made.
    ///
    /// # Errors
    /// If strace did not say.
    pub fn detach(mut self) -> io::Result<BTreeMap<String, u64>> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        self.child.wait()?;
        let told = fs::read_to_string(&self.output)?;
        let counts = counts(&told);
        if counts.is_empty() {
            Err(io::Error::other(format!("strace told nothing: {told}")))
        } else {
            Ok(counts)
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Made by the thread that wakes the cores from time to time, however little they do: a slow machine has more of them for
/// the same requests.
const OF_TIME: [&str; 4] = ["clock_nanosleep", "pread64", "restart_syscall", "write"];

/// The calls that requests make, together.
pub fn of_requests(counts: &BTreeMap<String, u64>) -> u64 {
    counts.iter().filter(|(name, _)| !OF_TIME.contains(&name.as_str())).map(|(_, count)| count).sum()
}

/// The lines of the table that are calls: a number and a name, and not the sum of all.
fn counts(told: &str) -> BTreeMap<String, u64> {
    let call = |line: &str| {
        let mut words = line.split_whitespace();
        let count = words.next()?.parse::<u64>().ok()?;
        let name = words.next().filter(|name| *name != "total")?;
        Some((name.to_string(), count))
    };
    told.lines().filter_map(call).collect()
}

/// Whether every thread has a tracer.
fn is_traced(pid: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // It may have ended meanwhile.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
        if status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() == "0")) {
            return Ok(false);
        }
    }
    Ok(true)
}
