//! Incremental fetch sessions (KIP-227): what a client wants is remembered, so that it names only what changed.
//!
//! A machine: time is an argument. One cache per shard; a session belongs to the shard of its connection, and its id
//! says which, since ids are drawn at random below 2^31 and looked up where the connection lives.

use crate::wire::messages::{FetchPartition, FetchRequest};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A session that was used within this is not evicted for a new one.
const EVICTION_AGE_MIN: Duration = Duration::from_secs(120);
/// Partitions that one session remembers at most.
const PARTITIONS_MAX: usize = 100_000;

/// Names a partition as the client did.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// Up to version 12.
    pub topic: String,
    /// Since version 13.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
}

/// What was last answered for a partition: only changes are answered again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// High watermark.
    pub high_watermark: i64,
    /// First offset.
    pub log_start: i64,
}

#[derive(Clone, Debug)]
struct Cached {
    wanted: Wanted,
    fetch: FetchPartition,
    told: Option<Told>,
}

struct Session {
    epoch: i32,
    uses_ids: bool,
    /// In the order in which they are served; those that had records go to the end.
    partitions: Vec<Cached>,
    created: Instant,
    used: Instant,
}

/// What a request comes to.
#[derive(Debug)]
pub struct Plan {
    /// Partitions to fetch, in order.
    pub partitions: Vec<(Wanted, FetchPartition)>,
    /// 0 without a session.
    pub session_id: i32,
    /// Answer only partitions that have something to say.
    pub incremental: bool,
}

/// Why a request's session cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// No such session here: closed, evicted, or of another connection's shard. (70)
    NotFound,
    /// Not the epoch that follows. (71)
    Epoch,
    /// The session was made with names and is asked with ids, or the other way. (106)
    TopicIds,
}

/// The sessions of one shard.
pub struct FetchSessions {
    sessions: FxHashMap<i32, Session>,
    sessions_max: usize,
}

impl FetchSessions {
    /// A cache of so many sessions.
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions: FxHashMap::default(), sessions_max }
    }

    /// Sessions kept now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// No session is kept.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// What to fetch for a request; makes, continues or closes its session. `draw` gives a random id above 0.
    ///
    /// # Errors
    /// See `SessionError`; nothing changed.
    pub fn plan(
        &mut self,
        request: &FetchRequest,
        version: i16,
        now: Instant,
        draw: impl FnMut() -> i32,
    ) -> Result<Plan, SessionError> {
        match request.session_epoch {
            -1 => {
                self.sessions.remove(&request.session_id);
                Ok(Plan { partitions: asked(request), session_id: 0, incremental: false })
            }
            0 => {
                self.sessions.remove(&request.session_id);
                Ok(self.full(request, version, now, draw))
            }
            epoch => self.next(request, version, epoch, now),
        }
    }

    fn full(
        &mut self,
        request: &FetchRequest,
        version: i16,
        now: Instant,
        mut draw: impl FnMut() -> i32,
    ) -> Plan {
        let partitions = asked(request);
        let fits = version >= 7 && !partitions.is_empty() && partitions.len() <= PARTITIONS_MAX;
        if !fits || !self.make_room(now) {
            return Plan { partitions, session_id: 0, incremental: false };
        }
        let session_id = loop {
            let drawn = draw();
            if drawn > 0 && !self.sessions.contains_key(&drawn) {
                break drawn;
            }
        };
        let cached = partitions.iter().cloned().map(|(wanted, fetch)| Cached { wanted, fetch, told: None });
        let session = Session {
            epoch: 1,
            uses_ids: version >= 13,
            partitions: cached.collect(),
            created: now,
            used: now,
        };
        self.sessions.insert(session_id, session);
        Plan { partitions, session_id, incremental: false }
    }

    /// A place for one more: free, or that of the session used least recently, if it has been idle long enough.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.sessions.len() < self.sessions_max {
            return true;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, session)| (session.used, session.created));
        let idle = |session: &Session| now.duration_since(session.used) > EVICTION_AGE_MIN;
        let evicted = oldest.filter(|(_, session)| idle(session)).map(|(id, _)| *id);
        evicted.is_some_and(|id| self.sessions.remove(&id).is_some())
    }

    fn next(
        &mut self,
        request: &FetchRequest,
        version: i16,
        epoch: i32,
        now: Instant,
    ) -> Result<Plan, SessionError> {
        let session = self.sessions.get_mut(&request.session_id).ok_or(SessionError::NotFound)?;
        if session.epoch != epoch {
            return Err(SessionError::Epoch);
        }
        if session.uses_ids != (version >= 13) {
            return Err(SessionError::TopicIds);
        }
        for (wanted, fetch) in asked(request) {
            let known = session.partitions.iter_mut().find(|cached| cached.wanted == wanted);
            if let Some(cached) = known {
                cached.fetch = fetch;
            } else if session.partitions.len() < PARTITIONS_MAX {
                session.partitions.push(Cached { wanted, fetch, told: None });
            }
        }
        for topic in &request.forgotten_topics_data {
            let gone = |cached: &Cached| {
                let same = if session.uses_ids {
                    cached.wanted.topic_id == topic.topic_id
                } else {
                    cached.wanted.topic == topic.topic
                };
                same && topic.partitions.contains(&cached.wanted.partition)
            };
            session.partitions.retain(|cached| !gone(cached));
        }
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.used = now;
        let session_id = request.session_id;
        if session.partitions.is_empty() {
            self.sessions.remove(&session_id);
            return Ok(Plan { partitions: Vec::new(), session_id: 0, incremental: true });
        }
        let partitions =
            session.partitions.iter().map(|cached| (cached.wanted.clone(), cached.fetch.clone())).collect();
        Ok(Plan { partitions, session_id, incremental: true })
    }

    /// Whether a partition's answer says something new, which is noted; one that had records is served last next time.
    pub fn tell(
        &mut self,
        session_id: i32,
        wanted: &Wanted,
        told: Told,
        has_records: bool,
        has_error: bool,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else { return true };
        let Some(at) = session.partitions.iter().position(|cached| cached.wanted == *wanted) else {
            return true;
        };
        let Some(cached) = session.partitions.get_mut(at) else { return true };
        let changed = cached.told != Some(told);
        cached.told = if has_error { None } else { Some(told) };
        if has_records {
            let served = session.partitions.remove(at);
            session.partitions.push(served);
        }
        changed || has_records || has_error
    }
}

fn asked(request: &FetchRequest) -> Vec<(Wanted, FetchPartition)> {
    let mut found = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let wanted = Wanted {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partition: partition.partition,
            };
            found.push((wanted, partition.clone()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::{FetchTopic, ForgottenTopic};

    fn request(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            ..FetchPartition::default()
        };
        let partitions: Vec<FetchPartition> = partitions.iter().map(partition).collect();
        let topic = FetchTopic { topic: "t".to_owned(), partitions, ..FetchTopic::default() };
        let topics = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
        FetchRequest { session_id, session_epoch, topics, ..FetchRequest::default() }
    }

    fn numbers(plan: &Plan) -> Vec<(i32, i64)> {
        plan.partitions.iter().map(|(wanted, fetch)| (wanted.partition, fetch.fetch_offset)).collect()
    }

    #[test]
    fn a_session_remembers_what_was_asked_and_takes_changes() {
        let now = Instant::now();
        let mut sessions = FetchSessions::new(10);
        let first = sessions.plan(&request(0, 0, &[(0, 5), (1, 6)]), 12, now, || 77).unwrap();
        assert_eq!((first.session_id, first.incremental), (77, false));
        let second = sessions.plan(&request(77, 1, &[(1, 9)]), 12, now, || 0).unwrap();
        assert_eq!((numbers(&second), second.incremental), (vec![(0, 5), (1, 9)], true));
        let mut forget = request(77, 2, &[]);
        forget.forgotten_topics_data =
            vec![ForgottenTopic { topic: "t".to_owned(), partitions: vec![0], ..ForgottenTopic::default() }];
        assert_eq!(numbers(&sessions.plan(&forget, 12, now, || 0).unwrap()), [(1, 9)]);
    }

    #[test]
    fn a_wrong_epoch_an_unknown_session_and_a_change_to_ids_are_told_apart() {
        let now = Instant::now();
        let mut sessions = FetchSessions::new(10);
        sessions.plan(&request(0, 0, &[(0, 5)]), 12, now, || 77).unwrap();
        assert_eq!(sessions.plan(&request(77, 3, &[]), 12, now, || 0).unwrap_err(), SessionError::Epoch);
        assert_eq!(sessions.plan(&request(78, 1, &[]), 12, now, || 0).unwrap_err(), SessionError::NotFound);
        assert_eq!(sessions.plan(&request(77, 1, &[]), 13, now, || 0).unwrap_err(), SessionError::TopicIds);
        sessions.plan(&request(77, -1, &[]), 12, now, || 0).unwrap();
        assert!(sessions.is_empty());
    }

    #[test]
    fn a_full_cache_evicts_only_a_session_that_was_idle_for_long() {
        let now = Instant::now();
        let mut sessions = FetchSessions::new(1);
        sessions.plan(&request(0, 0, &[(0, 5)]), 12, now, || 77).unwrap();
        assert_eq!(sessions.plan(&request(0, 0, &[(0, 5)]), 12, now, || 78).unwrap().session_id, 0);
        let later = now + EVICTION_AGE_MIN + Duration::from_secs(1);
        assert_eq!(sessions.plan(&request(0, 0, &[(0, 5)]), 12, later, || 78).unwrap().session_id, 78);
    }

    #[test]
    fn only_what_changed_is_told_again_and_who_had_records_goes_last() {
        let now = Instant::now();
        let mut sessions = FetchSessions::new(1);
        sessions.plan(&request(0, 0, &[(0, 5), (1, 5)]), 12, now, || 77).unwrap();
        let wanted = Wanted { topic: "t".to_owned(), topic_id: Uuid::nil(), partition: 0 };
        let told = Told { high_watermark: 9, log_start: 0 };
        assert!(sessions.tell(77, &wanted, told, true, false));
        assert!(!sessions.tell(77, &wanted, told, false, false));
        let plan = sessions.plan(&request(77, 1, &[]), 12, now, || 0).unwrap();
        assert_eq!(numbers(&plan), [(1, 5), (0, 5)]);
    }
}
