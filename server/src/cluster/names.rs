//! What a topic may be called.

/// Characters of the longest name: with `-`, a partition and room for a suffix it is still a directory's name.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Groups and their offsets.
pub(super) const INTERNAL_OFFSETS: &str = "__consumer_offsets";

/// Topics that the broker itself writes.
const INTERNAL: [&str; 3] = [INTERNAL_OFFSETS, "__transaction_state", "__share_group_state"];

/// Why a name cannot be a topic's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No characters at all.
    #[error("Topic name is invalid: the empty string is not allowed")]
    Empty,
    /// `.` and `..` are directories.
    #[error("Topic name is invalid: '{name}' is not allowed")]
    Dots {
        /// The name.
        name: String,
    },
    /// Too long for a directory.
    #[error(
        "Topic name is invalid: the length of '{name}' is longer than the max allowed length {TOPIC_NAME_CHARS_MAX}"
    )]
    TooLong {
        /// The name.
        name: String,
    },
    /// A character outside of Kafka's set.
    #[error(
        "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
    )]
    Characters {
        /// The name.
        name: String,
    },
}

/// Checks a topic's name as Kafka does.
///
/// # Errors
/// `NameError`; its text is Kafka's.
pub fn validate_name(name: &str) -> Result<(), NameError> {
    let name_owned = || name.to_owned();
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Dots { name: name_owned() });
    }
    if name.chars().count() > TOPIC_NAME_CHARS_MAX {
        return Err(NameError::TooLong { name: name_owned() });
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.bytes().all(is_legal) {
        return Err(NameError::Characters { name: name_owned() });
    }
    Ok(())
}

/// Names with the same key collide: metrics spell `.` as `_`, so that two such topics would be one there.
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

/// The broker's own topics; clients may read but not produce to them.
pub fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kafka_takes() {
        let longest = "x".repeat(TOPIC_NAME_CHARS_MAX);
        for good in ["a", "A-z_0.9", "...", "__consumer_offsets", &longest] {
            assert_eq!(validate_name(good), Ok(()), "{good}");
        }
        let too_long = "x".repeat(TOPIC_NAME_CHARS_MAX + 1);
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\0", "a\n", &too_long] {
            assert!(validate_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        assert_eq!(collision_key("a.b_c"), collision_key("a_b.c"));
        assert_ne!(collision_key("a.b"), collision_key("a-b"));
    }
}
