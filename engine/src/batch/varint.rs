//! Zig-zag numbers of variable length, as records carry them.
//!
//! Seven bits a byte, lowest first, the top bit says that more follow; 0, -1, 1, -2 are 0, 1, 2, 3. Not every number
//! has one spelling only: padding is accepted, and bits beyond the type's width fall off, as in Kafka's reader.

use super::framing::{ByteSource, Flaw};

/// Bytes of the longest 32-bit number.
const INT_BYTES_MAX: u32 = 5;
/// Bytes of the longest 64-bit number.
const LONG_BYTES_MAX: u32 = 10;

/// Reads a 32-bit number.
#[inline]
pub(super) fn read_int(source: &mut impl ByteSource) -> Result<i32, Flaw> {
    let mut raw = 0u32;
    for place in 0..INT_BYTES_MAX {
        let byte = source.byte()?;
        raw |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((raw >> 1) as i32 ^ -((raw & 1) as i32));
        }
    }
    Err(Flaw::VarintTooLong)
}

/// Reads a 64-bit number.
#[inline]
pub(super) fn read_long(source: &mut impl ByteSource) -> Result<i64, Flaw> {
    let mut raw = 0u64;
    for place in 0..LONG_BYTES_MAX {
        let byte = source.byte()?;
        raw |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    Err(Flaw::VarintTooLong)
}

/// Appends a number; a 32-bit one has the same spelling.
pub(super) fn write_long(value: i64, out: &mut Vec<u8>) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn every_width_reads_back_and_every_cut_is_seen() {
        for value in
            [0, -1, 1, 63, -64, 64, 300, i64::from(i32::MIN), i64::from(i32::MAX), i64::MAX, i64::MIN]
        {
            let mut out = Vec::new();
            write_long(value, &mut out);
            assert_eq!(read_long(&mut &out[..]).unwrap(), value);
            if let Ok(value) = i32::try_from(value) {
                assert_eq!(read_int(&mut &out[..]).unwrap(), value);
            }
            for cut in 0..out.len() {
                assert!(matches!(read_long(&mut &out[..cut]), Err(Flaw::Ended)));
                assert!(matches!(read_int(&mut &out[..cut]), Err(Flaw::Ended | Flaw::VarintTooLong)));
            }
        }
    }

    #[test]
    fn padding_is_accepted_up_to_the_longest_spelling() {
        assert_eq!(read_int(&mut &[0x82, 0x80, 0x80, 0x80, 0x00][..]).unwrap(), 1);
        assert!(matches!(read_int(&mut &[0x82, 0x80, 0x80, 0x80, 0x80, 0][..]), Err(Flaw::VarintTooLong)));
        assert_eq!(read_int(&mut &[0x82, 0x80, 0x80, 0x80, 0x70][..]).unwrap(), 1); // bits 32 to 34 fall off
        assert_eq!(
            read_long(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..]).unwrap(),
            i64::MIN
        );
        assert!(matches!(read_long(&mut &[0xff; 11][..]), Err(Flaw::VarintTooLong)));
    }
}
