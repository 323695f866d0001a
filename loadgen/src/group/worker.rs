//! One thread's event loop over its groups: their script, their members, and the commits that are due.
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::script::{Action, Step};
use super::seat::{Context, Group, Seat};
use super::{Plan, Tally};
use crate::client::{Poll, Wakes};
use crate::run::{RunError, Stop};
use crate::schedule::{self, Schedule};

/// How often timeouts and the wish to stop are looked at; what is due earlier wakes the loop by itself.
const TICK: Duration = Duration::from_millis(200);
/// After the end, answers to commits are awaited so long.
const COMMITS_TIMEOUT: Duration = Duration::from_secs(10);

/// When a run is over.
#[derive(Debug, Default)]
pub struct Goal {
    /// Offsets at which reading ends, by partition; set once senders are done.
    pub ends: OnceLock<Vec<i64>>,
}

/// Groups of one thread, with their sockets and figures.
pub struct Worker {
    pub(crate) plan: Arc<Plan>,
    pub(crate) poll: Poll,
    pub(crate) groups: Vec<Group>,
    /// Number of the first group; the others follow at steps of the number of threads.
    pub(crate) group_first: u32,
    pub(crate) group_step: u32,
    pub(crate) steps: Vec<Step>,
    pub(crate) commits: Option<Schedule>,
    pub(crate) tally: Tally,
}

/// Seats that can take a commit, asked in turn.
#[derive(Default)]
struct Roster {
    ready: Vec<usize>,
    /// Place of each seat in `ready`.
    places: Vec<Option<usize>>,
    turn: usize,
}

impl Roster {
    fn set(&mut self, seat: usize, is_ready: bool) {
        if self.places.len() <= seat {
            self.places.resize(seat + 1, None);
        }
        match (self.places[seat], is_ready) {
            (None, true) => {
                self.places[seat] = Some(self.ready.len());
                self.ready.push(seat);
            }
            (Some(place), false) => {
                self.places[seat] = None;
                self.ready.swap_remove(place);
                if let Some(moved) = self.ready.get(place) {
                    self.places[*moved] = Some(place);
                }
            }
            _ => {}
        }
    }

    fn next(&mut self) -> Option<usize> {
        self.turn = if self.turn >= self.ready.len() { 0 } else { self.turn };
        let seat = *self.ready.get(self.turn)?;
        self.turn += 1;
        Some(seat)
    }
}

/// What changes while the loop runs, beside the worker itself.
struct Hall {
    seats: Vec<Seat>,
    wakes: Wakes,
    roster: Roster,
}

impl Worker {
    /// Runs until the end and returns the figures and the groups.
    ///
    /// # Errors
    /// If this machine fails. What a broker does wrong is in the figures.
    pub fn run(mut self, start: Instant, goal: &Goal, stop: &Stop) -> Result<(Tally, Vec<Group>), RunError> {
        let mut hall = Hall { seats: Vec::new(), wakes: Wakes::new(0), roster: Roster::default() };
        let mut ready = Vec::new();
        let (mut steps, mut next_tick) =
            (std::mem::take(&mut self.steps).into_iter().peekable(), Duration::ZERO);
        let mut end = self.plan.end;
        let links = self.plan.link_count();
        loop {
            let now = start.elapsed();
            if now >= next_tick {
                next_tick = now + TICK;
                if stop.is_asked() {
                    end = end.min(now);
                }
                for seat in 0..hall.seats.len() {
                    self.touch(&mut hall, seat, now, Seat::tick);
                }
                if now >= end && self.is_finished(&hall, goal, now, end) {
                    self.finish(&mut hall, now);
                    return Ok((self.tally, self.groups));
                }
            }
            while let Some(step) = steps.next_if(|step| step.at <= now && step.at < end) {
                self.act(&mut hall, step, now);
            }
            while let Some(seat) = hall.wakes.take_due(now) {
                self.touch(&mut hall, seat, now, |_, _| {});
            }
            let commit_at = self.commit_what_is_due(&mut hall, now, end);
            let step_at = steps.peek().map(|step| step.at);
            let next =
                [hall.wakes.next(), commit_at, step_at].into_iter().flatten().fold(next_tick, Duration::min);
            self.poll
                .wait(next.saturating_sub(start.elapsed()), &mut ready)
                .map_err(|source| RunError::System { what: "waiting for sockets", source })?;
            for event in &ready {
                let (seat, link) = (event.token as usize / links, event.token as usize % links);
                self.touch(&mut hall, seat, start.elapsed(), |seat, context| {
                    seat.on_ready(link, *event, context);
                });
            }
        }
    }

    /// Does something to a seat, lets it go on, and notes what follows from it.
    fn touch(
        &mut self,
        hall: &mut Hall,
        index: usize,
        now: Duration,
        what: impl FnOnce(&mut Seat, &mut Context<'_>),
    ) {
        let Some(seat) = hall.seats.get_mut(index) else { return };
        let place = seat.group;
        let mut context = Context {
            plan: &self.plan,
            poll: &self.poll,
            tally: &mut self.tally,
            group: &mut self.groups[place],
            now,
        };
        let was_out = seat.member.is_out();
        what(seat, &mut context);
        seat.step(&mut context);
        context.look();
        if let Some(at) = seat.wake_at(&self.plan) {
            hall.wakes.ask(index, at, now);
        }
        hall.roster.set(index, seat.can_commit());
        if !was_out && seat.member.is_out() {
            let group = &mut self.groups[place];
            group.serving.retain(|serving| *serving != index);
            group.free.push(index);
        }
    }

    fn act(&mut self, hall: &mut Hall, step: Step, now: Duration) {
        let place = ((step.group - self.group_first) / self.group_step) as usize;
        match step.action {
            Action::Join => {
                let index = self.seat_for(hall, place);
                let group = &mut self.groups[place];
                let identity = group.identity_next;
                group.identity_next += 1;
                group.serving.push_back(index);
                let instance_id = self.plan.is_static.then(|| format!("{}-{identity}", group.name));
                self.touch(hall, index, now, |seat, context| seat.start(instance_id, context));
            }
            Action::Leave | Action::Die | Action::Restart => {
                if let Some(index) = self.groups[place].serving.pop_front() {
                    self.end_or_restart(hall, place, index, step.action, now);
                }
            }
        }
        if step.is_last {
            self.tally.events[step.event].group_count += 1;
            let group = &mut self.groups[place];
            group.board.await_stable(step.event, now);
            for (event, took) in group.board.look(now) {
                self.tally.events[event].settled.record(took);
            }
        }
    }

    fn end_or_restart(&mut self, hall: &mut Hall, place: usize, index: usize, action: Action, now: Duration) {
        let is_static = hall.seats[index].is_static();
        self.touch(hall, index, now, |seat, context| match action {
            Action::Die => seat.die(context),
            Action::Restart if is_static => seat.restart(context),
            Action::Restart => seat.leave(true, context),
            Action::Leave | Action::Join => seat.leave(false, context),
        });
        if action == Action::Restart {
            self.groups[place].serving.push_back(index);
        }
    }

    /// A seat of this group that nobody has, or a new one.
    fn seat_for(&mut self, hall: &mut Hall, place: usize) -> usize {
        while let Some(index) = self.groups[place].free.pop() {
            if hall.seats[index].member.is_out() {
                return index;
            }
        }
        let index = hall.seats.len();
        hall.seats.push(Seat::new(place, &self.plan, (index * self.plan.link_count()) as u64));
        index
    }

    /// Gives what is due to members that can commit; returns when the next is due. What finds nobody keeps its time.
    fn commit_what_is_due(&mut self, hall: &mut Hall, now: Duration, end: Duration) -> Option<Duration> {
        let start = self.plan.commit_start;
        let Some(elapsed) = now.checked_sub(start) else {
            return self.commits.is_some().then_some(start);
        };
        loop {
            let schedule = self.commits.as_mut().filter(|_| now < end)?;
            match schedule.next(elapsed) {
                schedule::Step::Due(intended) => {
                    let index = hall.roster.next()?;
                    schedule.take(1);
                    self.touch(hall, index, now, |seat, context| seat.commit(start + intended, context));
                }
                schedule::Step::Wait(at) => return Some(start + at),
                schedule::Step::Done => return None,
            }
        }
    }

    fn is_finished(&self, hall: &Hall, goal: &Goal, now: Duration, end: Duration) -> bool {
        if !self.plan.rules.reads {
            return hall.seats.iter().all(Seat::is_quiet) || now >= end + COMMITS_TIMEOUT;
        }
        let Some(ends) = goal.ends.get() else { return false };
        let read = |group: &Group| {
            let mut partitions = (0_i32..).zip(ends);
            group.board.live_count() == 0
                || partitions.all(|(partition, end)| group.delivered.has_reached(partition, *end))
        };
        self.groups.iter().all(read) || now >= end + self.plan.drain
    }

    fn finish(&mut self, hall: &mut Hall, now: Duration) {
        hall.seats.iter_mut().for_each(Seat::reset);
        let tally = &mut self.tally;
        if let Some(schedule) = &mut self.commits {
            tally.unsent_commits += schedule.close(now.saturating_sub(self.plan.commit_start));
        }
        tally.live_members += hall.seats.iter().filter(|seat| seat.member.is_live()).count() as u64;
        for group in &self.groups {
            tally.generations += group.board.generation_count();
            tally.overlaps += group.board.overlap_count();
            let (stable, whole) = group.board.stable_of(now);
            tally.stable_of.0 += stable;
            tally.stable_of.1 += whole;
            tally.records += group.delivered.records;
            tally.doubled_records += group.delivered.doubled;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_go_round_among_those_who_can() {
        let mut roster = Roster::default();
        assert_eq!(roster.next(), None);
        (0..3).for_each(|seat| roster.set(seat, true));
        assert_eq!([roster.next(), roster.next(), roster.next(), roster.next()], [0, 1, 2, 0].map(Some));
        roster.set(0, false);
        roster.set(0, false);
        let turns: Vec<_> = (0..4).filter_map(|_| roster.next()).collect();
        assert!(!turns.contains(&0) && turns.contains(&1) && turns.contains(&2), "{turns:?}");
        roster.set(1, false);
        roster.set(2, false);
        assert_eq!(roster.next(), None);
    }
}
