//! What readers of old records get beside those who append: as much as these hardly notice.
//!
//! ```text
//! nobody appends        ─► as fast as it goes
//! appends are under way ─► a window without such reads: how long do commits take?
//!                          windows with them, at a rate: commits take SLOW_FACTOR of that ─► less, else ─► more
//!                          after WINDOWS of them, again one without
//! ```
//! A reader of old records asks again at once, and there is always more for it: unbounded it takes all of the device and
//! every moment of the core that an append does not happen to hold, and appends queue behind it. How much is too much no
//! count of bytes or processor time tells, since an executor that has less to do does it in smaller batches; what a commit
//! takes from its write to the moment somebody looks at its sync does, for the device as for the core. The rate never
//! falls below a floor, so that who lags comes on whatever else happens.
//!
//! The rate follows seconds. What holds up appends for some milliseconds, as segments that roll at once do, it comes too late
//! for: while a commit takes far longer than without reads, readers get no more than the floor, and what piled up is worked off
//! as if they were not there.
//!
//! A rate says nothing of the one commit that happens to come behind a read. So reads beside appends are small, one at a time at
//! the device, and begin while no commit is under way: its sync would wait for them. What they brought is copied and checked, and
//! an answer handed over to be sent, in such a moment too: each keeps the core for as long as a commit takes. Write-back that has
//! time does the same.

use super::signal::{Gate, Pass, Signal};
use crate::io::Disk;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Appends are under way for so long after the last one.
const APPENDS_LAST: Duration = Duration::from_millis(200);
/// A window lasts at least so long, and until there were enough commits to tell, but not for ever.
const WINDOW: Duration = Duration::from_millis(50);
const COMMITS_MIN: u32 = 8;
const WINDOW_MAX: Duration = Duration::from_millis(500);
/// Windows with reads for each without.
const WINDOWS: u32 = 15;
/// Commits that take so many times what they take without reads, and this much longer, are slowed by them. A tenth of a
/// millisecond is what one turn costs that is read, checked and sent: where a commit takes as little, as on an idle core, a
/// stricter rule would leave readers nothing.
const SLOW_FACTOR: f64 = 1.3;
const SLOW_S_MIN: f64 = 100e-6;
/// One commit that takes so many times what it takes without reads, and `SLOW_S_MIN` longer, is a stall.
const STALL_FACTOR: f64 = 2.0;
/// Weight of a new window in what commits take, without reads and with them.
const QUIET_WEIGHT: f64 = 0.3;
const LOADED_WEIGHT: f64 = 0.4;
/// What the rate becomes, of itself: down fast, up slowly.
const LESS: f64 = 0.75;
const MORE: f64 = 1.06;
/// More than any core reads.
const RATE_MAX: f64 = (8_u64 << 30) as f64;
/// Bytes of one turn, and of one request to the device beside appends. With more, readers would hold up appends, and each
/// other, for long: 256 KiB take the device and the core 130 us each.
pub(super) const TURN_BYTES: usize = 64 << 10;
/// How often a reader looks whether a window without reads is over.
const PAUSE: Duration = Duration::from_millis(5);
/// How often a reader looks whether a stall is over.
const STALL_PAUSE: Duration = Duration::from_millis(1);

const LOOK: Duration = Duration::from_micros(1);

/// A pause in which the executor looks at its rings: it does not while a task is runnable, unless its turn is over.
pub(super) async fn look_at_rings(disk: &impl Disk) {
    disk.sleep(LOOK).await;
}

/// The share that all directories of one shard have in common.
pub(crate) struct ColdShare {
    floor_bytes_per_s: f64,
    state: RefCell<State>,
    device: Rc<Gate>,
    commit_ended: Signal,
}

struct State {
    bytes_per_s: f64,
    /// From then on the next bytes may be read.
    free_at: Option<Instant>,
    appended_at: Option<Instant>,
    /// When a turn was given last.
    turned_at: Option<Instant>,
    /// Since when a commit is under way, and what the last one took.
    commit_since: Option<Instant>,
    commit_took: Duration,
    /// Seconds that a commit takes, without such reads and with them.
    quiet_s: Option<f64>,
    loaded_s: Option<f64>,
    window: Option<Window>,
}

struct Window {
    since: Instant,
    /// Its number since the last one without reads, which is 0.
    number: u32,
    bytes: u64,
    commits: u32,
    commits_took: Duration,
}

/// What a reader is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing bounds it.
    Free,
    /// For `TURN_BYTES`, after this time.
    After(Duration),
    /// To ask again after this time.
    Later(Duration),
}

/// A commit that is under way: until it ended, or was given up.
pub(crate) struct Commit {
    share: Rc<ColdShare>,
    since: Instant,
}

impl Commit {
    /// It was written and synced.
    pub(crate) fn ended(self, took: Duration) {
        let state = &mut *self.share.state.borrow_mut();
        state.commit_took = took;
        if let Some(window) = &mut state.window {
            window.commits += 1;
            window.commits_took += took;
        }
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        // With several directories another one's may have begun since.
        self.share.state.borrow_mut().commit_since.take_if(|since| *since == self.since);
        self.share.commit_ended.set();
    }
}

/// The place of the one reader that is at the device beside appends; given up when dropped.
pub(super) struct Place {
    share: Rc<ColdShare>,
    until: Instant,
    _pass: Pass,
}

impl Place {
    /// Until no commit is under way, or the turn has waited long enough.
    pub(super) async fn calm(&self, disk: &impl Disk) {
        self.share.calm_until(disk, self.until).await;
    }
}

impl Window {
    fn begin(since: Instant, number: u32) -> Self {
        Self { since, number, bytes: 0, commits: 0, commits_took: Duration::ZERO }
    }

    fn is_over(&self, now: Instant) -> bool {
        let lasted = now.saturating_duration_since(self.since);
        lasted >= WINDOW_MAX || (lasted >= WINDOW && self.commits >= COMMITS_MIN)
    }
}

impl ColdShare {
    /// With at least so many bytes a second.
    pub(crate) fn new(floor_bytes_per_s: u64) -> Rc<Self> {
        let floor_bytes_per_s = (floor_bytes_per_s as f64).max(1.0);
        let state = State {
            bytes_per_s: floor_bytes_per_s,
            free_at: None,
            appended_at: None,
            turned_at: None,
            commit_since: None,
            commit_took: Duration::ZERO,
            quiet_s: None,
            loaded_s: None,
            window: None,
        };
        Rc::new(Self {
            floor_bytes_per_s,
            state: RefCell::new(state),
            device: Rc::default(),
            commit_ended: Signal::default(),
        })
    }

    /// Something was appended.
    pub(crate) fn appended(&self, now: Instant) {
        self.state.borrow_mut().appended_at = Some(now);
    }

    /// A commit is written, for as long as what comes back lives.
    pub(crate) fn committing(self: &Rc<Self>, now: Instant) -> Commit {
        self.state.borrow_mut().commit_since = Some(now);
        Commit { share: Rc::clone(self), since: now }
    }

    /// The place of a reader that wants `TURN_BYTES` from the device beside appends, once no other reader is there and no
    /// commit under way: its request would stand before the commit's sync. `None` when nothing bounds it.
    pub(super) async fn enter(self: &Rc<Self>, disk: &impl Disk) -> Option<Place> {
        if self.state.borrow().is_free(disk.now()) {
            return None;
        }
        let pass = self.device.enter().await;
        let place = Place { share: Rc::clone(self), until: disk.now() + self.longest(), _pass: pass };
        place.calm(disk).await;
        Some(place)
    }

    /// Until no commit is under way, for what comes next and takes the core for long; no longer than the floor allows for one
    /// turn. What came in meanwhile goes first.
    pub(super) async fn calm(&self, disk: &impl Disk) {
        look_at_rings(disk).await;
        self.calm_for(disk, self.longest()).await;
    }

    /// The same, for no longer than this.
    pub(super) async fn calm_for(&self, disk: &impl Disk, longest: Duration) {
        self.calm_until(disk, disk.now() + longest).await;
    }

    /// What one turn takes at the floor.
    fn longest(&self) -> Duration {
        Duration::from_secs_f64(TURN_BYTES as f64 / self.floor_bytes_per_s)
    }

    async fn calm_until(&self, disk: &impl Disk, until: Instant) {
        let left = until.saturating_duration_since(disk.now());
        let is_committing = self.state.borrow().commit_since.is_some();
        if is_committing && !left.is_zero() {
            futures_lite::future::or(self.commit_ended.next(), disk.sleep(left)).await;
        }
    }

    /// The turn of a reader that comes, or comes again, now.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        let state = &mut *self.state.borrow_mut();
        if state.is_free(now) {
            (state.window, state.free_at) = (None, None);
            return Turn::Free;
        }
        let window = state.window.get_or_insert_with(|| Window::begin(now, 0));
        if window.is_over(now) {
            state.judge(now, self.floor_bytes_per_s);
        }
        if state.window.as_ref().is_some_and(|window| window.number == 0) {
            return Turn::Later(PAUSE);
        }
        if state.is_stalled(now, self.floor_bytes_per_s) {
            return Turn::Later(STALL_PAUSE);
        }
        state.turned_at = Some(now);
        let at = state.free_at.map_or(now, |free_at| free_at.max(now));
        // Whoever comes meanwhile has the turn after; the rest is counted when it is known.
        state.free_at = Some(at + state.time_of(TURN_BYTES));
        Turn::After(at - now)
    }

    /// So many bytes were read in a turn that was bounded: one batch may be larger than a turn.
    pub(super) fn read(&self, bytes: usize) {
        let state = &mut *self.state.borrow_mut();
        if let Some(window) = &mut state.window {
            window.bytes += bytes as u64;
        }
        let over = state.time_of(bytes.saturating_sub(TURN_BYTES));
        let unused = state.time_of(TURN_BYTES.saturating_sub(bytes));
        state.free_at = state.free_at.and_then(|free_at| (free_at + over).checked_sub(unused));
    }

    /// Bytes a second that readers get while appends are under way.
    pub(super) fn bytes_per_s(&self) -> u64 {
        self.state.borrow().bytes_per_s as u64
    }
}

impl State {
    /// Whether there are no appends that readers would be in the way of.
    fn is_free(&self, now: Instant) -> bool {
        self.appended_at.is_none_or(|at| now.saturating_duration_since(at) >= APPENDS_LAST)
    }

    fn time_of(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_s.max(1.0))
    }

    /// Whether readers had their floor, and commits take far too long.
    fn is_stalled(&self, now: Instant, floor: f64) -> bool {
        let had_floor = self
            .turned_at
            .is_some_and(|at| now.saturating_duration_since(at).as_secs_f64() < TURN_BYTES as f64 / floor);
        let under_way =
            self.commit_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let longest_s = under_way.max(self.commit_took).as_secs_f64();
        let is_long = |quiet_s: f64| longest_s > (quiet_s * STALL_FACTOR).max(quiet_s + SLOW_S_MIN);
        had_floor && self.quiet_s.is_some_and(is_long)
    }

    /// Ends the window and begins the next.
    fn judge(&mut self, now: Instant, floor: f64) {
        let Some(window) = self.window.take() else { return };
        // A pause in which nobody read says nothing of reads, and serves as one without.
        let lasted_s = now.saturating_duration_since(window.since).as_secs_f64();
        let is_quiet = window.number == 0 || window.bytes == 0;
        let next = if is_quiet { 1 } else { (window.number + 1) % (WINDOWS + 1) };
        self.window = Some(Window::begin(now, next));
        if window.commits > 0 {
            let commit_s = window.commits_took.as_secs_f64() / f64::from(window.commits);
            let (known, weight) = match is_quiet {
                true => (&mut self.quiet_s, QUIET_WEIGHT),
                false => (&mut self.loaded_s, LOADED_WEIGHT),
            };
            let before = known.unwrap_or(commit_s);
            *known = Some(before + (commit_s - before) * weight);
        }
        if is_quiet {
            return;
        }
        let is_slow = self.quiet_s.zip(self.loaded_s).is_some_and(|(quiet_s, loaded_s)| {
            loaded_s > quiet_s * SLOW_FACTOR && loaded_s > quiet_s + SLOW_S_MIN
        });
        let read_per_s = window.bytes as f64 / lasted_s;
        let rate = self.bytes_per_s;
        let next = match is_slow {
            true => rate * LESS,
            // A rate that nobody uses says nothing of what it would cost.
            false if read_per_s * 2.0 < rate => rate,
            false => rate * MORE,
        };
        self.bytes_per_s = next.clamp(floor, RATE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::sim::{SimDisk, Simulation};
    use std::cell::Cell;

    const FLOOR: u64 = 16 << 20;
    const MS: Duration = Duration::from_millis(1);

    /// A core that commits every two milliseconds, and a reader that always wants more.
    struct Scene {
        share: Rc<ColdShare>,
        now: Instant,
        paused: u32,
    }

    impl Scene {
        fn new() -> Self {
            Self { share: ColdShare::new(FLOOR), now: Instant::now(), paused: 0 }
        }

        /// For so long, with commits that take what `takes` says of the rate; bytes read.
        fn run(&mut self, time: Duration, takes: impl Fn(f64) -> Duration) -> u64 {
            let end = self.now + time;
            let (mut bytes, mut at) = (0, self.now);
            while self.now < end {
                self.share.appended(self.now);
                while at <= self.now {
                    match self.share.turn(at) {
                        Turn::Free => panic!("appends are under way"),
                        Turn::Later(wait) => {
                            self.paused += 1;
                            at += wait;
                        }
                        Turn::After(wait) => {
                            self.share.read(TURN_BYTES);
                            bytes += TURN_BYTES as u64;
                            at += wait;
                        }
                    }
                }
                let is_quiet =
                    self.share.state.borrow().window.as_ref().is_some_and(|window| window.number == 0);
                let takes = takes(if is_quiet { 0.0 } else { self.share.bytes_per_s() as f64 });
                self.share.committing(self.now).ended(takes);
                self.now += 2 * MS;
            }
            bytes
        }
    }

    #[test]
    fn without_appends_nothing_bounds_a_reader() {
        let mut scene = Scene::new();
        assert_eq!(scene.share.turn(scene.now), Turn::Free);
        scene.run(100 * MS, |_| MS);
        assert_ne!(scene.share.turn(scene.now), Turn::Free);
        assert_eq!(scene.share.turn(scene.now + APPENDS_LAST), Turn::Free);
    }

    #[test]
    fn reads_that_slow_no_commit_get_ever_more() {
        let mut scene = Scene::new();
        scene.run(10_000 * MS, |_| MS);
        assert!(scene.share.bytes_per_s() > 30 * FLOOR, "{}", scene.share.bytes_per_s());
        assert!(scene.paused > 0, "it looks at times what commits take without them");
    }

    #[test]
    fn reads_come_to_rest_where_commits_are_slowed_by_a_third() {
        let mut scene = Scene::new();
        // A quarter more for each 100 MB/s.
        let takes = |rate: f64| MS.mul_f64(4.0 + rate / 100e6);
        scene.run(10_000 * MS, takes);
        let bytes = scene.run(10_000 * MS, takes);
        assert!((60e6..160e6).contains(&(bytes as f64 / 10.0)), "{bytes} bytes in ten seconds");
    }

    #[test]
    fn reads_that_slow_commits_whatever_they_do_get_the_floor_and_no_less() {
        let mut scene = Scene::new();
        let takes = |rate: f64| if rate > 0.0 { 10 * MS } else { MS };
        scene.run(5_000 * MS, takes);
        assert_eq!(scene.share.bytes_per_s(), FLOOR);
        let bytes = scene.run(10_000 * MS, takes);
        assert!(bytes > FLOOR * 10 * 8 / 10 && bytes <= FLOOR * 10, "{bytes}");
    }

    #[test]
    fn a_device_that_became_slow_by_itself_is_not_blamed_on_readers_for_long() {
        let mut scene = Scene::new();
        scene.run(5_000 * MS, |_| MS);
        scene.run(10_000 * MS, |_| 5 * MS);
        assert!(scene.share.bytes_per_s() > 20 * FLOOR, "{}", scene.share.bytes_per_s());
    }

    #[test]
    fn while_a_commit_stalls_readers_get_the_floor_and_no_more() {
        let mut scene = Scene::new();
        scene.run(10_000 * MS, |_| MS);
        let (share, floor_turn) = (&scene.share, Duration::from_secs_f64(TURN_BYTES as f64 / FLOOR as f64));
        let commit = share.committing(scene.now);
        let turns = (0..200).filter(|ms| {
            let now = scene.now + 3 * MS + *ms * MS;
            share.appended(now);
            matches!(share.turn(now), Turn::After(_))
        });
        let turns = turns.count() as f64;
        let most = (200.0 * MS.as_secs_f64() / floor_turn.as_secs_f64()).ceil();
        assert!(turns > 0.0 && turns <= most + 1.0, "{turns} turns of at most {most}");
        commit.ended(MS);
        let now = scene.now + 210 * MS;
        share.appended(now);
        assert!((0..5).all(|_| matches!(share.turn(now), Turn::After(_))), "it is over");
    }

    #[test]
    fn beside_appends_one_reader_is_at_the_device_and_begins_once_no_commit_is_under_way() {
        let simulation = Simulation::new(1);
        let disk = SimDisk::new(&simulation, 1);
        let share = ColdShare::new(FLOOR);
        let longest = Duration::from_secs_f64(TURN_BYTES as f64 / FLOOR as f64);
        simulation.run(async move {
            assert!(share.enter(&disk).await.is_none(), "nobody appends");
            share.appended(disk.now());
            let start = disk.now();
            let first = share.enter(&disk).await;
            assert!(first.is_some() && disk.now() == start);
            let second = share.enter(&disk);
            let waited = futures_lite::future::or(async { second.await.is_some() }, async {
                disk.sleep(MS).await;
                false
            });
            assert!(!waited.await, "the first is still there");
            drop(first);

            let commit = share.committing(disk.now());
            let (reader, clock) = (Rc::clone(&share), disk.clone());
            let came = Rc::new(Cell::new(None));
            let seen = Rc::clone(&came);
            disk.spawn(false, async move {
                let pass = reader.enter(&clock).await;
                seen.set(Some(clock.now()));
                drop(pass);
            });
            disk.sleep(longest / 2).await;
            assert!(came.get().is_none(), "a commit is under way");
            commit.ended(longest / 2);
            disk.sleep(MS / 10).await;
            assert!(came.get().is_some(), "it ended");

            let place = share.enter(&disk).await.expect("appends are under way");
            let (start, commit) = (disk.now(), share.committing(disk.now()));
            let clock = disk.clone();
            disk.spawn(false, async move {
                clock.sleep(MS).await;
                drop(commit);
            });
            place.calm(&disk).await;
            assert_eq!(disk.now() - start, MS, "what was read is copied when the commit is over");
            let begun = share.committing(disk.now());
            place.calm(&disk).await;
            assert_eq!(disk.now() - start, longest, "a turn waits as long as the floor allows, in all");
            place.calm(&disk).await;
            share.calm_for(&disk, MS).await;
            assert_eq!(disk.now() - start, longest + MS);
            drop((place, begun));

            let start = disk.now();
            let stuck = share.committing(start);
            share.appended(start);
            drop(share.enter(&disk).await);
            assert_eq!(disk.now() - start, longest, "no longer than the floor allows");
            drop(stuck);
        });
    }

    #[test]
    fn a_batch_larger_than_a_turn_is_counted_whole() {
        let mut scene = Scene::new();
        scene.run(200 * MS, |_| MS);
        let wait = |turn| if let Turn::After(wait) = turn { wait } else { panic!("{turn:?}") };
        let first = wait(scene.share.turn(scene.now));
        scene.share.read(8 * TURN_BYTES);
        let second = wait(scene.share.turn(scene.now));
        assert!(second > first + 7 * scene.share.state.borrow().time_of(TURN_BYTES), "{first:?} {second:?}");
    }
}
