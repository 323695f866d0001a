//! The broker's process: arguments, ground, recovery, one executor per core, and the reverse.

mod rings;

use clap::Parser;
use std::collections::BTreeMap;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thalweg_engine::io::{DmaDisk, give_back_all_freed, give_back_freed, keep_freed_for, small_pages_only};
use thalweg_engine::shard::{Engine, EngineSettings, Recovered, Share, recover_without};
use thalweg_engine::units::Timestamp;
use thalweg_server::api::groups::Groups;
use thalweg_server::args::{Arguments, environment};
use thalweg_server::banner::tell;
use thalweg_server::cluster::{Cluster, View};
use thalweg_server::config::{Config, load};
use thalweg_server::logging::{LogTarget, start_log};
use thalweg_server::metrics::{Health, ShardMetrics};
use thalweg_server::net::{Acceptor, Bound, Connections, Doors, bind_within, serve_http};
use thalweg_server::route::{Paths, Pulse, ShardId, owner, run_core};
use thalweg_server::shard::Shard;
use thalweg_server::signals::{Shutdown, watch_signals};
use thalweg_server::start::{MemoryPlan, Parts, engine_settings, make_shard};
use thalweg_server::supervisor::{READY, STOPPING, tell_supervisor};
use thalweg_server::{ground, identity};

#[cfg(not(feature = "count"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Who counts asks how often, not how fast: the same calls, to another allocator.
#[cfg(feature = "count")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Time that started requests get to finish when the broker stops.
const DRAIN: Duration = Duration::from_secs(5);

/// How long memory that is free stays with the broker: longer than from one lap of write-back to the next.
const MEMORY_KEPT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    keep_freed_for(MEMORY_KEPT);
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "thalweg: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What every executor is started with.
struct Plan {
    parts: Parts,
    pulse: Pulse,
    settings: EngineSettings,
    unclean: bool,
    stop: Arc<Shutdown>,
    /// Held until they are opened.
    ports: Mutex<Ports>,
    /// The CPU of each shard.
    placement: Vec<Option<usize>>,
    drained: AtomicUsize,
    stopped: AtomicUsize,
    metrics: Mutex<Vec<(usize, Arc<ShardMetrics>)>>,
    /// Shards whose engine runs, or has failed to.
    engines: AtomicUsize,
    failure: Mutex<Option<String>>,
}

impl Plan {
    fn fail(&self, message: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(message);
        self.stop.ask();
    }

    fn failed(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let start = Instant::now();
    let loaded = load(&arguments.source(environment())).map_err(|error| error.to_string())?;
    let log = start_log(&loaded.config)?;
    loaded.tell();
    if let Err(error) = small_pages_only() {
        tracing::warn!(%error, "memory may come in huge pages, and each first use of one delays answers");
    }
    let has_file = loaded.config.thalweg_log_file.is_some();
    let outcome = serve(loaded.config, log, start);
    if let (Err(message), true) = (&outcome, has_file) {
        tracing::error!("{message}"); // it goes to stderr anyway
    }
    outcome
}

/// How long the port of a broker that was killed a moment ago may still be held by the kernel.
const PORT_FREED_WITHIN: Duration = Duration::from_secs(5);

/// The addresses to serve on, in the order of `listeners`, and that of probes.
#[derive(Debug, Default)]
struct Ports {
    clients: Vec<Bound>,
    http: Option<Bound>,
}

/// Holds every address before journals are read: a port that is taken shall not cost a recovery.
fn hold_ports(config: &Config) -> Result<Ports, String> {
    let mut ports = Ports::default();
    for listener in &config.listeners_parsed {
        let bound = bind_within(&listener.bind_host, listener.bind_port, PORT_FREED_WITHIN);
        ports.clients.push(bound.map_err(|error| format!("listener {}: {error}", listener.name))?);
    }
    if let Some((host, port)) = &config.http_parsed {
        let bound = bind_within(host, *port, PORT_FREED_WITHIN);
        ports.http = Some(bound.map_err(|error| format!("thalweg.http.listener {error}, or none"))?);
    }
    Ok(ports)
}

fn serve(config: Config, log: LogTarget, start: Instant) -> Result<(), String> {
    let stop = watch_signals(log).map_err(|error| format!("signals cannot be taken: {error}"))?;
    let ground = ground::check(&config).map_err(|error| error.to_string())?;
    let who = identity::open(&config, &ground.absent).map_err(|error| error.to_string())?;
    let (cluster_id, absent) = (who.cluster_id, who.absent);
    let shard_count = config.thalweg_cores.count();
    let memory = MemoryPlan::of(&config, ground.memory_bytes, shard_count)?;
    let settings = engine_settings(&config, memory, ground.files_max);
    tell(&config, &ground, memory, &cluster_id);
    let ports = Mutex::new(hold_ports(&config)?);
    let paths = Paths::new(shard_count);
    let pulse = Pulse::start().map_err(|error| format!("no thread can be started: {error}"))?;
    let recovered = recover_all(settings.clone(), absent, shard_count, &pulse)?;
    for (at, reason) in &recovered.absent {
        let directory = &config.log_dirs[*at];
        tracing::error!(directory, reason, "a log directory cannot be used: its partitions are offline");
    }
    for unknown in &recovered.unknown {
        tracing::warn!(directory = unknown, "no journal knows these partitions: kept aside, not served");
    }
    let config = Arc::new(config);
    let parts = Parts {
        config: Arc::clone(&config),
        cluster_id,
        memory,
        paths,
        doors: Doors::new(shard_count),
        view: View::default(),
        start,
        health: Arc::new(Health::default()),
    };
    let plan = Arc::new(Plan {
        unclean: recovered.unclean,
        stop,
        ports,
        placement: ground.placement(&config.thalweg_cores),
        drained: AtomicUsize::default(),
        stopped: AtomicUsize::default(),
        metrics: Mutex::default(),
        engines: AtomicUsize::default(),
        failure: Mutex::default(),
        settings,
        parts,
        pulse,
    });
    serve_all(&plan, recovered, shard_count)
}

fn serve_all(plan: &Arc<Plan>, recovered: Recovered, shard_count: usize) -> Result<(), String> {
    let shares = recovered.split(shard_count, |identity| {
        owner(uuid::Uuid::from_bytes(identity.topic_id), identity.partition, shard_count).0
    });
    let mut threads = Vec::new();
    let (lives, ended) = channel::<()>();
    for (shard, share) in shares.into_iter().enumerate() {
        let (plan, lives) = (Arc::clone(plan), lives.clone());
        let thread = std::thread::Builder::new().name(format!("shard-{shard}")).spawn(move || {
            let _lives = lives;
            run_or_abort(shard, share, &plan);
        });
        threads.push(thread.map_err(|error| format!("no thread can be started: {error}"))?);
    }
    drop(lives);
    keep_memory_small(plan, &ended);
    for thread in threads {
        if thread.join().is_err() {
            return Err("a shard's thread ended in a panic".to_owned());
        }
    }
    plan.pulse.end();
    match plan.failed() {
        Some(message) => Err(message),
        None => {
            tracing::info!("stopped cleanly");
            Ok(())
        }
    }
}

/// How often the allocator is asked to give back what has been free for a while.
const MEMORY_GIVEN_BACK_EVERY: Duration = Duration::from_secs(5);
/// The niceness of a thread that lets every other one go first; 0 is the calling thread alone (setpriority(2), Linux).
const LAST_OF_ALL: i32 = 19;

/// While shards live, `ended` says when none does: gives back memory that is free. Shards do so themselves while they
/// allocate; what recovery took in this thread, and what an idle shard let go, would stay. Shards go first: the kernel takes
/// back recovery's memory in steps of some milliseconds, and a sync that ended on the same core meanwhile waited for them.
fn keep_memory_small(plan: &Plan, ended: &Receiver<()>) {
    if let Err(error) = rustix::process::setpriority_process(None, LAST_OF_ALL) {
        tracing::warn!(%error, "the thread that gives back memory goes on beside the shards");
    }
    let mut is_recovery_over = false;
    while ended.recv_timeout(MEMORY_GIVEN_BACK_EVERY) == Err(RecvTimeoutError::Timeout) {
        // Once the shards have made their logs of it nobody holds what the journals held.
        let was_over = std::mem::replace(
            &mut is_recovery_over,
            plan.engines.load(Ordering::SeqCst) >= plan.placement.len(),
        );
        if is_recovery_over && !was_over { give_back_all_freed() } else { give_back_freed() }
    }
}

/// Reads the journals on an executor of its own, before any shard runs.
fn recover_all(
    settings: EngineSettings,
    absent: BTreeMap<usize, String>,
    shard_count: usize,
    pulse: &Pulse,
) -> Result<Recovered, String> {
    run_core(pulse, "recovery", None, Duration::ZERO, async move {
        let disks: Vec<DmaDisk> = settings.directories.iter().cloned().map(DmaDisk::new).collect();
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = Timestamp(since.map_or(0, |since| since.as_millis() as i64));
        let recovered = recover_without(&disks, &settings, absent, shard_count, now).await;
        let recovered = recovered.map_err(|error| error.to_string());
        // Descriptors are closed through the ring, by the executor's next turns.
        glommio::timer::sleep(Duration::from_millis(10)).await;
        recovered
    })?
}

/// A task's panic is caught and ends only the task. One of the executor itself leaves a core that serves nobody beside
/// others that wait for it: the process ends as in a crash, its supervisor starts it again, and the journals are read.
fn run_or_abort(shard: usize, share: Share, plan: &Arc<Plan>) {
    let run = AssertUnwindSafe(|| run_shard(shard, share, plan));
    if std::panic::catch_unwind(run).is_err() {
        tracing::error!(shard, "the executor of a core panicked: ending at once, the next start recovers");
        std::process::abort();
    }
}

fn run_shard(shard: usize, share: Share, plan: &Arc<Plan>) {
    let cpu = plan.placement.get(shard).copied().flatten();
    let spin = Duration::from_micros(plan.parts.config.thalweg_spin_us);
    let lived = run_core(&plan.pulse, &format!("shard-{shard}"), cpu, spin, async move {
        if let Err(message) = live(ShardId(shard), share, Arc::clone(plan)).await {
            plan.fail(message);
        }
    });
    if let Err(error) = lived {
        plan.fail(format!("no executor can be made: {error}"));
        plan.engines.fetch_add(1, Ordering::SeqCst);
    }
}

/// One shard from its start to its stop.
async fn live(id: ShardId, share: Share, plan: Arc<Plan>) -> Result<(), String> {
    let disks = plan.settings.directories.iter().cloned().map(DmaDisk::new).collect();
    // What fails is told before the meeting: the others would go on, and ask a shard that never answers.
    let engine = Engine::start(disks, plan.settings.clone(), share).await;
    let engine = engine.map_err(|error| plan.fail(error.to_string())).ok();
    // Everybody comes to this point, also who failed: nobody waits for ever. The core goes on with its tasks meanwhile: the
    // others may wait for what one of them has begun, such as the next journal file.
    plan.engines.fetch_add(1, Ordering::SeqCst);
    while plan.engines.load(Ordering::SeqCst) < plan.placement.len() {
        glommio::timer::sleep(Duration::from_millis(1)).await;
    }
    let Some(engine) = engine else { return Ok(()) };
    if plan.failed().is_some() {
        // Another core cannot be had: nobody would answer for its partitions.
        return engine.stop().await;
    }
    let shard = make_shard(id, engine, &plan.parts);
    plan.metrics.lock().unwrap_or_else(PoisonError::into_inner).push((id.0, Arc::clone(&shard.metrics)));
    let (router, own) = (shard.router.clone(), Rc::clone(&shard));
    shard.router.spawn("the mesh", async move { router.run(&own).await });
    shard.router.spawn("the sweeper", Connections::sweep(Rc::clone(&shard), Arc::clone(&plan.parts.doors)));
    if id.0 == 0 {
        lead(&shard, &plan).await?;
    }
    shard.router.spawn("groups", Groups::run(Rc::clone(&shard)));
    shard.router.spawn("the log directories' watch", watch_directories(Rc::clone(&shard), Arc::clone(&plan)));
    plan.stop.asked().await;
    stop_shard(&shard, &plan).await
}

/// How soon a log directory that stopped is told to everybody. Promises do not wait for it: no answer leaves once it has
/// stopped.
const DIRECTORIES_LOOKED_AT_EVERY: Duration = Duration::from_millis(500);

/// Has everybody know when a log directory stops: whoever waits for its logs, and who asks where partitions are. The
/// broker ends with the last one, as Kafka's does: it could answer nothing but errors.
async fn watch_directories(shard: Rc<Shard>, plan: Arc<Plan>) {
    let mut known = 0;
    loop {
        shard.router.sleep(DIRECTORIES_LOOKED_AT_EVERY).await;
        let stopped = shard.engine.directories_stopped();
        if stopped.len() == known {
            continue;
        }
        known = stopped.len();
        if known == shard.config.log_dirs.len() {
            let reasons: Vec<String> = stopped.into_values().collect();
            plan.fail(format!("no log directory works any more: {}", reasons.join("; ")));
            return;
        }
        if shard.id.0 == 0 {
            match Cluster::take_offline(&shard).await {
                Ok(0) => {}
                Ok(offline) => tracing::error!(offline, "partitions went offline with their log directory"),
                Err(error) => tracing::warn!(%error, "clients are not told which partitions went offline"),
            }
        }
    }
}

/// Shard 0 also opens the metadata log and the doors.
async fn lead(shard: &Rc<Shard>, plan: &Arc<Plan>) -> Result<(), String> {
    let started = Cluster::start(shard, plan.unclean).await.map_err(|error| error.to_string())?;
    tracing::debug!(?started, "the cluster's metadata is loaded");
    let config = &plan.parts.config;
    let ports = std::mem::take(&mut *plan.ports.lock().unwrap_or_else(PoisonError::into_inner));
    for (listener, bound) in ports.clients.into_iter().enumerate() {
        let socket = bound.listen().map_err(|error| format!("listener {error}"))?;
        let acceptor = Acceptor { listener, socket, doors: Arc::clone(&plan.parts.doors) };
        let (own, plan) = (Rc::clone(shard), Arc::clone(plan));
        shard.router.spawn("a listener", async move {
            if let Err(error) = acceptor.run(own, plan.stop.asked()).await {
                tracing::error!(listener, %error, "a listener stopped");
            }
        });
    }
    if let Some(bound) = ports.http {
        open_http(shard, plan, bound)?;
    }
    plan.parts.health.ready.store(true, Ordering::SeqCst);
    rings::tell();
    let names: Vec<String> = config
        .listeners_parsed
        .iter()
        .map(|l| format!("{}://{}:{}", l.name, l.bind_host, l.bind_port))
        .collect();
    let ready_ms = plan.parts.start.elapsed().as_millis() as u64;
    tracing::info!(listeners = names.join(","), unclean = plan.unclean, ready_ms, "ready");
    tell_supervisor(READY);
    Ok(())
}

fn open_http(shard: &Rc<Shard>, plan: &Arc<Plan>, bound: Bound) -> Result<(), String> {
    let socket = bound.listen().map_err(|error| format!("thalweg.http.listener {error}"))?;
    let mut metrics = plan.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
    metrics.sort_by_key(|(shard, _)| *shard);
    let metrics = metrics.into_iter().map(|(_, metrics)| metrics).collect();
    shard.router.spawn("HTTP", serve_http(Rc::clone(shard), socket, metrics, Arc::clone(&plan.parts.health)));
    Ok(())
}

/// Stops accepting, lets started requests end, then the engine: in that order on every shard.
async fn stop_shard(shard: &Rc<Shard>, plan: &Arc<Plan>) -> Result<(), String> {
    if plan.parts.health.ready.swap(false, Ordering::SeqCst) {
        tell_supervisor(STOPPING);
    }
    plan.parts.doors.close();
    shard.connections.stop(shard, DRAIN).await;
    // Requests of other shards may still need this one's groups, logs or the cluster.
    meet(shard, &plan.drained).await;
    if shard.id.0 == 0 {
        shard.cluster.stop();
    }
    shard.groups.stop();
    meet(shard, &plan.stopped).await;
    shard.router.stop();
    shard.engine.stop().await.map_err(|reason| format!("shard {} did not stop cleanly: {reason}", shard.id.0))
}

/// Waits until every shard has come here, or a little longer than they may take.
async fn meet(shard: &Shard, come: &AtomicUsize) {
    come.fetch_add(1, Ordering::SeqCst);
    let start = Instant::now();
    while come.load(Ordering::SeqCst) < shard.shard_count && start.elapsed() < DRAIN {
        shard.router.sleep(Duration::from_millis(1)).await;
    }
}
