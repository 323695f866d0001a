//! The table of versions against the messages, and against what clients need.

use super::each_api;
use crate::wire::{ApiKey, Message, versions};

macro_rules! check_tables {
    ($($api:ident $request:ident $response:ident,)*) => { $(
        let key = ApiKey::$api;
        assert_eq!(format!("{}Request", key.name()), $request::NAME);
        assert_eq!(format!("{}Response", key.name()), $response::NAME);
        assert_eq!($request::VERSIONS, $response::VERSIONS, "{key}");
        assert_eq!($request::FLEXIBLE_SINCE, key.flexible_since(), "{key}");
        assert_eq!($response::FLEXIBLE_SINCE, key.flexible_since(), "{key}");
        if let Some(served) = key.served() {
            assert_eq!(served, $request::VERSIONS, "{key}: every version with a codec is served");
        }
    )* };
}

#[test]
fn what_is_served_can_be_read_and_answered() {
    use crate::wire::{fetch::*, messages::*};
    each_api!(check_tables);
}

#[test]
fn kinds_and_numbers_agree() {
    for key in ApiKey::ALL {
        assert_eq!(ApiKey::from_i16(key.code()), Some(*key));
    }
    assert_eq!(ApiKey::from_i16(-1), None);
    assert_eq!(ApiKey::from_i16(7), None);
}

#[test]
fn clients_are_told_what_is_served_and_produce_from_0() {
    let listed: Vec<_> = versions::api_versions()
        .api_keys
        .into_iter()
        .map(|version| (version.api_key, version.min_version, version.max_version))
        .collect();
    let expected = [
        (0, 0, 13),
        (1, 4, 18),
        (2, 0, 11),
        (3, 0, 13),
        (8, 1, 10),
        (9, 1, 10),
        (10, 0, 6),
        (11, 0, 9),
        (12, 0, 4),
        (13, 0, 5),
        (14, 0, 5),
        (18, 0, 4),
        (19, 0, 7),
        (20, 0, 6),
        (21, 0, 2),
        (22, 0, 5),
        (23, 2, 4),
        (32, 0, 4),
        (33, 0, 2),
        (35, 1, 5),
        (37, 0, 3),
        (44, 0, 1),
        (46, 0, 0),
        (60, 0, 2),
    ];
    assert_eq!(listed, expected);
    assert!(!ApiKey::Produce.is_served(2)); // listed for librdkafka's sake; Kafka 4.3.1 closes the connection
    assert!(ApiKey::Produce.is_served(3));
    assert!(!ApiKey::DescribeGroups.is_served(0)); // has a codec, no answer yet
}
