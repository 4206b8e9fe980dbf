//! The first password of a new user, which nobody is told.

use rand::{Rng, seq::SliceRandom};
use secrecy::SecretString;
use zeroize::Zeroizing;

const UPPER: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZ";
const LOWER: &[u8] = b"abcdefghijkmnopqrstuvwxyz";
const DIGIT: &[u8] = b"23456789";
const SPECIAL: &[u8] = b"!#$%*+-=?@_";

/// Characters in a generated password: about 140 bits.
const LENGTH: usize = 24;

/// A password that satisfies ZIA's strong rule: 8 or more ASCII characters with a digit, a capital
/// and a special character (zia-facts §3.1).
pub(crate) fn generate(rng: &mut impl Rng) -> SecretString {
    let all = [UPPER, LOWER, DIGIT, SPECIAL].concat();
    let mut bytes: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::with_capacity(LENGTH));
    for class in [UPPER, LOWER, DIGIT, SPECIAL] {
        bytes.push(pick(rng, class));
    }
    while bytes.len() < LENGTH {
        bytes.push(pick(rng, &all));
    }
    bytes.shuffle(rng);
    SecretString::from(bytes.iter().map(|&b| char::from(b)).collect::<String>())
}

fn pick(rng: &mut impl Rng, class: &[u8]) -> u8 {
    use rand::seq::IndexedRandom;
    class.choose(rng).copied().unwrap_or(b'x')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn every_password_satisfies_the_strong_rule() {
        let mut rng = rand::rng();
        for _ in 0..1_000 {
            let password = generate(&mut rng);
            let text = password.expose_secret();
            assert_eq!(text.len(), LENGTH);
            assert!(text.is_ascii());
            for class in [UPPER, LOWER, DIGIT, SPECIAL] {
                assert!(text.bytes().any(|b| class.contains(&b)));
            }
        }
    }

    #[test]
    fn two_passwords_differ() {
        let mut rng = rand::rng();
        assert_ne!(generate(&mut rng).expose_secret(), generate(&mut rng).expose_secret());
    }
}
