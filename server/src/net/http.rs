//! The port of `/metrics`, `/health` and `/ready`: few connections, short requests, one answer each.

use super::frame::Target;
use super::send::Outbox;
use super::socket::{Received, Socket};
use crate::metrics::{Health, ShardMetrics, respond};
use crate::shard::Shard;
use crate::wire::Answer;
use bytes::Bytes;
use glommio::io::{PollState, PollableFd};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Connections served at once; more are closed unheard.
const CONNECTIONS_MAX: usize = 64;
/// Time that one request may take, from its connection to the last byte of its answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// Pause after an error of the system.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the executor ends.
pub async fn serve_http(
    shard: Rc<Shard>,
    listener: TcpListener,
    shards: Vec<Arc<ShardMetrics>>,
    health: Arc<Health>,
) {
    let Ok(listener) = PollableFd::new(listener) else { return };
    let (open, shards) = (Rc::new(Cell::new(0usize)), Rc::new(shards));
    loop {
        let Ok((stream, _)) = listener.get_ref().accept() else {
            if listener.readable().await.is_err() {
                shard.router.sleep(ERROR_PAUSE).await;
            }
            continue;
        };
        if open.get() >= CONNECTIONS_MAX {
            continue;
        }
        let Ok(socket) = Socket::new(stream) else { continue };
        open.set(open.get() + 1);
        let (own, open) = (Rc::clone(&shard), Rc::clone(&open));
        let (shards, health) = (Rc::clone(&shards), Arc::clone(&health));
        shard.router.spawn("an HTTP request", async move {
            let served = async {
                // A client that goes away in between is of no interest.
                let _ = serve_one(&own, &socket, &shards, &health).await;
            };
            futures_lite::future::or(served, own.router.sleep(REQUEST_TIME_MAX)).await;
            open.set(open.get() - 1);
        });
    }
}

async fn serve_one(
    shard: &Shard,
    socket: &Socket,
    shards: &[Arc<ShardMetrics>],
    health: &Health,
) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    let answer = loop {
        match socket.receive(Target::Slice(&mut piece))? {
            Received::Nothing => socket.readable().await?,
            Received::End => return Ok(()),
            Received::Bytes { count, .. } => {
                request.extend_from_slice(piece.get(..count).unwrap_or_default());
                if let Some(answer) = respond(&request, shards, health, shard.now().0 as u64) {
                    break answer;
                }
            }
        }
    };
    let mut outbox = Outbox::default();
    outbox.push(Answer { bytes: answer.len(), parts: vec![Bytes::from(answer)] });
    let mut sending = PollState::new();
    while !outbox.is_empty() {
        poll_fn(|context| socket.poll_send(context, &mut sending, &mut outbox)).await?;
    }
    Ok(())
}
