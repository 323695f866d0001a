//! Where the broker cannot run it says so before it starts: one line, the way out in it, and a code that is not 0.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod started;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use started::{broker, refusal, refused};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Runs the broker as a container runs it whose filter answers `errno` to one call. A filter holds for the thread that
/// sets it and for its children.
fn filtered(directory: &Path, call: i64, errno: u32) -> Output {
    let mut command = broker();
    command.current_dir(directory);
    let run = move || {
        let architecture = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        let rules = BTreeMap::from([(call, Vec::new())]);
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), architecture);
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        command.output().unwrap()
    };
    thread::spawn(run).join().unwrap()
}

#[test]
fn a_filter_that_forbids_io_uring_is_told_with_what_to_allow() {
    let directory = tempfile::tempdir().unwrap();
    for (call, errno) in [
        (libc::SYS_io_uring_setup, EPERM),
        (libc::SYS_io_uring_setup, ENOSYS),
        (libc::SYS_io_uring_enter, EPERM),
    ] {
        let told = refused(filtered(directory.path(), call, errno));
        assert!(told.contains("SystemCallFilter="), "{told}");
        assert!(told.contains("io_uring_setup, io_uring_enter and io_uring_register"), "{told}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
}

/// Runs the broker behind another program, which changes what is around it.
fn behind(directory: &Path, wrapper: &[&str], arguments: &[&str]) -> Output {
    let own = broker();
    let mut command = Command::new(wrapper[0]);
    command.current_dir(directory).args(&wrapper[1..]).arg(own.get_program()).args(arguments);
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap()
}

#[test]
fn limits_that_are_too_low_are_told_with_how_to_raise_them() {
    let directory = tempfile::tempdir().unwrap();
    let told = refused(behind(directory.path(), &["prlimit", "--nofile=512:512"], &[]));
    assert!(told.contains("only 512 files") && told.contains("LimitNOFILE="), "{told}");
    let told = refused(behind(directory.path(), &["prlimit", "--memlock=65536:65536"], &[]));
    assert!(told.contains("only 65536 B of memory may be locked"), "{told}");
    assert!(told.contains("LimitMEMLOCK=infinity"), "{told}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
}

/// Runs the broker with `mount` at `./mounted`, seen by itself alone; `None`, loudly, where users may not do that.
fn mounted(directory: &Path, mount: &str) -> Option<Output> {
    fs::create_dir_all(directory.join("mounted")).unwrap();
    let user = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c"];
    let run = |script: &str| behind(directory, &[&user[..], &[script, "sh"]].concat(), &[]);
    let script = format!("mount {mount} none mounted");
    if !run(&script).status.success() {
        let _ =
            writeln!(std::io::stderr(), "SKIPPED TEST a log directory on {mount}: users may not mount here");
        return None;
    }
    Some(run(&format!(
        "{script} && exec \"$1\" --cores 1 --set thalweg.log.level=error --set log.dirs=mounted/data \
         --set listeners=PLAINTEXT://127.0.0.1:{} --set thalweg.http.listener=none",
        started::port()
    )))
}

#[test]
fn a_file_system_without_direct_io_is_told_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let Some(output) = mounted(directory.path(), "-t ramfs") else { return };
    let told = refused(output);
    assert!(told.contains("ramfs, which refuses direct I/O"), "{told}");
    assert!(told.contains("put it on ext4 or XFS"), "{told}");
}

#[test]
fn a_disk_without_room_for_a_journal_is_told_with_how_much_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let Some(output) = mounted(directory.path(), "-t tmpfs -o size=20m") else { return };
    let told = refused(output);
    // Before Linux 6.6 a tmpfs has no direct I/O, which is told first.
    let is_full = told.contains("20 MiB free, 64 are needed") && told.contains("make room");
    assert!(is_full || told.contains("tmpfs, which refuses direct I/O"), "{told}");
}

#[test]
fn a_directory_that_cannot_be_written_is_told_with_how_to_give_it() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(output) = mounted(directory.path(), "-t tmpfs -o ro") {
        let told = refused(output);
        assert!(told.contains("Read-only file system") && told.contains("ReadWritePaths="), "{told}");
    }
    fs::write(directory.path().join("file"), "").unwrap();
    let told = refusal(directory.path(), &["--set", "log.dirs=file"]);
    assert!(told.contains("name a directory, this is a file"), "{told}");
    if rustix::process::getuid().is_root() {
        // Root may write everywhere: another user, who may enter and not write.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(directory.path().join("roots")).unwrap();
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let told = refused(behind(directory.path(), &nobody, &["--set", "log.dirs=roots"]));
        assert!(told.contains("cannot be written") && told.contains("chown"), "{told}");
        let told = refused(behind(directory.path(), &nobody, &["--set", "log.dirs=new"]));
        assert!(told.contains("cannot be made") && told.contains("owned by the user"), "{told}");
    } else {
        fs::set_permissions(directory.path(), Permissions::from_mode(0o555)).unwrap();
        let told = refusal(directory.path(), &["--set", "log.dirs=new"]);
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(told.contains("cannot be made") && told.contains("owned by the user"), "{told}");
    }
}

#[test]
fn a_directory_of_apache_kafka_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("kafka-logs")).unwrap();
    let checkpoint = directory.path().join("kafka-logs/recovery-point-offset-checkpoint");
    fs::write(&checkpoint, "0\n0\n").unwrap();
    let told = refusal(directory.path(), &["--set", "log.dirs=kafka-logs"]);
    assert!(told.contains("holds data of Apache Kafka") && told.contains("set log.dirs"), "{told}");
    assert_eq!(fs::read_to_string(checkpoint).unwrap(), "0\n0\n");
    assert!(!directory.path().join("kafka-logs/meta.properties").exists());
}
