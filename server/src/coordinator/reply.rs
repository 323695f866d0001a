//! One answer on its way from a machine to the task that waits for it, on the same core.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    is_closed: bool,
}

/// The end that answers; dropped without an answer, the other end learns that none will come.
pub(crate) struct Reply<T>(Rc<RefCell<Slot<T>>>);

/// The end that waits.
pub(crate) struct Awaited<T>(Rc<RefCell<Slot<T>>>);

/// Both ends of one answer.
pub(crate) fn reply<T>() -> (Reply<T>, Awaited<T>) {
    let slot = Rc::new(RefCell::new(Slot { value: None, waker: None, is_closed: false }));
    (Reply(Rc::clone(&slot)), Awaited(slot))
}

impl<T> Reply<T> {
    /// Answers; if nobody waits any more the answer is dropped.
    pub(crate) fn send(self, value: T) {
        self.0.borrow_mut().value = Some(value);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.borrow_mut();
            slot.is_closed = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Awaited<T> {
    /// `None` when no answer will come.
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if slot.value.is_some() || slot.is_closed {
            return Poll::Ready(slot.value.take());
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::block_on;

    #[test]
    fn an_answer_arrives_and_a_dropped_one_is_known() {
        let (answer, awaited) = reply();
        answer.send(7);
        assert_eq!(block_on(awaited), Some(7));
        let (answer, awaited) = reply::<u8>();
        drop(answer);
        assert_eq!(block_on(awaited), None);
    }
}
