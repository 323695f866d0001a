//! A run that sends while a command kills and starts the broker, and the proof that all that was acknowledged is there.
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{RunError, Stop, consume as reading_run, pause, produce as sending_run};
use crate::client::{ClientError, Control};
use crate::machine::Machine;
use crate::result::{CrashFigures, Restart, RunResult};
use crate::spec::{Common, Consume, Crash, Partitions, Produce, ReadFrom};

const ASK_PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(
    common: &Common,
    produce: &Produce,
    crash: &Crash,
    machine: &Machine,
    stop: &Stop,
) -> Result<RunResult, RunError> {
    let mut result = RunResult::new(machine.clone(), sending_run::unix_ms());
    let over = Stop::default();
    let (sent, restarts) = std::thread::scope(|scope| {
        let restarting = scope.spawn(|| restart(crash, common.progress, &over));
        let sent = sending_run::send(common, produce, machine.clone(), stop);
        over.ask();
        let restarts = restarting.join().map_err(|_| RunError::Panicked)?;
        Ok::<_, RunError>((sent?, restarts))
    })?;
    let (sent, ledger) = sent;
    result.take_part("send", sent);
    if restarts.len() < crash.at_s.len() {
        let (done, asked) = (restarts.len(), crash.at_s.len());
        result.failures.push(format!("{done} of {asked} restarts were made before the sending was over"));
    }
    for restart in restarts.iter().filter(|restart| restart.exit_status != Some(0)) {
        result
            .failures
            .push(format!("the command at {:.1} s failed: {:?}", restart.at_s, restart.exit_status));
    }
    result.crash = Some(CrashFigures { command: crash.command.clone(), restarts });
    let audited = await_broker(common)
        .map_err(RunError::from)
        .and_then(|()| reading_run::read(common, &audit(produce), &[ledger], machine.clone(), stop));
    match audited {
        Ok(audit) => result.take_part("audit", audit),
        // What was measured is told all the same.
        Err(error) => {
            result.failures.push(format!("nothing is proven, the audit could not be made: {error}"));
        }
    }
    Ok(result)
}

/// Runs the command at its times, until the sending is over.
fn restart(crash: &Crash, prints: bool, over: &Stop) -> Vec<Restart> {
    let start = Instant::now();
    let mut restarts = Vec::new();
    for at_s in &crash.at_s {
        pause(Duration::from_secs_f64(*at_s).saturating_sub(start.elapsed()), over);
        if over.is_asked() {
            break;
        }
        let begun = start.elapsed();
        let mut command = Command::new("sh");
        command.arg("-c").arg(&crash.command).stdin(Stdio::null());
        // What it says goes where warnings go; stdout may be the JSON's.
        command.stdout(std::io::stderr());
        let exit_status = command.status().ok().and_then(|status| status.code());
        let took_s = start.elapsed().saturating_sub(begun).as_secs_f64();
        if prints {
            eprintln!("{:>5.1} s  the command ended after {took_s:.1} s", begun.as_secs_f64());
        }
        restarts.push(Restart { at_s: begun.as_secs_f64(), took_s, exit_status });
    }
    restarts
}

/// Returns once a broker answers: the last restart may not be over.
fn await_broker(common: &Common) -> Result<(), ClientError> {
    let start = Instant::now();
    loop {
        match Control::connect(&common.brokers, &common.client_id) {
            Err(error) if start.elapsed() > common.retry_time() => return Err(error),
            Err(_) => std::thread::sleep(ASK_PAUSE),
            Ok(_) => return Ok(()),
        }
    }
}

/// Reads all that is there, and looks at all of it.
fn audit(produce: &Produce) -> Consume {
    Consume {
        from: ReadFrom::Earliest,
        partitions: Partitions::All,
        connection_count: produce.connection_count,
        fetch_bytes: 50 << 20,
        partition_bytes: 1 << 20,
        min_bytes: 1,
        max_wait_ms: 500,
        record_count: None,
        time_s: None,
        until_end: true,
        repeat: false,
        verify: true,
        acked: Vec::new(),
    }
}
