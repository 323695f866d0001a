//! Which segments may go, and what is left of the log then.
//!
//! Kafka's rules (`UnifiedLog.deleteOldSegments`): from the oldest on, a segment goes while the log is larger than
//! `retention.bytes` without it, while its newest record is older than `retention.ms`, or while it lies below the log's
//! start. Only what every reader could see goes, and only from the front.
//! ```text
//!  log_start                                   high watermark
//!  | sealed | sealed | sealed | sealing | active |
//!  '-- expired: cut --'        '-- expired, too: they are sealed first, and go at the next look
//! ```
//! Files that no state names are nobody's: the files of what was cut go when their time has come, at the latest after the
//! next start (`shard::upkeep`).

use super::{LogBounds, PartitionLog};
use crate::segment::{Segment, Stage};
use crate::units::{Offset, Timestamp};

/// What a look at a log came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    /// The log should start here: everything below lies in sealed segments.
    pub(crate) start: Option<Offset>,
    /// More has expired and must be sealed before it can go.
    pub(crate) unsealed: bool,
}

impl PartitionLog {
    /// What nobody is to keep at `now`. Rolls the active segment when it has expired as well.
    pub(crate) fn expire(&mut self, now: Timestamp, number: impl FnMut() -> u64) -> Expired {
        let count = self.expired_count(now);
        let mut expired = Expired::default();
        if count == 0 {
            return expired;
        }
        if count == self.segments.len() {
            self.roll(number);
        }
        let sealed = self.segments[..count].iter().take_while(|segment| segment.stage == Stage::Sealed);
        let sealed_count = sealed.count();
        expired.unsealed = sealed_count < count;
        if sealed_count > 0 {
            // Not where the next one begins: there may be a gap between them.
            let end = self.segments[sealed_count - 1].offset_end;
            expired.start = Some(end.max(self.bounds().log_start));
        }
        expired
    }

    /// Whether `expire` would find any; it changes nothing.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expired_count(now) > 0
    }

    /// How many segments have expired, from the oldest on.
    fn expired_count(&self, now: Timestamp) -> usize {
        let bounds = self.bounds();
        let bytes: u64 = self.segments.iter().map(Segment::bytes).sum();
        let mut excess = self.settings.retention_bytes.map_or(0, |max| bytes.saturating_sub(max));
        let mut count = 0;
        for segment in &self.segments {
            let end = segment.offset_end;
            if end > bounds.high_watermark || segment.bytes() == 0 {
                break;
            }
            let newest = if segment.max_timestamp.0 >= 0 { segment.max_timestamp } else { segment.touched };
            let age_ms = now.0.saturating_sub(newest.0);
            let is_old = self.settings.retention_ms.is_some_and(|max| age_ms > max as i64);
            let is_excess = excess > 0 && segment.bytes() <= excess;
            if !is_old && !is_excess && end > bounds.log_start {
                break;
            }
            excess = excess.saturating_sub(segment.bytes());
            count += 1;
        }
        count
    }

    /// Moves the log's start up to `start` and takes out the sealed segments that lie below it.
    ///
    /// # Panics
    /// When `start` lies above the high watermark or below the log's start.
    pub(crate) fn cut(&mut self, start: Offset) -> Vec<Segment> {
        self.set_bounds(LogBounds { log_start: start, ..self.bounds() });
        self.epochs.cut(start);
        let is_below = |pair: &&[Segment]| pair[0].stage == Stage::Sealed && pair[0].offset_end <= start;
        let count = self.segments.windows(2).take_while(is_below).count();
        self.segments.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{LogState, RecoveredLog, SegmentState};
    use crate::log::{LogIdentity, LogSettings};
    use crate::units::{FilePos, LeaderEpoch, LogId};

    const DAY_MS: i64 = 86_400_000;

    /// Segments of 100 offsets and 1 000 bytes each, one a day from day 0 on; the last one is active.
    fn log(segment_count: i64, settings: LogSettings) -> PartitionLog {
        let identity =
            LogIdentity { log_id: LogId([1; 16]), topic_id: [1; 16], topic: "t".to_owned(), partition: 0 };
        let mut state = LogState::empty(identity, LeaderEpoch(0));
        for at in 0..segment_count {
            let is_last = at == segment_count - 1;
            state.segments.push(SegmentState {
                base: Offset::new(at * 100),
                stage: if is_last { Stage::Active } else { Stage::Sealed },
                offset_end: Offset::new(at * 100 + 100),
                end: FilePos::new(1000),
                written_end: FilePos::new(1000),
                max_timestamp: Timestamp(at * DAY_MS),
                first_timestamp: Timestamp(at * DAY_MS),
                first_crc: 0,
                milestones: Vec::new(),
            });
            state.epochs.note(LeaderEpoch(at as i32), Offset::new(at * 100));
        }
        let recovered = RecoveredLog { state, open: Vec::new(), fault: None, pieces: Vec::new() };
        PartitionLog::new(recovered, settings, || 0)
    }

    fn expire(log: &mut PartitionLog, day: i64) -> Expired {
        let now = Timestamp(day * DAY_MS);
        let has_expired = log.has_expired(now);
        let expired = log.expire(now, || 0);
        assert_eq!(has_expired, expired != Expired::default());
        expired
    }

    #[test]
    fn without_limits_everything_stays() {
        assert_eq!(expire(&mut log(5, LogSettings::default()), 1000), Expired::default());
    }

    #[test]
    fn segments_go_once_their_newest_record_is_older_than_the_limit() {
        let mut log = log(5, LogSettings { retention_ms: Some(2 * DAY_MS as u64), ..LogSettings::default() });
        assert_eq!(expire(&mut log, 2), Expired::default(), "exactly as old as the limit stays");
        let expired = expire(&mut log, 4);
        assert_eq!(expired, Expired { start: Some(Offset::new(200)), unsealed: false });
        assert_eq!(log.cut(Offset::new(200)).len(), 2);
        assert_eq!((log.bounds().log_start, log.segments.len()), (Offset::new(200), 3));
        assert_eq!(expire(&mut log, 4), Expired::default());
    }

    #[test]
    fn the_active_segment_is_sealed_before_it_goes() {
        let mut log = log(2, LogSettings { retention_ms: Some(0), ..LogSettings::default() });
        let expired = expire(&mut log, 9);
        assert_eq!(expired, Expired { start: Some(Offset::new(100)), unsealed: true });
        log.cut(Offset::new(100));
        assert_eq!(log.segments.len(), 2);
        assert_eq!((log.segments[0].stage, log.segments[1].base), (Stage::Sealing, Offset::new(200)));
        assert_eq!(expire(&mut log, 9), Expired { start: None, unsealed: true });
        log.segments[0].stage = Stage::Sealed;
        let expired = expire(&mut log, 9);
        assert_eq!(expired, Expired { start: Some(Offset::new(200)), unsealed: false });
        log.cut(Offset::new(200));
        assert_eq!(expire(&mut log, 99), Expired::default(), "an empty log has nothing to give");
    }

    #[test]
    fn no_more_goes_than_is_over_the_limit() {
        let keep = |bytes| {
            let mut log = log(5, LogSettings { retention_bytes: Some(bytes), ..LogSettings::default() });
            expire(&mut log, 0).start.map(Offset::as_i64)
        };
        assert_eq!([keep(5000), keep(4001), keep(4000), keep(3999)], [None, None, Some(100), Some(100)]);
        assert_eq!(keep(0), Some(400), "the active segment follows once it is sealed");
    }

    #[test]
    fn what_lies_below_the_start_goes_whatever_the_limits_and_its_epochs_with_it() {
        let mut log = log(4, LogSettings::default());
        assert_eq!(log.cut(Offset::new(250)).len(), 2);
        assert_eq!(log.segments[0].base, Offset::new(200), "a segment that is half below stays");
        assert_eq!(expire(&mut log, 0), Expired::default());
        let end = |epoch| log.epochs().end_of(LeaderEpoch(epoch), LeaderEpoch(9), Offset::new(400));
        assert_eq!(end(2), Some((LeaderEpoch(2), Offset::new(300))));
        assert_eq!(end(0), Some((LeaderEpoch(0), Offset::new(250))), "the first known start is the log's");
    }
}
