//! Password hashes: argon2id in PHC format, with the parameters that OWASP recommends (19 MiB, two passes).

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};
use hub_core::secret::Secret;

/// Hashes a password with a fresh salt. Takes some hundredths of a second: never call it on a thread that serves.
pub fn hash(password: &Secret) -> Result<Secret, String> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.expose().as_bytes()).map_err(|e| e.to_string())?;
    Ok(Secret::new(hash.to_string()))
}

/// Compares a password with a hash, in the same time whether it is right or not. As slow as `hash`.
pub fn verify(password: &Secret, hash: &Secret) -> Result<bool, String> {
    let parsed = PasswordHash::new(hash.expose()).map_err(|error| format!("a stored hash cannot be read: {error}"))?;
    // Without its last part it fits nothing, which would look like a wrong password for ever.
    if parsed.hash.is_none() {
        return Err("a stored hash is not whole".into());
    }
    match Argon2::default().verify_password(password.expose().as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_fits_its_hash() {
        let kept = hash(&Secret::new("correct horse")).unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", kept.expose());
        assert_eq!(verify(&Secret::new("correct horse"), &kept), Ok(true));
        assert_eq!(verify(&Secret::new("correct horsf"), &kept), Ok(false));
        assert_eq!(verify(&Secret::new(""), &kept), Ok(false));
    }

    #[test]
    fn one_password_has_many_hashes() {
        let password = Secret::new("correct horse");
        assert_ne!(hash(&password).unwrap().expose(), hash(&password).unwrap().expose());
    }

    #[test]
    fn a_broken_hash_is_an_error_not_a_refusal() {
        for broken in ["", "x", "$argon2id$v=19$m=1", "$2b$12$abcdefghijklmnopqrstuu"] {
            assert!(verify(&Secret::new("a"), &Secret::new(broken)).is_err(), "{broken}");
        }
    }
}
