//! Proof key for code exchange (RFC 7636): the one who began the authorisation is the one who ends it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How the challenge was made from the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The challenge is the verifier.
    Plain,
    /// The challenge is the verifier's SHA-256 in URL-safe base64.
    S256,
}

impl Method {
    /// Its name, as sent and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Plain => "plain",
            Method::S256 => "S256",
        }
    }

    /// Reads `code_challenge_method`; absent means `plain`. `None` is a method that nobody defined.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("plain") => Some(Method::Plain),
            Some("S256") => Some(Method::S256),
            Some(_) => None,
        }
    }

    /// Makes the challenge for a verifier.
    pub fn challenge(self, verifier: &str) -> String {
        match self {
            Method::Plain => verifier.to_owned(),
            Method::S256 => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())),
        }
    }
}

/// Whether a text may be a verifier or a challenge: 43 to 128 unreserved characters.
pub fn is_well_formed(text: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

/// Whether the exchange may go on. A challenge needs its verifier, and a verifier without challenge is refused:
/// somebody took the challenge away on the road.
pub fn verify(challenge: Option<(&str, Method)>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        (Some((challenge, method)), Some(verifier)) => {
            is_well_formed(verifier) && method.challenge(verifier).as_bytes().ct_eq(challenge.as_bytes()).into()
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From appendix B of the RFC.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_holds() {
        assert_eq!(Method::S256.challenge(VERIFIER), CHALLENGE);
        assert!(verify(Some((CHALLENGE, Method::S256)), Some(VERIFIER)));
        assert!(verify(Some((VERIFIER, Method::Plain)), Some(VERIFIER)));
    }

    #[test]
    fn a_missing_or_wrong_half_ends_the_exchange() {
        assert!(!verify(Some((CHALLENGE, Method::S256)), None));
        assert!(!verify(Some((CHALLENGE, Method::S256)), Some(CHALLENGE)));
        assert!(!verify(Some((CHALLENGE, Method::Plain)), Some(VERIFIER)));
        assert!(!verify(Some(("short", Method::Plain)), Some("short")));
        assert!(!verify(None, Some(VERIFIER)));
        assert!(verify(None, None));
    }

    #[test]
    fn only_the_two_methods_exist() {
        assert_eq!(Method::parse(None), Some(Method::Plain));
        assert_eq!(Method::parse(Some("S256")), Some(Method::S256));
        assert_eq!(Method::parse(Some("s256")), None);
    }
}
