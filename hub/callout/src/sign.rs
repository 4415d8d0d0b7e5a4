//! The signature of a webhook's question: who gets one can tell that this hub asked, and when.

use hmac::{Hmac, KeyInit, Mac};
use hub_core::secret::Secret;
use sha2::Sha256;

/// The header it is sent in.
pub const HEADER: &str = "x-specola-signature";

/// `t=SECONDS,v1=HEX`: the HMAC-SHA256 of `SECONDS.BODY` under the secret. `seconds` since 1970.
pub fn signature(secret: &Secret, seconds: i64, body: &[u8]) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) {
        Ok(mac) => mac,
        // HMAC takes keys of any length.
        Err(_) => return String::new(),
    };
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_what_openssl_computes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac wonderland
        let expected = "t=1700000000,v1=ffbf6565f77f036fc02d1eb22dc7f095c5043d2cc629204a8d9543a2544b6425";
        assert_eq!(signature(&Secret::new("wonderland"), 1_700_000_000, b"{\"a\":1}"), expected);
    }
}
