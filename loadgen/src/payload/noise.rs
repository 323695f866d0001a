//! Numbers that look random and are the same for one seed on every machine and in every version.
//!
//! `SplitMix64` (Steele, Lea, Flood 2014): three multiplications a number, enough for test data.

/// A seeded stream of numbers.
#[derive(Clone, Debug)]
pub struct Noise(u64);

impl Noise {
    /// A stream of its own for each pair of seed and stream number.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut noise = Self(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        noise.bits();
        noise
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream_and_other_streams_differ() {
        let numbers = |seed, stream| {
            let mut noise = Noise::new(seed, stream);
            [noise.bits(), noise.bits()]
        };
        assert_eq!(numbers(7, 1), numbers(7, 1));
        assert_ne!(numbers(7, 1), numbers(7, 2));
        assert_ne!(numbers(7, 1), numbers(8, 1));
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut noise = Noise::new(1, 1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[noise.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }
}
