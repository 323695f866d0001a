//! What do the records say? Sizes, keys and text of the events, from a seed.
//!
//! One [`Payload`] per connection, so that what a connection sends does not depend on how threads take turns.
mod iis;
mod keys;
mod noise;

pub use iis::{EVENT_BYTES_MAX, EVENT_BYTES_MIN, Iis};
pub use keys::Keys;
pub use noise::Noise;

/// Makes the values (and keys) of one connection's records.
#[derive(Clone, Debug)]
pub struct Payload {
    shape: Shape,
    keys: Keys,
    noise: Noise,
}

#[derive(Clone, Debug)]
enum Shape {
    Filler { record_bytes: usize, random_percent: u8, pool: Vec<u8> },
    Iis(Box<Iis>),
}

/// Bytes of noise that filler values are cut from: long enough that no codec sees its beginning again within a batch of
/// a few values, short enough to stay in a core's own cache.
const POOL_BYTES: usize = 256 * 1024;
/// What the part of a filler value that is not random is made of.
const FILLER_TEXT: &[u8] = b"the line of fastest flow in a river ";
/// Filler values mix random and even bytes in pieces of this size.
const PIECE_BYTES: usize = 64;

impl Payload {
    /// Values of `record_bytes` each, of which `random_percent` in a hundred bytes do not compress.
    pub fn filler(record_bytes: usize, random_percent: u8, keys: Keys, seed: u64, stream: u64) -> Self {
        let mut noise = Noise::new(seed, stream);
        let mut pool = Vec::with_capacity(POOL_BYTES);
        while pool.len() < POOL_BYTES {
            pool.extend_from_slice(&noise.bits().to_le_bytes());
        }
        Self { shape: Shape::Filler { record_bytes, random_percent, pool }, keys, noise }
    }

    /// Filebeat's events of one web server: JSON of 1.1-1.5 kB.
    pub fn iis(keys: Keys, seed: u64, stream: u64) -> Self {
        let shape = Shape::Iis(Box::new(Iis::new(seed, stream)));
        Self { shape, keys, noise: Noise::new(seed, stream.wrapping_add(1 << 32)) }
    }

    /// Appends the next value to `out`.
    pub fn write_value(&mut self, out: &mut Vec<u8>) {
        match &mut self.shape {
            Shape::Iis(events) => events.write_event(out),
            Shape::Filler { record_bytes, random_percent, pool } => {
                let end = out.len() + *record_bytes;
                let mut at = self.noise.below((pool.len() - PIECE_BYTES) as u64) as usize;
                while out.len() < end {
                    let piece = PIECE_BYTES.min(end - out.len());
                    let random = piece * usize::from(*random_percent) / 100;
                    out.extend_from_slice(&pool[at..at + random]);
                    out.extend(FILLER_TEXT.iter().cycle().take(piece - random));
                    at = (at + PIECE_BYTES) % (pool.len() - PIECE_BYTES);
                }
            }
        }
    }

    /// Appends the next key to `out`, in hexadecimal digits. `false`: records have no key.
    pub fn write_key(&mut self, out: &mut Vec<u8>) -> bool {
        self.keys.write(&mut self.noise, out)
    }

    /// About how many bytes key and value of a record have.
    pub fn record_bytes_mean(&self) -> usize {
        self.keys.bytes() + self.value_bytes_mean()
    }

    /// About how long a value is.
    pub fn value_bytes_mean(&self) -> usize {
        match &self.shape {
            Shape::Filler { record_bytes, .. } => *record_bytes,
            Shape::Iis(_) => usize::midpoint(EVENT_BYTES_MIN, EVENT_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(payload: &mut Payload) -> Vec<u8> {
        let mut out = Vec::new();
        payload.write_value(&mut out);
        out
    }

    #[test]
    fn filler_has_exactly_the_size_asked_for() {
        for record_bytes in [0, 1, 63, 64, 65, 1000, 1_000_000] {
            assert_eq!(value(&mut Payload::filler(record_bytes, 50, Keys::own(0), 1, 1)).len(), record_bytes);
        }
    }

    #[test]
    fn filler_compresses_as_much_as_asked() {
        let packed_bytes = |random_percent| {
            let mut payload = Payload::filler(100_000, random_percent, Keys::own(0), 1, 1);
            crate::batch::Codec::Zstd.compress(&value(&mut payload)).unwrap().len()
        };
        assert!(packed_bytes(0) < 1_000);
        assert!((45_000..65_000).contains(&packed_bytes(50)), "{}", packed_bytes(50));
        assert!(packed_bytes(100) > 99_000);
    }

    #[test]
    fn the_same_seed_and_stream_make_the_same_values_and_keys() {
        let text = |seed, stream| {
            let mut payload = Payload::filler(100, 50, Keys::own(20), seed, stream);
            let mut key = Vec::new();
            assert!(payload.write_key(&mut key));
            assert_eq!(key.len(), 20);
            (key, value(&mut payload))
        };
        assert_eq!(text(1, 1), text(1, 1));
        assert_ne!(text(1, 1), text(1, 2));
        assert_ne!(text(1, 1), text(2, 1));
    }
}
