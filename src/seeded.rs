//! Numbers that look drawn and are functions: the same for every arm, process and language.

/// Mixes the bits of a number: S. Vigna, <https://prng.di.unimi.it/splitmix64.c>, one step.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Mixes bytes into a number: eight at a time, as little-endian words, the last filled up with zeros.
pub fn mix_bytes(seed: u64, bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(mix(seed), |mixed, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(mixed ^ u64::from_le_bytes(word))
    })
}

/// Makes a number above 0 and up to 1 of the upper 53 bits of another.
pub fn unit(mixed: u64) -> f64 {
    ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Takes a uniform number above 0 and up to 1 to an exponential one of mean 1.
pub fn exponential(unit: f64) -> f64 {
    -unit.ln()
}

/// Draws one number after the other.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The next, above 0 and up to 1.
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        unit(mix(self.0))
    }

    /// The next of an exponential distribution of mean 1.
    pub fn exponential(&mut self) -> f64 {
        exponential(self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_other_programs_too() {
        // The first of the reference implementation from the state 0 (S. Vigna), and what contestants/asio has.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix_bytes(7, b"12 - Send Message.3"), mix_bytes(7, b"12 - Send Message.3\0\0"));
        assert_ne!(mix_bytes(7, b"12 - Send Message"), mix_bytes(8, b"12 - Send Message"));
    }

    #[test]
    fn draws_have_the_moments_that_they_should() {
        let mut draws = Draws::new(3);
        let drawn: Vec<f64> = (0..100_000).map(|_| draws.exponential()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let square = drawn.iter().map(|it| it * it).sum::<f64>() / drawn.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (square - 2.0).abs() < 0.1, "{mean} {square}");
    }
}
