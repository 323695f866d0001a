//! The loop of one connection: read, cut frames, hand to the APIs, send. Nothing else.

use super::budget::Grant;
use super::frame::Growth;
use super::listener::Doors;
use super::pipeline::Pipeline;
use super::send::send;
use crate::api::{self, Handled, RequestContext};
use crate::metrics::add;
use crate::shard::Shard;
use crate::wire::{ApiKey, Reader, RequestHeader};
use bytes::{Bytes, BytesMut};
use futures_lite::{AsyncWriteExt, FutureExt};
use futures_util::io::{AsyncReadExt, ReadHalf, WriteHalf};
use glommio::net::TcpStream;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A frame that has begun goes on within this, or its memory is taken back.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Memory for small frames; several pipelined ones come with one read.
const RECEIVE_BYTES: usize = 16 << 10;

/// Serves a connection until it ends, for whatever reason.
pub(super) async fn serve_connection(
    shard: &Rc<Shard>,
    stream: TcpStream,
    listener: usize,
    address: IpAddr,
    doors: &Doors,
) {
    shard.metrics.connections.fetch_add(1, Ordering::Relaxed);
    add(&shard.metrics.connections_total, 1);
    let _ = stream.set_nodelay(true);
    let idle_ms = shard.config.connections_max_idle_ms;
    let idle = (idle_ms >= 0).then(|| Duration::from_millis(idle_ms.max(1) as u64));
    let _ = stream.set_read_timeout(idle);
    let _ = stream.set_write_timeout(Some(STALL_MAX));
    let pipeline = Rc::new(Pipeline::default());
    let (read_half, mut write_half) = stream.split();
    let reader = FrameReader { shard, read_half, buffer: BytesMut::new(), growth: Growth::new() };
    let reading = async {
        let outcome = read_requests(shard, reader, listener, address, &pipeline, doors).await;
        pipeline.end();
        if let Err(error) = outcome {
            note_end(shard, address, &error);
            if error.kind() == io::ErrorKind::InvalidData {
                pipeline.idle().await;
            }
        }
        std::future::pending::<()>().await;
    };
    let writing = async {
        if let Err(error) = write_answers(shard, &mut write_half, &pipeline).await {
            note_end(shard, address, &error);
        }
    };
    reading.or(writing).await;
    pipeline.fail();
    let _ = write_half.close().await;
    shard.metrics.connections.fetch_sub(1, Ordering::Relaxed);
}

fn note_end(shard: &Shard, address: IpAddr, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::TimedOut => {
            tracing::debug!(%address, %error, "a connection ended");
        }
        _ => {
            add(&shard.metrics.connections_failed, 1);
            tracing::warn!(%address, %error, "a connection is closed");
        }
    }
}

async fn write_answers(shard: &Shard, stream: &mut WriteHalf<TcpStream>, pipeline: &Pipeline) -> io::Result<()> {
    while let Some((answers, ready)) = pipeline.next().await {
        let bytes: usize = answers.iter().map(|answer| answer.bytes).sum();
        let mut parts: VecDeque<Bytes> = answers.into_iter().flat_map(|answer| answer.parts).collect();
        send(stream, &mut parts).await?;
        pipeline.sent(bytes);
        add(&shard.metrics.response_bytes, bytes as u64);
        shard.metrics.answer.record(ready.elapsed());
    }
    Ok(())
}

async fn read_requests(
    shard: &Rc<Shard>,
    mut reader: FrameReader<'_>,
    listener: usize,
    address: IpAddr,
    pipeline: &Rc<Pipeline>,
    doors: &Doors,
) -> io::Result<()> {
    while pipeline.room().await {
        let Some((frame, grant)) = reader.next().await? else { return Ok(()) };
        if doors.closing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let received = Instant::now();
        add(&shard.metrics.request_bytes, frame.len() as u64 + 4);
        let mut body = Reader::new(frame);
        let header = RequestHeader::read(&mut body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let context = RequestContext { header, listener, client_host: address, received };
        // Produces overlap; everything else waits for what came before, as on Kafka's one-at-a-time connections.
        let overlaps = context.header.api_key == ApiKey::Produce;
        if !overlaps {
            pipeline.idle().await;
        }
        start(shard, pipeline, context, body, grant);
        if !overlaps {
            pipeline.idle().await;
        }
        glommio::yield_if_needed().await;
    }
    Ok(())
}

fn start(shard: &Rc<Shard>, pipeline: &Rc<Pipeline>, context: RequestContext, body: Reader, grant: Grant) {
    let slot = pipeline.begin();
    let (own, pipeline) = (Rc::clone(shard), Rc::clone(pipeline));
    shard.router.spawn("a request", async move {
        own.metrics.queue.record(context.received.elapsed());
        let handled = api::handle(&own, &context, body).await;
        drop(grant);
        own.metrics.request(context.header.api_key, context.received.elapsed());
        match handled {
            Handled::Answer(answer) => slot.finish(Some(answer)),
            Handled::Silent => slot.finish(None),
            Handled::Close(reason) => {
                let (api, version) = (context.header.api_key.name(), context.header.api_version);
                tracing::warn!(address = %context.client_host, api, version, reason, "a connection is closed");
                add(&own.metrics.connections_failed, 1);
                pipeline.fail();
            }
        }
    });
}

struct FrameReader<'a> {
    shard: &'a Rc<Shard>,
    read_half: ReadHalf<TcpStream>,
    buffer: BytesMut,
    growth: Growth,
}

impl FrameReader<'_> {
    /// The next frame, with the memory it was granted; `None` when the client has gone between two frames.
    async fn next(&mut self) -> io::Result<Option<(Bytes, Grant)>> {
        let limit = self.shard.config.socket_request_max_bytes as usize;
        while self.buffer.len() < 4 {
            if self.fill(RECEIVE_BYTES).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        let mut prefix = [0; 4];
        prefix.copy_from_slice(&self.buffer[..4]);
        let length = Growth::length(prefix, limit)?;
        let mut grant = self.shard.budget.grant();
        grant.grow(length.min(RECEIVE_BYTES)).await;
        while self.buffer.len() < 4 + length {
            let wanted = self.growth.next(length, self.buffer.len());
            grant.grow(wanted).await;
            self.note_memory();
            // The rest of this frame, and not more: what follows would pin its memory.
            let target = (4 + wanted).max(RECEIVE_BYTES).min((4 + length).max(RECEIVE_BYTES));
            let stalled = self.shard.router.sleep(STALL_MAX);
            let filled = async { Some(self.fill(target).await) }.or(async {
                stalled.await;
                None
            });
            match filled.await {
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that stalled")),
                Some(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(read) => drop(read?),
            }
        }
        self.growth.complete(length);
        let mut frame = self.buffer.split_to(4 + length);
        let _ = frame.split_to(4);
        self.note_memory();
        Ok(Some((frame.freeze(), grant)))
    }

    fn note_memory(&self) {
        self.shard.metrics.request_memory.store(self.shard.budget.held() as i64, Ordering::Relaxed);
    }

    /// Reads what is there, up to `target` bytes in the buffer.
    async fn fill(&mut self, target: usize) -> io::Result<usize> {
        let filled = self.buffer.len();
        self.buffer.resize(target.max(filled + 1), 0);
        let read = self.read_half.read(&mut self.buffer[filled..]).await;
        self.buffer.truncate(filled + read.as_ref().copied().unwrap_or(0));
        read
    }
}
