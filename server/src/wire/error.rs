//! What can be wrong with bytes that a client sent, and where.

/// Why bytes are not the message they should be. The sender is at fault; the same bytes fail again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end before the value does.
    #[error("{field}: {needed_bytes} B needed at byte {position}, {remaining_bytes} B are there")]
    Truncated {
        /// The field that was read.
        field: &'static str,
        /// Bytes that the value takes.
        needed_bytes: usize,
        /// Bytes that were left.
        remaining_bytes: usize,
        /// Place in the frame.
        position: usize,
    },
    /// A length below -1, or beyond what the protocol allows.
    #[error("{field}: length {length} before byte {position}")]
    Length {
        /// The field that was read.
        field: &'static str,
        /// What was announced.
        length: i64,
        /// Place in the frame, after the length.
        position: usize,
    },
    /// More elements are announced than the bytes left can hold.
    #[error("{field}: {count} elements announced before byte {position}, {remaining_bytes} B are there")]
    Count {
        /// The field that was read.
        field: &'static str,
        /// What was announced.
        count: i64,
        /// Bytes that were left.
        remaining_bytes: usize,
        /// Place in the frame, after the count.
        position: usize,
    },
    /// Null where this version has no null.
    #[error("{field}: null before byte {position}")]
    Null {
        /// The field that was read.
        field: &'static str,
        /// Place in the frame.
        position: usize,
    },
    /// A variable-length number that does not fit 32 bits.
    #[error("{field}: number before byte {position} passes 32 bits")]
    Varint {
        /// The field that was read.
        field: &'static str,
        /// Place in the frame, after the number.
        position: usize,
    },
    /// An error number that no version of the protocol has.
    #[error("{field}: unknown error number {code} before byte {position}")]
    UnknownErrorCode {
        /// The field that was read.
        field: &'static str,
        /// What was read.
        code: i16,
        /// Place in the frame.
        position: usize,
    },
    /// A tagged field that is shorter than its announced size.
    #[error("tagged field {tag} ends at byte {position}, announced to end at {end}")]
    TaggedField {
        /// Its number.
        tag: u32,
        /// Where its value ended.
        position: usize,
        /// Where it was announced to end.
        end: usize,
    },
    /// What the bytes unfold to in memory passes the reader's allowance.
    #[error(
        "{field}: {needed_bytes} B of memory needed at byte {position}, {allowed_bytes} B left of the allowance"
    )]
    Memory {
        /// The field that was read.
        field: &'static str,
        /// Memory that the value would take.
        needed_bytes: usize,
        /// What was left of the allowance.
        allowed_bytes: usize,
        /// Place in the frame.
        position: usize,
    },
    /// A message that this version does not have.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Which message.
        message: &'static str,
        /// What was asked for.
        version: i16,
    },
    /// A request kind that is not known.
    #[error("unknown API key {key}")]
    UnknownApi {
        /// What was read.
        key: i16,
    },
}
