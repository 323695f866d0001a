//! Batches that Kafka takes, corrects or refuses. What 4.3.1 answered is noted where ours differs or where it surprises.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use super::super::crc_matches;
use super::super::hand::{
    Hand, NOW, PACKING, altered, batch, batch_of, good, packed, plain, record, rules, seal,
};
use super::*;
use crate::units::{LeaderEpoch, Offset};

fn stored(checked: &CheckedBatch) -> Vec<u8> {
    let mut stored = checked.bytes().to_vec();
    stored[..HEADER_BYTES].copy_from_slice(&checked.stamped_header(Offset::new(77), LeaderEpoch(3)));
    stored
}

fn invalid(outcome: &Result<CheckedBatch, BatchError>) -> bool {
    matches!(outcome, Err(BatchError::Invalid { records, .. }) if records.is_empty())
}

#[test]
fn a_sound_batch_is_kept_without_a_copy_in_every_codec() {
    for codec in Codec::ALL {
        let bytes = good(codec);
        for compression in [TargetCompression::Producer, TargetCompression::Codec(codec, Some(1))] {
            let checked = check(&bytes, &CheckRules { compression, ..rules() }).unwrap();
            assert_eq!(checked.bytes().as_ptr(), bytes.as_ptr());
            assert_eq!(checked.batch_bytes(), bytes.len());
            assert_eq!((checked.record_count(), checked.offset_span()), (3, 3));
            assert_eq!((checked.producer_id(), checked.append_time()), (None, Timestamp::NONE));
            let stored = stored(&checked);
            assert_eq!(
                stored[CRC_START - 4..],
                bytes[CRC_START - 4..],
                "checksum and all behind it are the producer's"
            );
            assert!(crc_matches(&stored), "offset and epoch lie outside the checksum");
            let header = BatchHeader::read(&stored).unwrap();
            assert_eq!((header.base_offset, header.partition_leader_epoch), (77, 3));
        }
    }
}

#[test]
fn a_wrong_largest_timestamp_is_corrected_with_its_checksum() {
    let late = Hand { timestamp_delta: 9, ..record(1) };
    let below = Hand { timestamp_delta: -5, ..record(2) };
    for codec in Codec::ALL {
        let bytes = batch(codec, &[record(0), late.clone(), below.clone()]);
        for lie in [NOW, NOW + 50, -1, i64::MAX] {
            let lying = altered(&bytes, |header| header.max_timestamp = lie);
            let checked = check(&lying, &rules()).unwrap();
            assert_eq!((checked.max_timestamp(), checked.max_timestamp_delta()), (Timestamp(NOW + 9), 1));
            assert_eq!(checked.bytes().as_ptr(), lying.as_ptr(), "the records are not copied");
            assert!(crc_matches(&stored(&checked)));
        }
    }
}

#[test]
fn attributes_that_mean_nothing_stay_until_the_header_is_written_anew() {
    // 4.3.1: bits 6, 7, 8 and 15 stored as they came; with a wrong largest timestamp bit 6 stays, the others go.
    for bit in [0x40, 0x80, 0x100, i16::MIN] {
        let kept = check(&altered(&good(Codec::None), |header| header.attributes = bit), &rules()).unwrap();
        assert_eq!(kept.header().attributes, bit);
        let lying =
            altered(&good(Codec::None), |header| (header.attributes, header.max_timestamp) = (bit, 5));
        assert_eq!(check(&lying, &rules()).unwrap().header().attributes, bit & 0x40);
    }
}

#[test]
fn the_append_time_stands_in_the_header_and_takes_no_copy() {
    let append = CheckRules { timestamp_type: TimestampType::LogAppend, ..rules() };
    for codec in Codec::ALL {
        // 4.3.1: the records' own timestamps are not looked at then.
        let bytes = batch(codec, &[Hand { timestamp_delta: 1 << 40, ..record(0) }, record(1)]);
        let checked = check(&bytes, &append).unwrap();
        assert_eq!((checked.append_time(), checked.max_timestamp()), (Timestamp(NOW), Timestamp(NOW)));
        assert_eq!(checked.bytes().as_ptr(), bytes.as_ptr());
        let stored = stored(&checked);
        assert!(crc_matches(&stored));
        let header = BatchHeader::read(&stored).unwrap();
        assert_eq!((header.attributes, header.base_timestamp), (8 | codec.number(), NOW));
    }
}

#[test]
fn a_producer_may_not_claim_append_time_where_it_counts_and_is_corrected_where_not() {
    let claiming = altered(&good(Codec::None), |header| header.attributes = 8);
    let append = CheckRules { timestamp_type: TimestampType::LogAppend, ..rules() };
    let Err(BatchError::Timestamp { records, .. }) = check(&claiming, &append) else { panic!("taken") };
    assert_eq!(records.len(), 3);
    let checked = check(&claiming, &rules()).unwrap(); // 4.3.1: stored with attributes 0
    assert_eq!(checked.header().attributes, 0);
    assert!(crc_matches(&stored(&checked)));
}

#[test]
fn bytes_that_are_no_whole_batch_are_refused_as_kafka_does() {
    let bytes = good(Codec::None);
    for cut in 0..bytes.len() {
        let outcome = check(&bytes.slice(..cut), &rules());
        assert!(invalid(&outcome), "cut at {cut}: {outcome:?}"); // 4.3.1: 87 for every cut
    }
    for length in [i32::MIN, -1, 0, 13, 14, 48] {
        let mut lying = bytes.to_vec();
        lying[8..12].copy_from_slice(&length.to_be_bytes());
        let outcome = check(&lying.into(), &rules());
        assert!(matches!(outcome, Err(BatchError::Corrupt { .. })), "{length}: {outcome:?}"); // 4.3.1: 2
    }
    for (magic, code_is_87) in [(0, true), (1, true), (-1, false), (3, false), (127, false)] {
        let other = altered(&bytes, |header| header.magic = magic);
        let outcome = check(&other, &rules());
        assert_eq!(invalid(&outcome), code_is_87, "{magic}: {outcome:?}");
        assert_eq!(matches!(outcome, Err(BatchError::Corrupt { .. })), !code_is_87); // 4.3.1: 2
    }
    let mut flipped = bytes.to_vec();
    flipped[65] ^= 1;
    assert!(matches!(check(&flipped.into(), &rules()), Err(BatchError::Checksum { .. })));
}

#[test]
fn what_lies_behind_the_batch_is_cut_off_unless_it_could_be_another() {
    let bytes = good(Codec::None);
    let prefix = |length: i32| [&[0; 8][..], &length.to_be_bytes()].concat();
    let taken: [Vec<u8>; 6] = [
        b"abcde".to_vec(),
        vec![0; 11],
        prefix(100),
        [prefix(100), vec![0; 5]].concat(),
        bytes[..50].to_vec(),
        [prefix(14), vec![0; 4]].concat(),
    ];
    for behind in taken {
        let checked = check(&[&bytes[..], &behind].concat().into(), &rules()).unwrap();
        assert_eq!(checked.bytes(), &bytes, "4.3.1 stores the batch and cuts off {behind:?}");
    }
    for behind in [vec![0; 12], vec![0; 16], [prefix(100), vec![0, 0, 0, 0, 9]].concat()] {
        let outcome = check(&[&bytes[..], &behind].concat().into(), &rules());
        assert!(matches!(outcome, Err(BatchError::Corrupt { .. })), "{behind:?}: {outcome:?}"); // 4.3.1: 2
    }
    assert!(invalid(&check(&[&bytes[..], &bytes].concat().into(), &rules())));
}

#[test]
fn a_header_that_does_not_fit_its_records_is_refused() {
    type Change = fn(&mut BatchHeader);
    let refused: [(&str, Change); 14] = [
        ("base offset 5", |header| header.base_offset = 5),
        ("base offset -1", |header| header.base_offset = -1),
        ("fewer counted than there", |header| (header.record_count, header.last_offset_delta) = (2, 1)),
        ("more counted than there", |header| (header.record_count, header.last_offset_delta) = (4, 3)),
        ("count alone", |header| header.record_count = 2),
        ("delta alone", |header| header.last_offset_delta = 5),
        ("none", |header| (header.record_count, header.last_offset_delta) = (0, -1)),
        ("minus one", |header| header.record_count = -1),
        ("most", |header| (header.record_count, header.last_offset_delta) = (i32::MAX, i32::MAX - 1)),
        ("a sum that wraps", |header| (header.record_count, header.last_offset_delta) = (i32::MIN, i32::MAX)),
        ("a control batch", |header| header.attributes |= 0x20),
        ("a producer without sequence", |header| (header.producer_id, header.producer_epoch) = (5, 0)),
        ("a producer without epoch", |header| (header.producer_id, header.base_sequence) = (5, 0)),
        ("no codec", |header| header.attributes |= 7),
    ];
    for codec in Codec::ALL {
        for (what, change) in refused {
            let outcome = check(&altered(&good(codec), change), &rules());
            assert!(invalid(&outcome), "{what} in {codec:?}: {outcome:?}");
        }
    }
    // 4.3.1 takes all of these: fields without a producer id mean nothing, and a negative one is none.
    let taken: [Change; 4] = [
        |header| (header.producer_id, header.producer_epoch, header.base_sequence) = (-2, -3, -5),
        |header| header.base_sequence = 4,
        |header| header.producer_epoch = 4,
        |header| header.partition_leader_epoch = 7,
    ];
    for change in taken {
        assert_eq!(check(&altered(&good(Codec::None), change), &rules()).unwrap().producer_id(), None);
    }
    let idempotent = altered(&good(Codec::None), |header| {
        (header.producer_id, header.producer_epoch, header.base_sequence) = (8, 0, i32::MAX - 1);
    });
    let checked = check(&idempotent, &rules()).unwrap();
    assert_eq!(checked.producer_id(), Some(ProducerId(8)));
    assert_eq!((checked.producer_epoch(), checked.base_sequence()), (0, i32::MAX - 1));
}

#[test]
fn records_whose_lengths_lie_are_refused_in_every_codec() {
    let base = record(0);
    let lies = [
        Hand { length: Some(9), ..base.clone() },
        Hand { length: Some(7), ..base.clone() },
        Hand { length: Some(0), ..base.clone() },
        Hand { length: Some(-5), ..base.clone() },
        Hand { length: Some(i64::from(i32::MAX)), ..base.clone() },
        Hand { behind: b"!", ..base.clone() },
        Hand { key_bytes: Some(1000), ..base.clone() },
        Hand { value_bytes: Some(1000), ..base.clone() },
        Hand { value_bytes: Some(i64::from(i32::MAX)), ..base.clone() },
        Hand { header_count: Some(-1), ..base.clone() },
        Hand { header_count: Some(5), ..base.clone() },
        Hand { header_count: Some(i64::from(i32::MAX)), ..base.clone() },
        Hand { headers: vec![[None, Some(b"x")]], ..base.clone() },
    ];
    for codec in Codec::ALL {
        for (number, lie) in lies.iter().enumerate() {
            // 4.3.1 takes the first five in a compressed batch: its consumers then cannot read it.
            let outcome = check(&batch(codec, &[lie.clone(), record(1)]), &rules());
            assert!(invalid(&outcome), "lie {number} in {codec:?}: {outcome:?}");
        }
        let trailing = [plain(&[record(0)]), b"!".to_vec()].concat();
        assert!(invalid(&check(&batch_of(codec, 1, &packed(codec, &trailing)), &rules())));
        let long_numbers: [&[u8]; 2] = [
            b"\x90\x80\x80\x80\x80\0\0\0\0\x02k\x02v\0",
            b"\x1c\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0\0\0\0",
        ];
        for number in long_numbers {
            assert!(invalid(&check(&batch_of(codec, 1, &packed(codec, number)), &rules())));
        }
    }
}

#[test]
fn records_that_are_odd_but_readable_are_taken() {
    let odd = [
        Hand { key: None, value: None, ..record(0) },
        Hand { key: None, key_bytes: Some(-2), value: None, value_bytes: Some(-2), ..record(1) }, // as null
        Hand { key: Some(b""), value: Some(b""), ..record(2) },
        Hand { headers: vec![[Some(b"\xff\xfe"), None], [Some(b""), Some(b"")]], ..record(3) }, // a name that is no text
    ];
    for codec in Codec::ALL {
        assert_eq!(check(&batch(codec, &odd), &rules()).unwrap().record_count(), 4);
        let padded = b"\x90\x80\x80\x80\0\0\0\0\x02k\x02v\0";
        assert!(check(&batch_of(codec, 1, &packed(codec, padded)), &rules()).is_ok());
        let with_attributes = b"\x10\x07\0\0\x02k\x02v\0";
        assert!(check(&batch_of(codec, 1, &packed(codec, with_attributes)), &rules()).is_ok());
    }
}

#[test]
fn offset_deltas_must_count_the_records() {
    // 4.3.1: stored as they are if uncompressed, -1 if compressed, renumbered if recompressed. Here one answer.
    for codec in Codec::ALL {
        for deltas in [[0, 2, 4], [2, 1, 0], [0, 0, 0], [-1, 0, 1]] {
            let outcome = check(&batch(codec, &deltas.map(record)), &rules());
            let Err(BatchError::Invalid { records, .. }) = outcome else { panic!("{deltas:?}: {outcome:?}") };
            assert!(!records.is_empty());
        }
    }
}

#[test]
fn each_record_without_a_key_or_out_of_time_is_named() {
    let keyless = |delta| Hand { key: None, ..record(delta) };
    let compacted = CheckRules { compacted: true, ..rules() };
    let indexes = |records: Vec<RecordError>| records.iter().map(|record| record.index).collect::<Vec<_>>();
    for codec in Codec::ALL {
        let outcome = check(&batch(codec, &[record(0), keyless(1), keyless(2)]), &compacted);
        let Err(BatchError::Invalid { records, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(indexes(records), [1, 2]);
        assert!(check(&batch(codec, &[Hand { key: Some(b""), ..record(0) }]), &compacted).is_ok());
        let late = Hand { timestamp_delta: 7_200_000, ..record(1) };
        // 4.3.1: one record out of time makes the answer 32, and the other faults come with it.
        let outcome = check(&batch(codec, &[keyless(0), late]), &compacted);
        let Err(BatchError::Timestamp { records, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(indexes(records), [0, 1]);
    }
    let many: Vec<_> = (0..5_000).map(keyless).collect();
    let Err(BatchError::Invalid { records, reason }) = check(&batch(Codec::Zstd, &many), &compacted) else {
        panic!("taken")
    };
    assert_eq!(records.len(), RECORD_ERRORS_MAX);
    assert!(reason.contains("5000"), "{reason}");
}

#[test]
fn timestamps_are_held_against_both_bounds() {
    let narrow = CheckRules { timestamp_before_max_ms: 1000, timestamp_after_max_ms: 1000, ..rules() };
    let at = |timestamp_delta| batch(Codec::Gzip, &[Hand { timestamp_delta, ..record(0) }]);
    for (delta, taken) in [(-1000, true), (-1001, false), (1000, true), (1001, false), (-NOW - 1, true)] {
        let outcome = check(&at(delta), &narrow);
        assert_eq!(outcome.is_ok(), taken, "{delta}: {outcome:?}"); // the last is "no timestamp", 4.3.1 takes it
        assert_eq!(matches!(outcome, Err(BatchError::Timestamp { .. })), !taken);
    }
    // 4.3.1: a largest timestamp below -1 is stored as -1; nothing is too old by default, but far enough it wraps.
    assert_eq!(check(&at(-NOW - 5), &rules()).unwrap().max_timestamp(), Timestamp::NONE);
    assert!(check(&at((i64::MIN + 5).wrapping_sub(NOW)), &rules()).is_err());
}

#[test]
fn limits_count_the_whole_batch() {
    let bytes = good(Codec::None);
    let limited = |batch_bytes_max| CheckRules { batch_bytes_max, ..rules() };
    assert!(check(&bytes, &limited(bytes.len())).is_ok());
    let too_large = BatchError::TooLarge { bytes: bytes.len(), limit: bytes.len() - 1 };
    assert_eq!(check(&bytes, &limited(bytes.len() - 1)).unwrap_err(), too_large);
    // 4.3.1: the size is looked at behind the base offset and before the checksum.
    let bad_crc = Bytes::from([&bytes[..17], &[0; 4], &bytes[21..]].concat());
    assert_eq!(check(&bad_crc, &limited(bytes.len() - 1)).unwrap_err(), too_large);
    assert!(invalid(&check(&altered(&bytes, |header| header.base_offset = 5), &limited(10))));
    let coordinator = CheckRules { origin: Origin::Coordinator, ..limited(10) };
    assert!(check(&altered(&bytes, |header| header.attributes = 0x20), &coordinator).is_ok());
}

#[test]
fn zstd_needs_a_request_that_knows_it() {
    let old = CheckRules { zstd_allowed: false, ..rules() };
    let bytes = good(Codec::Zstd);
    assert_eq!(check(&bytes, &old).unwrap_err(), BatchError::Compression);
    // 4.3.1: 76 comes before what is wrong with the batch, but behind a wrong magic.
    let twice = Bytes::from([&bytes[..], &bytes].concat());
    assert_eq!(check(&twice, &old).unwrap_err(), BatchError::Compression);
    assert_eq!(
        check(&altered(&bytes, |header| header.base_offset = 5), &old).unwrap_err(),
        BatchError::Compression
    );
    assert!(invalid(&check(&altered(&bytes, |header| header.magic = 0), &old)));
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        assert!(check(&good(codec), &old).is_ok());
    }
}

#[test]
fn a_topics_own_codec_makes_the_batch_anew_with_the_same_records() {
    let late = Hand { timestamp_delta: 9, key: None, headers: vec![[Some(b"h"), None]], ..record(1) };
    let records = [record(0), late, Hand { timestamp_delta: -5, value: None, ..record(2) }];
    for source in Codec::ALL {
        for target in Codec::ALL {
            for timestamp_type in [TimestampType::Create, TimestampType::LogAppend] {
                let sent = altered(&batch(source, &records), |header| {
                    (header.producer_id, header.producer_epoch, header.base_sequence) = (77, 3, 0);
                    header.attributes |= 0x10;
                });
                let compression = TargetCompression::Codec(target, None);
                let checked = check(&sent, &CheckRules { timestamp_type, compression, ..rules() }).unwrap();
                let header = *checked.header();
                assert_eq!(header.codec().unwrap(), target);
                assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 3, 0));
                assert_eq!((header.is_transactional(), header.timestamp_type()), (true, timestamp_type));
                assert!(crc_matches(&stored(&checked)));
                let plain_again =
                    CheckRules { compression: TargetCompression::Codec(Codec::None, None), ..rules() };
                let back = check(
                    &seal(
                        BatchHeader { attributes: target.number(), ..header },
                        &checked.bytes()[HEADER_BYTES..],
                    ),
                    &plain_again,
                );
                assert_eq!(
                    back.unwrap().bytes()[HEADER_BYTES..],
                    plain(&records),
                    "{source:?} to {target:?}"
                );
            }
        }
    }
}

#[test]
fn recompression_keeps_to_the_limits_and_leaves_control_batches() {
    let compression = TargetCompression::Codec(Codec::None, None);
    let long: &'static [u8] = Box::leak(vec![b'x'; 100_000].into());
    for codec in PACKING {
        let bytes = batch(codec, &[Hand { value: Some(long), ..record(0) }]);
        let small = CheckRules { compression, batch_bytes_max: 20_000, ..rules() };
        let outcome = check(&bytes, &small); // 4.3.1: 10
        assert!(matches!(outcome, Err(BatchError::TooLarge { limit: 20_000, .. })), "{codec:?}: {outcome:?}");
    }
    let marker = altered(&good(Codec::None), |header| header.attributes = 0x30);
    let gzip = TargetCompression::Codec(Codec::Gzip, None);
    let rules = CheckRules { compression: gzip, origin: Origin::Coordinator, ..rules() };
    assert_eq!(check(&marker, &rules).unwrap().bytes().as_ptr(), marker.as_ptr());
}
