//! Remembers which secrets have been proved right: a hash of many rounds is computed once, not for each request.
//!
//! What is remembered is a function of hash and secret alone, so it never gets stale: whether the token still exists
//! is asked of the database each time. Only what was right is kept, so guessing fills nothing.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use hub_core::token;
use sha2::{Digest, Sha256};

/// So many are remembered; then all are forgotten and proved anew.
const MOST: usize = 10_000;
/// Hashes of one round are as quick as looking up.
const ONE_ROUND: &str = "sha512:1:";

/// Secrets that were right.
#[derive(Default)]
pub struct Proofs(RwLock<HashSet<[u8; 32]>>);

impl Proofs {
    /// Whether a secret matches a hash, as `token::verify` tells.
    pub fn verify(&self, hashed: &str, secret: &str) -> bool {
        if hashed.starts_with(ONE_ROUND) || secret.len() > token::LONGEST {
            return token::verify(hashed, secret);
        }
        let mut digest = Sha256::new();
        digest.update(hashed.as_bytes());
        digest.update([0]);
        digest.update(secret.as_bytes());
        let key: [u8; 32] = digest.finalize().into();
        if self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return true;
        }
        let right = token::verify(hashed, secret);
        if right {
            let mut proved = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if proved.len() >= MOST {
                proved.clear();
            }
            proved.insert(key);
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_chosen_token_is_proved_once_and_a_wrong_one_each_time() {
        let proofs = Proofs::default();
        let secret = "a token that somebody chose";
        let hashed = token::hash(secret, token::CHOSEN_ROUNDS, &mut rand::rng());
        let begin = Instant::now();
        assert!(proofs.verify(&hashed, secret));
        let first = begin.elapsed();
        let begin = Instant::now();
        assert!((0..10).all(|_| proofs.verify(&hashed, secret)));
        assert!(begin.elapsed() < first, "ten from memory are quicker than one proof");
        assert!(!proofs.verify(&hashed, "another token"));
        assert!(!proofs.verify(&token::hash("x", token::CHOSEN_ROUNDS, &mut rand::rng()), secret));
        assert_eq!(proofs.0.read().unwrap().len(), 1);
    }
}
