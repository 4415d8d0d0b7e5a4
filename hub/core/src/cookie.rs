//! Cookies as JupyterHub has them: names, Tornado's signed values (version 2), and the secret they are signed with.
//!
//! A signed value is `2|1:0|10:1700000000|20:jupyterhub-hub-login|8:YWxpY2U=|<hmac>`: each field with its length,
//! the signature an HMAC-SHA256 in hexadecimal over everything before it, the last `|` included.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Duration;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::clock::Time;
use crate::secret::Secret;

/// Carries the signed `users.cookie_id`, on the hub's path.
pub const LOGIN: &str = "jupyterhub-hub-login";
/// Carries the session id in clear, on the base path.
pub const SESSION: &str = "jupyterhub-session-id";
/// Carries the token against forged requests.
pub const XSRF: &str = "_xsrf";
/// Of old; only ever cleared.
pub const SERVICES: &str = "jupyterhub-services";

/// Tornado's answer to a value that is longer is to try; ours is not to.
const LONGEST: usize = 8192;
const SECRET_BYTES: usize = 32;

/// The login cookie's name as sent: with `__Host-` before it if the operator wants it bound to this host. Session and
/// `_xsrf` cookies keep their names in JupyterHub.
pub fn sent_name(name: &str, host_prefix: bool) -> String {
    if host_prefix { format!("__Host-{name}") } else { name.to_owned() }
}

/// All values of a cookie in `Cookie` headers, in their order: browsers send one for each path that fits.
pub fn values<'h>(headers: impl IntoIterator<Item = &'h str>, name: &str) -> impl Iterator<Item = &'h str> {
    let pairs = headers.into_iter().flat_map(|header| header.split(';')).filter_map(|pair| pair.split_once('='));
    let named = pairs.filter(move |(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    named.map(|value| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// What cookies are signed with.
#[derive(Clone)]
pub struct CookieSecret(Vec<u8>);

/// Why the content of a cookie secret file was refused. Says nothing of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing in it.
    #[error("the cookie secret is empty")]
    Empty,
    /// Too short to sign with.
    #[error("the cookie secret has {0} bytes, at least 16 are needed (make one with: openssl rand -hex 32)")]
    Short(usize),
    /// Neither of the two forms.
    #[error("the cookie secret is neither hexadecimal nor base64 (make one with: openssl rand -hex 32)")]
    Unreadable,
}

impl CookieSecret {
    /// Makes a new one.
    pub fn generate(random: &mut impl Rng) -> Self {
        let mut bytes = vec![0u8; SECRET_BYTES];
        random.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Reads the content of the file or of the environment: hexadecimal, or base64 as JupyterHub before 0.8.
    pub fn parse(content: &str) -> Result<Self, SecretError> {
        let text = content.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let bytes = match hex::decode(text) {
            Ok(bytes) => bytes,
            Err(_) => decode_old_base64(text).ok_or(SecretError::Unreadable)?,
        };
        if bytes.len() < 16 { Err(SecretError::Short(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// The content to write to the file: 64 hexadecimal digits and a line feed.
    pub fn to_file(&self) -> String {
        format!("{}\n", hex::encode(&self.0))
    }

    /// A key for one purpose, as 64 hexadecimal digits: it tells neither the secret nor the key for another purpose.
    /// Nothing that is signed begins like this.
    pub fn derive(&self, purpose: &str) -> Secret {
        Secret::new(self.signature(format!("key for {purpose}").as_bytes()))
    }

    fn signature(&self, text: &[u8]) -> String {
        // HMAC takes keys of any length; the error type is never made.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(text);
        hex::encode(mac.finalize().into_bytes())
    }
}

/// Python's reading skips whatever is not of the alphabet, and line breaks were common.
fn decode_old_base64(text: &str) -> Option<Vec<u8>> {
    let kept: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')).collect();
    STANDARD.decode(kept).ok()
}

/// Signs a value under a cookie's name. The name is the one sent, `__Host-` included.
pub fn sign(secret: &CookieSecret, name: &str, value: &[u8], now: Time) -> String {
    let time = now.timestamp().to_string();
    let value = STANDARD.encode(value);
    let signed = format!("2|1:0|{}:{time}|{}:{name}|{}:{value}|", time.len(), name.len(), value.len());
    let signature = secret.signature(signed.as_bytes());
    signed + &signature
}

/// Gives the value back if it was signed with this secret, under this name, and not longer ago than `max_age`.
/// Version 1 of the format is refused: its fields have no boundaries.
pub fn verify(secret: &CookieSecret, name: &str, signed: &str, max_age: Duration, now: Time) -> Option<Vec<u8>> {
    if signed.len() > LONGEST {
        return None;
    }
    let (text, signature) = signed.rsplit_once('|').map(|(text, signature)| (text.len() + 1, signature))?;
    let expected = secret.signature(signed.as_bytes().get(..text)?);
    if expected.is_empty() || !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
        return None;
    }
    let rest = signed.strip_prefix("2|")?;
    let (_key_version, rest) = field(rest)?;
    let (time, rest) = field(rest)?;
    let (signed_name, rest) = field(rest)?;
    let (value, rest) = field(rest)?;
    let oldest = now.timestamp().checked_sub(max_age.num_seconds())?;
    let fits = rest == signature && signed_name == name && time.parse::<i64>().is_ok_and(|time| time >= oldest);
    fits.then(|| STANDARD.decode(value).ok()).flatten()
}

/// Takes `5:alice|` off the front.
fn field(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
    Some((value, rest.strip_prefix('|')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        secret: String,
        name: String,
        value: String,
        time: i64,
        signed: String,
    }

    fn at(time: i64) -> Time {
        DateTime::from_timestamp(time, 0).unwrap()
    }

    fn secret() -> CookieSecret {
        CookieSecret::parse(&"ab".repeat(32)).unwrap()
    }

    #[test]
    fn tornado_and_we_sign_alike() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/vectors/cookies.json")).unwrap();
        assert!(vectors.len() >= 4);
        for Vector { secret, name, value, time, signed } in vectors {
            let secret = CookieSecret::parse(&secret).unwrap();
            assert_eq!(sign(&secret, &name, value.as_bytes(), at(time)), signed);
            let read = verify(&secret, &name, &signed, Duration::days(14), at(time + 100));
            assert_eq!(read.as_deref(), Some(value.as_bytes()));
        }
    }

    #[test]
    fn a_value_counts_for_its_name_its_time_and_its_secret() {
        let (secret, day) = (secret(), Duration::days(1));
        let signed = sign(&secret, LOGIN, b"alice", at(1_700_000_000));
        let read = |name, age, now| verify(&secret, name, &signed, age, at(now));
        assert_eq!(read(LOGIN, day, 1_700_086_400).as_deref(), Some(&b"alice"[..]));
        assert_eq!(read(LOGIN, day, 1_700_086_401), None);
        assert_eq!(read(XSRF, day, 1_700_000_000), None);
        let other = CookieSecret::generate(&mut rand::rng());
        assert_eq!(verify(&other, LOGIN, &signed, day, at(1_700_000_000)), None);
    }

    #[test]
    fn secrets_are_hexadecimal_or_old_base64() {
        let secret = CookieSecret::generate(&mut rand::rng());
        assert_eq!(CookieSecret::parse(&secret.to_file()).unwrap().0, secret.0);
        let old = format!("{}\n", STANDARD.encode([7u8; 1024]));
        assert_eq!(CookieSecret::parse(&old).unwrap().0, vec![7u8; 1024]);
        assert_eq!(CookieSecret::parse(" \n").err(), Some(SecretError::Empty));
        assert_eq!(CookieSecret::parse("abcd").err(), Some(SecretError::Short(2)));
        assert_eq!(CookieSecret::parse("not a secret!").err(), Some(SecretError::Unreadable));
    }

    #[test]
    fn a_cookie_may_come_several_times() {
        let headers = ["_xsrf=one; x=2;_xsrf = \"two|=\"", "_xsrfs=no; _xsrf; _xsrf="];
        assert_eq!(values(headers, XSRF).collect::<Vec<_>>(), ["one", "two|=", ""]);
    }

    #[test]
    fn names_may_be_bound_to_the_host() {
        assert_eq!(sent_name(LOGIN, true), "__Host-jupyterhub-hub-login");
        assert_eq!(sent_name(LOGIN, false), LOGIN);
    }

    proptest! {
        #[test]
        fn any_changed_byte_breaks_the_signature(position in 0..200usize, byte in 33..127u8) {
            let secret = secret();
            let signed = sign(&secret, LOGIN, b"0123456789abcdef0123456789abcdef", at(1_700_000_000));
            let mut changed = signed.clone().into_bytes();
            let position = position % changed.len();
            changed[position] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let read = verify(&secret, LOGIN, &changed, Duration::days(1), at(1_700_000_000));
            prop_assert_eq!(read.is_some(), changed == signed);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            prop_assert_eq!(verify(&secret(), LOGIN, &text, Duration::days(1), at(0)), None);
            let secret = secret();
            let own = format!("{text}|{}", secret.signature(format!("{text}|").as_bytes()));
            let _ = verify(&secret, LOGIN, &own, Duration::days(1), at(0));
        }
    }
}
