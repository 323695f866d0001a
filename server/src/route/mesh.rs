//! The shards' inboxes: work goes in from any core, its owner takes all of it at one wake-up.
//!
//! A sender holds the lock for one push, the owner for one swap. What is in flight is bounded by what connections may
//! have in flight, so an inbox is not bounded again: a full one could only make two shards wait for each other.

use crate::shard::Shard;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// What a job does once it is on its owner's core.
pub(super) type Started = Pin<Box<dyn Future<Output = ()>>>;
/// Work for another core.
pub(super) type Job = Box<dyn FnOnce(Rc<Shard>) -> Started + Send>;

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    owner: Option<Waker>,
    closed: bool,
}

/// One shard's inbox.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Waiting>>);

impl Inbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in; it is dropped when the shard has stopped.
    pub(super) fn send(&self, job: Job) {
        let owner = {
            let mut waiting = self.lock();
            if waiting.closed {
                return;
            }
            waiting.jobs.push_back(job);
            waiting.owner.take()
        };
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// All that waits, as soon as there is something; `None` once the inbox is closed.
    pub(super) async fn take(&self) -> Option<VecDeque<Job>> {
        poll_fn(|context| {
            let mut waiting = self.lock();
            if !waiting.jobs.is_empty() {
                return Poll::Ready(Some(std::mem::take(&mut waiting.jobs)));
            }
            if waiting.closed {
                return Poll::Ready(None);
            }
            waiting.owner = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes no more; jobs in it are dropped, whoever waits for them learns that the shard is gone.
    pub fn close(&self) {
        let (jobs, owner) = {
            let mut waiting = self.lock();
            waiting.closed = true;
            (std::mem::take(&mut waiting.jobs), waiting.owner.take())
        };
        drop(jobs);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Wakes the owner though nothing came: see `net::pulse`.
    pub fn nudge(&self) {
        let owner = self.lock().owner.take();
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}
