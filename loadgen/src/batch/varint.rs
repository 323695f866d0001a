//! Variable-length integers of a record: zigzag, seven bits a byte, lowest first.

/// Appends `value`.
pub(crate) fn write(out: &mut Vec<u8>, value: i64) {
    let mut left = zigzag(value);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// How many bytes `value` takes.
pub(crate) fn bytes(value: i64) -> usize {
    (64 - (zigzag(value) | 1).leading_zeros() as usize).div_ceil(7)
}

/// Takes a value from the front of `input`; `None` if it is cut or longer than ten bytes.
pub(crate) fn read(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_and_has_the_length_told(value: i64) {
            let mut out = Vec::new();
            write(&mut out, value);
            assert_eq!(out.len(), bytes(value));
            let mut input = out.as_slice();
            assert_eq!(read(&mut input), Some(value));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn small_values_take_one_byte_and_cut_or_endless_ones_are_refused() {
        assert_eq!([bytes(0), bytes(63), bytes(-64), bytes(64), bytes(-65)], [1, 1, 1, 2, 2]);
        assert_eq!(read(&mut &[0x80_u8][..]), None);
        assert_eq!(read(&mut &[0xff_u8; 11][..]), None);
    }
}
