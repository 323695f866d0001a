//! Zigzag varints, as records carry them.

/// Reads one off the front; `None` when it is cut or longer than its type.
pub(super) fn read_long(bytes: &mut &[u8]) -> Option<i64> {
    let mut raw = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        raw |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

/// Reads one that must fit 32 bits.
pub(super) fn read_int(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(read_long(bytes)?).ok()
}

/// Appends one.
pub(super) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_reads_back() {
        for value in [0, -1, 1, 63, -64, 64, 300, i64::from(i32::MIN), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_long(value, &mut out);
            assert_eq!(read_long(&mut &out[..]), Some(value));
            assert_eq!(read_long(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(read_long(&mut &[0xff; 11][..]), None);
    }
}
