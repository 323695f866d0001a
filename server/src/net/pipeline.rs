//! Which request of a connection may start while others of it still run.
//!
//! Kafka works on one request of a connection at a time, and clients count on it: what a request did is seen by the
//! next. Only produces may overlap, with each other: they start in order, so their batches are in order, and each
//! waits for the device without holding up the next. Everything else starts when all before it has been answered.

/// Requests of one connection that run at once.
pub(super) const RUNNING_MAX: usize = 64;
/// Bytes of answers that one connection may leave unread before its next request starts.
pub(super) const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How a request gets along with others of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May run beside others of this class.
    Overlapping,
    /// Runs when nothing else does.
    Alone,
}

/// What runs on one connection.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    running: usize,
    is_alone: bool,
}

impl Pipeline {
    /// Whether the connection's next request may start, `answer_bytes` being answered and not yet sent.
    pub(super) fn may_start(&self, class: Class, answer_bytes: usize) -> bool {
        let beside = class == Class::Overlapping && !self.is_alone && self.running < RUNNING_MAX;
        answer_bytes < ANSWER_BYTES_MAX && (self.running == 0 || beside)
    }

    /// It starts.
    ///
    /// # Panics
    /// When it may not.
    pub(super) fn start(&mut self, class: Class) {
        assert!(self.may_start(class, 0), "a request started beside others that it may not run with");
        self.running += 1;
        self.is_alone = class == Class::Alone;
    }

    /// One has been answered, or needs no answer.
    ///
    /// # Panics
    /// When none ran.
    pub(super) fn finish(&mut self) {
        assert!(self.running > 0, "an answer to nothing");
        self.running -= 1;
        self.is_alone &= self.running > 0;
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn produces_overlap_up_to_a_limit() {
        let mut pipeline = Pipeline::default();
        for _ in 0..RUNNING_MAX {
            assert!(pipeline.may_start(Class::Overlapping, 0));
            pipeline.start(Class::Overlapping);
        }
        assert!(!pipeline.may_start(Class::Overlapping, 0));
        pipeline.finish();
        assert!(pipeline.may_start(Class::Overlapping, 0));
    }

    #[test]
    fn anything_else_waits_for_all_before_it_and_holds_up_all_after_it() {
        let mut pipeline = Pipeline::default();
        pipeline.start(Class::Overlapping);
        assert!(!pipeline.may_start(Class::Alone, 0));
        pipeline.finish();
        pipeline.start(Class::Alone);
        assert!(!pipeline.may_start(Class::Overlapping, 0));
        assert!(!pipeline.may_start(Class::Alone, 0));
        pipeline.finish();
        assert!(pipeline.may_start(Class::Overlapping, 0));
    }

    #[test]
    fn who_does_not_read_his_answers_is_not_served_more() {
        let pipeline = Pipeline::default();
        assert!(pipeline.may_start(Class::Alone, ANSWER_BYTES_MAX - 1));
        assert!(!pipeline.may_start(Class::Alone, ANSWER_BYTES_MAX));
    }
}
