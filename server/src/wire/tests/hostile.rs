//! Bytes that lie: counts, lengths and numbers beyond what is there.

use super::{call_for_both, decoded, each_api, each_message};
use crate::wire::field::{Field, Form};
use crate::wire::header::RequestHeader;
use crate::wire::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FindCoordinatorRequest, HeartbeatRequest, MetadataRequest,
};
use crate::wire::produce::ProduceRequest;
use crate::wire::reader::{DECODED_BYTES_MAX, DECODED_BYTES_MIN, DECODED_PER_FRAME_BYTE};
use crate::wire::{ApiKey, Decode, Message, Reader, WireError, form};
use bytes::Bytes;
use proptest::prelude::{any, proptest};

fn metadata(bytes: &'static [u8], version: i16) -> Result<MetadataRequest, WireError> {
    decoded(&Bytes::from_static(bytes), version)
}

#[test]
fn a_count_beyond_the_bytes_left_is_refused_before_anything_is_allocated() {
    for count in [2, 1000, i32::MAX, -2, i32::MIN] {
        let bytes = [&count.to_be_bytes()[..], b"\0\x01a"].concat();
        let result = decoded::<MetadataRequest>(&Bytes::from(bytes), 1);
        let expected = i64::from(count);
        assert!(
            matches!(result, Err(WireError::Count { count, position: 4, .. }) if count == expected),
            "{result:?}"
        );
    }
    // Compact: 2^32 - 2 topics.
    let result = metadata(&[0xff, 0xff, 0xff, 0xff, 0x0f], 9);
    assert!(matches!(result, Err(WireError::Count { count: 4_294_967_294, .. })), "{result:?}");
}

#[test]
fn a_length_beyond_the_bytes_left_is_refused() {
    assert!(matches!(metadata(b"\0\0\0\x01\0\x09abc", 1), Err(WireError::Truncated { needed_bytes: 9, .. })));
    assert!(matches!(metadata(b"\0\0\0\x01\xff\xfeabc", 1), Err(WireError::Length { length: -2, .. })));
    let produce = b"\xff\xff\0\x01\0\0\0\x05\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\x7f\xff\xff\xffrecords";
    let result = decoded::<ProduceRequest>(&Bytes::from_static(produce), 3);
    assert!(matches!(result, Err(WireError::Truncated { needed_bytes: 0x7fff_ffff, .. })), "{result:?}");
}

#[test]
fn a_text_longer_than_the_protocol_allows_is_refused_in_flexible_versions_too() {
    let mut bytes = vec![0x81, 0x80, 0x02]; // compact length of 32768
    bytes.resize(40_000, b'a');
    let result = decoded::<HeartbeatRequest>(&bytes.into(), 4);
    assert!(matches!(result, Err(WireError::Length { length: 32_768, .. })), "{result:?}");
}

#[test]
fn a_number_beyond_32_bits_is_refused() {
    for bytes in [[0xff, 0xff, 0xff, 0xff, 0x1f], [0x80, 0x80, 0x80, 0x80, 0x80]] {
        let result = decoded::<MetadataRequest>(&Bytes::from(bytes.to_vec()), 9);
        assert!(matches!(result, Err(WireError::Varint { position: 5, .. })), "{result:?}");
    }
}

#[test]
fn null_where_a_version_has_none_is_refused() {
    assert!(matches!(metadata(&[0xff; 4], 0), Err(WireError::Null { field: "MetadataRequest.topics", .. })));
    assert!(metadata(&[0xff; 4], 1).unwrap().topics.is_none());
    assert!(matches!(metadata(b"\0\0\0\x01\xff\xff", 1), Err(WireError::Null { position: 6, .. })));
}

#[test]
fn text_in_another_encoding_is_read_as_kafka_reads_it() {
    // Kafka 4.3.1 answers this with INVALID_TOPIC for the topic U+FFFD U+FFFD.
    let request = metadata(b"\0\0\0\x01\0\x02\xff\xfe", 1).unwrap();
    assert_eq!(request.topics.unwrap()[0].name.as_deref(), Some("\u{fffd}\u{fffd}"));
}

#[test]
fn a_tagged_field_must_be_as_long_as_it_says() {
    // cluster_id of a fetch: tag 0, announced with 4 bytes, its text ends after 2.
    let mut reader = Reader::new(Bytes::from_static(&[1, 0, 4, 2, b'c', 0, 0]));
    let result = reader.tagged_fields(|reader, _| {
        Option::<String>::read(reader, Form { version: 12, flexible: true, nullable: true }).map(|_| true)
    });
    assert_eq!(result, Err(WireError::TaggedField { tag: 0, position: 5, end: 7 }));
    // Its text may not reach beyond the field either, though the frame goes on.
    let mut reader = Reader::new(Bytes::from_static(&[1, 0, 2, 9, b'c', 0, 0, 0, 0, 0, 0, 0]));
    let result = reader.tagged_fields(|reader, _| {
        Option::<String>::read(reader, Form { version: 12, flexible: true, nullable: true }).map(|_| true)
    });
    assert!(
        matches!(result, Err(WireError::Truncated { needed_bytes: 8, remaining_bytes: 1, .. })),
        "{result:?}"
    );
    // More fields than bytes.
    assert!(matches!(metadata(&[0, 0, 0, 0, 0x7f, 0, 0], 9), Err(WireError::Count { count: 127, .. })));
}

fn refuses_other_versions<M: Message + Field>() {
    for version in [M::VERSIONS.start() - 1, M::VERSIONS.end() + 1, i16::MAX, i16::MIN] {
        let result = M::decode(&mut Reader::new(Bytes::from_static(&[0; 64])), version).map(|_| ());
        assert_eq!(result, Err(WireError::UnsupportedVersion { message: M::NAME, version }));
    }
}

#[test]
fn a_version_that_a_message_does_not_have_is_refused() {
    each_message!(refuses_other_versions);
}

/// 24 bytes of memory for one byte of an empty name: the worst there is.
fn names_without_letters(frame_bytes: usize) -> Bytes {
    let mut bytes = vec![0; 5]; // key type, and a count of four bytes
    let count = (frame_bytes - 6) as u32;
    for (at, byte) in bytes[1..].iter_mut().enumerate() {
        *byte = ((count + 1) >> (7 * at)) as u8 & 0x7f | if at < 3 { 0x80 } else { 0 };
    }
    bytes.resize(frame_bytes - 1, 1);
    bytes.push(0);
    bytes.into()
}

#[test]
fn a_frame_unfolds_to_no_more_than_its_allowance() {
    let small = decoded::<FindCoordinatorRequest>(&names_without_letters(2_000), 4).unwrap();
    assert_eq!(small.coordinator_keys.len(), 1_994);
    let frame_bytes = 1 << 20;
    let result = decoded::<FindCoordinatorRequest>(&names_without_letters(frame_bytes), 4);
    let allowance = frame_bytes * DECODED_PER_FRAME_BYTE + DECODED_BYTES_MIN;
    assert!(allowance < DECODED_BYTES_MAX);
    assert!(
        matches!(result, Err(WireError::Memory { allowed_bytes, .. }) if allowed_bytes == allowance),
        "{result:?}"
    );
    // What a caller can spare may be less.
    let mut reader = Reader::with_memory(names_without_letters(2_000), 1_000);
    assert!(matches!(FindCoordinatorRequest::decode(&mut reader, 4), Err(WireError::Memory { .. })));
}

#[test]
fn honest_requests_stay_well_within_the_allowance() {
    // A hundred thousand topics with names of three letters, the shortest that anyone would have so many of.
    let count = 100_000_i32;
    let mut bytes = count.to_be_bytes().to_vec();
    for topic in 0..count {
        bytes.extend([0, 3, b'a' + (topic % 26) as u8, b'b', b'c']);
    }
    let everything = decoded::<MetadataRequest>(&Bytes::from(bytes.clone()), 1).unwrap();
    assert_eq!(everything.topics.unwrap().len(), 100_000);
    bytes.extend([0, 0, 0, 9]);
    assert_eq!(decoded::<DeleteTopicsRequest>(&bytes.into(), 1).unwrap().topic_names.len(), 100_000);
}

#[test]
fn an_array_reserves_no_more_than_it_fills() {
    let bytes = Bytes::from_static(b"\0\0\0\x02\0\x01a\0\x01b");
    let request = decoded::<MetadataRequest>(&bytes, 1).unwrap();
    assert_eq!(request.topics.unwrap().capacity(), 2);
}

#[test]
fn record_bytes_are_slices_of_the_frame() {
    let frame =
        Bytes::from(b"\xff\xff\0\x01\0\0\0\x05\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\0\0\0\x07records".to_vec());
    let request = decoded::<ProduceRequest>(&frame, 3).unwrap();
    let records = request.topic_data[0].partition_data[0].records.clone().unwrap();
    assert_eq!(&records[..], b"records");
    assert_eq!(records.as_ptr(), frame[frame.len() - 7..].as_ptr());
}

fn survives_any_bytes(bytes: &Bytes) {
    fn try_all<M: Message + Field>(bytes: &Bytes) {
        for version in M::VERSIONS {
            let _ = M::read(&mut Reader::new(bytes.clone()), form::<M>(version));
        }
    }
    macro_rules! each {
        ($($api:ident $request:ident $response:ident,)*) => {
            $( try_all::<$request>(bytes); try_all::<$response>(bytes); )*
        };
    }
    use crate::wire::{fetch::*, messages::*};
    each_api!(each);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives_any_bytes(&bytes.into());
    }

    #[test]
    fn no_small_numbers_make_a_decoder_panic(bytes in proptest::collection::vec(0_u8..4, 0..120)) {
        survives_any_bytes(&bytes.into());
    }
}

#[test]
fn a_header_names_what_is_wrong_with_it() {
    let decode = |bytes: &'static [u8]| RequestHeader::read(&mut Reader::new(Bytes::from_static(bytes)));
    assert_eq!(decode(b"\0\xc8\0\0\0\0\0\x07\xff\xff"), Err(WireError::UnknownApi { key: 200 }));
    assert!(matches!(decode(b"\0\x03\0\x01\0\0"), Err(WireError::Truncated { .. })));
    assert!(matches!(decode(b"\0\x03\0\x09\0\0\0\x07\0\x01c"), Err(WireError::Truncated { .. }))); // no tagged fields
    let header = decode(b"\0\x12\x7f\xff\0\0\0\x07\0\x01c\0").unwrap(); // ApiVersions in a version to come
    assert_eq!((header.api_key, header.api_version), (ApiKey::ApiVersions, i16::MAX));
    assert_eq!((header.correlation_id, header.client_id.as_deref()), (7, Some("c")));
}

#[test]
fn a_decoded_request_needs_no_more_than_its_own_bytes() {
    let body = Bytes::from_static(b"\0\0\0\0\0\0\x03\xe8\0behind");
    let mut reader = Reader::new(body);
    CreateTopicsRequest::decode(&mut reader, 1).unwrap();
    assert_eq!(reader.remaining_bytes(), 6); // like Kafka, what follows is left alone
}
