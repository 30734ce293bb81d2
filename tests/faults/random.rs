//! Chance that can be had again: the same seed, the same numbers.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use mana_ai::config;

/// Of `FAULT_SEED` if that is set. Printed: a test that fails shows its output.
pub fn seed() -> u64 {
    let given = config::var("FAULT_SEED").map(|seed| seed.trim().parse().expect("FAULT_SEED is a number"));
    // 32 bits are enough, and shorter to type again.
    let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
    println!("seed {seed}: FAULT_SEED={seed} repeats it");
    seed
}

/// A xorshift generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Spread, since small numbers are alike for some rounds; and never 0, from which it does not move.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 on, below `limit`.
    pub fn up_to(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// An index of a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.up_to(length as u64)).unwrap()
    }

    pub fn ms(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.up_to(range.end - range.start))
    }
}

#[test]
fn a_seed_repeats_itself_and_another_does_not() {
    let draw = |seed| -> Vec<u64> {
        let mut random = Random::new(seed);
        (0..20).map(|_| random.up_to(1000)).collect()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert!(draw(0).iter().any(|number| *number > 0), "it does not stand still");
    let early = Random::new(7).ms(100..300);
    assert!((Duration::from_millis(100)..Duration::from_millis(300)).contains(&early));
}
