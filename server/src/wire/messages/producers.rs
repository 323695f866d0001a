//! `InitProducerId`: identities for idempotent and transactional producers.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Asks for a producer id, or to raise the epoch of one (v3 and later, KIP-360).
    message InitProducerIdRequest (0..=5, flexible 2) {
        transactional_id: Option<String> [0..; null 0..] = Some(String::new()),
        transaction_timeout_ms: i32 [0..],
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
    }

    /// A producer id and its epoch.
    message InitProducerIdResponse (0..=5, flexible 2) {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        producer_id: i64 [0..] = -1,
        producer_epoch: i16 [0..],
    }
}
