//! A small deterministic generator of numbers.
//!
//! The same seed gives the same run on every machine, for as long as this file stays as it is. It is splitmix64
//! (Steele, Lea and Flood 2014): one word of state, and every seed is as good as any other.

/// A stream of numbers that is wholly decided by its seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number less than `bound`, which is at least 1.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "nothing is below zero");
        let wide = (self.next() >> 32) * u64::from(bound);
        u32::try_from(wide >> 32).expect("a product of two 32-bit numbers shifted by 32 bits")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which are not empty.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let count = u32::try_from(choices.len()).expect("a short list of choices");
        &choices[self.below(count) as usize]
    }

    /// Fills `bytes` with eight that are random, then eight that are not, and so on: they compress to about half, as those
    /// of most databases do.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(16) {
            let mut word = [b' '; 16];
            word[..8].copy_from_slice(&self.next().to_le_bytes());
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// `length` bytes, of which the first half is noise and the rest compresses well, as much of what applications
    /// store does.
    pub fn bytes(&mut self, length: u32) -> Vec<u8> {
        let length = length as usize;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length / 2 {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.resize(length, b'.');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_stream() {
        let mut random = Random::new(1_234_567);
        // The published test vector of splitmix64 for this seed.
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_both() {
        let mut random = Random::new(7);
        let numbers: Vec<u32> = (0..1000).map(|_| random.between(3, 6)).collect();
        assert_eq!(numbers.iter().min(), Some(&3));
        assert_eq!(numbers.iter().max(), Some(&6));
        assert_eq!(random.bytes(13).len(), 13);
    }
}
