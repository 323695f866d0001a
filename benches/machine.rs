//! What a table says of the machine that it comes from.

use std::path::Path;
use std::process::Command;

/// Machine, file system of `directory`, commit of this repository, and `build` as it was told.
pub fn facts(directory: &Path, build: &str) -> Vec<(&'static str, String)> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu_info = text("/proc/cpuinfo");
    let model = cpu_info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = text("/proc/sys/kernel/osrelease");
    let mut find = Command::new("findmnt");
    find.args(["-n", "-o", "FSTYPE,SOURCE", "-T"]).arg(directory);
    let file_system = find.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    vec![
        ("machine", format!("{cores} x {}, Linux {}", model.unwrap_or("?").trim(), kernel.trim())),
        ("file system", file_system.unwrap_or_default()),
        ("commit", commit.unwrap_or_default()),
        ("build", build.to_owned()),
    ]
}

/// Of the last one, five and fifteen minutes.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
