//! What each codec's reader takes: as Kafka 4.3.1 answered to the same bytes, made by hand.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

use std::time::{Duration, Instant};

use super::super::check::check;
use super::super::hand::{Hand, PACKING, batch_of, packed, plain, record, rules};
use super::super::{CheckRules, Codec};
use super::*;

fn three() -> Vec<u8> {
    plain(&[record(0), record(1), record(2)])
}

/// Whether three records packed like this are taken; `None` if the answer is not `Invalid`.
fn takes(codec: Codec, packed: &[u8]) -> bool {
    match check(&batch_of(codec, 3, packed), &rules()) {
        Ok(_) => true,
        Err(BatchError::Invalid { .. }) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn every_strict_prefix_of_packed_records_is_refused() {
    for codec in PACKING {
        let whole = packed(codec, &three());
        assert!(takes(codec, &whole));
        for cut in 0..whole.len() {
            assert!(!takes(codec, &whole[..cut]), "{codec:?} cut at {cut}");
        }
    }
}

#[test]
fn gzip_members_follow_each_other_and_what_follows_is_ignored() {
    let pack = |bytes: &[u8]| packed(Codec::Gzip, bytes);
    let (bytes, whole) = (three(), pack(&three()));
    let taken = [
        join(&[&pack(&bytes[..9]), &pack(&bytes[9..])]),
        join(&[&whole, &pack(b"")]),
        join(&[&pack(b""), &whole]),
        join(&[&whole, b"garbage!!"]),
        join(&[&whole, &[0; 20]]),
        join(&[&whole, b"\x1f\x8b\x08"]),
    ];
    for bytes in taken {
        assert!(takes(Codec::Gzip, &bytes), "{bytes:?}");
    }
    let at = whole.len() - 8;
    for bytes in
        [join(&[&whole[..at], &[0; 8]]), b"this is not gzip at all".to_vec(), join(&[&whole, &whole])]
    {
        assert!(!takes(Codec::Gzip, &bytes), "{bytes:?}");
    }
}

#[test]
fn snappy_is_read_bare_and_in_frames_of_any_version() {
    let block = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let framed = |bytes: &[u8]| packed(Codec::Snappy, bytes);
    let (bytes, whole) = (three(), framed(&three()));
    let versions = |version: u32, compatible: u32| {
        join(&[&whole[..8], &version.to_be_bytes(), &compatible.to_be_bytes(), &whole[16..]])
    };
    let taken = [
        block(&bytes), // as librdkafka and older sarama send it
        join(&[&framed(&bytes[..9]), &framed(&bytes[9..])[16..]]),
        join(&[&framed(&bytes[..9]), &framed(&bytes[9..])]),
        versions(2, 1),
        versions(0, 0),
        versions(1, 9),
        join(&[&whole, b"abc"]),
    ];
    for bytes in taken {
        assert!(takes(Codec::Snappy, &bytes), "{bytes:?}");
    }
    let lie: &[u8] = b"\xff\xff\xff\xff\x0f\0"; // says that it unfolds to 4 GiB
    let refused = [
        join(&[&whole, &[0; 4]]),
        join(&[&whole, &[0xff; 4]]),
        join(&[&block(&bytes), b"!"]),
        join(&[&whole[..16], &6u32.to_be_bytes(), lie]),
        lie.to_vec(),
        b"not snappy".to_vec(),
        join(&[&whole[..16], &u32::MAX.to_be_bytes()]),
    ];
    for bytes in refused {
        assert!(!takes(Codec::Snappy, &bytes), "{bytes:?}");
    }
}

/// One lz4 frame made by hand: flags, block size, what follows them, what follows the header.
fn lz4_frame(flags: u8, block_size: u8, described: &[u8], behind: &[u8]) -> Vec<u8> {
    let descriptor = join(&[&[flags, block_size], described]);
    let check = (twox_hash::XxHash32::oneshot(0, &descriptor) >> 8) as u8;
    join(&[b"\x04\x22\x4d\x18", &descriptor, &[check], behind])
}

fn lz4_stored(bytes: &[u8]) -> Vec<u8> {
    join(&[&(bytes.len() as u32 | 0x8000_0000).to_le_bytes(), bytes])
}

#[test]
fn lz4_is_read_as_java_reads_it() {
    let (bytes, whole) = (three(), packed(Codec::Lz4, &three()));
    let stored = join(&[&lz4_stored(&bytes), &[0; 4]]);
    let check = twox_hash::XxHash32::oneshot(0, &bytes).to_le_bytes();
    let checked = |check: &[u8]| join(&[&lz4_stored(&bytes), check, &[0; 4]]);
    let taken = [
        join(&[&whole, b"trailing"]),
        lz4_frame(0x60, 0x40, &[], &stored),
        lz4_frame(0x60, 0x70, &[], &stored),
        lz4_frame(0x68, 0x40, &9999u64.to_le_bytes(), &stored), // a content size that lies is passed over
        lz4_frame(0x64, 0x40, &[], &join(&[&stored, b"abcd"])), // so is a wrong check of the content
        lz4_frame(0x70, 0x40, &[], &checked(&check)),
    ];
    for bytes in taken {
        assert!(takes(Codec::Lz4, &bytes), "{bytes:?}");
    }
    let mut bad_check = whole.clone();
    bad_check[6] ^= 1;
    let zeros = vec![0; 100_000];
    let block = lz4_flex::block::compress(&zeros);
    let refused = [
        bad_check,
        lz4_frame(0x40, 0x40, &[], &stored), // linked blocks: Java cannot read them
        lz4_frame(0x62, 0x40, &[], &stored),
        lz4_frame(0x61, 0x40, &[0; 4], &stored),
        lz4_frame(0x60, 0x41, &[], &stored),
        lz4_frame(0x60, 0x30, &[], &stored),
        lz4_frame(0x60, 0xc0, &[], &stored),
        lz4_frame(0xa0, 0x40, &[], &stored),
        lz4_frame(0x70, 0x40, &[], &checked(b"abcd")),
        lz4_frame(0x64, 0x40, &[], &stored),
        lz4_frame(0x60, 0x40, &[], &lz4_stored(&zeros)),
        lz4_frame(0x60, 0x40, &[], &join(&[&(block.len() as u32).to_le_bytes(), &block, &[0; 4]])),
        join(&[&packed(Codec::Lz4, &bytes[..9]), &packed(Codec::Lz4, &bytes[9..])]),
        join(&[b"\x50\x2a\x4d\x18\x04\0\0\0abcd", &whole]),
        b"\x02\x21\x4c\x18\0\0\0\0\0\0".to_vec(), // the legacy frame
    ];
    for bytes in refused {
        assert!(!takes(Codec::Lz4, &bytes), "{bytes:?}");
    }
}

fn zstd_with_window(bytes: &[u8], log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(log).unwrap();
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn zstd_frames_follow_each_other_and_nothing_else_does() {
    let (bytes, whole) = (three(), packed(Codec::Zstd, &three()));
    let taken = [
        join(&[&packed(Codec::Zstd, &bytes[..9]), &packed(Codec::Zstd, &bytes[9..])]),
        join(&[b"\x50\x2a\x4d\x18\x04\0\0\0abcd", &whole]),
        zstd_with_window(&bytes, 27),
    ];
    for bytes in taken {
        assert!(takes(Codec::Zstd, &bytes), "{bytes:?}");
    }
    let refused =
        [join(&[&whole, b"garbage!"]), join(&[&whole, b"gar"]), b"no".to_vec(), zstd_with_window(&bytes, 28)];
    for bytes in refused {
        assert!(!takes(Codec::Zstd, &bytes), "{bytes:?}");
    }
}

/// A record of two gigabytes by its own word, and packed zeros that would fill it: 4 GiB where the format allows.
fn bomb(codec: Codec) -> Vec<u8> {
    let value_bytes = i64::from(i32::MAX) - 20;
    let head =
        Hand { length: Some(i64::from(i32::MAX)), value_bytes: Some(value_bytes), value: None, ..record(0) };
    let mut head = plain(&[head]);
    head.pop(); // the header count is somewhere behind the value
    let zeros = packed(codec, &vec![0; 16 << 20]);
    match codec {
        Codec::Gzip | Codec::Zstd => join(&[&packed(codec, &head), &zeros.repeat(256)]),
        Codec::Snappy => join(&[&packed(codec, &head), &zeros[16..].repeat(8)]),
        Codec::Lz4 => {
            let block = lz4_flex::block::compress(&vec![0; 4 << 20]);
            let block = join(&[&(block.len() as u32).to_le_bytes(), &block]);
            lz4_frame(0x60, 0x70, &[], &join(&[&lz4_stored(&head), &block.repeat(1024), &[0; 4]]))
        }
        Codec::None => unreachable!("plain records unfold to themselves"),
    }
}

#[test]
fn a_bomb_is_refused_at_the_bound_and_holds_one_chunk() {
    const LIMIT: usize = 8 << 20;
    for codec in PACKING {
        let bytes = bomb(codec);
        let start = Instant::now();
        let limited = CheckRules { unpacked_bytes_max: LIMIT, batch_bytes_max: usize::MAX, ..rules() };
        let outcome = check(&batch_of(codec, 1, &bytes), &limited);
        assert_eq!(outcome.unwrap_err(), BatchError::Bomb { limit: LIMIT }, "{codec:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{codec:?} took {:?}", start.elapsed());

        let mut unpacked = Unpacked::new(codec, &bytes, LIMIT).unwrap();
        let mut chunk_bytes_max = 0;
        let outcome = loop {
            match unpacked.rest() {
                Ok(rest) => {
                    let here = rest.len();
                    assert!(here > 0, "{codec:?} ended below the bound");
                    unpacked.consume(here);
                }
                Err(error) => break error,
            }
            chunk_bytes_max = chunk_bytes_max.max(unpacked.chunk.capacity());
        };
        assert_eq!(outcome, BatchError::Bomb { limit: LIMIT });
        assert!(unpacked.bytes_total <= LIMIT);
        assert!(chunk_bytes_max <= SPARE_BYTES_MAX, "{codec:?}");
    }
}

#[test]
fn what_is_packed_unpacks_to_the_same_across_chunks() {
    let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at.wrapping_mul(at) >> 11) as u8).collect();
    for codec in PACKING {
        for length in [0, 1, 32 << 10, (32 << 10) + 1, 100_000, bytes.len()] {
            let packed = packed(codec, &bytes[..length]);
            let mut unpacked = Unpacked::new(codec, &packed, length).unwrap();
            let mut out = Vec::new();
            // An empty snappy frame, like an empty batch, has no block; the others have an empty one.
            while let Ok(rest) = unpacked.rest() {
                let here = rest.len();
                if here == 0 {
                    break;
                }
                out.extend_from_slice(rest);
                unpacked.consume(here);
            }
            assert!(out == bytes[..length], "{codec:?} of {length} B");
            if length > 0 {
                let mut tight = Unpacked::new(codec, &packed, length - 1).unwrap();
                while tight.rest().is_ok() {
                    let here = tight.end - tight.start;
                    assert!(here > 0, "{codec:?}: the bound was passed");
                    tight.consume(here);
                }
            }
        }
    }
}

#[test]
fn every_level_packs_what_every_reader_takes() {
    let bytes = three().repeat(1000);
    for (codec, levels) in
        [(Codec::Gzip, -1..=9), (Codec::Lz4, 1..=17), (Codec::Zstd, -7..=22), (Codec::Snappy, 0..=0)]
    {
        for level in levels {
            let mut sink = super::super::pack::Packer::new(codec, Some(level), Vec::new()).unwrap();
            sink.write(&bytes).unwrap();
            let packed = sink.finish().unwrap();
            let mut unpacked = Unpacked::new(codec, &packed, bytes.len()).unwrap();
            let mut left = bytes.as_slice();
            while !left.is_empty() {
                let here = unpacked.rest().unwrap();
                assert!(!here.is_empty() && left.starts_with(here), "{codec:?} level {level}");
                let here = here.len();
                left = &left[here..];
                unpacked.consume(here);
            }
        }
    }
}
