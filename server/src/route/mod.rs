//! Which core owns this, and how does work get there?
//!
//! `Router::call` is the one way of asking another core: a closure travels there, runs as a task of its own beside the
//! owner's data, and its value comes back. Bytes that travel along are shared, never copied.

mod account;
mod executor;
mod mesh;
mod placement;
mod pulse;
mod reply;
#[cfg(test)]
mod tests;

pub use account::Account;
pub use executor::{LOCKED_BYTES, run_core};
pub use placement::{ShardId, owner};
pub use pulse::Pulse;
pub use reply::ShardGone;

use crate::shard::Shard;
use futures_util::FutureExt;
use mesh::Mesh;
use reply::{Answer, Reply};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

type Work<S> = Box<dyn FnOnce(&Rc<S>) + Send>;

/// What all cores share to reach each other; made once, before the executors start.
pub struct Paths<S = Shard> {
    mesh: Arc<Mesh<Work<S>>>,
    panics: Arc<AtomicU64>,
    shard_count: usize,
}

impl<S> Clone for Paths<S> {
    fn clone(&self) -> Self {
        Self { mesh: Arc::clone(&self.mesh), panics: Arc::clone(&self.panics), shard_count: self.shard_count }
    }
}

impl<S: 'static> Paths<S> {
    /// Paths between `shard_count` cores.
    pub fn new(shard_count: usize) -> Self {
        Self { mesh: Mesh::new(shard_count), panics: Arc::default(), shard_count }
    }

    /// Tasks and pieces of work that panicked, on all cores.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// How many cores there are.
    pub fn shard_count(&self) -> usize {
        self.shard_count
    }
}

/// One core's way to the others. Cheap to clone; stays on its core.
pub struct Router<S: 'static = Shard>(Rc<Inner<S>>);

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

struct Inner<S> {
    id: ShardId,
    paths: Paths<S>,
    /// Work that its lane had no room for, by target.
    backlogs: RefCell<Vec<VecDeque<Work<S>>>>,
    shard: RefCell<Weak<S>>,
    is_stopping: Cell<bool>,
}

impl<S: 'static> Router<S> {
    /// The way of shard `id`; what is sent to it is started by `run`.
    pub fn new(id: ShardId, paths: Paths<S>) -> Self {
        let backlogs = (0..paths.shard_count).map(|_| VecDeque::new()).collect();
        let (shard, is_stopping) = (RefCell::new(Weak::new()), Cell::new(false));
        Self(Rc::new(Inner { id, paths, backlogs: RefCell::new(backlogs), shard, is_stopping }))
    }

    /// Tells the router its own shard, once that is made.
    pub fn attach(&self, shard: &Rc<S>) {
        *self.0.shard.borrow_mut() = Rc::downgrade(shard);
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.0.paths.shard_count
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<S> {
        (0..self.0.paths.shard_count).map(ShardId)
    }

    /// Starts `work` on `owner` now, in the order of the calls, and resolves with its value. Work for this core itself
    /// starts at the first poll, without a message.
    ///
    /// # Errors
    /// `ShardGone` when the owner has stopped or the work panicked.
    ///
    /// # Panics
    /// When there is no shard of that number.
    pub fn call<R, F, W>(
        &self,
        owner: ShardId,
        work: W,
    ) -> impl Future<Output = Result<R, ShardGone>> + 'static + use<R, F, W, S>
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
        W: FnOnce(Rc<S>) -> F + Send + 'static,
    {
        enum Started<W, S, R> {
            Here(Option<Rc<S>>, W),
            There(Answer<R>),
        }
        let started = if owner == self.0.id {
            Started::Here(self.0.shard.borrow().upgrade(), work)
        } else {
            Started::There(self.send(owner, work))
        };
        async move {
            match started {
                Started::Here(Some(shard), work) => Ok(work(shard).await),
                Started::Here(None, _) => Err(ShardGone),
                Started::There(answer) => answer.await,
            }
        }
    }

    fn send<R, F, W>(&self, owner: ShardId, work: W) -> Answer<R>
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
        W: FnOnce(Rc<S>) -> F + Send + 'static,
    {
        let Inner { id, paths, backlogs, .. } = &*self.0;
        let mesh = Arc::clone(&paths.mesh);
        let (caller, target) = (id.0, owner.0);
        let (reply, answer) = Reply::new(move |waker| mesh.wake(target, caller, waker));
        let panics = Arc::clone(&paths.panics);
        let work = move |shard: &Rc<S>| {
            let shard = Rc::clone(shard);
            // The closure runs in the task too, so that its panic ends nothing else.
            let task = AssertUnwindSafe(async move { work(shard).await }).catch_unwind();
            let task = async move {
                match task.await {
                    Ok(value) => reply.send(value),
                    Err(_) => {
                        panics.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(from = caller, "work for another core panicked");
                    }
                }
            };
            glommio::spawn_local(task).detach();
        };
        let backlog = &mut backlogs.borrow_mut()[target];
        backlog.push_back(Box::new(work));
        paths.mesh.push(caller, target, backlog);
        answer
    }

    /// Receives for this core until `stop`. Spawned once per core.
    pub async fn run(&self, shard: &Rc<S>) {
        let Inner { id, paths, backlogs, .. } = &*self.0;
        let mut taken = VecDeque::new();
        while !self.0.is_stopping.get() {
            poll_fn(|context| match paths.mesh.take(id.0, context.waker(), &mut taken) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            taken.drain(..).for_each(|work| work(shard));
            for (target, backlog) in backlogs.borrow_mut().iter_mut().enumerate() {
                if !backlog.is_empty() {
                    paths.mesh.push(id.0, target, backlog);
                }
            }
            self.yield_if_needed().await;
        }
    }

    /// Ends `run`. Work that arrives from now on is dropped, and who waits for it learns that the shard is gone.
    pub fn stop(&self) {
        self.0.is_stopping.set(true);
        self.0.paths.mesh.close(self.0.id.0);
        self.0.paths.mesh.signal(self.0.id.0);
    }

    /// Starts `work` on `owner`, as `call` does, and waits for nothing.
    pub fn tell<F, W>(&self, owner: ShardId, work: W)
    where
        F: Future<Output = ()> + 'static,
        W: FnOnce(Rc<S>) -> F + Send + 'static,
    {
        if owner == self.0.id {
            if let Some(shard) = self.0.shard.borrow().upgrade() {
                self.spawn("work", async move { work(shard).await });
            }
        } else {
            drop(self.send(owner, work));
        }
    }

    /// Runs a task beside everything else on this core; its panic ends only itself, counted and logged.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        let panics = Arc::clone(&self.0.paths.panics);
        let guarded = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                panics.fetch_add(1, Ordering::Relaxed);
                tracing::error!(name, "a task panicked");
            }
        };
        glommio::spawn_local(guarded).detach();
    }

    /// Tasks and pieces of work that panicked, on all cores.
    pub fn panics(&self) -> u64 {
        self.0.paths.panics()
    }

    /// Counts a panic that was caught elsewhere.
    pub fn count_panic(&self) {
        self.0.paths.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Resolves after a time.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + 'static + use<S> {
        async move {
            glommio::timer::Timer::new(time).await;
        }
    }

    /// Lets other tasks of this core go first when it is their turn: for loops that do not wait for anything.
    pub async fn yield_if_needed(&self) {
        glommio::yield_if_needed().await;
    }
}
