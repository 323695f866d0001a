//! What one topic's clients do: its log is made, written, read, cut, deleted, made again under the same name.

use super::happened;
use super::life::Broker;
use super::model::{Being, ModelLog, NOW};
use crate::batch::Origin;
use crate::io::sim::Random;
use crate::shard::{Append, AppendError};
use crate::units::{LeaderEpoch, LogId, Offset, Timestamp};
use std::time::Duration;

/// Topics that come and go; a name is used again after its log was deleted.
pub(super) const TOPICS: u64 = 6;

impl Broker {
    /// One topic's life, so many operations of it.
    pub(super) fn act(&self, mut random: Random, topic: u64, operations: u64) {
        let broker = self.clone();
        self.spawn(format!("actor {topic}"), async move {
            for _ in 0..operations {
                if !broker.act_once(topic, &mut random).await {
                    return;
                }
            }
        });
    }

    /// False when there is nothing to be done any more: its log is not served.
    async fn act_once(&self, topic: u64, random: &mut Random) -> bool {
        let name = format!("t{topic}");
        let is_there =
            |log: &ModelLog| log.identity.topic == name && matches!(log.being, Being::Live | Being::Lost);
        let found = self.logs.borrow().iter().position(is_there);
        let Some(at) = found else { return self.create(topic, random).await };
        let (is_lost, is_hurt) = {
            let log = &self.logs.borrow()[at];
            (log.being == Being::Lost, log.hurt)
        };
        if is_lost {
            return self.delete_lost(at, random).await;
        }
        if is_hurt {
            return false;
        }
        match random.below(100) {
            0..3 => self.delete(at).await,
            3..20 => self.read_somewhere(at, random).await,
            20..25 => self.append_again(at, random).await,
            25..28 => self.remove_records(at, random).await,
            28..32 => {
                self.simulation.sleep(Duration::from_millis(random.below(8_000))).await;
                true
            }
            32..34 => self.append_wrong(at, random).await,
            34..36 => {
                self.check_lookups(at, random).await;
                true
            }
            36 => self.lead(at),
            37 => self.change_mode(at, random),
            _ => self.append(at, random).await,
        }
    }

    async fn create(&self, topic: u64, random: &mut Random) -> bool {
        let (at, identity, settings) = {
            let mut logs = self.logs.borrow_mut();
            let number = logs.len() as u64;
            let log = ModelLog::new(number, topic, random);
            let found = (logs.len(), log.identity.clone(), log.settings.clone());
            logs.push(log);
            found
        };
        let log_id = identity.log_id;
        match self.engine(log_id).create(identity, settings, LeaderEpoch(0)).await {
            Ok(()) => {
                let log = &mut self.logs.borrow_mut()[at];
                (log.being, log.is_found) = (Being::Live, true);
                true
            }
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }

    async fn delete(&self, at: usize) -> bool {
        let log_id = {
            let log = &mut self.logs.borrow_mut()[at];
            log.being = Being::Deleting;
            log.id()
        };
        match self.engine(log_id).delete(log_id).await {
            Ok(()) => {
                self.logs.borrow_mut()[at].being = Being::Deleted;
                true
            }
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }

    /// A log that is offline for ever can only be deleted; one whose state is gone not even that.
    async fn delete_lost(&self, at: usize, random: &mut Random) -> bool {
        let log_id = self.logs.borrow()[at].id();
        let is_known = self.engine(log_id).logs().iter().any(|(identity, _)| identity.log_id == log_id);
        if !is_known || random.below(3) > 0 {
            return false;
        }
        happened::mark("fenced logs deleted");
        self.delete(at).await
    }

    fn lead(&self, at: usize) -> bool {
        let log = &mut self.logs.borrow_mut()[at];
        log.leader_epoch += 1;
        self.engine(log.id()).lead(log.id(), LeaderEpoch(log.leader_epoch)).is_ok()
    }

    /// The topic gets another durability mode while it is written.
    fn change_mode(&self, at: usize, random: &mut Random) -> bool {
        let log = &mut self.logs.borrow_mut()[at];
        log.change_mode(random);
        happened::mark("durability modes changed");
        self.engine(log.id()).configure(log.id(), log.settings.clone()).is_ok()
    }

    /// `DeleteRecords`, up to somewhere below what was acknowledged.
    async fn remove_records(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, start) = {
            let log = &mut self.logs.borrow_mut()[at];
            let start = random.below(log.acked_end.max(log.seen_end) as u64 + 1) as i64;
            log.start_max = log.start_max.max(start);
            (log.id(), start)
        };
        match self.engine(log_id).raise_start(log_id, Offset::new(start)).await {
            Ok(found) => {
                assert!(found.as_i64() >= start, "log {at}: asked to start at {start}, starts at {found}");
                self.logs.borrow_mut()[at].starts_at(found.as_i64());
                true
            }
            Err(error) => {
                if self.logs.borrow()[at].being == Being::Live {
                    self.refused(log_id, &error);
                }
                false
            }
        }
    }

    async fn read_somewhere(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, end) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.end())
        };
        self.read(at, log_id, random.below(end as u64 + 1) as i64, random).await;
        true
    }

    /// Stages a batch; its durability is waited for beside, or at once.
    async fn append(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, drawn, origin) = {
            let log = &mut self.logs.borrow_mut()[at];
            (log.id(), log.next_batch(random), log.origin)
        };
        let append = Append { records: drawn.records.clone(), zstd_allowed: true, origin };
        let staged = match self.engine(log_id).stage(log_id, &append, Timestamp(NOW)).await {
            Ok(staged) => staged,
            Err(error) => {
                self.refused(log_id, &error);
                return false;
            }
        };
        assert!(!staged.duplicate, "a new batch is taken for an old one");
        let now = self.simulation.clock();
        self.logs.borrow_mut()[at].staged(staged.base_offset, staged.offset_end, drawn, now);
        let broker = self.clone();
        let is_durable = origin == Origin::Coordinator || random.below(2) == 0;
        let answer = async move {
            broker.wait_answerable(at, log_id, staged.offset_end).await;
            if is_durable {
                broker.wait_durable(at, log_id, staged.offset_end).await;
            }
        };
        if random.below(3) == 0 {
            answer.await;
        } else {
            self.spawn(format!("log {at} to {}", staged.offset_end), answer);
        }
        true
    }

    async fn wait_answerable(&self, at: usize, log_id: LogId, end: Offset) {
        match self.engine(log_id).answerable(log_id, end).await {
            Ok(()) => self.logs.borrow_mut()[at].answered(end.as_i64()),
            Err(error) if self.logs.borrow()[at].being == Being::Live => self.refused(log_id, &error),
            Err(_) => {}
        }
    }

    async fn wait_durable(&self, at: usize, log_id: LogId, end: Offset) {
        match self.engine(log_id).durable(log_id, end).await {
            Ok(()) => {
                let log = &mut self.logs.borrow_mut()[at];
                log.acked_end = log.acked_end.max(end.as_i64());
            }
            Err(error) if self.logs.borrow()[at].being == Being::Live => self.refused(log_id, &error),
            Err(_) => {}
        }
    }

    /// A client that got no answer sends one of its last batches again.
    async fn append_again(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, sent) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.sent_batch(random))
        };
        let Some((records, base)) = sent else { return true };
        let append = Append { records, zstd_allowed: true, origin: Origin::Client };
        match self.engine(log_id).stage(log_id, &append, Timestamp(NOW)).await {
            Ok(staged) => {
                assert_eq!((staged.base_offset.as_i64(), staged.duplicate), (base, true), "stored twice");
                self.wait_answerable(at, log_id, staged.offset_end).await;
                true
            }
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }

    /// A producer that is beyond a gap, or whose time is over.
    async fn append_wrong(&self, at: usize, random: &mut Random) -> bool {
        let (log_id, wrong) = {
            let log = &self.logs.borrow()[at];
            (log.id(), log.wrong_batch(random))
        };
        let Some(records) = wrong else { return true };
        let append = Append { records, zstd_allowed: true, origin: Origin::Client };
        match self.engine(log_id).stage(log_id, &append, Timestamp(NOW)).await {
            Err(AppendError::OutOfOrderSequence { .. } | AppendError::InvalidProducerEpoch { .. }) => {
                happened::mark("batches refused for their sequence or epoch");
                true
            }
            Ok(staged) => panic!("stored at {} in spite of its sequence or epoch", staged.base_offset),
            Err(error) => {
                self.refused(log_id, &error);
                false
            }
        }
    }
}
