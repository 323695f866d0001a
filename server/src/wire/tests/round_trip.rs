//! What is written is read back the same, in every version of every message.

use super::probe::Probe;
use super::{call_for_both, decoded, each_api, each_message, encoded};
use crate::wire::messages::{
    JoinGroupResponse, LeaveGroupRequest, MetadataRequest, MetadataRequestTopic, OffsetFetchRequest,
};
use crate::wire::{Encode, ErrorCode, Message, Reader, form};
use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::fmt::Debug;

const SAMPLES: u64 = 25;

fn samples<M: Message + Probe>(mut each: impl FnMut(i16, M)) {
    for version in M::VERSIONS {
        for seed in 0..SAMPLES {
            let mut random = StdRng::seed_from_u64(seed);
            each(version, M::sample(&mut random, form::<M>(version)));
        }
    }
}

fn survives_the_way<M: Message + Probe + PartialEq + Debug>() {
    samples::<M>(|version, message| {
        let bytes = encoded(&message, version);
        assert_eq!(
            bytes.len(),
            message.encoded_bytes(version),
            "{} v{version} was measured wrongly",
            M::NAME
        );
        assert_eq!(decoded::<M>(&bytes, version).as_ref(), Ok(&message), "{} v{version}", M::NAME);
    });
}

#[test]
fn every_message_survives_the_way_over_the_wire_in_every_version() {
    each_message!(survives_the_way);
}

fn needs_all_its_bytes<M: Message + Probe>() {
    samples::<M>(|version, message| {
        let bytes = encoded(&message, version);
        for end in 0..bytes.len() {
            let result = M::read(&mut Reader::new(bytes.slice(..end)), form::<M>(version));
            assert!(result.is_err(), "{} v{version} was read from {end} of {} B", M::NAME, bytes.len());
        }
    });
}

#[test]
fn a_message_that_ends_early_is_an_error_wherever_it_ends() {
    each_message!(needs_all_its_bytes);
}

fn skips_unknown_tagged_fields<M: Message + Probe + PartialEq + Debug + Default>() {
    for version in M::VERSIONS.filter(|version| *version >= M::FLEXIBLE_SINCE) {
        let plain = encoded(&M::default(), version);
        let (count, body) = plain.split_last().expect("a flexible message ends with its tagged fields");
        assert_eq!(*count, 0, "{} v{version}: defaults are not written", M::NAME);
        let longer = [body, &[2, 90, 3, 1, 2, 3, 0xff, 1, 0]].concat(); // field 90 with 3 bytes, field 255 with none
        assert_eq!(decoded::<M>(&Bytes::from(longer), version), Ok(M::default()), "{} v{version}", M::NAME);
    }
}

#[test]
fn tagged_fields_that_are_not_known_are_skipped() {
    each_message!(skips_unknown_tagged_fields);
}

#[test]
fn what_a_version_has_no_field_for_is_left_out() {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("iis_log".into()), ..Default::default() }]),
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    assert_eq!(&encoded(&request, 1)[..], b"\0\0\0\x01\0\x07iis_log");
    assert_eq!(&encoded(&request, 4)[..], b"\0\0\0\x01\0\x07iis_log\0");
    let leave = LeaveGroupRequest { member_id: "m".into(), ..Default::default() };
    assert_eq!(decoded(&encoded(&leave, 3), 3), Ok(LeaveGroupRequest::default()));
}

#[test]
fn null_where_a_version_has_none_is_written_as_empty() {
    let everything = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(&encoded(&everything, 0)[..], [0, 0, 0, 0]);
    assert_eq!(&encoded(&everything, 1)[..], [0xff; 4]);
    let all_topics = OffsetFetchRequest { group_id: "g".into(), topics: None, ..Default::default() };
    assert_eq!(&encoded(&all_topics, 1)[..], b"\0\x01g\0\0\0\0");
    let joined = JoinGroupResponse { protocol_name: None, ..Default::default() };
    assert_eq!(
        decoded::<JoinGroupResponse>(&encoded(&joined, 6), 6).unwrap().protocol_name,
        Some(String::new())
    );
    assert_eq!(decoded::<JoinGroupResponse>(&encoded(&joined, 7), 7).unwrap().protocol_name, None);
}

#[test]
fn text_beyond_the_protocols_limit_ends_on_a_whole_character() {
    let message = "ä".repeat(20_000);
    let request = LeaveGroupRequest { group_id: message, ..Default::default() };
    for version in [0, 5] {
        let bytes = encoded(&request, version);
        assert_eq!(bytes.len(), request.encoded_bytes(version));
        let read: LeaveGroupRequest = decoded(&bytes, version).unwrap();
        assert_eq!(read.group_id, "ä".repeat(16_383));
    }
}

#[test]
fn error_numbers_and_names_agree() {
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_i16(code.code()), Some(*code));
    }
    assert_eq!(ErrorCode::from_i16(-2), None);
    assert_eq!(ErrorCode::ALL.len(), 135); // -1 to 133
    assert_eq!(ErrorCode::UnknownTopicOrPartition as i16, 3);
    assert_eq!(ErrorCode::InvalidRecord.to_string(), "InvalidRecord (87)");
}
