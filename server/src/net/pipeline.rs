//! Requests of one connection start in order and may finish in any; their answers leave in order.
//!
//! ```text
//! reader --begin--> [slot][slot][slot] --next: the first ones, once they are done--> writer
//! ```

use crate::wire::Answer;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Requests of one connection in flight: as many as clients send at most, and some.
const IN_FLIGHT_MAX: usize = 64;
/// Bytes of answers that wait for the socket before the next request starts.
const WAITING_BYTES_MAX: usize = 4 << 20;

enum State {
    Working,
    /// `None` is a request without an answer (acks=0).
    Done(Option<Answer>, Instant),
}

/// One connection's requests in flight.
#[derive(Default)]
pub(super) struct Pipeline {
    slots: RefCell<VecDeque<Rc<RefCell<State>>>>,
    waiting_bytes: Cell<usize>,
    reader_done: Cell<bool>,
    failed: Cell<bool>,
    wakers: RefCell<Vec<Waker>>,
}

/// The place of one answer. Dropped without one (its task panicked), it ends the connection.
pub(super) struct Slot {
    pipeline: Rc<Pipeline>,
    state: Rc<RefCell<State>>,
}

impl Slot {
    /// The request is done.
    pub(super) fn finish(self, answer: Option<Answer>) {
        let bytes = answer.as_ref().map_or(0, |answer| answer.bytes);
        self.pipeline.waiting_bytes.set(self.pipeline.waiting_bytes.get() + bytes);
        *self.state.borrow_mut() = State::Done(answer, Instant::now());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if matches!(*self.state.borrow(), State::Working) {
            self.pipeline.failed.set(true);
        }
        self.pipeline.wake();
    }
}

impl Pipeline {
    fn wake(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn until<T>(&self, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        poll_fn(|context| match ask(self) {
            Some(found) => Poll::Ready(found),
            None => {
                self.wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// The next request may start; false once the connection has failed.
    pub(super) async fn room(&self) -> bool {
        self.until(|own| {
            let room = own.slots.borrow().len() < IN_FLIGHT_MAX && own.waiting_bytes.get() < WAITING_BYTES_MAX;
            (room || own.failed.get()).then(|| !own.failed.get())
        })
        .await
    }

    /// A place behind all others.
    pub(super) fn begin(self: &Rc<Self>) -> Slot {
        let state = Rc::new(RefCell::new(State::Working));
        self.slots.borrow_mut().push_back(Rc::clone(&state));
        Slot { pipeline: Rc::clone(self), state }
    }

    /// Nothing is being worked on.
    pub(super) async fn idle(&self) {
        self.until(|own| {
            let working = own.slots.borrow().iter().any(|slot| matches!(*slot.borrow(), State::Working));
            (!working || own.failed.get()).then_some(())
        })
        .await;
    }

    /// No further request comes.
    pub(super) fn end(&self) {
        self.reader_done.set(true);
        self.wake();
    }

    /// The connection is of no more use.
    pub(super) fn fail(&self) {
        self.failed.set(true);
        self.wake();
    }

    /// All answers that may leave now, with when the first of them was ready; `None` when none will come any more.
    pub(super) async fn next(&self) -> Option<(Vec<Answer>, Instant)> {
        self.until(|own| {
            let mut ready: Option<(Vec<Answer>, Instant)> = None;
            let mut slots = own.slots.borrow_mut();
            let mut left = false;
            while let Some(front) = slots.front() {
                let done = std::mem::replace(&mut *front.borrow_mut(), State::Working);
                let State::Done(answer, at) = done else { break };
                slots.pop_front();
                left = true;
                if let Some(answer) = answer {
                    ready.get_or_insert_with(|| (Vec::new(), at)).0.push(answer);
                }
            }
            let ended = own.failed.get() || (own.reader_done.get() && slots.is_empty());
            drop(slots);
            if left {
                own.wake();
            }
            match ready {
                Some(ready) => Some(Some(ready)),
                None => ended.then_some(None),
            }
        })
        .await
    }

    /// These bytes have left.
    pub(super) fn sent(&self, bytes: usize) {
        self.waiting_bytes.set(self.waiting_bytes.get() - bytes);
        self.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_lite::future::{block_on, poll_once};

    fn answer(text: &'static str) -> Option<Answer> {
        Some(Answer { parts: vec![Bytes::from_static(text.as_bytes())], bytes: text.len() })
    }

    fn texts(answers: &[Answer]) -> Vec<Vec<u8>> {
        answers.iter().map(Answer::concat).collect()
    }

    #[test]
    fn answers_leave_in_the_order_of_the_requests() {
        block_on(async {
            let pipeline = Rc::new(Pipeline::default());
            let (first, silent, third) = (pipeline.begin(), pipeline.begin(), pipeline.begin());
            third.finish(answer("third"));
            let mut next = Box::pin(pipeline.next());
            assert!(poll_once(&mut next).await.is_none());
            silent.finish(None);
            first.finish(answer("first"));
            assert_eq!(texts(&next.await.unwrap().0), [b"first".to_vec(), b"third".to_vec()]);
            pipeline.end();
            assert!(pipeline.next().await.is_none());
        });
    }

    #[test]
    fn a_task_that_dies_without_an_answer_ends_the_connection() {
        block_on(async {
            let pipeline = Rc::new(Pipeline::default());
            drop(pipeline.begin());
            assert!(!pipeline.room().await);
            assert!(pipeline.next().await.is_none());
        });
    }

    #[test]
    fn answers_that_nobody_takes_hold_the_next_request_back() {
        block_on(async {
            let pipeline = Rc::new(Pipeline::default());
            let large = Answer { parts: Vec::new(), bytes: WAITING_BYTES_MAX };
            pipeline.begin().finish(Some(large));
            let mut room = Box::pin(pipeline.room());
            assert!(poll_once(&mut room).await.is_none());
            assert!(pipeline.next().await.is_some());
            assert!(poll_once(&mut room).await.is_none());
            pipeline.sent(WAITING_BYTES_MAX);
            assert!(room.await);
        });
    }
}
