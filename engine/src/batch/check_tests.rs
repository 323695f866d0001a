//! Batches that Kafka takes, corrects or refuses.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use super::super::records::read_record;
use super::*;
use crate::batch::{BatchBuilder, ProducerFields, find_max_timestamp, find_timestamp, for_each_record};
use std::ops::ControlFlow;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const NOW: i64 = 1_700_000_000_000;

fn rules() -> CheckRules {
    CheckRules {
        batch_bytes_max: 1_048_588,
        timestamp_type: TimestampType::Create,
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: false,
        compression: TargetCompression::Producer,
        unpacked_bytes_max: 64 << 20,
        zstd_allowed: true,
        origin: Origin::Client,
        now: Timestamp(NOW),
    }
}

fn batch(codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    for number in 0..20i64 {
        let value = vec![number as u8; 100];
        builder = builder.record(Timestamp(NOW + (number * 7) % 20), Some(b"key"), Some(&value));
    }
    builder.build(ProducerFields::default()).unwrap()
}

/// Changes a batch's header and makes its checksum right again.
fn altered(bytes: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::read(bytes).unwrap();
    change(&mut header);
    super::super::build::assemble(header, &bytes[HEADER_BYTES..])
}

/// The batch's records, one by one, in a new batch.
fn rebuild(header: &BatchHeader, content: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    let mut rest = content;
    while let Some(raw) = read_record(&mut rest) {
        let timestamp = Timestamp(header.base_timestamp + raw.timestamp_delta);
        builder = builder.record_with_headers(timestamp, raw.key, raw.value, raw.headers);
    }
    builder.build(ProducerFields::default()).unwrap()
}

#[test]
fn a_sound_batch_is_kept_without_a_copy_in_every_codec() {
    for codec in CODECS {
        let bytes = batch(codec);
        let checked = check(&bytes, &rules()).unwrap();
        assert_eq!(checked.bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(checked.record_count(), 20);
        let mut stored = bytes.to_vec();
        stored[..HEADER_BYTES].copy_from_slice(&checked.stamped_header(Offset::new(77), LeaderEpoch(3)));
        assert!(crate::batch::crc_matches(&stored), "offset and epoch lie outside the checksum");
        assert_eq!(BatchHeader::read(&stored).unwrap().base_offset, 77);
    }
}

#[test]
fn a_wrong_greatest_timestamp_is_corrected_with_its_checksum() {
    for codec in CODECS {
        let lying = altered(&batch(codec), |header| header.max_timestamp = 5);
        let checked = check(&lying, &rules()).unwrap();
        assert_eq!(checked.max_timestamp(), Timestamp(NOW + 19));
        let mut stored = lying.to_vec();
        stored[..HEADER_BYTES].copy_from_slice(&checked.stamped_header(Offset::ZERO, LeaderEpoch(0)));
        assert!(crate::batch::crc_matches(&stored));
    }
}

#[test]
fn the_append_time_stands_in_the_header_and_counts_for_every_record() {
    let append = CheckRules { timestamp_type: TimestampType::LogAppend, ..rules() };
    let bytes = batch(Codec::Lz4);
    let checked = check(&bytes, &append).unwrap();
    assert_eq!(checked.append_time(), Timestamp(NOW));
    let mut stored = bytes.to_vec();
    stored[..HEADER_BYTES].copy_from_slice(&checked.stamped_header(Offset::ZERO, LeaderEpoch(0)));
    assert!(crate::batch::crc_matches(&stored));
    assert_eq!(
        find_timestamp(&stored, Timestamp(NOW), 1 << 20).unwrap(),
        Some((Offset::ZERO, Timestamp(NOW)))
    );
}

#[test]
fn a_topics_own_codec_makes_the_batch_anew_with_the_same_records() {
    for source in CODECS {
        for target in CODECS {
            let wanted = CheckRules { compression: TargetCompression::Codec(target, None), ..rules() };
            let checked = check(&batch(source), &wanted).unwrap();
            assert_eq!(checked.header().codec().unwrap(), target);
            let content = unfolded(checked.header(), checked.bytes(), 1 << 20).unwrap();
            let plain = rebuild(checked.header(), &content);
            assert_eq!(plain[HEADER_BYTES..], batch(Codec::None)[HEADER_BYTES..], "{source:?} to {target:?}");
        }
    }
}

#[test]
fn what_kafka_refuses_is_refused_with_its_error() {
    type Change = fn(&mut BatchHeader);
    let refused: [(&str, Change); 6] = [
        ("base offset", |header| header.base_offset = 1),
        ("more records than counted", |header| (header.record_count, header.last_offset_delta) = (19, 18)),
        ("fewer records than counted", |header| (header.record_count, header.last_offset_delta) = (21, 20)),
        ("no records", |header| (header.record_count, header.last_offset_delta) = (0, -1)),
        ("a control batch", |header| header.attributes |= 32),
        ("a producer without a sequence", |header| header.producer_id = 5),
    ];
    for codec in CODECS {
        for (what, change) in refused {
            let outcome = check(&altered(&batch(codec), change), &rules());
            assert!(matches!(outcome, Err(BatchError::Invalid { .. })), "{what} in {codec:?}: {outcome:?}");
        }
        let twice = Bytes::from([batch(codec), batch(codec)].concat());
        assert!(matches!(check(&twice, &rules()), Err(BatchError::Invalid { .. })));
    }
    let mut old = batch(Codec::None).to_vec();
    old[16] = 1;
    assert!(matches!(check(&old.into(), &rules()), Err(BatchError::Invalid { .. })));
    let zstd = CheckRules { zstd_allowed: false, ..rules() };
    assert_eq!(check(&batch(Codec::Zstd), &zstd).unwrap_err(), BatchError::Compression);
    let small = CheckRules { batch_bytes_max: 100, ..rules() };
    assert!(matches!(check(&batch(Codec::None), &small), Err(BatchError::TooLarge { limit: 100, .. })));
}

#[test]
fn garbage_in_the_compressed_part_is_an_invalid_record() {
    for codec in &CODECS[1..] {
        let mut garbage = batch(*codec).to_vec();
        let middle = HEADER_BYTES + (garbage.len() - HEADER_BYTES) / 2;
        garbage[HEADER_BYTES..middle].fill(0x5a);
        let header = BatchHeader::read(&garbage).unwrap();
        let bytes = super::super::build::assemble(header, &garbage[HEADER_BYTES..]);
        assert!(
            matches!(check(&bytes, &rules()), Err(BatchError::Invalid { .. } | BatchError::Bomb { .. })),
            "{codec:?}"
        );
    }
}

#[test]
fn each_record_without_a_key_or_out_of_time_is_named() {
    let batch = BatchBuilder::new(Codec::Gzip)
        .record(Timestamp(NOW), Some(b"k"), None)
        .record(Timestamp(NOW + 3_600_001), None, None)
        .build(ProducerFields::default())
        .unwrap();
    let compacted = CheckRules { compacted: true, ..rules() };
    let Err(BatchError::Invalid { records, .. }) = check(&batch, &compacted) else { panic!("taken") };
    assert_eq!(records.iter().map(|record| record.index).collect::<Vec<_>>(), [1]);
    let Err(BatchError::Timestamp { records, .. }) = check(&batch, &rules()) else { panic!("taken") };
    assert_eq!(records.iter().map(|record| record.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn no_cut_and_no_flipped_bit_is_taken_or_panics() {
    for codec in CODECS {
        let bytes = batch(codec);
        for at in 0..bytes.len() {
            assert!(check(&bytes.slice(..at), &rules()).is_err(), "cut at {at}");
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x10;
            let outcome = check(&flipped.clone().into(), &rules());
            // Only the leader epoch lies outside of every check.
            assert!(outcome.is_err() || (12..16).contains(&at), "flip at {at} in {codec:?}");
            // Past the checksum: the same bytes with a right one must not panic either.
            if let Ok(header) = BatchHeader::read(&flipped) {
                let resealed = super::super::build::assemble(header, &flipped[HEADER_BYTES..]);
                let _ = check(&resealed, &rules());
                let _ = for_each_record(&resealed, 1 << 20, |_| ControlFlow::Continue(()));
            }
        }
    }
}

#[test]
fn a_time_is_found_inside_a_compressed_batch() {
    for codec in CODECS {
        let bytes = batch(codec);
        assert_eq!(
            find_timestamp(&bytes, Timestamp(NOW + 8), 1 << 20).unwrap(),
            Some((Offset::new(2), Timestamp(NOW + 14)))
        );
        assert_eq!(find_timestamp(&bytes, Timestamp(NOW + 20), 1 << 20).unwrap(), None);
        assert_eq!(
            find_max_timestamp(&bytes, 1 << 20).unwrap(),
            Some((Offset::new(17), Timestamp(NOW + 19)))
        );
    }
}
