//! A Produce request's `records` as a client may send them: what is taken is a batch that holds what it says.
//!
//! The first bytes of an input choose the rules, and whether length and checksum are put right before the check: else
//! no change would ever get past them.
#![no_main]

use bytes::Bytes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use thalweg_engine::batch::{
    BatchBuilder, BatchHeader, CheckRules, Codec, Origin, ProducerFields, TargetCompression, TimestampType,
    check, crc_matches, find_max_timestamp, find_timestamp, for_each_record,
};
use thalweg_engine::units::{Offset, Timestamp};

/// What a compressed batch may unfold to.
const UNPACKED_BYTES_MAX: usize = 1 << 20;
const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const NOW: i64 = 1_700_000_000_000;
/// Place of the batch's length, and where what it counts begins.
const LENGTH_AT: usize = 8;
const LENGTH_FROM: usize = 12;
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;

thalweg_fuzz::target!(try_one, memory_bytes_max, seeds);

/// Unfolded once to look at the records and once more to fold it anew, and the codecs' own tables.
fn memory_bytes_max(input_bytes: usize) -> usize {
    (16 << 20) + 4 * UNPACKED_BYTES_MAX + 8 * input_bytes
}

fn try_one(input: &[u8]) -> u64 {
    let Some((&[rules, fix], batch)) = input.split_first_chunk::<2>() else { return 0 };
    let mut batch = batch.to_vec();
    if fix & 1 == 1 {
        put_right(&mut batch);
    }
    // As bytes from a disk: nobody checked them, and every question has an answer within the bound.
    let _ = find_timestamp(&batch, Timestamp(NOW), Offset::ZERO, UNPACKED_BYTES_MAX);
    let _ = find_max_timestamp(&batch, UNPACKED_BYTES_MAX);
    let rules = rules_of(rules);
    let mut way = DefaultHasher::new();
    match check(&Bytes::from(batch), &rules) {
        Ok(checked) => {
            let header = checked.header();
            (header.attributes, header.record_count.min(4)).hash(&mut way);
            let stamped = checked.stamped_header(Offset::new(7), Default::default());
            let stored = [&stamped[..], &checked.bytes()[stamped.len()..]].concat();
            let header = BatchHeader::read(&stored).expect("what is stored reads back");
            assert_eq!(header.batch_bytes(), stored.len(), "the length is that of the bytes");
            assert!(crc_matches(&stored), "the checksum is that of the bytes");
            assert_eq!(header.base_offset, 7);
            assert!(checked.offset_span() >= 1 && checked.record_count() >= 1);
            let mut count = 0;
            let walked = for_each_record(&stored, UNPACKED_BYTES_MAX, |_| {
                count += 1;
                ControlFlow::Continue(())
            });
            assert!(walked.is_ok(), "records that were taken can be read: {walked:?}");
            assert_eq!(count, checked.record_count(), "as many records as the header says");
        }
        Err(error) => {
            let text = format!("{error:?}");
            text.split(|sign: char| !sign.is_alphabetic()).next().hash(&mut way);
        }
    }
    way.finish()
}

fn put_right(batch: &mut [u8]) {
    if batch.len() > CRC_FROM {
        let length = (batch.len() - LENGTH_FROM) as i32;
        batch[LENGTH_AT..LENGTH_FROM].copy_from_slice(&length.to_be_bytes());
        let checksum = crc32c::crc32c(&batch[CRC_FROM..]);
        batch[CRC_AT..CRC_FROM].copy_from_slice(&checksum.to_be_bytes());
    }
}

fn rules_of(choice: u8) -> CheckRules {
    CheckRules {
        batch_bytes_max: 1 << 16,
        timestamp_type: if choice & 1 == 0 { TimestampType::Create } else { TimestampType::LogAppend },
        timestamp_before_max_ms: i64::MAX,
        timestamp_after_max_ms: 3_600_000,
        compacted: choice & 2 != 0,
        compression: match CODECS.get(usize::from(choice >> 4)) {
            Some(codec) => TargetCompression::Codec(*codec, None),
            None => TargetCompression::Producer,
        },
        unpacked_bytes_max: UNPACKED_BYTES_MAX,
        zstd_allowed: choice & 4 == 0,
        origin: if choice & 8 == 0 { Origin::Client } else { Origin::Coordinator },
        now: Timestamp(NOW),
    }
}

/// Batches of every codec, one record and many, under every rule.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0, 1], vec![0, 1, 0, 0, 0]];
    for (at, codec) in CODECS.into_iter().enumerate() {
        for count in [1, 20] {
            let value = [b'v'; 100];
            let batch = (0..count).fold(BatchBuilder::new(codec), |builder, record| {
                builder.record_with_headers(
                    Timestamp(NOW + record),
                    Some(b"key"),
                    Some(&value),
                    &[("h", Some(b"x"))],
                )
            });
            let producer = ProducerFields { producer_id: 5, producer_epoch: 0, base_sequence: 0 };
            let batch = batch.build(producer).expect("a batch of ours");
            for rules in [0, 1, 2, 0xf0, (at as u8 * 3 % 5) << 4] {
                seeds.push([&[rules, 1], &batch[..]].concat());
            }
        }
    }
    seeds
}
