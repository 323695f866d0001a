//! What a tail holds: staged, planned, written back, let go; and what recovery gave it.

use super::*;

fn stage(tail: &mut Tail, base: i64, bytes: usize) {
    let content: Vec<u8> = (0..bytes).map(|at| (base as usize + at) as u8).collect();
    let staging = Staging {
        base: Offset::new(base),
        offset_end: Offset::new(base + 1),
        max_timestamp: Timestamp(base),
        pieces: [&content[..bytes / 2], &content[bytes / 2..]],
    };
    tail.stage(&staging);
}

fn pos(bytes: u64) -> FilePos {
    FilePos::new(bytes)
}

#[test]
fn a_commit_takes_whole_batches_up_to_its_limit() {
    let mut tail = Tail::at(FilePos::ZERO);
    (0..5).for_each(|base| stage(&mut tail, base, 100));
    assert_eq!(tail.plan(250), Some((pos(0)..pos(200), Offset::new(2))));
    assert_eq!(tail.plan(99), None);
    assert_eq!(tail.plan(1000), Some((pos(200)..pos(500), Offset::new(5))));
    assert_eq!(tail.plan(1000), None);
}

#[test]
fn what_is_copied_out_is_what_was_staged_across_chunks() {
    let mut tail = Tail::at(FilePos::ZERO);
    stage(&mut tail, 7, 3 * BLOCK_BYTES);
    let mut out = vec![0; 2 * BLOCK_BYTES + 10];
    tail.copy_to(pos(5)..pos(5 + out.len() as u64), &mut out);
    assert!(out.iter().enumerate().all(|(at, byte)| *byte == (7 + 5 + at) as u8));
    let mut slices = Vec::new();
    tail.share(pos(5)..pos(5 + out.len() as u64), &mut slices);
    assert_eq!(slices.concat(), out);
    assert_eq!(slices.len(), 2);
}

#[test]
fn memory_is_let_go_only_below_what_is_written_back() {
    let mut tail = Tail::at(FilePos::ZERO);
    stage(&mut tail, 0, BLOCK_BYTES + 100);
    stage(&mut tail, 1, 100);
    tail.plan(u64::MAX).unwrap();
    assert_eq!(tail.release_piece(), None);
    tail.on_durable(tail.staged_end());
    assert_eq!(tail.plan_write_back(false), pos(0)..pos(BLOCK_BYTES as u64));
    tail.on_written(pos(BLOCK_BYTES as u64));
    assert!(tail.release_piece().is_some_and(|freed| freed >= BLOCK_BYTES));
    assert_eq!(tail.memory_start(), pos(BLOCK_BYTES as u64));
    assert_eq!(tail.first_batch_from(tail.memory_start()), pos(BLOCK_BYTES as u64 + 100));
    assert_eq!(tail.release_piece(), None);
}

#[test]
fn a_tail_that_is_almost_all_written_back_shrinks_to_what_is_not() {
    let mut tail = Tail::at(FilePos::ZERO);
    (0..200).for_each(|base| stage(&mut tail, base, 1000));
    tail.plan(u64::MAX).unwrap();
    tail.on_durable(tail.staged_end());
    assert_eq!(tail.shrink(), None);
    let blocks = tail.plan_write_back(false);
    tail.on_written(blocks.end);
    assert!(tail.shrink().is_some_and(|freed| freed > 200_000));
    assert_eq!((tail.memory_start(), tail.staged_end()), (blocks.end, pos(200_000)));
    let mut last = [0; 500];
    tail.copy_to(pos(199_500)..pos(200_000), &mut last);
    assert!(last.iter().enumerate().all(|(at, byte)| *byte == (199 + 500 + at) as u8));
    stage(&mut tail, 200, 1000);
    assert_eq!(tail.plan(u64::MAX), Some((pos(200_000)..pos(201_000), Offset::new(201))));
}

fn recovered(bytes: usize) -> (Tail, Vec<u8>) {
    let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let batch = TailBatch {
        base: Offset::new(0),
        offset_end: Offset::new(1),
        start: pos(0),
        end: pos(bytes as u64),
        max_timestamp: Timestamp(0),
    };
    (Tail::recovered(pos(0), &content, vec![batch]), content)
}

#[test]
fn what_recovery_brings_takes_its_own_bytes_until_somebody_appends() {
    for bytes in [1, 100, BLOCK_BYTES - 1, BLOCK_BYTES, 2 * BLOCK_BYTES + 5, 3 * CHUNK_BYTES_MAX + 77] {
        let (mut tail, mut content) = recovered(bytes);
        assert_eq!(tail.memory_bytes(), bytes + size_of::<TailBatch>());
        let before = tail.memory_bytes();
        let staging = Staging {
            base: Offset::new(1),
            offset_end: Offset::new(2),
            max_timestamp: Timestamp(1),
            pieces: [&[7; 50], &[8; 9000]],
        };
        let taken = tail.stage(&staging);
        assert_eq!(tail.memory_bytes(), before + taken, "what is told is what was taken");
        content.extend([7; 50]);
        content.extend([8; 9000]);
        let mut out = vec![0; content.len()];
        tail.copy_to(pos(0)..tail.staged_end(), &mut out);
        assert_eq!(out, content, "{bytes} B recovered");
        let mut slices = Vec::new();
        tail.share(pos(bytes as u64 / 2)..tail.staged_end(), &mut slices);
        assert_eq!(slices.concat(), content[bytes / 2..]);
    }
}

#[test]
fn what_recovery_brought_is_let_go_once_it_is_written_back_but_not_what_came_since() {
    let (mut tail, content) = recovered(3 * BLOCK_BYTES + 40);
    assert_eq!(tail.release_recovered(), 0, "no file holds it");
    tail.on_written(pos(3 * BLOCK_BYTES as u64));
    assert_eq!(tail.release_recovered(), 3 * BLOCK_BYTES + size_of::<TailBatch>());
    assert_eq!((tail.memory_bytes(), tail.memory_start()), (40, pos(3 * BLOCK_BYTES as u64)));
    let mut rest = vec![0; 40];
    tail.copy_to(tail.memory_start()..tail.staged_end(), &mut rest);
    assert_eq!(rest, content[3 * BLOCK_BYTES..]);
    stage(&mut tail, 1, BLOCK_BYTES);
    tail.plan(u64::MAX).unwrap();
    tail.on_durable(tail.staged_end());
    tail.on_written(pos(4 * BLOCK_BYTES as u64));
    assert_eq!(tail.release_recovered(), 0, "readers may want what was appended");
}

/// Found by a seed: six logs held a megabyte of chunks for some bytes each, and every append waited for memory.
#[test]
fn a_large_chunk_that_holds_little_shrinks_too() {
    let mut tail = Tail::at(FilePos::ZERO);
    stage(&mut tail, 0, 90_000);
    tail.plan(u64::MAX).unwrap();
    tail.on_durable(tail.staged_end());
    tail.on_written(tail.plan_write_back(false).end);
    while tail.release_piece().is_some() {}
    assert_eq!(tail.memory_start(), tail.written_end());
    assert!(tail.memory_bytes() > 200_000);
    assert!(tail.shrink().is_some());
    assert!(tail.memory_bytes() < 10_000);
    assert_eq!(tail.shrink(), None);
}

#[test]
#[should_panic(expected = "durable")]
fn nothing_is_durable_that_no_commit_carried() {
    let mut tail = Tail::at(FilePos::ZERO);
    stage(&mut tail, 0, 100);
    tail.on_durable(pos(100));
}
