//! The programs that are measured: started on fresh directories, asked until they answer, read from outside, ended.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(120);
const API_VERSIONS: i16 = 18;
const LIST_OFFSETS: i16 = 2;

/// Which broker.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// The binary of this repository.
    Thalweg { binary: PathBuf, settings: Vec<String> },
    /// Apache Kafka from a folder of jars, as one KRaft node with its own script's flags.
    Kafka { jars: PathBuf },
}

/// A broker that runs; ended when dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
    http_port: u16,
    /// When it was started.
    pub(crate) since: Instant,
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Thalweg { .. } => "Thalweg",
            Self::Kafka { .. } => "Kafka",
        }
    }

    /// Starts on what is in `directory`, which may be empty.
    pub(crate) fn start(&self, directory: &Path, port: u16) -> io::Result<Broker> {
        fs::create_dir_all(directory)?;
        let http_port = port + 1;
        let mut command = match self {
            Self::Thalweg { binary, settings } => {
                let mut command = Command::new(binary);
                command.args(["--cores", "0,"]);
                let data = directory.join("data");
                command.args(["--set", &format!("listeners=PLAINTEXT://127.0.0.1:{port}")]);
                command.args(["--set", &format!("log.dirs={}", data.display())]);
                command.args(["--set", &format!("thalweg.http.listener=127.0.0.1:{http_port}")]);
                for setting in settings {
                    command.args(["--set", setting]);
                }
                command
            }
            Self::Kafka { jars } => kafka(jars, directory, port)?,
        };
        let log = File::options().create(true).append(true).open(directory.join("broker.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let since = Instant::now();
        Ok(Broker { child: command.spawn()?, port, http_port, since })
    }
}

/// Formats the directory if need be; the command that runs the broker.
fn kafka(jars: &Path, directory: &Path, port: u16) -> io::Result<Command> {
    let properties = directory.join("server.properties");
    let (data, controller) = (directory.join("data"), port + 1);
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n",
        data.display()
    );
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
    let flags = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"];
    let mut command = java(&flags, "kafka.Kafka");
    command.arg(properties);
    Ok(command)
}

impl Broker {
    /// The time from its start to its first answer to ApiVersions.
    pub(crate) fn ready(&mut self) -> io::Result<Duration> {
        let mut body = Vec::new();
        head(&mut body, API_VERSIONS, 0);
        self.ask_until(&body, |answer| answer.len() > 6 && answer[4..6] == [0, 0])
    }

    /// The time from its start to the first answer that says where partition 0 of `topic` ends.
    pub(crate) fn serves(&mut self, topic: &str) -> io::Result<Duration> {
        let mut body = Vec::new();
        head(&mut body, LIST_OFFSETS, 1);
        body.extend((-1_i32).to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        body.extend((topic.len() as i16).to_be_bytes());
        body.extend(topic.as_bytes());
        body.extend(1_i32.to_be_bytes());
        body.extend(0_i32.to_be_bytes());
        body.extend((-1_i64).to_be_bytes());
        // Correlation id, topics, name, partitions, index; then the error code.
        let at = 4 + 4 + 2 + topic.len() + 4 + 4;
        self.ask_until(&body, move |answer| answer.get(at..at + 2) == Some(&[0, 0]))
    }

    fn ask_until(&mut self, body: &[u8], is_good: impl Fn(&[u8]) -> bool) -> io::Result<Duration> {
        while self.since.elapsed() < ANSWER_WITHIN {
            if ask(self.port, body).is_ok_and(|answer| is_good(&answer)) {
                return Ok(self.since.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the broker ended: {status}; see its broker.log")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::other("the broker did not answer in time; see its broker.log"))
    }

    /// Processor time so far, all threads.
    pub(crate) fn cpu_s(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: state is the first, user and system time the 12th and 13th.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().collect::<Vec<_>>());
        let ticks = |at: usize| fields.as_ref()?.get(at)?.parse::<f64>().ok();
        let ticks = ticks(11).zip(ticks(12)).ok_or_else(|| io::Error::other("no processor time"))?;
        Ok((ticks.0 + ticks.1) / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Binds all its threads to the first CPU, those to come included.
    pub(crate) fn pin(&self) -> io::Result<()> {
        let mut command = Command::new("taskset");
        command.args(["-a", "-c", "-p", "0", &self.child.id().to_string()]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other("the broker could not be pinned")) }
    }

    /// Resident memory.
    pub(crate) fn resident_mib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// The sum of a metric over all shards; `None` for a broker without metrics.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.http_port)).ok()?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        socket.read_to_string(&mut text).ok()?;
        let named =
            text.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']));
        let values = named.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Some(values.sum())
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(mut self) -> io::Result<()> {
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

fn head(body: &mut Vec<u8>, api_key: i16, version: i16) {
    body.extend(api_key.to_be_bytes());
    body.extend(version.to_be_bytes());
    body.extend(7_i32.to_be_bytes());
    body.extend(7_i16.to_be_bytes());
    body.extend(b"figures");
}

/// One request, one answer, on a connection of its own.
fn ask(port: u16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    socket.write_all(&frame)?;
    let mut bytes = [0; 4];
    socket.read_exact(&mut bytes)?;
    let mut answer = vec![0; u32::from_be_bytes(bytes).min(1 << 20) as usize];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}
