//! The port of `/metrics`, `/health` and `/ready`.

use crate::metrics::{Health, ShardMetrics, respond};
use crate::shard::Shard;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 64;

/// Serves until the executor ends.
pub async fn serve_http(shard: Rc<Shard>, listener: TcpListener, shards: Vec<Arc<ShardMetrics>>, health: Arc<Health>) {
    let open = Rc::new(std::cell::Cell::new(0usize));
    let shards = Rc::new(shards);
    loop {
        let Ok(mut stream) = listener.accept().await else {
            shard.router.sleep(Duration::from_millis(100)).await;
            continue;
        };
        if open.get() >= CONNECTIONS_MAX {
            continue;
        }
        open.set(open.get() + 1);
        let (open, shards, health) = (Rc::clone(&open), Rc::clone(&shards), Arc::clone(&health));
        let now_ms = shard.now().0 as u64;
        shard.router.spawn("an HTTP request", async move {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while let Ok(count) = stream.read(&mut piece).await {
                request.extend_from_slice(&piece[..count]);
                if let Some(answer) = respond(&request, &shards, &health, now_ms) {
                    let _ = stream.write_all(&answer).await;
                    break;
                }
                if count == 0 {
                    break;
                }
            }
            let _ = stream.close().await;
            open.set(open.get() - 1);
        });
    }
}
