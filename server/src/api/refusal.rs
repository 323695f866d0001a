//! An error code with the text that a client's user reads.

use super::codes;
use crate::cluster::{AddPartitionsError, CreateTopicError, DeleteTopicError};
use crate::config::ConfigError;
use crate::wire::ErrorCode;

/// Why a part of a request was refused. An empty text is none: the client then says what the code means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// What is asked is not what the API means.
    pub(super) fn request(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, text)
    }

    /// A configuration that is not valid.
    pub(super) fn config(text: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidConfig, text)
    }

    /// Kafka, too, leaves the words to the client.
    pub(super) fn bare(code: ErrorCode) -> Self {
        Self::new(code, "")
    }

    /// Code and text as answers carry them; no text without an error.
    pub(super) fn parts(refused: Option<Self>) -> (ErrorCode, Option<String>) {
        let text = |text: String| (!text.is_empty()).then_some(text);
        refused.map_or((ErrorCode::None, None), |refusal| (refusal.code, text(refusal.text)))
    }
}

impl From<CreateTopicError> for Refusal {
    fn from(error: CreateTopicError) -> Self {
        Self::new(codes::of_create(&error), error.to_string())
    }
}

impl From<DeleteTopicError> for Refusal {
    fn from(error: DeleteTopicError) -> Self {
        Self::new(codes::of_delete(&error), error.to_string())
    }
}

impl From<AddPartitionsError> for Refusal {
    fn from(error: AddPartitionsError) -> Self {
        if error == AddPartitionsError::Unknown {
            return Self::bare(codes::of_add_partitions(&error));
        }
        Self::new(codes::of_add_partitions(&error), error.to_string())
    }
}

impl From<ConfigError> for Refusal {
    /// In the words that Kafka has for a topic's configuration.
    fn from(error: ConfigError) -> Self {
        Self::config(match error {
            ConfigError::Unknown { key, .. } | ConfigError::UnknownTopicKey { key } => {
                format!("Unknown topic config name: {key}")
            }
            ConfigError::Value { key, value, reason } => {
                format!("Invalid value {value} for configuration {key}: {reason}")
            }
            ConfigError::File { .. } => error.to_string(),
        })
    }
}
