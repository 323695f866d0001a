//! One value from one core to another, once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

enum State<T> {
    Waiting(Option<Waker>),
    Sent(T),
    Gone,
}

/// The end that answers. Dropped without an answer, it says so.
pub(super) struct Replier<T>(Arc<Mutex<State<T>>>);

/// The end that waits.
pub(super) struct Reply<T>(Arc<Mutex<State<T>>>);

pub(super) fn reply<T>() -> (Replier<T>, Reply<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Replier(Arc::clone(&state)), Reply(state))
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Replier<T> {
    pub(super) fn send(self, value: T) {
        self.end(State::Sent(value));
    }

    fn end(&self, end: State<T>) {
        let before = {
            let mut state = lock(&self.0);
            match *state {
                State::Waiting(_) => std::mem::replace(&mut *state, end),
                State::Sent(_) | State::Gone => return,
            }
        };
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Replier<T> {
    fn drop(&mut self) {
        self.end(State::Gone);
    }
}

impl<T> Future for Reply<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Gone) {
            State::Sent(value) => Poll::Ready(Some(value)),
            State::Gone => Poll::Ready(None),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_arrives_from_another_thread_and_an_end_without_one_is_told() {
        let (replier, waiting) = reply();
        let thread = std::thread::spawn(move || replier.send(7));
        assert_eq!(futures_lite::future::block_on(waiting), Some(7));
        thread.join().unwrap();
        let (replier, waiting) = reply::<u8>();
        std::thread::spawn(move || drop(replier)).join().unwrap();
        assert_eq!(futures_lite::future::block_on(waiting), None);
    }
}
