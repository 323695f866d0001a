//! Which core owns this, and how does work get there?

mod mesh;
mod placement;
mod reply;

pub use mesh::Inbox;
pub use placement::{ShardId, owner};

use crate::shard::Shard;
use futures_util::future::Either;
use reply::reply;
use std::cell::RefCell;
use std::future::Future;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// The shard that was asked has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard that owns this has stopped")]
pub struct ShardGone;

/// The way from one shard to the others. Stays on its core.
#[derive(Clone)]
pub struct Router(Rc<Inner>);

struct Inner {
    own: ShardId,
    inboxes: Vec<Inbox>,
    shard: RefCell<Weak<Shard>>,
}

impl Router {
    /// The router of shard `own`; `inboxes` are those of all shards, in order.
    pub fn new(own: ShardId, inboxes: Vec<Inbox>) -> Self {
        Self(Rc::new(Inner { own, inboxes, shard: RefCell::new(Weak::new()) }))
    }

    /// Tells the router its own shard, once that is made.
    pub fn attach(&self, shard: &Rc<Shard>) {
        *self.0.shard.borrow_mut() = Rc::downgrade(shard);
    }

    /// Starts `work` on `owner`, in call order for each pair of shards, and resolves with its value. A local call skips
    /// the mesh: it starts when it is first polled.
    pub fn call<R, F>(
        &self,
        owner: ShardId,
        work: impl FnOnce(Rc<Shard>) -> F + Send + 'static,
    ) -> impl Future<Output = Result<R, ShardGone>> + 'static
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
    {
        if owner == self.0.own {
            let shard = self.0.shard.borrow().upgrade();
            return Either::Left(async move { Ok(work(shard.ok_or(ShardGone)?).await) });
        }
        let (replier, reply) = reply();
        if let Some(inbox) = self.0.inboxes.get(owner.0) {
            inbox.send(Box::new(move |shard| Box::pin(async move { replier.send(work(shard).await) })));
        }
        Either::Right(async move { reply.await.ok_or(ShardGone) })
    }

    /// Sleeps on this shard's clock.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static + use<> {
        async move {
            glommio::timer::sleep(duration).await;
        }
    }

    /// Spawns a task on this shard. A panic in it is logged and ends it alone.
    pub fn spawn(&self, what: &'static str, task: impl Future<Output = ()> + 'static) {
        use futures_util::FutureExt;
        let guarded = async move {
            if std::panic::AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(what, "a task panicked: it ends, the shard goes on");
            }
        };
        glommio::spawn_local(guarded).detach();
    }
}

/// Carries out what other shards send to this one, until its inbox closes.
pub async fn serve(shard: Rc<Shard>, inbox: Inbox) {
    while let Some(jobs) = inbox.take().await {
        for job in jobs {
            let started = job(Rc::clone(&shard));
            shard.router.spawn("work of another shard", started);
        }
        glommio::yield_if_needed().await;
    }
}
