//! Incremental fetch sessions (KIP-227): what a client wants is remembered, so that it names only what changed, and is
//! told only what changed.
//!
//! ```text
//! epoch  0, any id    full fetch; a session of that id ends, a new one begins if there is room
//! epoch -1, any id    full fetch; a session of that id ends
//! epoch  n, an id     the session's partitions, changed by what the request names; its next epoch is n + 1
//! ```
//! A machine: time is an argument, ids are drawn by the caller. One cache per shard: a session belongs to the shard of its
//! connection. Partitions are served in an order that is the session's: one that had records goes to its end.

use crate::wire::fetch::{FetchRequest, PartitionData};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A session that was idle for so long is evicted for any other; one that is so old for one that is as large.
const EVICTION_AGE_MIN: Duration = Duration::from_secs(120);
/// Partitions that one session remembers at most; a larger fetch is served without one.
const PARTITIONS_MAX: usize = 100_000;
/// The first version that has sessions, and the first that names topics by id.
const SESSIONS_SINCE: i16 = 7;
const IDS_SINCE: i16 = 13;

/// Names a partition as the client does: by the topic's name up to version 12, then by its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Up to version 12.
    pub topic: Arc<str>,
    /// Since version 13.
    pub topic_id: Uuid,
    /// The partition.
    pub partition: i32,
}

/// What a client asks of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub wanted: Wanted,
    /// From where.
    pub fetch_offset: i64,
    /// Up to how many bytes.
    pub bytes_max: i32,
    /// The leader epoch that the client knows; -1: none.
    pub current_leader_epoch: i32,
    /// The epoch of the last record that it has; -1: none.
    pub last_fetched_epoch: i32,
}

struct Cached {
    asked: Asked,
    /// What was last told; -1 after an error, so that the partition is told of again when that is over.
    high_watermark: i64,
    log_start: i64,
    /// Its place in the session's order.
    number: u64,
}

struct Session {
    epoch: i32,
    uses_ids: bool,
    partitions: FxHashMap<Wanted, Cached>,
    /// The order in which partitions are served.
    order: BTreeMap<u64, Wanted>,
    number_next: u64,
    created: Instant,
    used: Instant,
}

/// How the answer to a fetch is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All partitions are told of, nothing is remembered.
    Sessionless,
    /// All partitions are told of, and remembered if there is room.
    Full {
        /// Topics are named by id.
        uses_ids: bool,
    },
    /// Only partitions with news are told of.
    Incremental {
        /// The session.
        session_id: i32,
        /// Its epoch after this request.
        epoch: i32,
    },
}

/// What a request comes to.
#[derive(Debug)]
pub struct Plan {
    /// Partitions to fetch, in order.
    pub asked: Vec<Asked>,
    /// How to answer.
    pub kind: Kind,
}

/// Why a request's session cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No such session here: closed, evicted, or of another connection's shard. (70)
    #[error("no such fetch session")]
    NotFound,
    /// Not the epoch that follows. (71)
    #[error("the fetch session has another epoch")]
    Epoch,
    /// The session was made with names and is asked with ids, or the other way. (106)
    #[error("the fetch session names topics in the other way")]
    TopicIds,
}

/// The sessions of one shard.
pub struct FetchSessions {
    sessions: FxHashMap<i32, Session>,
    sessions_max: usize,
    evictions: u64,
}

impl FetchSessions {
    /// A cache of so many sessions.
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions: FxHashMap::default(), sessions_max, evictions: 0 }
    }

    /// Sessions kept now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// No session is kept.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Sessions that had to go for others.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// What to fetch for a request; continues or ends the session that it names.
    ///
    /// # Errors
    /// See `SessionError`; nothing changed.
    pub fn begin(
        &mut self,
        request: &FetchRequest,
        version: i16,
        now: Instant,
    ) -> Result<Plan, SessionError> {
        let uses_ids = version >= IDS_SINCE;
        let (session_id, epoch) = (request.session_id, request.session_epoch);
        if matches!(epoch, 0 | -1) || version < SESSIONS_SINCE {
            self.sessions.remove(&session_id);
            let kind = match epoch {
                0 if version >= SESSIONS_SINCE => Kind::Full { uses_ids },
                _ => Kind::Sessionless,
            };
            return Ok(Plan { asked: asked_of(request).collect(), kind });
        }
        let session = self.sessions.get_mut(&session_id).ok_or(SessionError::NotFound)?;
        if session.epoch != epoch {
            return Err(SessionError::Epoch);
        }
        if session.uses_ids != uses_ids {
            return Err(SessionError::TopicIds);
        }
        session.change(request);
        if session.partitions.is_empty() {
            self.sessions.remove(&session_id);
            return Ok(Plan { asked: Vec::new(), kind: Kind::Sessionless });
        }
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.used = now;
        let asked = session.order.values().filter_map(|wanted| session.partitions.get(wanted));
        let asked = asked.map(|cached| cached.asked.clone()).collect();
        Ok(Plan { asked, kind: Kind::Incremental { session_id, epoch: session.epoch } })
    }

    /// What of a plan's answer the client is told: `keep` has a place for each partition. Returns the session's id, 0 for
    /// none. `draw` gives a random id above 0.
    ///
    /// # Errors
    /// `Epoch` when the session was used by somebody else meanwhile, `NotFound` when it is gone.
    pub fn finish(
        &mut self,
        plan: &Plan,
        data: &[PartitionData],
        keep: &mut Vec<bool>,
        now: Instant,
        draw: impl FnMut() -> i32,
    ) -> Result<i32, SessionError> {
        keep.clear();
        match plan.kind {
            Kind::Sessionless => {
                keep.resize(data.len(), true);
                Ok(0)
            }
            Kind::Full { uses_ids } => {
                keep.resize(data.len(), true);
                Ok(self.create(&plan.asked, data, uses_ids, now, draw))
            }
            Kind::Incremental { session_id, epoch } => {
                let session = self.sessions.get_mut(&session_id).ok_or(SessionError::NotFound)?;
                if session.epoch != epoch {
                    return Err(SessionError::Epoch);
                }
                for (asked, data) in plan.asked.iter().zip(data) {
                    keep.push(session.tell(&asked.wanted, data));
                }
                Ok(session_id)
            }
        }
    }

    fn create(
        &mut self,
        asked: &[Asked],
        data: &[PartitionData],
        uses_ids: bool,
        now: Instant,
        mut draw: impl FnMut() -> i32,
    ) -> i32 {
        if asked.len() > PARTITIONS_MAX || !self.make_room(asked.len(), now) {
            return 0;
        }
        let session_id = loop {
            let drawn = draw();
            if drawn > 0 && !self.sessions.contains_key(&drawn) {
                break drawn;
            }
        };
        let mut session = Session {
            epoch: 1,
            uses_ids,
            partitions: FxHashMap::default(),
            order: BTreeMap::new(),
            number_next: 0,
            created: now,
            used: now,
        };
        for (asked, data) in asked.iter().zip(data) {
            session.add(asked.clone());
            session.tell(&asked.wanted, data);
        }
        self.sessions.insert(session_id, session);
        session_id
    }

    /// A place for a session of so many partitions: free, that of one long idle, or that of a smaller one that is old.
    fn make_room(&mut self, partition_count: usize, now: Instant) -> bool {
        if self.sessions.len() < self.sessions_max {
            return true;
        }
        let is_old = |since: Instant| now.saturating_duration_since(since) > EVICTION_AGE_MIN;
        let idlest = self.sessions.iter().min_by_key(|(_, session)| session.used);
        let idlest = idlest.filter(|(_, session)| is_old(session.used)).map(|(id, _)| *id);
        let evicted = idlest.or_else(|| {
            let old = self.sessions.iter().filter(|(_, session)| is_old(session.created));
            let smallest = old.min_by_key(|(id, session)| (session.partitions.len(), **id));
            smallest.filter(|(_, session)| session.partitions.len() <= partition_count).map(|(id, _)| *id)
        });
        let Some(evicted) = evicted else { return false };
        self.sessions.remove(&evicted);
        self.evictions += 1;
        true
    }
}

impl Session {
    fn change(&mut self, request: &FetchRequest) {
        for topic in &request.forgotten_topics_data {
            let name: Arc<str> = Arc::from(topic.topic.as_str());
            for partition in &topic.partitions {
                let wanted =
                    Wanted { topic: Arc::clone(&name), topic_id: topic.topic_id, partition: *partition };
                // A partition that is asked for and forgotten by one request is forgotten, as in Kafka.
                if let Some(cached) = self.partitions.remove(&wanted) {
                    self.order.remove(&cached.number);
                }
            }
        }
        let is_forgotten = |asked: &Asked| {
            request.forgotten_topics_data.iter().any(|topic| {
                (*topic.topic == *asked.wanted.topic && topic.topic_id == asked.wanted.topic_id)
                    && topic.partitions.contains(&asked.wanted.partition)
            })
        };
        asked_of(request).filter(|asked| !is_forgotten(asked)).for_each(|asked| self.add(asked));
    }

    /// Takes a partition in, or what is asked of it anew.
    fn add(&mut self, asked: Asked) {
        if let Some(cached) = self.partitions.get_mut(&asked.wanted) {
            cached.asked = asked;
        } else if self.partitions.len() < PARTITIONS_MAX {
            let (number, wanted) = (self.number_next, asked.wanted.clone());
            self.number_next += 1;
            self.order.insert(number, wanted.clone());
            self.partitions.insert(wanted, Cached { asked, high_watermark: -1, log_start: -1, number });
        }
    }

    /// Whether a partition's answer says something new, which is noted.
    fn tell(&mut self, wanted: &Wanted, data: &PartitionData) -> bool {
        let Some(cached) = self.partitions.get_mut(wanted) else { return true };
        let has_records = !data.records.is_empty();
        let has_error = data.error_code != crate::wire::ErrorCode::None;
        let has_bounds =
            cached.high_watermark != data.high_watermark || cached.log_start != data.log_start_offset;
        cached.high_watermark = if has_error { -1 } else { data.high_watermark };
        cached.log_start = data.log_start_offset;
        if has_records {
            self.order.remove(&cached.number);
            cached.number = self.number_next;
            self.number_next += 1;
            self.order.insert(cached.number, wanted.clone());
        }
        has_records || has_error || has_bounds || data.diverging_epoch.epoch >= 0
    }
}

fn asked_of(request: &FetchRequest) -> impl Iterator<Item = Asked> + '_ {
    request.topics.iter().flat_map(|topic| {
        let name: Arc<str> = Arc::from(topic.topic.as_str());
        topic.partitions.iter().map(move |partition| Asked {
            wanted: Wanted {
                topic: Arc::clone(&name),
                topic_id: topic.topic_id,
                partition: partition.partition,
            },
            fetch_offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ErrorCode;
    use crate::wire::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
    use bytes::Bytes;

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

    fn forgetting(session_id: i32, session_epoch: i32, partitions: &[i32]) -> FetchRequest {
        let topic = ForgottenTopic {
            topic: "t".to_owned(),
            partitions: partitions.to_vec(),
            ..ForgottenTopic::default()
        };
        FetchRequest { forgotten_topics_data: vec![topic], ..request(session_id, session_epoch, &[]) }
    }

    /// A cache and what one client sees of it.
    struct Client {
        sessions: FetchSessions,
        now: Instant,
        id_next: i32,
    }

    impl Client {
        fn new(sessions_max: usize) -> Self {
            Self { sessions: FetchSessions::new(sessions_max), now: Instant::now(), id_next: 70 }
        }

        /// Fetches; `data` says for partitions: high watermark and whether there are records. Gives the session's id,
        /// what was asked for, and the partitions that are told of.
        fn fetch(
            &mut self,
            request: FetchRequest,
            data: impl Fn(i32) -> PartitionData,
        ) -> Result<(i32, Vec<(i32, i64)>, Vec<i32>), SessionError> {
            let plan = self.sessions.begin(&request, 12, self.now)?;
            let data: Vec<PartitionData> =
                plan.asked.iter().map(|asked| data(asked.wanted.partition)).collect();
            let (mut keep, id_next) = (Vec::new(), &mut self.id_next);
            let draw = || {
                *id_next += 1;
                *id_next
            };
            let id = self.sessions.finish(&plan, &data, &mut keep, self.now, draw)?;
            let wanted =
                plan.asked.iter().map(|asked| (asked.wanted.partition, asked.fetch_offset)).collect();
            let told = data.iter().zip(&keep).filter(|(_, keep)| **keep);
            Ok((id, wanted, told.map(|(data, _)| data.partition_index).collect()))
        }
    }

    fn quiet(partition_index: i32) -> PartitionData {
        PartitionData {
            partition_index,
            high_watermark: 9,
            log_start_offset: 0,
            ..PartitionData::error(partition_index, ErrorCode::None)
        }
    }

    fn with_records(partition_index: i32) -> PartitionData {
        PartitionData { records: vec![Bytes::from_static(b"x")], ..quiet(partition_index) }
    }

    fn failed(partition_index: i32) -> PartitionData {
        PartitionData::error(partition_index, ErrorCode::NotLeaderOrFollower)
    }

    #[test]
    fn a_session_remembers_what_was_asked_and_takes_changes() {
        let mut client = Client::new(10);
        let first = client.fetch(request(0, 0, &[(0, 5), (1, 6)]), quiet).unwrap();
        assert_eq!(first, (71, vec![(0, 5), (1, 6)], vec![0, 1]));
        let second = client.fetch(request(71, 1, &[(1, 9), (2, 0)]), quiet).unwrap();
        assert_eq!(second, (71, vec![(0, 5), (1, 9), (2, 0)], vec![2]), "only what is new is told");
        let third = client.fetch(forgetting(71, 2, &[0, 2]), quiet).unwrap();
        assert_eq!(third, (71, vec![(1, 9)], vec![]));
        let last = client.fetch(forgetting(71, 3, &[1]), quiet).unwrap();
        assert_eq!(last, (0, vec![], vec![]), "nothing is left: the session is over");
        assert!(client.sessions.is_empty());
    }

    #[test]
    fn a_wrong_epoch_an_unknown_session_and_a_change_to_ids_are_told_apart() {
        let mut client = Client::new(10);
        client.fetch(request(0, 0, &[(0, 5)]), quiet).unwrap();
        assert_eq!(client.fetch(request(71, 3, &[]), quiet), Err(SessionError::Epoch));
        assert_eq!(
            client.fetch(request(71, -2, &[]), quiet),
            Err(SessionError::Epoch),
            "and the session stays"
        );
        assert_eq!(client.fetch(request(78, 1, &[]), quiet), Err(SessionError::NotFound));
        let now = client.now;
        assert_eq!(client.sessions.begin(&request(71, 1, &[]), 13, now).unwrap_err(), SessionError::TopicIds);
        let closed = client.fetch(request(71, -1, &[(0, 5)]), quiet).unwrap();
        assert_eq!(closed, (0, vec![(0, 5)], vec![0]), "the closing request is served");
        assert!(client.sessions.is_empty());
    }

    #[test]
    fn partitions_with_records_go_last_and_those_with_errors_are_always_told_of() {
        let mut client = Client::new(1);
        client.fetch(request(0, 0, &[(0, 5), (1, 5), (2, 5)]), quiet).unwrap();
        let data = |partition| if partition == 0 { with_records(0) } else { quiet(partition) };
        assert_eq!(client.fetch(request(71, 1, &[]), data).unwrap().2, [0]);
        let data = |partition| if partition == 2 { failed(2) } else { quiet(partition) };
        let (_, wanted, told) = client.fetch(request(71, 2, &[]), data).unwrap();
        assert_eq!(wanted.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(told, [2]);
        assert_eq!(client.fetch(request(71, 3, &[]), data).unwrap().2, [2]);
        assert_eq!(client.fetch(request(71, 4, &[]), quiet).unwrap().2, [2], "and when the error is over");
        assert_eq!(client.fetch(request(71, 5, &[]), quiet).unwrap().2, Vec::<i32>::new());
    }

    #[test]
    fn a_full_cache_evicts_who_was_idle_for_long_or_is_old_and_no_larger() {
        let mut client = Client::new(1);
        client.fetch(request(0, 0, &[(0, 5), (1, 5)]), quiet).unwrap();
        assert_eq!(client.fetch(request(0, 0, &[(0, 5), (1, 5)]), quiet).unwrap().0, 0, "too young");
        client.now += EVICTION_AGE_MIN + Duration::from_secs(1);
        client.fetch(request(71, 1, &[]), quiet).unwrap();
        assert_eq!(client.fetch(request(0, 0, &[(0, 5)]), quiet).unwrap().0, 0, "in use, and larger");
        assert_eq!(client.fetch(request(0, 0, &[(0, 5), (1, 5)]), quiet).unwrap().0, 72, "old, not larger");
        client.now += EVICTION_AGE_MIN + Duration::from_secs(1);
        assert_eq!(client.fetch(request(0, 0, &[(0, 5)]), quiet).unwrap().0, 73, "idle");
        assert_eq!((client.sessions.len(), client.sessions.evictions()), (1, 2));
    }

    #[test]
    fn an_epoch_behind_the_largest_is_1() {
        let mut client = Client::new(1);
        client.fetch(request(0, 0, &[(0, 5)]), quiet).unwrap();
        client.sessions.sessions.get_mut(&71).unwrap().epoch = i32::MAX;
        client.fetch(request(71, i32::MAX, &[]), quiet).unwrap();
        client.fetch(request(71, 1, &[]), quiet).unwrap();
    }

    #[test]
    fn old_versions_have_no_sessions() {
        let mut sessions = FetchSessions::new(1);
        let plan = sessions.begin(&request(0, 0, &[(0, 5)]), 6, Instant::now()).unwrap();
        assert_eq!(plan.kind, Kind::Sessionless);
    }
}
