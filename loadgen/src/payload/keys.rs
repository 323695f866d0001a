//! Which key does a record carry? None, one of its own, or one of a space in which all are alike or a few come often.
//!
//! Keys of a space are their numbers, written with hexadecimal digits, so that any two differ. All connections draw from
//! the same space, each with its own noise.
use super::Noise;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Makes the keys of one connection's records.
#[derive(Clone, Debug)]
pub struct Keys {
    key_bytes: usize,
    draw: Draw,
}

#[derive(Clone, Debug)]
enum Draw {
    /// Each record has a key of its own.
    Own,
    Uniform {
        count: u64,
    },
    Zipf(Zipf),
}

impl Keys {
    /// The usual exponent of what people ask for.
    pub const EXPONENT: f64 = 0.99;
    /// Above this, neighbours are the same number to a float.
    pub const COUNT_MAX: u64 = 1 << 48;

    /// A key of its own for each record; of no bytes: no keys.
    pub fn own(key_bytes: usize) -> Self {
        Self { key_bytes, draw: Draw::Own }
    }

    /// One of `count` keys, all alike.
    ///
    /// # Panics
    /// If they do not fit, as [`Self::fits`] tells.
    pub fn uniform(key_bytes: usize, count: u64) -> Self {
        assert!(Self::fits(key_bytes, count));
        Self { key_bytes, draw: Draw::Uniform { count } }
    }

    /// One of `count` keys; number k, from 1, comes in proportion to `1 / k^exponent`.
    ///
    /// # Panics
    /// If they do not fit, as [`Self::fits`] tells.
    pub fn zipf(key_bytes: usize, count: u64, exponent: f64) -> Self {
        assert!(Self::fits(key_bytes, count));
        Self { key_bytes, draw: Draw::Zipf(Zipf::new(count, exponent)) }
    }

    /// So many different keys can be written in so many digits.
    pub fn fits(key_bytes: usize, count: u64) -> bool {
        count > 0 && key_bytes > 0 && (key_bytes >= 16 || count <= 1 << (4 * key_bytes))
    }

    /// Bytes of a key.
    pub fn bytes(&self) -> usize {
        self.key_bytes
    }

    /// Appends the next key to `out`. `false`: records have none.
    pub fn write(&self, noise: &mut Noise, out: &mut Vec<u8>) -> bool {
        if self.key_bytes == 0 {
            return false;
        }
        let number = match &self.draw {
            Draw::Own => {
                for left in (0..self.key_bytes).step_by(16) {
                    write_digits(noise.bits(), 16.min(self.key_bytes - left), out);
                }
                return true;
            }
            Draw::Uniform { count } => noise.below(*count),
            Draw::Zipf(zipf) => zipf.draw(noise) - 1,
        };
        out.resize(out.len() + self.key_bytes.saturating_sub(16), b'0');
        write_digits(number, self.key_bytes.min(16), out);
        true
    }
}

/// The lowest `count` digits of a number.
fn write_digits(number: u64, count: usize, out: &mut Vec<u8>) {
    out.extend((0..count).rev().map(|place| DIGITS[(number >> (4 * place) & 15) as usize]));
}

/// Draws from 1..=count in constant time, without a table: rejection-inversion (Hörmann, Derflinger 1996). The curve
/// `x^-s` is inverted under its integral; what falls between the curve and the steps of whole numbers is drawn again.
#[derive(Clone, Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    /// The integral from where number 1 begins, and to the end of the last number.
    area_start: f64,
    area_end: f64,
    /// So near to its number a draw is always right.
    sure: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let mut zipf = Self { count: count as f64, exponent, area_start: 0.0, area_end: 0.0, sure: 0.0 };
        zipf.area_start = zipf.area(1.5) - 1.0;
        zipf.area_end = zipf.area(zipf.count + 0.5);
        zipf.sure = 2.0 - zipf.place(zipf.area(2.5) - zipf.height(2.0));
        zipf
    }

    fn draw(&self, noise: &mut Noise) -> u64 {
        loop {
            let share = (noise.bits() >> 11) as f64 / (1_u64 << 53) as f64;
            let area = self.area_end + share * (self.area_start - self.area_end);
            let place = self.place(area);
            let number = place.round().clamp(1.0, self.count);
            if number - place <= self.sure || area >= self.area(number + 0.5) - self.height(number) {
                return number as u64;
            }
        }
    }

    fn height(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// Integral of the height from 1 to `x`: `(x^(1-s) - 1) / (1-s)`, which is `ln x` where s is 1.
    fn area(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        if power.abs() < 1e-8 { log * (1.0 + power / 2.0) } else { power.exp_m1() / (1.0 - self.exponent) }
    }

    /// Where the integral is `area`.
    fn place(&self, area: f64) -> f64 {
        // Below -1 only by rounding.
        let power = (area * (1.0 - self.exponent)).max(-1.0);
        let log = if power.abs() < 1e-8 {
            area * (1.0 - power / 2.0)
        } else {
            power.ln_1p() / (1.0 - self.exponent)
        };
        log.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn key(keys: &Keys, noise: &mut Noise) -> String {
        let mut out = Vec::new();
        assert!(keys.write(noise, &mut out));
        assert_eq!(out.len(), keys.bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_key_of_its_own_has_its_length_and_no_key_is_none() {
        let mut noise = Noise::new(1, 1);
        for key_bytes in [1, 15, 16, 17, 40] {
            let keys = Keys::own(key_bytes);
            assert_ne!(
                key(&keys, &mut noise).repeat(2),
                key(&keys, &mut noise),
                "the length is looked at in key()"
            );
        }
        assert!(!Keys::own(0).write(&mut noise, &mut Vec::new()));
    }

    #[test]
    fn a_uniform_space_is_drawn_from_whole_and_evenly() {
        let (keys, mut noise) = (Keys::uniform(20, 50), Noise::new(1, 1));
        let mut counts = BTreeMap::new();
        for _ in 0..50_000 {
            *counts.entry(key(&keys, &mut noise)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 50);
        // A thousand each; six standard deviations are 190.
        assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
        assert_eq!(counts.keys().next().unwrap(), &"0".repeat(20));
    }

    #[test]
    fn zipf_draws_each_number_in_its_proportion_for_exponents_around_one() {
        const DRAWS: u64 = 400_000;
        const COUNT: u64 = 100;
        for exponent in [0.5, 0.99, 1.0, 1.5, 3.0] {
            let (zipf, mut noise) = (Zipf::new(COUNT, exponent), Noise::new(7, 7));
            let mut counts = vec![0_f64; COUNT as usize + 1];
            (0..DRAWS).for_each(|_| counts[zipf.draw(&mut noise) as usize] += 1.0);
            assert!(counts[0] < 0.5);
            let weights: f64 = (1..=COUNT).map(|k| (k as f64).powf(-exponent)).sum();
            for (k, count) in counts.iter().enumerate().skip(1) {
                let wanted = (k as f64).powf(-exponent) / weights * DRAWS as f64;
                let off = (count - wanted).abs();
                assert!(off < 6.0 * wanted.sqrt() + 6.0, "s {exponent}, k {k}: {count} for {wanted}");
            }
        }
    }

    #[test]
    fn the_largest_space_is_drawn_from_to_its_end() {
        let (zipf, mut noise) = (Zipf::new(Keys::COUNT_MAX, 0.2), Noise::new(1, 1));
        let drawn: BTreeSet<u64> = (0..1_000).map(|_| zipf.draw(&mut noise)).collect();
        assert!(drawn.len() > 990 && *drawn.last().unwrap() > Keys::COUNT_MAX / 2);
        assert!(*drawn.last().unwrap() <= Keys::COUNT_MAX);
    }

    #[test]
    fn as_many_keys_as_digits_can_tell_fit() {
        assert!(Keys::fits(2, 256) && !Keys::fits(2, 257) && Keys::fits(16, Keys::COUNT_MAX));
        assert!(!Keys::fits(0, 2) && !Keys::fits(4, 0));
    }
}
