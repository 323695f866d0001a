//! On which core is a connection served best? On the one that owns what it asks for, while that one has time.
//!
//! ```text
//! 64 requests, nearly all for one other core ─► that core works less than 60 % ─► the connection moves there
//! a core works more than 90 %, another less than 60 % ─► an eighth of its connections move there, each second
//! ```
//! A request for another core costs two wake-ups more, there and back, and an executor that has little to do sleeps between
//! any two: with batches of 64 KiB a third more processor time. A core that is full gains by what others do for it, and keeps
//! away who would come. Nothing moves but the socket and what was read of the next request, once all before it is answered.

use super::listener::Doors;
use crate::route::ShardId;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Requests for one other core that make a connection want to be there, and how many of them one for elsewhere undoes.
const STREAK: u32 = 64;
const MISS: u32 = 8;
/// A core that works less takes connections; one that works more sends some away. Thousandths of its time.
const ROOM_PERMILLE: u32 = 600;
const BUSY_PERMILLE: u32 = 900;
/// Connections that a core that rests takes in a second, at most; the less the more it works.
const WELCOME_MAX: u32 = 128;
/// The part of its connections that a busy core sends away in a second.
const LEAVING_PART: usize = 8;
/// A connection stays so long at least.
const STAYS: Duration = Duration::from_secs(1);

/// Where the requests of one connection lie. Kept by its core.
#[derive(Debug)]
pub struct Reach {
    doors: Arc<Doors>,
    own: ShardId,
    since: Instant,
    wish: Cell<ShardId>,
    streak: Cell<u32>,
    is_bound: Cell<bool>,
}

impl Reach {
    /// Of a connection that came to core `own` just now.
    pub(super) fn new(doors: Arc<Doors>, own: ShardId) -> Self {
        let (wish, streak, is_bound) = (Cell::new(own), Cell::default(), Cell::default());
        Self { doors, own, since: Instant::now(), wish, streak, is_bound }
    }

    /// A request lies with these cores.
    pub fn touch(&self, owners: impl IntoIterator<Item = ShardId>) {
        let mut owners = owners.into_iter();
        let (first, is_one) = (owners.next(), owners.next().is_none());
        let Some(owner) = first else { return };
        let streak = self.streak.get();
        if is_one && owner != self.own && (streak == 0 || self.wish.get() == owner) {
            self.wish.set(owner);
            self.streak.set((streak + 1).min(STREAK));
        } else {
            self.streak.set(streak.saturating_sub(MISS));
        }
    }

    /// What this core keeps for the connection stays here, and the connection with it.
    pub fn bind(&self) {
        self.is_bound.set(true);
    }

    /// The core that the connection shall move to now, if any. It is expected there.
    pub(super) fn target(&self) -> Option<ShardId> {
        let follows = self.streak.get() == STREAK;
        let may_leave = follows || self.doors.of(self.own).leaving.load(Ordering::Relaxed) > 0;
        if !may_leave || self.is_bound.get() || self.since.elapsed() < STAYS {
            return None;
        }
        if follows && self.doors.of(self.wish.get()).welcomes() {
            return Some(self.wish.get());
        }
        self.doors.refuge(self.own)
    }
}

impl super::listener::Load {
    /// Whether one more connection may come; it is counted.
    fn welcomes(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.welcome.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }
}

impl Doors {
    /// A core worked so many thousandths of the last second.
    pub(super) fn worked(&self, shard: ShardId, permille: u32) {
        let load = self.of(shard);
        load.busy_permille.store(permille, Ordering::Relaxed);
        let room = ROOM_PERMILLE.saturating_sub(permille);
        load.welcome.store(room * WELCOME_MAX / ROOM_PERMILLE, Ordering::Relaxed);
        let connections = load.connections.load(Ordering::Relaxed);
        let leaving = if permille > BUSY_PERMILLE { connections.div_ceil(LEAVING_PART) } else { 0 };
        load.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Where a connection of a busy core shall go, if another has room for it. It is expected there.
    fn refuge(&self, from: ShardId) -> Option<ShardId> {
        let own = self.of(from);
        if own.leaving.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let target = self.least_busy().filter(|target| *target != from && self.of(*target).welcomes())?;
        own.leaving.fetch_sub(1, Ordering::Relaxed);
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: ShardId = ShardId(1);

    fn reach(doors: &Arc<Doors>, own: ShardId) -> Reach {
        Reach { since: Instant::now().checked_sub(STAYS).unwrap(), ..Reach::new(Arc::clone(doors), own) }
    }

    fn doors() -> Arc<Doors> {
        let doors = Doors::new(3);
        (0..3).for_each(|shard| doors.worked(ShardId(shard), 100));
        doors
    }

    #[test]
    fn a_connection_follows_what_it_asks_for() {
        let reach = reach(&doors(), ShardId(0));
        (0..STREAK - 1).for_each(|_| reach.touch([OTHER]));
        assert_eq!(reach.target(), None, "too few to tell");
        reach.touch([OTHER]);
        assert_eq!(reach.target(), Some(OTHER));
        reach.bind();
        assert_eq!(reach.target(), None, "what is kept for it stays here");
    }

    #[test]
    fn one_whose_requests_lie_with_several_cores_stays() {
        let reach = reach(&doors(), ShardId(0));
        for _ in 0..1000 {
            reach.touch([OTHER]);
            reach.touch([ShardId(2)]);
            reach.touch([OTHER, ShardId(2)]);
            reach.touch([]);
            assert_eq!(reach.target(), None);
        }
        (0..1000).for_each(|_| reach.touch([ShardId(0)]));
        assert_eq!(reach.target(), None);
        (0..2 * STREAK).for_each(|_| reach.touch([ShardId(2)]));
        assert_eq!(reach.target(), Some(ShardId(2)), "of late all lie there");
    }

    #[test]
    fn nobody_moves_at_once_or_to_a_core_that_has_no_time() {
        let doors = doors();
        let fresh = Reach::new(Arc::clone(&doors), ShardId(0));
        (0..STREAK).for_each(|_| fresh.touch([OTHER]));
        assert_eq!(fresh.target(), None, "it has just come");
        let reach = reach(&doors, ShardId(0));
        (0..STREAK).for_each(|_| reach.touch([OTHER]));
        doors.worked(OTHER, ROOM_PERMILLE);
        assert_eq!(reach.target(), None);
        doors.worked(OTHER, ROOM_PERMILLE - 6);
        assert_eq!(reach.target(), Some(OTHER));
        assert_eq!(reach.target(), None, "it has room for one in this second");
    }

    #[test]
    fn a_busy_core_sends_some_to_the_one_that_rests() {
        let doors = doors();
        let places: Vec<_> = (0..48).filter_map(|_| doors.enter([127, 0, 0, 1].into(), 99, 99)).collect();
        doors.worked(ShardId(0), 950);
        doors.worked(OTHER, 800);
        let targets: Vec<ShardId> = (0..16).filter_map(|_| reach(&doors, ShardId(0)).target()).collect();
        assert_eq!(targets, [ShardId(2); 2], "an eighth of sixteen");
        assert_eq!(reach(&doors, OTHER).target(), None, "it is not that busy");
        doors.worked(ShardId(2), 700);
        doors.worked(ShardId(0), 950);
        assert_eq!(reach(&doors, ShardId(0)).target(), None, "nobody rests");
        drop(places);
    }
}
