//! The programs that are measured: started on fresh directories, asked until they answer, read from outside, ended.

use super::cpus;
use super::probe::{self, Asked, LATEST};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Kafka takes minutes for thousands of partitions after a kill; one that ended is noticed at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(30 * 60);
/// Kafka maps two indexes of each partition; the rest is the JVM's, and the offsets topic's.
const MAPS_FOR_OTHERS: usize = 5000;
const FILES_FOR_OTHERS: usize = 2000;
/// Those of the JVM that Kafka's own script gives it.
pub const KAFKA_FLAGS: [&str; 5] = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"];
/// The broker of a figure that names no others.
pub const FIRST_CPU: [usize; 1] = [0];
const PAUSE: Duration = Duration::from_millis(2);
/// A clean stop writes back what is in memory.
const STOPPED_WITHIN: Duration = Duration::from_secs(120);
/// How long a broker is watched that may refuse a key.
const KEY_REFUSED_WITHIN: Duration = Duration::from_secs(3);

/// Which broker.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "settings are lines KEY=VALUE over the defaults, the rest are paths")]
pub enum Program {
    /// The binary of this repository.
    Thalweg { binary: PathBuf, settings: Vec<String> },
    /// Apache Kafka from a folder of jars, as one KRaft node with its own script's flags.
    Kafka { jars: PathBuf, settings: Vec<String> },
}

/// A broker that runs; ended when dropped.
pub struct Broker {
    child: Child,
    /// Where it listens.
    pub port: u16,
    http_port: u16,
    /// When it was started.
    pub since: Instant,
}

impl Program {
    /// As in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Thalweg { .. } => "Thalweg",
            Self::Kafka { .. } => "Kafka",
        }
    }

    /// Starts on what is in `directory`, which may be empty.
    pub fn start(&self, directory: &Path, port: u16) -> io::Result<Broker> {
        spawn(self.command(directory, port, &FIRST_CPU, &[])?, directory, port)
    }

    /// The same with these settings besides, and all its threads on these CPUs from its first moment on.
    pub fn start_pinned(
        &self,
        directory: &Path,
        port: u16,
        cpus: &[usize],
        settings: &[(&str, &str)],
    ) -> io::Result<Broker> {
        let command = self.command(directory, port, cpus, settings)?;
        let mut pinned = cpus::pinned(cpus);
        pinned.arg(command.get_program()).args(command.get_args());
        spawn(pinned, directory, port)
    }

    /// Whether it starts with these settings: a broker that does not know a key says so and ends.
    pub fn knows(&self, directory: &Path, port: u16, settings: &[(&str, &str)]) -> io::Result<bool> {
        let mut broker = self.start_pinned(directory, port, &FIRST_CPU, settings)?;
        while broker.since.elapsed() < KEY_REFUSED_WITHIN {
            if let Some(status) = broker.child.try_wait()? {
                let told = fs::read_to_string(directory.join("broker.log"))?;
                let is_refused = settings.iter().any(|(key, _)| told.contains(key));
                return if is_refused { Ok(false) } else { Err(ended(status)) };
            }
            if probe::api_versions(port).is_ok() {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// Why it cannot hold so many partitions on this machine.
    pub fn cannot_hold(&self, partition_count: usize) -> Option<String> {
        let Self::Kafka { .. } = self else { return None };
        let maps = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        let maps = maps.trim().parse().unwrap_or(usize::MAX);
        if 2 * partition_count + MAPS_FOR_OTHERS > maps {
            return Some(format!("vm.max_map_count is {maps}, and it maps two files of each partition"));
        }
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
        let files = files.map_or(usize::MAX, |files| files as usize);
        (partition_count + FILES_FOR_OTHERS > files)
            .then(|| format!("the limit of open files is {files}, and it holds one of each partition"))
    }

    fn command(
        &self,
        directory: &Path,
        port: u16,
        cpus: &[usize],
        settings: &[(&str, &str)],
    ) -> io::Result<Command> {
        fs::create_dir_all(directory)?;
        let (binary, own) = match self {
            Self::Thalweg { binary, settings } => (binary, settings),
            Self::Kafka { jars, settings: own } => return kafka(jars, directory, port, settings, own),
        };
        let mut command = Command::new(binary);
        // The comma behind the last one makes a list of a single CPU, too.
        command.args(["--cores", &format!("{},", cpus::listed(cpus))]);
        let data = directory.join("data");
        command.args(["--set", &format!("listeners=PLAINTEXT://127.0.0.1:{port}")]);
        command.args(["--set", &format!("log.dirs={}", data.display())]);
        command.args(["--set", &format!("thalweg.http.listener=127.0.0.1:{}", port + 1)]);
        for (key, value) in settings {
            command.args(["--set", &format!("{key}={value}")]);
        }
        // What was asked for by name wins.
        for setting in own {
            command.args(["--set", setting]);
        }
        Ok(command)
    }
}

fn spawn(mut command: Command, directory: &Path, port: u16) -> io::Result<Broker> {
    let log = File::options().create(true).append(true).open(directory.join("broker.log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let since = Instant::now();
    Ok(Broker { child: command.spawn()?, port, http_port: port + 1, since })
}

fn ended(status: ExitStatus) -> io::Error {
    io::Error::other(format!("the broker ended: {status}; see its broker.log"))
}

/// Formats the directory if need be; the command that runs the broker.
fn kafka(
    jars: &Path,
    directory: &Path,
    port: u16,
    settings: &[(&str, &str)],
    own: &[String],
) -> io::Result<Command> {
    let properties = directory.join("server.properties");
    let (data, controller) = (directory.join("data"), port + 1);
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n",
        data.display()
    );
    for (key, value) in settings {
        let _ = writeln!(text, "{key}={value}");
    }
    for setting in own {
        let _ = writeln!(text, "{setting}");
    }
    fs::write(&properties, text)?;
    let java = |heap: &[&str], class: &str| {
        let mut command = Command::new("java");
        command.args(heap).args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp"]);
        command.arg(format!("{}/*", jars.display())).arg(class);
        command
    };
    if !data.join("meta.properties").exists() {
        let mut format = java(&["-Xmx256m"], "kafka.tools.StorageTool");
        format.args(["format", "--ignore-formatted", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]).arg(&properties);
        if !format.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
            return Err(io::Error::other("Kafka's storage could not be formatted"));
        }
    }
    let mut command = java(&KAFKA_FLAGS, "kafka.Kafka");
    command.arg(properties);
    Ok(command)
}

impl Broker {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The time from its start to its first answer to ApiVersions.
    pub fn ready(&mut self) -> io::Result<Duration> {
        let port = self.port;
        self.until(|| probe::api_versions(port))
    }

    /// The time from its start to the first answer that says where partition 0 of `topic` ends.
    pub fn serves(&mut self, topic: &str) -> io::Result<Duration> {
        let (port, asked) = (self.port, [Asked { topic: topic.to_owned(), partition_end: 1 }]);
        self.until(|| probe::offsets(port, &asked, LATEST).map(drop))
    }

    /// Asks again and again; the time from its start to the first answer that is good.
    pub fn until(&mut self, mut question: impl FnMut() -> io::Result<()>) -> io::Result<Duration> {
        let mut refused = None;
        while self.since.elapsed() < ANSWER_WITHIN {
            match question() {
                Ok(()) => return Ok(self.since.elapsed()),
                Err(error) => refused = Some(error),
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(ended(status));
            }
            std::thread::sleep(PAUSE);
        }
        Err(io::Error::other(format!("the broker did not answer in time: {refused:?}; see its broker.log")))
    }

    /// Processor time so far, all threads.
    pub fn cpu_s(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: state is the first, user and system time the 12th and 13th.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().collect::<Vec<_>>());
        let ticks = |at: usize| fields.as_ref()?.get(at)?.parse::<f64>().ok();
        let ticks = ticks(11).zip(ticks(12)).ok_or_else(|| io::Error::other("no processor time"))?;
        Ok((ticks.0 + ticks.1) / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Binds all its threads to the first CPU, those to come included.
    pub fn pin(&self) -> io::Result<()> {
        let mut command = Command::new("taskset");
        command.args(["-a", "-c", "-p", "0", &self.child.id().to_string()]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("the broker could not be pinned")) }
    }

    /// Resident memory.
    pub fn resident_mib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// The sum of a metric over all shards; `None` for a broker without metrics.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.http_port)).ok()?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        let named =
            text.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']));
        let values = named.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Some(values.sum())
    }

    /// Bytes that it had the device read so far.
    pub fn read_bytes(&self) -> io::Result<f64> {
        let told = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let bytes = told.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.parse::<f64>().ok());
        bytes.ok_or_else(|| io::Error::other("no read_bytes"))
    }

    /// The files that it has mapped or open and that lie outside of its own `directory`: its program and what that needs.
    pub fn program_files(&self, directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let maps = fs::read_to_string(process.join("maps"))?;
        let mapped = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
        let mut files: BTreeSet<PathBuf> = mapped.collect();
        for entry in fs::read_dir(process.join("fd"))? {
            // One that was closed meanwhile is no loss.
            files.extend(fs::read_link(entry?.path()));
        }
        let own = directory.canonicalize()?;
        let is_elsewhere =
            |path: &Path| [Path::new("/proc"), Path::new("/sys"), &own].iter().any(|at| path.starts_with(at));
        files.retain(|path| path.is_file() && !is_elsewhere(path));
        Ok(files)
    }

    /// SIGTERM, and its clean end.
    pub fn stop(mut self) -> io::Result<()> {
        let process = Pid::from_child(&self.child);
        kill_process(process, Signal::TERM)?;
        let asked = Instant::now();
        while asked.elapsed() < STOPPED_WITHIN {
            match self.child.try_wait()? {
                // The JVM ends by the signal's number.
                Some(status) if status.success() || status.code() == Some(128 + 15) => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("the broker stopped badly: {status}"))),
                None => std::thread::sleep(PAUSE * 10),
            }
        }
        Err(io::Error::other("the broker did not stop in time; see its broker.log"))
    }

    /// SIGKILL, and its end.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
