//! Encryption of what an authenticator keeps about a user, in the format of JupyterHub's `encrypted_auth_state`.
//!
//! Fernet: `0x80 ‖ seconds (8 bytes) ‖ IV (16) ‖ AES-128-CBC ciphertext ‖ HMAC-SHA256 (32)` in URL-safe base64.
//! A key is 16 bytes to sign with and 16 to encrypt with.

use aes::Aes128;
use base64::{Engine, engine::general_purpose::URL_SAFE};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

use crate::clock::Time;

const VERSION: u8 = 0x80;
const HEADER: usize = 1 + 8 + 16;
const MAC: usize = 32;

/// One key; never printed.
#[derive(Clone)]
pub struct Key {
    sign: [u8; 16],
    encrypt: [u8; 16],
}

/// Why keys were refused. Says nothing of their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is none.
    #[error("no encryption key is given")]
    None,
    /// One of them is in none of the forms; counted from 1.
    #[error("encryption key number {0} is not 32 bytes, nor their 64 hexadecimal digits or 44 characters of base64")]
    Form(usize),
}

/// The keys of a hub: the first encrypts, all decrypt.
#[derive(Clone)]
pub struct KeyRing {
    first: Key,
    older: Vec<Key>,
}

/// What was decrypted.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// The text in clear, JSON in JupyterHub.
    pub plain: Vec<u8>,
    /// It was encrypted with an older key: encrypt it anew and store that.
    pub is_old: bool,
}

impl KeyRing {
    /// Reads `JUPYTERHUB_CRYPT_KEY`: keys with `;` between them, newest first.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let pieces = text.split(';').filter(|piece| !piece.trim().is_empty()).enumerate();
        let keys: Result<Vec<Key>, KeyError> =
            pieces.map(|(index, piece)| Key::parse(piece).ok_or(KeyError::Form(index + 1))).collect();
        let mut keys = keys?.into_iter();
        let first = keys.next().ok_or(KeyError::None)?;
        Ok(Self { first, older: keys.collect() })
    }

    /// Encrypts a text with the first key.
    pub fn seal(&self, plain: &[u8], now: Time, random: &mut impl Rng) -> Vec<u8> {
        let mut iv = [0u8; 16];
        random.fill_bytes(&mut iv);
        self.first.seal(plain, now.timestamp(), iv)
    }

    /// Decrypts with whichever key fits. `None` if none does or the bytes were changed.
    pub fn open(&self, sealed: &[u8]) -> Option<Opened> {
        let bytes = URL_SAFE.decode(sealed.trim_ascii()).ok()?;
        if let Some(plain) = self.first.open(&bytes) {
            return Some(Opened { plain, is_old: false });
        }
        self.older.iter().find_map(|key| key.open(&bytes)).map(|plain| Opened { plain, is_old: true })
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            // 44 characters that are no base64, or 64 that are no hexadecimal, cannot be 32 raw bytes either.
            44 => URL_SAFE.decode(text.replace('+', "-").replace('/', "_")).ok()?,
            64 => hex::decode(text).ok()?,
            _ => text.as_bytes().to_vec(),
        };
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let (sign, encrypt) = bytes.split_at(16);
        Some(Self { sign: sign.try_into().ok()?, encrypt: encrypt.try_into().ok()? })
    }

    fn seal(&self, plain: &[u8], seconds: i64, iv: [u8; 16]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(seconds.to_be_bytes());
        bytes.extend(iv);
        let cipher = cbc::Encryptor::<Aes128>::new(&self.encrypt.into(), &iv.into());
        bytes.extend(cipher.encrypt_padded_vec::<Pkcs7>(plain));
        if let Some(mac) = self.mac(&bytes) {
            bytes.extend(mac.finalize().into_bytes());
        }
        URL_SAFE.encode(bytes).into_bytes()
    }

    fn open(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (signed, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        self.mac(signed)?.verify_slice(mac).ok()?;
        let (header, ciphertext) = signed.split_at_checked(HEADER)?;
        if header.first() != Some(&VERSION) {
            return None;
        }
        let iv: [u8; 16] = header.get(9..)?.try_into().ok()?;
        cbc::Decryptor::<Aes128>::new(&self.encrypt.into(), &iv.into()).decrypt_padded_vec::<Pkcs7>(ciphertext).ok()
    }

    /// Never `None`: HMAC takes keys of any length.
    fn mac(&self, bytes: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.sign).ok()?;
        mac.update(bytes);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Vector {
        key: String,
        text: String,
        encrypted: String,
    }

    fn now() -> Time {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    #[test]
    fn what_jupyterhub_encrypted_is_read() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/vectors/fernet.json")).unwrap();
        assert!(vectors.len() >= 9);
        for Vector { key, text, encrypted } in vectors {
            let ring = KeyRing::parse(&key).unwrap();
            let opened = ring.open(encrypted.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(opened.plain).unwrap(), text);
            assert!(KeyRing::parse(&"00".repeat(32)).unwrap().open(encrypted.as_bytes()).is_none());
        }
    }

    /// The example of the Fernet specification, made with known randomness.
    #[test]
    fn the_specification_s_example_is_made() {
        let key = Key::parse("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").unwrap();
        let iv: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let expected =
            "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(key.seal(b"hello", 499_162_800, iv), expected.as_bytes());
    }

    #[test]
    fn an_older_key_still_opens_and_says_so() {
        let (old, new) = ("11".repeat(32), "22".repeat(32));
        let sealed = KeyRing::parse(&old).unwrap().seal(b"state", now(), &mut rand::rng());
        let opened = KeyRing::parse(&format!("{new};{old};")).unwrap().open(&sealed).unwrap();
        assert!(opened.is_old && opened.plain == b"state");
        assert!(KeyRing::parse(&new).unwrap().open(&sealed).is_none());
    }

    #[test]
    fn keys_of_another_form_are_refused() {
        assert_eq!(KeyRing::parse(" ; ").err(), Some(KeyError::None));
        assert_eq!(KeyRing::parse(&format!("{};short", "ab".repeat(32))).err(), Some(KeyError::Form(2)));
        assert_eq!(KeyRing::parse(&"g".repeat(64)).err(), Some(KeyError::Form(1)));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again_and_not_when_changed(plain: Vec<u8>, position: usize, flip in 1..64u8) {
            let ring = KeyRing::parse(&"33".repeat(32)).unwrap();
            let sealed = ring.seal(&plain, now(), &mut rand::rng());
            prop_assert!(ring.open(&sealed).is_some_and(|opened| opened.plain == plain));
            let mut bytes = URL_SAFE.decode(&sealed).unwrap();
            let position = position % bytes.len();
            bytes[position] ^= flip;
            prop_assert!(ring.open(URL_SAFE.encode(bytes).as_bytes()).is_none());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let ring = KeyRing::parse(&"44".repeat(32)).unwrap();
            prop_assert!(ring.open(&bytes).is_none());
            prop_assert!(ring.open(URL_SAFE.encode(&bytes).as_bytes()).is_none());
        }
    }
}
