//! Instructions of the inner loops, under callgrind: the same build gives the same numbers, whatever else the machine does.
//!
//! One process a case, so that a case does not depend on those before it. Of a process only the calls of the bench's
//! `counted` are in the figure. The environment is empty: its size would move the stack.

use crate::figures::Figures;
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The symbol around what counts; see benches/loops/meter.rs.
const COUNTED: &str = "--toggle-collect=*meter*counted*";

/// Counts every case of the bench.
pub(crate) fn count(binary: &Path, jobs: usize) -> io::Result<Figures> {
    let listed = said(Command::new(binary).arg("--cases").output()?, "loops --cases")?;
    let cases: Vec<&str> = listed.lines().collect();
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Ok(Figures::default()));
    let work = |worker: usize| {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = count_one(binary, case, worker);
            let mut outcome = outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (&mut *outcome, found) {
                (Ok(figures), Ok(each)) => figures.set("instructions", case, each),
                (_, Ok(_)) => {}
                (failed, Err(error)) => *failed = Err(error),
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..jobs.max(1) {
            scope.spawn(move || work(worker));
        }
    });
    outcome.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Instructions of one operation of a case.
fn count_one(binary: &Path, case: &str, worker: usize) -> io::Result<f64> {
    let out = std::env::temp_dir().join(format!("thalweg-callgrind-{}-{worker}", std::process::id()));
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet", "--vgdb=no", COUNTED]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(binary).args(["--case", case]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = command.env_clear().env("PATH", path).output()?;
    let operations = said(output, case)?;
    let told = std::fs::read_to_string(&out)?;
    std::fs::remove_file(&out)?;
    let total = told.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<f64>().ok());
    let total = total.ok_or_else(|| io::Error::other(format!("{case}: callgrind gave no total")))?;
    let operations = operations.trim().parse::<f64>().map_err(io::Error::other)?;
    if total == 0.0 {
        return Err(io::Error::other(format!("{case}: nothing was counted: is `counted` still called so?")));
    }
    Ok(total / operations)
}

fn said(output: Output, what: &str) -> io::Result<String> {
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(io::Error::other);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{what} failed: {}: {error}", output.status)))
}
