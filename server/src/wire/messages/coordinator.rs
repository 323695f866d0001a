//! `FindCoordinator`: which broker hosts a group or a transactional id.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Asks who coordinates: one key up to v3, several from v4. `key_type`: 0 group, 1 transaction, 2 share.
    message FindCoordinatorRequest (0..=6, flexible 3) {
        key: String [0..=3],
        key_type: i8 [1..],
        coordinator_keys: Vec<String> [4..],
    }

    /// Who coordinates: one up to v3, several from v4.
    message FindCoordinatorResponse (0..=6, flexible 3) {
        throttle_time_ms: i32 [1..],
        error_code: ErrorCode [0..=3],
        error_message: Option<String> [1..=3; null 1..] = Some(String::new()),
        node_id: i32 [0..=3],
        host: String [0..=3],
        port: i32 [0..=3],
        coordinators: Vec<Coordinator> [4..],
    }

    /// The coordinator of one key.
    struct Coordinator {
        key: String [4..],
        node_id: i32 [4..],
        host: String [4..],
        port: i32 [4..],
        error_code: ErrorCode [4..],
        error_message: Option<String> [4..; null 4..] = Some(String::new()),
    }
}
