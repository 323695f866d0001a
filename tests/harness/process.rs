//! Child processes that cannot outlive the tests, and program runs with an end.
//!
//! The kernel kills a child when the *thread* that started it ends, if the child asked for it; test threads come and go, so one thread that
//! never ends starts them all. `setpriv` (util-linux) does the asking, since asking from here would take unsafe code.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{env, io, thread};

/// A command and where its child goes.
struct Request {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Starts a child that dies with this test process.
///
/// # Errors
/// If the program cannot be started.
///
/// # Panics
/// If the thread that starts children has ended.
pub fn spawn(command: &Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        thread::spawn(move || {
            for Request { mut command, answer } in requests {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = channel();
    keeper
        .lock()
        .expect("no thread panics here")
        .send(Request { command: leashed(command), answer })
        .expect("the keeper runs");
    child.recv().expect("the keeper answers")
}

/// `command` behind `setpriv --pdeathsig KILL`, where that exists; its output goes to pipes unless said otherwise by `spawn_logged`.
fn leashed(command: &Command) -> Command {
    let mut argv: Vec<OsString> = Vec::new();
    if which("setpriv").is_some() {
        argv.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
    }
    argv.push(command.get_program().to_owned());
    argv.extend(command.get_args().map(OsString::from));
    let mut leashed = Command::new(&argv[0]);
    leashed.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => leashed.env(key, value),
            None => leashed.env_remove(key),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        leashed.current_dir(dir);
    }
    leashed
}

/// Where `program` lies on the path.
pub fn which(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// What a finished program said.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// This output, of a program that must have ended with 0.
    ///
    /// # Panics
    /// If it did not, with all it said.
    #[must_use]
    pub fn succeeded(self, what: &str) -> Self {
        assert!(
            self.status.success(),
            "{what}: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Its lines on standard output, without empty ones.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
    }
}

/// Runs a program to its end with `input` on its standard input, at most for `limit`.
///
/// # Panics
/// If it cannot be started or does not end in time.
pub fn run(command: &Command, input: &[u8], limit: Duration) -> Output {
    let name = format!("{command:?}");
    let mut child = spawn(command).unwrap_or_else(|error| panic!("{name}: {error}"));
    let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
    let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let input = input.to_vec();
    let feeder = thread::spawn(move || {
        let _ = io::Write::write_all(&mut stdin, &input);
    });
    let status = wait(&mut child, limit);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let _ = feeder.join();
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().expect("the reader does not panic")).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else {
        panic!("{name} did not end within {limit:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    };
    Output { status, stdout, stderr }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Waits for the child's end, at most for `limit`.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            _ => return None,
        }
    }
}

/// Resident memory of a process in bytes; `None` once it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
