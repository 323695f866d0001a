//! Records in and out: our own builder, Kafka's writers, another crate's; and bytes that are no records.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as other;
use proptest::prelude::*;

use super::super::hand::{Hand, NOW, altered, batch, good, record, rules, seal};
use super::super::{BatchBuilder, ProducerFields, TargetCompression, check, crc_matches, walk};
use super::*;
use crate::batch::CheckRules;

const LIMIT: usize = 64 << 20;

/// A record with nothing borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn read_all(batch: &[u8]) -> Vec<Owned> {
    let base = BatchHeader::read(batch).unwrap().base_offset;
    let mut out = Vec::new();
    for_each_record(batch, LIMIT, |record| {
        assert_eq!(record.offset.as_i64(), base + out.len() as i64);
        out.push(Owned {
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        });
        ControlFlow::Continue(())
    })
    .unwrap();
    out
}

fn build(codec: Codec, records: &[Owned]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(name, value)| (std::str::from_utf8(name).unwrap(), value.as_deref()))
            .collect();
        builder.push(Timestamp(record.timestamp), record.key.as_deref(), record.value.as_deref(), &headers);
    }
    builder.build(ProducerFields::NONE).unwrap()
}

/// What Kafka 4.3.1 stored for four records under `compression.type` gzip, snappy, lz4, zstd: its own writers' bytes.
const BY_KAFKA: [(Codec, &str); 4] = [
    (
        Codec::Gzip,
        "00000000000000000000008100000000025ac9df610001000000030000018bcfe568000000018bcfe56807ffffffffffffffffffffffff\
         ffff000000041f8b08000000000000ff6b6262606060c936f8c0589698539aaa407f928187818f89910148b1b23030322c6262e06263c9\
         361e3807b170e425e6a67294a4569470e4e5e7a5320200aaf367e124010000",
    ),
    (
        Codec::Snappy,
        "00000000000000000000008e0000000002268af8ae0002000000030000018bcfe568000000018bcfe56807ffffffffffffffffffffffff\
         ffff0000000482534e4150505900000000010000000100000049a4023c8202000000046b30f00176616c756520fe0600c6060058000c00\
         0e020100000c000504000100a202000a06046b33fe9100e691004004086e616d650874657874086e6f6e6501",
    ),
    (
        Codec::Lz4,
        "00000000000000000000008400000000027e64d3390003000000030000018bcfe568000000018bcfe56807ffffffffffffffffffffffff\
         ffff0000000404224d1860408244000000ff018202000000046b30f00176616c75652006005fff08000c000e020100000c000504000100\
         a202000a06046b33910067f00204086e616d650874657874086e6f6e650100000000",
    ),
    (
        Codec::Zstd,
        "00000000000000000000008000000000024db09d6d0004000000030000018bcfe568000000018bcfe56807ffffffffffffffffffffffff\
         ffff0000000428b52ffd00581c020084038202000000046b30f00176616c756520000c000e020100000c000504000100a202000a06046b\
         3304086e616d650874657874086e6f6e650102002fc5a4cd4b5a96010000",
    ),
];

fn four() -> Vec<Owned> {
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let long = b"value ".repeat(20);
    let owned = |delta, key, value| Owned { timestamp: NOW + delta, key, value, headers: Vec::new() };
    let headers = vec![(b"name".to_vec(), some(b"text")), (b"none".to_vec(), None)];
    vec![
        owned(0, some(b"k0"), some(&long)),
        owned(7, None, some(b"")),
        owned(-3, some(b""), None),
        Owned { headers, ..owned(5, some(b"k3"), some(&long)) },
    ]
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

#[test]
fn batches_that_kafka_wrote_are_read_and_taken() {
    for (codec, hex) in BY_KAFKA {
        let bytes = Bytes::from(unhex(hex));
        assert!(crc_matches(&bytes));
        assert_eq!(read_all(&bytes), four());
        let checked = check(&bytes, &rules()).unwrap();
        assert_eq!((checked.header().codec(), checked.bytes().as_ptr()), (Ok(codec), bytes.as_ptr()));
        let compression = TargetCompression::Codec(Codec::None, None);
        let plain = check(&bytes, &CheckRules { compression, ..rules() }).unwrap();
        assert_eq!(plain.bytes()[16..], build(Codec::None, &four())[16..], "all but the leader epoch");
    }
}

#[test]
fn batches_go_to_and_come_from_another_implementation() {
    for (codec, compression) in Codec::ALL.into_iter().zip([
        other::Compression::None,
        other::Compression::Gzip,
        other::Compression::Snappy,
        other::Compression::Lz4,
        other::Compression::Zstd,
    ]) {
        let set = other::RecordBatchDecoder::decode(&mut build(codec, &four())).unwrap();
        let theirs: Vec<_> = set.records.iter().map(from_other).collect();
        assert_eq!((set.compression, theirs), (compression, four()));

        let records: Vec<_> =
            four().iter().zip(0..).map(|(record, offset)| to_other(record, offset)).collect();
        let mut encoded = BytesMut::new();
        let options = other::RecordEncodeOptions { version: 2, compression };
        other::RecordBatchEncoder::encode(&mut encoded, &records, &options).unwrap();
        let encoded = encoded.freeze();
        let outcome = check(&encoded, &rules());
        assert_eq!(read_all(outcome.unwrap().bytes()), four(), "{codec:?}");
    }
}

fn from_other(record: &other::Record) -> Owned {
    let headers = record.headers.iter();
    Owned {
        timestamp: record.timestamp,
        key: record.key.as_deref().map(<[u8]>::to_vec),
        value: record.value.as_deref().map(<[u8]>::to_vec),
        headers: headers
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_deref().map(<[u8]>::to_vec)))
            .collect(),
    }
}

fn to_other(record: &Owned, offset: i64) -> other::Record {
    let bytes = |field: &Option<Vec<u8>>| field.clone().map(Bytes::from);
    let mut headers = IndexMap::new();
    for (name, value) in &record.headers {
        headers.insert(StrBytes::from_string(String::from_utf8(name.clone()).unwrap()), bytes(value));
    }
    other::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: other::TimestampType::Creation,
        offset,
        sequence: offset as i32, // one batch, to that crate, is a run of sequences
        timestamp: record.timestamp,
        key: bytes(&record.key),
        value: bytes(&record.value),
        headers,
    }
}

#[test]
fn times_are_found_inside_batches_of_every_codec() {
    let at = |delta, timestamp_delta| Hand { timestamp_delta, ..record(delta) };
    for codec in Codec::ALL {
        let records = [at(0, 0), at(1, 20), at(2, 10), at(3, 20)];
        let bytes = altered(&batch(codec, &records), |header| {
            (header.base_offset, header.max_timestamp) = (100, NOW + 20);
        });
        let find = |delta| find_timestamp(&bytes, Timestamp(NOW + delta), Offset::ZERO, LIMIT).unwrap();
        assert_eq!(find(-5), Some((Offset::new(100), Timestamp(NOW))));
        assert_eq!(find(1), Some((Offset::new(101), Timestamp(NOW + 20))));
        assert_eq!(find(21), None);
        let from = |start| find_timestamp(&bytes, Timestamp(NOW), Offset::new(start), LIMIT).unwrap();
        assert_eq!(from(102), Some((Offset::new(102), Timestamp(NOW + 10))));
        assert_eq!(from(104), None, "the log starts behind this batch");
        let latest = Some((Offset::new(101), Timestamp(NOW + 20)));
        assert_eq!(find_max_timestamp(&bytes, LIMIT).unwrap(), latest);
        let appended =
            altered(&bytes, |header| (header.attributes, header.max_timestamp) = (header.attributes | 8, 5));
        assert_eq!(find_max_timestamp(&appended, LIMIT).unwrap(), Some((Offset::new(100), Timestamp(5))));
        assert_eq!(find_timestamp(&appended, Timestamp(6), Offset::ZERO, LIMIT).unwrap(), None);
    }
}

#[test]
fn a_walk_goes_from_batch_to_batch_and_stops_at_the_first_that_is_none() {
    let placed = |base| altered(&good(Codec::Lz4), |header| header.base_offset = base);
    let mut log = [placed(0), placed(3), placed(9)].concat();
    let size = log.len() / 3;
    let found: Vec<_> =
        walk(&log).map(|step| step.map(|(at, header)| (at, header.base_offset)).unwrap()).collect();
    assert_eq!(found, [(0, 0), (size, 3), (2 * size, 9)]);
    let mut steps = walk(&log[..3 * size - 1]);
    assert_eq!(steps.by_ref().take(2).flatten().count(), 2);
    assert_eq!(steps.next(), Some(Err(BatchError::Truncated { bytes: size - 1 })));
    assert_eq!((steps.position(), steps.next()), (2 * size, None));
    log[size + 16] = 1;
    assert!(walk(&log).any(|step| step.is_err()));
    for hostile in [placed(-1), placed(i64::MAX), altered(&placed(0), |header| header.last_offset_delta = -1)]
    {
        assert!(matches!(walk(&hostile).next(), Some(Err(BatchError::Corrupt { .. }))));
    }
}

#[test]
fn a_visitor_may_stop_and_what_follows_is_not_looked_at() {
    for codec in Codec::ALL {
        let records = [record(0), record(1), Hand { length: Some(3), ..record(2) }];
        let bytes = batch(codec, &records);
        let mut seen = 0;
        let visit = |_: Record<'_>| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert_eq!(for_each_record(&bytes, LIMIT, visit), Ok(()));
        let whole = for_each_record(&bytes, LIMIT, |_| ControlFlow::Continue(()));
        assert!(matches!(whole, Err(BatchError::Invalid { .. })));
        assert!(matches!(
            for_each_record(&bytes[..bytes.len() - 1], LIMIT, |_| ControlFlow::Continue(())),
            Err(BatchError::Truncated { .. })
        ));
    }
}

fn some_record() -> impl Strategy<Value = Owned> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    let headers = prop::collection::vec(("[a-zé]{0,5}", bytes()), 0..4);
    (0..3_000_000i64, bytes(), bytes(), headers).prop_map(|(ago, key, value, headers)| Owned {
        timestamp: NOW - ago,
        key,
        value,
        headers: headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
    })
}

fn some_codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn records_survive_building_checking_and_any_recompression(
        records in prop::collection::vec(some_record(), 1..40), source in some_codec(), target in some_codec(),
    ) {
        let bytes = build(source, &records);
        let checked = check(&bytes, &rules()).unwrap();
        prop_assert_eq!(checked.bytes().as_ptr(), bytes.as_ptr());
        prop_assert_eq!(checked.header(), &BatchHeader::read(&bytes).unwrap(), "nothing to correct");
        let latest = records.iter().map(|record| record.timestamp).max().unwrap();
        let place = records.iter().position(|record| record.timestamp == latest).unwrap();
        prop_assert_eq!((checked.max_timestamp().0, checked.max_timestamp_delta() as usize), (latest, place));
        prop_assert_eq!(find_max_timestamp(&bytes, LIMIT).unwrap(), Some((Offset::new(place as i64), Timestamp(latest))));
        let compression = TargetCompression::Codec(target, None);
        let checked = check(&bytes, &CheckRules { compression, ..rules() }).unwrap();
        prop_assert_eq!(checked.header().codec().unwrap(), target);
        prop_assert!(crc_matches(checked.bytes()));
        prop_assert_eq!(read_all(checked.bytes()), records);
    }

    #[test]
    fn no_change_of_bytes_panics_or_passes_the_checksum(
        records in prop::collection::vec(some_record(), 1..10), codec in some_codec(),
        at in any::<prop::sample::Index>(), change in 1..=255u8, cut in any::<prop::sample::Index>(),
    ) {
        let bytes = build(codec, &records);
        let mut changed = bytes.to_vec();
        let at = at.index(changed.len());
        changed[at] ^= change;
        let outcome = check(&changed.clone().into(), &rules());
        prop_assert!(outcome.is_err() || (12..16).contains(&at), "only the leader epoch is nobody's business");
        // With the checksum made right the change reaches the readers behind it. What is taken must be readable.
        if let Ok(header) = BatchHeader::read(&changed) {
            for packed in [&changed[HEADER_BYTES..], &changed[HEADER_BYTES..HEADER_BYTES + cut.index(changed.len() - HEADER_BYTES)]] {
                let resealed = seal(BatchHeader { base_offset: 0, ..header }, packed);
                let limit = CheckRules { unpacked_bytes_max: 1 << 20, timestamp_after_max_ms: i64::MAX, ..rules() };
                let readable = for_each_record(&resealed, 1 << 20, |_| ControlFlow::Continue(()));
                match check(&resealed, &limit) {
                    Ok(_) => prop_assert_eq!(readable, Ok(())),
                    Err(_) => drop(readable),
                }
                let _ = find_timestamp(&resealed, Timestamp(NOW), Offset::ZERO, 1 << 20);
            }
        }
        let _ = walk(&changed).count();
    }

    #[test]
    fn arbitrary_bytes_behind_a_right_checksum_never_panic(
        packed in prop::collection::vec(any::<u8>(), 0..300), codec in some_codec(), count in 1..20i32, magic in any::<bool>(),
    ) {
        let mut packed = packed;
        if magic {
            let head: &[u8] = match codec {
                Codec::None => b"\x10\0\0\0",
                Codec::Gzip => b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
                Codec::Snappy => b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x20",
                Codec::Lz4 => b"\x04\x22\x4d\x18\x60\x40\x82\x20\0\0\0",
                Codec::Zstd => b"\x28\xb5\x2f\xfd\0\x58",
            };
            packed.splice(0..0, head.iter().copied());
        }
        let bytes = super::super::hand::batch_of(codec, count, &packed);
        if check(&bytes, &rules()).is_ok() {
            prop_assert_eq!(read_all(&bytes).len(), count as usize);
        }
    }
}
