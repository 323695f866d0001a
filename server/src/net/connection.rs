//! The loop of one connection: read, cut frames, start requests, send answers. Nothing else.
//!
//! ```text
//!            ┌──────────── one task ────────────┐
//! socket ──► │ read: frame, memory, may it start │──► running requests, first polled in order
//! socket ◄── │ answer: outbox ◄── done, in order │◄──┘
//!            └──────────────────────────────────┘
//! ```
//! Both halves are polled at every wake-up. Requests are polled while the socket takes nothing, too: one may hold a place
//! in a log's order that others wait for. A request that has begun ends also when its client is gone, except a fetch.

use super::budget::Charge;
use super::connections::{CloseReason, Connections};
use super::frame::Frames;
use super::moves::Reach;
use super::pipeline::{Class, Pipeline};
use super::send::Outbox;
use super::socket::{Received, Socket};
use crate::api::{self, Handled, RequestContext};
use crate::metrics::add;
use crate::route::ShardId;
use crate::shard::Shard;
use crate::wire::{ApiKey, Reader, RequestHeader};
use bytes::Bytes;
use futures_util::stream::{FuturesOrdered, StreamExt};
use glommio::io::PollState;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, TcpStream};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Time that requests of a connection that is gone get to end.
const AFTERLIFE: Duration = Duration::from_secs(30);

type Running = Pin<Box<dyn Future<Output = Handled>>>;

/// What is known of a connection when it comes to its shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Different for every connection of the broker's life.
    pub(super) id: u64,
    /// Index of its listener.
    pub(super) listener: usize,
    /// Who is on the other side.
    pub(super) address: IpAddr,
}

/// How a shard is done with a connection.
#[derive(Debug)]
pub(super) enum End {
    /// It is closed.
    Closed(CloseReason),
    /// It goes on elsewhere.
    Moves {
        /// There.
        target: ShardId,
        /// What was read of its next requests.
        rest: Vec<u8>,
    },
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}

/// One connection. Owned by its task; the sweeper of its shard looks at it.
pub(super) struct Connection {
    pub(super) arrival: Arrival,
    socket: Socket,
    frame_bytes_max: usize,
    reach: Rc<Reach>,
    pipeline: RefCell<Pipeline>,
    running: RefCell<FuturesOrdered<Running>>,
    outbox: RefCell<Outbox>,
    /// When the first answer in the outbox was ready.
    ready_since: Cell<Option<Instant>>,
    /// What the next request needs to start, if it is here.
    waits_for: Cell<Option<Class>>,
    is_fetching: Cell<bool>,
    /// What was started last: alone if one runs, since answers come in order.
    last_started: Cell<Option<ApiKey>>,
    /// Bytes of a large frame are here, more are to come.
    pub(super) is_in_frame: Cell<bool>,
    pub(super) last_read: Cell<Instant>,
    pub(super) last_sent: Cell<Instant>,
    close: RefCell<Option<CloseReason>>,
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(arrival: Arrival, socket: Socket, frame_bytes_max: usize, reach: Reach) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            arrival,
            socket,
            frame_bytes_max,
            reach: Rc::new(reach),
            pipeline: RefCell::default(),
            running: RefCell::default(),
            outbox: RefCell::default(),
            ready_since: Cell::new(None),
            waits_for: Cell::new(None),
            is_fetching: Cell::new(false),
            last_started: Cell::new(None),
            is_in_frame: Cell::new(false),
            last_read: Cell::new(now),
            last_sent: Cell::new(now),
            close: RefCell::new(None),
            waker: RefCell::new(None),
        })
    }

    /// Ends the connection from outside of its task.
    pub(super) fn close(&self, reason: CloseReason) {
        self.close.borrow_mut().get_or_insert(reason);
        self.wake();
    }

    /// Has its task look around.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Whether no request runs and no answer waits.
    pub(super) fn is_idle(&self) -> bool {
        self.pipeline.borrow().running() == 0 && self.outbox.borrow().is_empty()
    }

    /// Whether answers wait for the client to read.
    pub(super) fn has_answers(&self) -> bool {
        !self.outbox.borrow().is_empty()
    }

    /// Its socket, for the shard that it moves to.
    ///
    /// # Errors
    /// As `Socket::share`.
    pub(super) fn socket(&self) -> io::Result<TcpStream> {
        self.socket.share()
    }

    /// Serves until the end, beginning with what another shard has read of it; says how it ended.
    pub(super) async fn serve(self: &Rc<Self>, shard: &Rc<Shard>, begun: Vec<u8>) -> End {
        let mut reading = pin!(self.read(shard, begun));
        let mut read_end: Option<End> = None;
        let mut sending = PollState::new();
        let end = poll_fn(|context| {
            self.note_waker(context.waker());
            if let Some(reason) = self.close.borrow_mut().take() {
                return Poll::Ready(reason.into());
            }
            loop {
                if read_end.is_none() {
                    if let Poll::Ready(end) = reading.as_mut().poll(context) {
                        read_end = Some(end);
                    }
                }
                if let Err(reason) = self.poll_answers(shard, context, &mut sending) {
                    return Poll::Ready(reason.into());
                }
                if let Some(end) = read_end.take_if(|end| self.is_over(end)) {
                    return Poll::Ready(end);
                }
                if shard.connections.is_stopping() && self.has_only_a_wait() {
                    return Poll::Ready(CloseReason::Stopping.into());
                }
                // An answer may have let the next request start: then the reader is not asleep.
                let may_start = self.waits_for.get().is_some_and(|class| self.may_start(class));
                if read_end.is_some() || !may_start {
                    return Poll::Pending;
                }
            }
        })
        .await;
        shard.connections.budget().leave(self.arrival.id);
        self.outlive(shard);
        end
    }

    fn note_waker(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Whether nothing is left to do after the reader ended.
    fn is_over(&self, end: &End) -> bool {
        match end {
            // The client is gone: what it sent is still carried out, what it wanted to know is of no use.
            End::Closed(CloseReason::Ended) => self.is_idle() || self.is_fetching.get(),
            End::Closed(CloseReason::Stopping) | End::Moves { .. } => self.is_idle(),
            End::Closed(_) => true,
        }
    }

    /// Whether nothing is under way but a request that waits for what others do, perhaps for minutes. The broker's stop
    /// does not wait for it: cut off, it has lost nothing, and the client asks again where it finds a broker.
    fn has_only_a_wait(&self) -> bool {
        let waits = [ApiKey::Fetch, ApiKey::JoinGroup, ApiKey::SyncGroup];
        let is_wait = self.last_started.get().is_some_and(|api| waits.contains(&api));
        is_wait && self.pipeline.borrow().running() == 1 && self.outbox.borrow().is_empty()
    }

    fn may_start(&self, class: Class) -> bool {
        self.pipeline.borrow().may_start(class, self.outbox.borrow().bytes())
    }

    /// Lets requests that have begun come to their end without the connection.
    fn outlive(&self, shard: &Rc<Shard>) {
        let mut running = self.running.take();
        if running.is_empty() || self.is_fetching.get() {
            return;
        }
        let late = Rc::clone(shard);
        shard.router.spawn("requests of a client that is gone", async move {
            let ended = async { while running.next().await.is_some() {} };
            futures_lite::future::or(ended, late.router.sleep(AFTERLIFE)).await;
        });
    }

    async fn read(self: &Rc<Self>, shard: &Rc<Shard>, begun: Vec<u8>) -> End {
        let mut inlet = Inlet::new(self, shard);
        inlet.resume(begun).await;
        loop {
            let (frame, charge) = match inlet.next().await {
                Ok(frame) => frame,
                Err(reason) => return reason.into(),
            };
            let received = Instant::now();
            add(&shard.metrics.request_bytes, frame.len() as u64 + 4);
            let mut body = Reader::new(frame);
            let header = match RequestHeader::read(&mut body) {
                Ok(header) => header,
                Err(error) => return CloseReason::Malformed(error.to_string()).into(),
            };
            let class = api::class(&header);
            self.wait_for(class).await;
            if shard.connections.is_stopping() {
                return CloseReason::Stopping.into();
            }
            let Arrival { id, listener, address } = self.arrival;
            let may_move = matches!(header.api_key, ApiKey::Produce | ApiKey::Fetch);
            let reach = Rc::clone(&self.reach);
            let context =
                RequestContext { header, listener, client_host: address, received, connection_id: id, reach };
            self.start(shard, class, context, body, charge);
            if let Some(rest) = inlet.rest().filter(|_| may_move) {
                if let Some(target) = self.reach.target() {
                    return End::Moves { target, rest: rest.to_vec() };
                }
            }
            shard.router.yield_if_needed().await;
        }
    }

    async fn wait_for(&self, class: Class) {
        self.waits_for.set(Some(class));
        // Polled again by `serve`, after each answer.
        poll_fn(|_| if self.may_start(class) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.waits_for.set(None);
    }

    fn start(
        &self,
        shard: &Rc<Shard>,
        class: Class,
        context: RequestContext,
        body: Reader,
        charge: Rc<Charge>,
    ) {
        self.pipeline.borrow_mut().start(class);
        self.is_fetching.set(context.header.api_key == ApiKey::Fetch);
        self.last_started.set(Some(context.header.api_key));
        let shard = Rc::clone(shard);
        self.running.borrow_mut().push_back(Box::pin(async move {
            shard.metrics.queue.record(context.received.elapsed());
            let handled = api::handle(&shard, &context, body).await;
            drop(charge);
            let RequestHeader { api_key, api_version, .. } = context.header;
            shard.metrics.request(api_key, api_version, context.received.elapsed());
            match handled {
                Handled::Close(reason) => {
                    Handled::Close(format!("{} v{api_version}: {reason}", api_key.name()))
                }
                handled => handled,
            }
        }));
    }

    /// Polls what runs, takes answers that are next in order, and sends as far as the socket takes.
    fn poll_answers(
        &self,
        shard: &Shard,
        context: &mut Context<'_>,
        sending: &mut PollState,
    ) -> Result<(), CloseReason> {
        let mut running = self.running.borrow_mut();
        let mut outbox = self.outbox.borrow_mut();
        while let Poll::Ready(Some(handled)) = running.poll_next_unpin(context) {
            self.pipeline.borrow_mut().finish();
            self.is_fetching.set(false);
            match handled {
                Handled::Answer(answer) => {
                    if outbox.is_empty() {
                        let now = Instant::now();
                        self.ready_since.set(Some(now));
                        self.last_sent.set(now);
                    }
                    outbox.push(answer);
                }
                Handled::Silent => {}
                Handled::Close(reason) => return Err(CloseReason::Refused(reason)),
            }
        }
        while !outbox.is_empty() {
            match self.socket.poll_send(context, sending, &mut outbox) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(CloseReason::Broken(error.to_string())),
                Poll::Ready(Ok(count)) => {
                    self.last_sent.set(Instant::now());
                    add(&shard.metrics.response_bytes, count as u64);
                    add(&shard.metrics.socket_writes, 1);
                }
            }
        }
        if let Some(ready) = self.ready_since.take() {
            shard.metrics.answer.record(ready.elapsed());
        }
        Ok(())
    }
}

/// Where the frames of one connection come in.
struct Inlet<'a> {
    connection: &'a Connection,
    shard: &'a Shard,
    connections: &'a Connections,
    frames: Frames,
    /// Of the shared buffer, its frames hold it too; or of the frame that is coming in.
    shared: Option<Rc<Charge>>,
    own: Option<Charge>,
    /// The last read took all there was: the next waits before it looks.
    is_drained: bool,
}

impl<'a> Inlet<'a> {
    fn new(connection: &'a Connection, shard: &'a Shard) -> Self {
        let frames = Frames::new(connection.frame_bytes_max);
        let connections = &shard.connections;
        Self { connection, shard, connections, frames, shared: None, own: None, is_drained: true }
    }

    /// Goes on with what another shard has read.
    async fn resume(&mut self, begun: Vec<u8>) {
        if begun.is_empty() {
            return;
        }
        let bytes = Frames::resumed_bytes(begun.len());
        self.shared = Some(Rc::new(self.connections.budget().small(bytes).await));
        self.frames = Frames::resume(self.connection.frame_bytes_max, &begun);
    }

    /// What was read of the frames that come next, for another shard.
    fn rest(&self) -> Option<&[u8]> {
        self.frames.rest()
    }

    /// The next frame, with the memory it holds.
    async fn next(&mut self) -> Result<(Bytes, Rc<Charge>), CloseReason> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(frame);
            }
            if self.is_drained {
                let stopping = self.connections.stopped();
                let readable = async { self.connection.socket.readable().await.map_err(CloseReason::broken) };
                let stopping = async {
                    stopping.await;
                    Err(CloseReason::Stopping)
                };
                futures_lite::future::or(readable, stopping).await?;
            }
            self.take_memory().await;
            let received = self.connection.socket.receive(self.frames.target());
            match received.map_err(CloseReason::broken)? {
                Received::Nothing => self.is_drained = true,
                Received::End if self.frames.is_between() => return Err(CloseReason::Ended),
                Received::End => return Err(CloseReason::Cut),
                Received::Bytes { count, is_full } => {
                    self.is_drained = !is_full;
                    self.frames.received(count);
                    add(&self.shard.metrics.socket_reads, 1);
                    self.connection.last_read.set(Instant::now());
                }
            }
        }
    }

    fn cut(&mut self) -> Result<Option<(Bytes, Rc<Charge>)>, CloseReason> {
        let is_large = self.frames.is_large();
        let frame = self.frames.cut().map_err(|error| CloseReason::Malformed(error.to_string()))?;
        let charge = match &frame {
            Some(_) if is_large => self.own.take().map(Rc::new),
            Some(_) => self.shared.clone(),
            None => None,
        };
        if self.frames.is_between() {
            self.shared = None;
        }
        self.connection.is_in_frame.set(self.own.is_some());
        Ok(frame.map(|frame| (frame, charge.unwrap_or_else(|| Rc::new(self.connections.budget().nothing())))))
    }

    /// Waits until the shard has memory for what is read next.
    async fn take_memory(&mut self) {
        let wanted_bytes = self.frames.wanted_bytes();
        if wanted_bytes > 0 {
            let budget = self.connections.budget();
            if self.frames.is_large() {
                let own = self.own.take();
                self.own = Some(budget.large(self.connection.arrival.id, wanted_bytes, own).await);
                self.connection.is_in_frame.set(true);
            } else {
                self.shared = Some(Rc::new(budget.small(wanted_bytes).await));
            }
        }
        self.frames.grow();
    }
}
