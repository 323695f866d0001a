//! One change at a time to each topic, whoever asks: an answer to a delete waits for the create before it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Waiting {
    busy: BTreeSet<String>,
    wakers: Vec<Waker>,
}

/// The names that are being worked on. Of one shard.
#[derive(Clone, Default)]
pub(super) struct Turns(Rc<RefCell<Waiting>>);

/// A name that is one's own until this is dropped.
pub(super) struct Turn {
    turns: Turns,
    name: String,
}

impl Turns {
    /// Waits until nobody else works on the name, unless `is_settled` says that there is nothing left to do.
    pub(super) fn take(
        &self,
        name: &str,
        mut is_settled: impl FnMut() -> bool,
    ) -> impl Future<Output = Option<Turn>> {
        let (turns, name) = (self.clone(), name.to_owned());
        poll_fn(move |context| {
            if is_settled() {
                return Poll::Ready(None);
            }
            let mut waiting = turns.0.borrow_mut();
            if waiting.busy.contains(&name) {
                waiting.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            waiting.busy.insert(name.clone());
            Poll::Ready(Some(Turn { turns: turns.clone(), name: name.clone() }))
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let wakers = {
            let mut waiting = self.turns.0.borrow_mut();
            waiting.busy.remove(&self.name);
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn the_second_waits_for_the_first_and_others_pass() {
        block_on(async {
            let turns = Turns::default();
            let first = turns.take("a", || false).await;
            assert!(turns.take("b", || false).await.is_some(), "another name");
            let mut second = Box::pin(turns.take("a", || false));
            assert!(poll_once(&mut second).await.is_none());
            drop(first);
            assert!(second.await.is_some());
        });
    }

    #[test]
    fn who_finds_it_done_does_not_wait() {
        block_on(async {
            let turns = Turns::default();
            let _first = turns.take("a", || false).await;
            assert!(turns.take("a", || true).await.is_none());
        });
    }
}
