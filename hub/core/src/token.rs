//! Tokens: made, hashed for the database and compared, in JupyterHub's formats.
//!
//! `hashed` is `sha512:{rounds}:{salt}:{hex}`: the digest over the salt's text and then `rounds` times the token.

use rand::{Rng, RngExt};
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// Tokens longer than this are refused before any hashing.
pub const LONGEST: usize = 64;
/// Tokens made by people must have at least so many characters.
pub const SHORTEST: usize = 8;
/// Rounds for tokens that the hub made: they are random enough.
pub const GENERATED_ROUNDS: u32 = 1;
/// Rounds for tokens that people made, and for the secrets of OAuth clients.
pub const CHOSEN_ROUNDS: u32 = 16_384;
/// A row that demands more is not computed: it would stall the hub.
const MOST_ROUNDS: u32 = 1_000_000;
const PREFIX: usize = 4;
const OAUTH_LENGTH: usize = 30;
const ALPHANUMERIC: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Why a token that somebody chose was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// Too easy to guess.
    #[error("tokens must have at least {SHORTEST} characters, got {0}")]
    Short(usize),
    /// Could never be found again.
    #[error("tokens must have at most {LONGEST} characters, got {0}")]
    Long(usize),
}

/// Makes an API token: 32 hexadecimal digits, a version 4 UUID as JupyterHub's.
pub fn generate(random: &mut impl Rng) -> Secret {
    let mut bytes = [0u8; 16];
    random.fill_bytes(&mut bytes);
    let bits = u128::from_be_bytes(bytes);
    let uuid = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    Secret::new(format!("{uuid:032x}"))
}

/// Makes the text of an OAuth access token or code: 30 letters and digits.
pub fn generate_oauth(random: &mut impl Rng) -> Secret {
    let pick = |_| ALPHANUMERIC.get(random.random_range(0..ALPHANUMERIC.len())).map_or('a', |&byte| char::from(byte));
    Secret::new((0..OAUTH_LENGTH).map(pick).collect::<String>())
}

/// What the database holds of an OAuth code: `.` and 35 characters of base64 of its SHA-256, which the column of JupyterHub
/// has room for. A code is random and lives for minutes, so that neither salt nor rounds are needed.
pub fn hash_code(code: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let hash = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(code.as_bytes()));
    format!(".{}", hash.get(..35).unwrap_or_default())
}

/// Whether a text can be a code as JupyterHub keeps it, in clear; a hash of ours never can.
pub fn is_plain_code(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Makes a share code: 32 random bytes in URL-safe base64, 43 characters.
pub fn generate_share_code(random: &mut impl Rng) -> Secret {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = [0u8; 32];
    random.fill_bytes(&mut bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// Makes the value of `users.cookie_id` or of a session id: 32 hexadecimal digits.
pub fn generate_id(random: &mut impl Rng) -> String {
    generate(random).expose().to_owned()
}

/// Checks the length of a token that somebody chose, in characters.
pub fn check_length(token: &str) -> Result<(), LengthError> {
    match token.chars().count() {
        short if short < SHORTEST => Err(LengthError::Short(short)),
        long if long > LONGEST => Err(LengthError::Long(long)),
        _ => Ok(()),
    }
}

/// The first four characters, by which candidates are found in the database.
pub fn prefix(token: &str) -> &str {
    token.char_indices().nth(PREFIX).map_or(token, |(end, _)| token.get(..end).unwrap_or(token))
}

/// Hashes a token for the database, with a fresh salt of 8 bytes.
pub fn hash(token: &str, rounds: u32, random: &mut impl Rng) -> String {
    let mut salt = [0u8; 8];
    random.fill_bytes(&mut salt);
    let salt = hex::encode(salt);
    let digest = digest(token, rounds, &salt);
    format!("sha512:{rounds}:{salt}:{digest}")
}

/// Whether a stored hash is this token's. Takes as long for a wrong token as for the right one.
pub fn verify(hashed: &str, token: &str) -> bool {
    if token.chars().nth(LONGEST).is_some() {
        return false;
    }
    let mut parts = hashed.splitn(4, ':');
    let (Some("sha512"), Some(rounds), Some(salt), Some(expected)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    match rounds.parse::<u32>() {
        // No rounds at all would match every token.
        Ok(rounds) if (1..=MOST_ROUNDS).contains(&rounds) => {
            digest(token, rounds, salt).as_bytes().ct_eq(expected.as_bytes()).into()
        }
        _ => false,
    }
}

fn digest(token: &str, rounds: u32, salt: &str) -> String {
    let mut sha = Sha512::new();
    sha.update(salt.as_bytes());
    for _ in 0..rounds {
        sha.update(token.as_bytes());
    }
    hex::encode(sha.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_that_jupyterhub_made_are_matched() {
        let vectors: Vec<(String, String)> =
            serde_json::from_str(include_str!("../tests/vectors/tokens.json")).unwrap();
        assert!(vectors.len() >= 4);
        for (token, hashed) in vectors {
            assert!(verify(&hashed, &token), "{token}");
            assert!(!verify(&hashed, &format!("{token}x")), "{token}");
        }
    }

    #[test]
    fn a_token_matches_its_own_hash_only() {
        let mut random = rand::rng();
        let token = generate(&mut random);
        let hashed = hash(token.expose(), GENERATED_ROUNDS, &mut random);
        assert!(verify(&hashed, token.expose()));
        assert!(!verify(&hashed, generate(&mut random).expose()));
        assert_ne!(hashed, hash(token.expose(), GENERATED_ROUNDS, &mut random));
    }

    #[test]
    fn broken_hashes_and_endless_work_match_nothing() {
        for hashed in
            ["", "sha512", "sha512:1:ab", "md5:1:ab:cd", "sha512:x:ab:cd", "sha512:4000000000:ab:cd", "sha512:-1:a:b"]
        {
            assert!(!verify(hashed, "token-of-somebody"), "{hashed}");
        }
        let long = "x".repeat(LONGEST + 1);
        assert!(!verify(&hash(&long, 1, &mut rand::rng()), &long));
    }

    #[test]
    fn made_tokens_have_their_shape() {
        let mut random = rand::rng();
        for _ in 0..64 {
            let token = generate(&mut random);
            let text = token.expose();
            assert_eq!(text.len(), 32);
            assert_eq!(text.as_bytes()[12], b'4');
            assert!(b"89ab".contains(&text.as_bytes()[16]));
            assert!(text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
            let oauth = generate_oauth(&mut random);
            assert_eq!(oauth.expose().len(), 30);
            assert!(oauth.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(generate_share_code(&mut random).expose().len(), 43);
        }
    }

    #[test]
    fn a_hashed_code_fits_its_column_and_is_no_code() {
        let hashed = hash_code("aB3");
        assert_eq!(hashed.len(), 36);
        assert!(hashed != hash_code("aB4") && !is_plain_code(&hashed) && is_plain_code("aB3") && !is_plain_code(""));
    }

    #[test]
    fn lengths_and_prefixes_count_characters() {
        assert_eq!(prefix("abcdef"), "abcd");
        assert_eq!(prefix("äöüßx"), "äöüß");
        assert_eq!(prefix("ab"), "ab");
        assert_eq!(check_length("1234567"), Err(LengthError::Short(7)));
        assert_eq!(check_length(&"ä".repeat(64)), Ok(()));
        assert_eq!(check_length(&"a".repeat(65)), Err(LengthError::Long(65)));
    }
}
