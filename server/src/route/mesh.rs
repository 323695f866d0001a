//! Queues between each pair of cores: work one way, wake-ups of those who wait for its answers the other.
//!
//! ```text
//!   caller's core                       lane caller -> owner             owner's core
//!   call ─► backlog ─► work, WORK_MAX at most ──────────────► taken whole, one wake-up for all ─► spawned in order
//!   asleep ◄─ woken here ◄──────────────── wakers of callers ◄──────────── reply put into its slot
//! ```
//! A push never waits: what a full lane does not take stays in the sender's own backlog, which is as long as the
//! sender's callers are many, and goes on when the owner has emptied the lane. So nobody who receives ever waits for
//! room to send, and two cores cannot block each other. Locks are held for a push or a swap, by two cores at most.

use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Work that one lane holds for its owner.
pub(super) const WORK_MAX: usize = 1024;

/// What travels from one core to another, `W` being the work.
struct Lane<W> {
    work: Mutex<VecDeque<W>>,
    /// Those of the receiver's tasks whose answers have come.
    wakers: Mutex<Vec<Waker>>,
    /// The sender kept work back because the lane was full, and wants to hear when it is empty.
    is_refused: AtomicBool,
}

/// What a core looks at when it is woken.
struct Inbox {
    /// Its core has stopped: what is sent to it is dropped, and who waits for it learns that.
    is_closed: AtomicBool,
    /// Something was put into one of its lanes since it last looked: who puts more need not wake it again.
    is_signalled: AtomicBool,
    waker: AtomicWaker,
}

/// The queues between all cores, shared by them.
pub(super) struct Mesh<W> {
    /// `lanes[source][target]`.
    lanes: Vec<Vec<Lane<W>>>,
    inboxes: Vec<Inbox>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<W> Mesh<W> {
    pub(super) fn new(shard_count: usize) -> Arc<Self> {
        let lane =
            |_| Lane { work: Mutex::default(), wakers: Mutex::default(), is_refused: AtomicBool::new(false) };
        let lanes = (0..shard_count).map(|_| (0..shard_count).map(lane).collect()).collect();
        let inbox = |_| Inbox {
            is_closed: AtomicBool::new(false),
            is_signalled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        Arc::new(Self { lanes, inboxes: (0..shard_count).map(inbox).collect() })
    }

    /// Moves work from the front of `backlog` into the lane while there is room.
    pub(super) fn push(&self, source: usize, target: usize, backlog: &mut VecDeque<W>) {
        let lane = &self.lanes[source][target];
        {
            let mut work = lock(&lane.work);
            // Looked at under the lock: what is put in before the core closes is dropped by it, what comes later here.
            if self.inboxes[target].is_closed.load(Ordering::Acquire) {
                return backlog.clear();
            }
            let room = WORK_MAX.saturating_sub(work.len()).min(backlog.len());
            work.extend(backlog.drain(..room));
            // Said while the lock is held: the receiver who empties the lane sees it.
            lane.is_refused.store(!backlog.is_empty(), Ordering::Release);
        }
        self.signal(target);
    }

    /// Has `waker`, of a task on `target`, woken there.
    pub(super) fn wake(&self, source: usize, target: usize, waker: Waker) {
        lock(&self.lanes[source][target].wakers).push(waker);
        self.signal(target);
    }

    /// Makes a core look at its lanes.
    pub(super) fn signal(&self, target: usize) {
        let inbox = &self.inboxes[target];
        if !inbox.is_signalled.swap(true, Ordering::AcqRel) {
            inbox.waker.wake();
        }
    }

    /// A core takes no more; what was sent to it is dropped.
    pub(super) fn close(&self, target: usize) {
        self.inboxes[target].is_closed.store(true, Ordering::Release);
        for lanes in &self.lanes {
            let dropped = std::mem::take(&mut *lock(&lanes[target].work));
            drop(dropped);
        }
    }

    /// Takes all that was sent to `target`, in order for each sender; wakes whose answers came. `false`: there was
    /// nothing, and `waker` will be woken when there is.
    pub(super) fn take(&self, target: usize, waker: &Waker, taken: &mut VecDeque<W>) -> bool {
        let inbox = &self.inboxes[target];
        inbox.waker.register(waker);
        if !inbox.is_signalled.swap(false, Ordering::AcqRel) {
            return false;
        }
        for (source, lanes) in self.lanes.iter().enumerate() {
            let lane = &lanes[target];
            let wakers = std::mem::take(&mut *lock(&lane.wakers));
            wakers.into_iter().for_each(Waker::wake);
            let is_refused = {
                let mut work = lock(&lane.work);
                taken.append(&mut work);
                lane.is_refused.swap(false, Ordering::AcqRel)
            };
            if is_refused {
                self.signal(source);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waker() -> &'static Waker {
        Waker::noop()
    }

    #[test]
    fn work_of_each_sender_arrives_in_order_and_all_at_once() {
        let mesh = Mesh::new(3);
        mesh.push(0, 2, &mut VecDeque::from([1, 2]));
        mesh.push(1, 2, &mut VecDeque::from([10]));
        mesh.push(0, 2, &mut VecDeque::from([3]));
        let mut taken = VecDeque::new();
        assert!(mesh.take(2, waker(), &mut taken));
        assert_eq!(taken, [1, 2, 3, 10]);
        assert!(!mesh.take(2, waker(), &mut taken), "nothing came since");
    }

    #[test]
    fn a_full_lane_keeps_the_rest_with_its_sender_and_calls_it_when_there_is_room() {
        let mesh = Mesh::new(2);
        let mut backlog: VecDeque<usize> = (0..WORK_MAX + 5).collect();
        mesh.push(0, 1, &mut backlog);
        assert_eq!(backlog.len(), 5);
        let mut taken = VecDeque::new();
        assert!(!mesh.take(0, waker(), &mut taken), "the sender has nothing to look at yet");
        assert!(mesh.take(1, waker(), &mut taken));
        assert!(mesh.take(0, waker(), &mut VecDeque::new()), "the sender is called");
        mesh.push(0, 1, &mut backlog);
        assert!(mesh.take(1, waker(), &mut taken));
        assert_eq!(taken, (0..WORK_MAX + 5).collect::<VecDeque<_>>());
    }

    #[test]
    fn what_is_sent_to_a_core_that_has_stopped_is_dropped() {
        let (mesh, token) = (Mesh::new(2), Arc::new(()));
        mesh.push(0, 1, &mut VecDeque::from([Arc::clone(&token)]));
        mesh.close(1);
        mesh.push(0, 1, &mut VecDeque::from([Arc::clone(&token)]));
        assert_eq!(Arc::strong_count(&token), 1);
    }

    #[test]
    fn one_wake_up_serves_many_messages() {
        use std::sync::atomic::AtomicUsize;
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let mesh = Mesh::new(2);
        let mut taken = VecDeque::new();
        assert!(!mesh.take(1, &Waker::from(Arc::clone(&count)), &mut taken));
        for number in 0..100 {
            mesh.push(0, 1, &mut VecDeque::from([number]));
        }
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(mesh.take(1, waker(), &mut taken));
        assert_eq!(taken.len(), 100);
    }
}
