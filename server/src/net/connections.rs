//! The connections of one shard: what they may hold, when they are closed for silence, how they end when the broker stops.

use super::budget::Budget;
use super::connection::{Arrival, Connection, End};
use super::listener::{Doors, Place};
use super::moves::Reach;
use super::socket::Socket;
use crate::metrics::{Closed, add};
use crate::route::{Account, ShardId};
use crate::shard::Shard;
use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::TcpStream;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

/// How often silence is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// A client that reads nothing of its answers for so long is closed: they hold memory that others could use.
const UNREAD_MAX: Duration = Duration::from_secs(120);
/// A frame that has begun and does not go on for so long loses its memory when others wait for it.
const STALL_MAX: Duration = Duration::from_secs(10);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed it between two requests.
    Ended,
    /// The client closed it within a request.
    Cut,
    /// The socket failed.
    Broken(String),
    /// Its bytes are no requests.
    Malformed(String),
    /// A request that has no answer.
    Refused(String),
    /// No request for `connections.max.idle.ms`.
    Idle,
    /// Answers were not read.
    Unread,
    /// A frame did not go on while others waited for memory.
    Stalled,
    /// The broker stops.
    Stopping,
}

impl CloseReason {
    pub(super) fn broken(error: std::io::Error) -> Self {
        let text = error.to_string();
        drop(error);
        Self::Broken(text)
    }

    /// How metrics name it.
    fn counted(&self) -> Closed {
        match self {
            Self::Ended => Closed::Ended,
            Self::Cut => Closed::Cut,
            Self::Broken(_) => Closed::Broken,
            Self::Malformed(_) => Closed::Malformed,
            Self::Refused(_) => Closed::Refused,
            Self::Idle => Closed::Idle,
            Self::Unread => Closed::Unread,
            Self::Stalled => Closed::Stalled,
            Self::Stopping => Closed::Stopping,
        }
    }

    /// Whether the client did something that it should not.
    fn is_fault(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::Refused(_) | Self::Unread | Self::Stalled)
    }
}

/// A shard's connections. Cheap to clone; stays on its core.
#[derive(Clone)]
pub struct Connections(Rc<Inner>);

struct Inner {
    open: RefCell<FxHashMap<u64, Rc<Connection>>>,
    budget: Budget,
    is_stopping: Cell<bool>,
}

impl Connections {
    /// No connections yet; requests may hold what `budget` allows.
    pub fn new(budget: Budget) -> Self {
        Self(Rc::new(Inner { open: RefCell::default(), budget, is_stopping: Cell::new(false) }))
    }

    /// Memory of the requests that come in.
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.open.borrow().len()
    }

    /// Whether no new request may start.
    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.get()
    }

    /// Resolves when the broker stops; `stop` wakes every connection.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let connections = self.clone();
        poll_fn(move |_| if connections.is_stopping() { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Lets requests that have begun end and closes every connection; at most for `time`.
    pub async fn stop(&self, shard: &Shard, time: Duration) {
        self.0.is_stopping.set(true);
        let start = Instant::now();
        while self.count() > 0 && start.elapsed() < time {
            self.0.open.borrow().values().for_each(|connection| connection.wake());
            shard.router.sleep(Duration::from_millis(2)).await;
        }
        let late: Vec<Rc<Connection>> = self.0.open.borrow().values().cloned().collect();
        if !late.is_empty() {
            tracing::warn!(
                connections = late.len(),
                "requests that did not end in time, or whose answers nobody reads, are cut off"
            );
        }
        late.iter().for_each(|connection| connection.close(CloseReason::Stopping));
    }

    /// Serves a socket that was handed to this shard, as a task of its own; `begun` was read of it elsewhere.
    pub(super) fn adopt(
        &self,
        shard: &Rc<Shard>,
        stream: TcpStream,
        arrival: Arrival,
        mut place: Place,
        begun: Vec<u8>,
    ) {
        let (shard, connections) = (Rc::clone(shard), self.clone());
        let task = async move {
            let frame_bytes_max = shard.config.socket_request_max_bytes as usize;
            let socket = match Socket::new(stream) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::debug!(address = %arrival.address, %error, "a connection was gone before it was served");
                    return;
                }
            };
            let reach = Reach::new(Arc::clone(place.doors()), shard.id);
            let connection = Connection::new(arrival, socket, frame_bytes_max, reach);
            connections.0.open.borrow_mut().insert(arrival.id, Rc::clone(&connection));
            shard.metrics.connections.fetch_add(1, Ordering::Relaxed);
            let served = AssertUnwindSafe(connection.serve(&shard, begun)).catch_unwind().await;
            connections.0.open.borrow_mut().remove(&arrival.id);
            shard.metrics.connections.fetch_sub(1, Ordering::Relaxed);
            match served {
                Ok(End::Closed(reason)) => note(&shard, arrival, &reason),
                Ok(End::Moves { target, rest }) => match connection.socket() {
                    Ok(stream) => {
                        place.move_to(target);
                        // A shard that has stopped drops socket and place.
                        shard.router.tell(target, move |shard: Rc<Shard>| async move {
                            add(&shard.metrics.connections_moved, 1);
                            shard.connections.clone().adopt(&shard, stream, arrival, place, rest);
                        });
                        return;
                    }
                    Err(error) => note(&shard, arrival, &CloseReason::broken(error)),
                },
                Err(_) => {
                    shard.router.count_panic();
                    shard.metrics.closed(Closed::Panicked);
                    connections.budget().leave(arrival.id);
                    tracing::error!(address = %arrival.address, "a request panicked: its connection is closed");
                }
            }
            drop(place);
        };
        glommio::spawn_local(task).detach();
    }

    /// Closes who is silent, until the broker stops. Spawned once per shard.
    pub async fn sweep(shard: Rc<Shard>, doors: Arc<Doors>) {
        let idle_ms = shard.config.connections_max_idle_ms;
        let idle_max = u64::try_from(idle_ms).ok().map(Duration::from_millis);
        let mut work = Work::begin();
        while !shard.connections.is_stopping() {
            shard.router.sleep(SWEEP_INTERVAL).await;
            doors.worked(shard.id, work.permille());
            shard.metrics.group_memory.store(shard.groups.budget().bytes() as i64, Ordering::Relaxed);
            if shard.id == ShardId(0) {
                // Counted for all cores together.
                shard.metrics.panics.store(shard.router.panics(), Ordering::Relaxed);
            }
            let now = Instant::now();
            let is_short = shard.connections.budget().is_short();
            let open: Vec<Rc<Connection>> = shard.connections.0.open.borrow().values().cloned().collect();
            for connection in open {
                let read = now.saturating_duration_since(connection.last_read.get());
                let sent = now.saturating_duration_since(connection.last_sent.get());
                if connection.has_answers() && sent > UNREAD_MAX {
                    connection.close(CloseReason::Unread);
                } else if is_short && connection.is_in_frame.get() && read > STALL_MAX {
                    connection.close(CloseReason::Stalled);
                } else if connection.is_idle() && idle_max.is_some_and(|idle_max| read.min(sent) > idle_max) {
                    connection.close(CloseReason::Idle);
                }
            }
        }
    }
}

/// How much of the time this thread works, or would if it had its CPU for itself.
struct Work {
    account: Option<Account>,
    since: Instant,
    before: Duration,
}

impl Work {
    fn begin() -> Self {
        let account = Account::of_this_thread();
        let before = account.as_ref().and_then(Self::so_far).unwrap_or_default();
        Self { account, since: Instant::now(), before }
    }

    fn so_far(account: &Account) -> Option<Duration> {
        account.read().map(|entry| entry.ran + entry.waited)
    }

    /// Thousandths of the time since the last call. A core of which nothing is known counts as full: nobody moves there.
    fn permille(&mut self) -> u32 {
        let Some(so_far) = self.account.as_ref().and_then(Self::so_far) else { return 1000 };
        let (worked, lasted) = (so_far.saturating_sub(self.before), self.since.elapsed());
        (self.before, self.since) = (so_far, Instant::now());
        (worked.as_micros() * 1000 / lasted.as_micros().max(1)).min(1000) as u32
    }
}

/// Says why a connection ended: once, and loudly only where somebody should look.
fn note(shard: &Shard, arrival: Arrival, reason: &CloseReason) {
    let address = arrival.address;
    shard.metrics.closed(reason.counted());
    if reason.is_fault() {
        add(&shard.metrics.connections_failed, 1);
        tracing::warn!(%address, connection = arrival.id, ?reason, "a connection is closed");
    } else {
        tracing::debug!(%address, connection = arrival.id, ?reason, "a connection ended");
    }
}
