//! When shall the broker stop? Signals in, one handle out that any thread can ask and any executor can await.
//!
//! The first SIGTERM or SIGINT asks for a clean stop, a second one ends the process at once (the next start recovers);
//! SIGHUP reopens the log's file. Signals are taken by a plain thread: no executor has to be awake for them.

use crate::logging::LogTarget;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A second signal so soon after the first is the same wish: `timeout` tells its child and then the child's group, and
/// whoever presses a key twice takes longer.
const ECHO: Duration = Duration::from_millis(100);

/// Whether somebody asked the broker to stop. Asked once, it stays so.
#[derive(Debug, Default)]
pub struct Shutdown {
    is_asked: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    id_next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Shutdown {
    /// Asks for a clean stop; returns whether this was the first time.
    pub fn ask(&self) -> bool {
        let is_first = !self.is_asked.swap(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut self.lock().wakers);
        for waker in wakers.into_values() {
            waker.wake();
        }
        is_first
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::SeqCst)
    }

    /// Waits until it is asked for; on any executor.
    pub fn asked(&self) -> Asked<'_> {
        Asked { shutdown: self, id: None }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when the stop is asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    shutdown: &'a Shutdown,
    id: Option<u64>,
}

impl Future for Asked<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.shutdown.lock();
        // Looked at under the lock: whoever asks takes the wakers under it, after the flag is set.
        if self.shutdown.is_asked() {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or(waiting.id_next);
        waiting.id_next = waiting.id_next.max(id + 1);
        waiting.wakers.insert(id, context.waker().clone());
        drop(waiting);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shutdown.lock().wakers.remove(&id);
        }
    }
}

/// Starts the thread that takes signals. From its return on none of them ends the process by itself.
///
/// # Errors
/// When the handlers or the thread cannot be made.
pub fn watch_signals(log: LogTarget) -> io::Result<Arc<Shutdown>> {
    let shutdown = Arc::new(Shutdown::default());
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let own = Arc::clone(&shutdown);
    let watch = move || {
        let mut asked = Instant::now();
        for signal in signals.forever() {
            match signal {
                SIGHUP => reopen(&log),
                _ if own.ask() => {
                    asked = Instant::now();
                    tracing::info!(signal, "asked to stop: finishing what was started");
                }
                _ if asked.elapsed() < ECHO => tracing::debug!(signal, "asked twice in one breath"),
                _ => {
                    tracing::warn!(signal, "asked again: ending at once, the next start recovers");
                    signal_hook::low_level::exit(128 + signal);
                }
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(shutdown)
}

fn reopen(log: &LogTarget) {
    match log.reopen() {
        Ok(()) => tracing::info!("the log's file is reopened"),
        Err(error) => {
            tracing::error!(%error, "the log's file cannot be reopened: lines go on to the old one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};
    use std::thread;

    #[test]
    fn who_waits_is_woken_from_another_thread() {
        let shutdown = Arc::new(Shutdown::default());
        let asker = Arc::clone(&shutdown);
        let asking = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            (asker.ask(), asker.ask())
        });
        block_on(shutdown.asked());
        assert!(shutdown.is_asked());
        assert_eq!(asking.join().unwrap(), (true, false));
        block_on(shutdown.asked());
    }

    #[test]
    fn who_gave_up_waiting_leaves_nothing_behind() {
        let shutdown = Shutdown::default();
        {
            let mut one = shutdown.asked();
            let mut other = shutdown.asked();
            assert_eq!(block_on(poll_once(&mut one)), None);
            assert_eq!(block_on(poll_once(&mut other)), None);
            assert_eq!(block_on(poll_once(&mut one)), None);
            assert_eq!(shutdown.lock().wakers.len(), 2);
        }
        assert_eq!(shutdown.lock().wakers.len(), 0);
    }
}
