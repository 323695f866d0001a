//! Changes to inputs, of the kinds that parsers of lengths and counts trip over.

use crate::random::Random;

/// Numbers at the edges of their types, big-endian as on the wire.
const EDGES: [&[u8]; 18] = [
    &[0x00],
    &[0x01],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0x00, 0x00],
    &[0x7f, 0xff],
    &[0x80, 0x00],
    &[0xff, 0xff],
    &[0x00, 0x00, 0x00, 0x00],
    &[0x00, 0x00, 0x00, 0x01],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f], // the largest varint of 32 bits
    &[0x80, 0x80, 0x80, 0x80, 0x80], // one that does not end
];

const CHANGES_MAX: usize = 6;
const REPEATS_MAX: usize = 400;

/// One of the pool, changed in one to six places.
pub(crate) fn changed(pool: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = pick(pool, random).to_vec();
    for _ in 0..=random.below(CHANGES_MAX) {
        change(&mut input, pool, random);
    }
    input
}

fn pick<'a>(pool: &'a [Vec<u8>], random: &mut Random) -> &'a [u8] {
    pool.get(random.below(pool.len())).map_or(&[], Vec::as_slice)
}

fn change(input: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(16)).min(input.len());
    match random.below(9) {
        0 => with_byte(input, at, |byte, random| byte ^ (1 << random.below(8)), random),
        1 => with_byte(input, at, |_, random| random.next_u64() as u8, random),
        // Counts and lengths that are a little wrong.
        2 => with_byte(
            input,
            at,
            |byte, random| byte.wrapping_add(random.below(9) as u8).wrapping_sub(4),
            random,
        ),
        3 => overwrite(input, at, EDGES[random.below(EDGES.len())]),
        4 => drop(input.splice(at..at, EDGES[random.below(EDGES.len())].iter().copied())),
        5 => drop(input.drain(at.min(end)..end)),
        6 => input.truncate(at),
        // A piece many times over: large arrays of small elements.
        7 => {
            let piece = input.get(at..end).unwrap_or_default().repeat(1 + random.below(REPEATS_MAX));
            drop(input.splice(at..at, piece));
        }
        // The head of this one, the tail of another.
        _ => {
            let other = pick(pool, random);
            input.truncate(at);
            input.extend_from_slice(other.get(random.below(other.len() + 1)..).unwrap_or_default());
        }
    }
}

fn with_byte(input: &mut [u8], at: usize, change: impl FnOnce(u8, &mut Random) -> u8, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte = change(*byte, random);
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (byte, new) in input.iter_mut().skip(at).zip(bytes) {
        *byte = *new;
    }
}
