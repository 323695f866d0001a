//! A broker that is looked at from outside: started on a fresh directory, on one core, read from /proc, ended.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Ended, and its directory removed, when dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
    directory: PathBuf,
}

/// What it has done so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) cpu_ns: f64,
    pub(crate) written_bytes: f64,
    /// Allocations and their bytes; `None` of a build that does not count them.
    pub(crate) allocated: Option<(f64, f64)>,
}

impl Broker {
    /// Starts and waits until clients are served. Its HTTP port is the next one.
    pub(crate) fn start(binary: &Path, directory: &Path, port: u16) -> io::Result<Self> {
        // What an earlier run that was killed has left is no data of this one.
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(directory)?,
        }
        let log = File::create(directory.join("broker.log"))?;
        let data = directory.join("data");
        let mut command = Command::new(binary);
        for setting in [
            format!("listeners=PLAINTEXT://127.0.0.1:{port}"),
            format!("thalweg.http.listener=127.0.0.1:{}", port + 1),
            format!("log.dirs={}", data.display()),
            "thalweg.cores=1".to_owned(),
            "thalweg.memory.bytes=536870912".to_owned(),
        ] {
            command.args(["--set", &setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut broker = Self { child: command.spawn()?, port, directory: directory.to_owned() };
        let start = Instant::now();
        while !broker.page("/ready").is_ok_and(|page| page.starts_with("HTTP/1.1 200")) {
            let ended = broker.child.try_wait()?;
            if ended.is_some() || start.elapsed() > READY_WITHIN {
                let log = fs::read_to_string(directory.join("broker.log"))?;
                return Err(io::Error::other(format!("the broker is not ready: {ended:?}\n{log}")));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(broker)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn page(&self, path: &str) -> io::Result<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port + 1))?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Reads what it has done. Asking costs it a little, too, the same each time.
    pub(crate) fn done(&self) -> io::Result<Done> {
        let metrics = self.page("/metrics")?;
        let metric = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<f64>().ok())
        };
        let allocated = metric("thalweg_allocations_total").zip(metric("thalweg_allocated_bytes_total"));
        let told = fs::read_to_string(format!("/proc/{}/io", self.pid()))?;
        let written = told.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<f64>().ok());
        let written_bytes = written.ok_or_else(|| io::Error::other("/proc tells no bytes written"))?;
        Ok(Done { cpu_ns: self.cpu_ns()?, written_bytes, allocated })
    }

    /// Processor time of all threads, user and system, to the nanosecond: /proc/PID/stat counts in hundredths of a second.
    fn cpu_ns(&self) -> io::Result<f64> {
        let mut total = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            // A thread of the pool for blocking calls may have ended meanwhile.
            let Ok(told) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let first = told.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
            total += first.ok_or_else(|| io::Error::other("/proc tells no processor time"))?;
        }
        Ok(total)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself; its directory is found by the next start if it cannot be removed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
