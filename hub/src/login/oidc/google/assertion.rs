//! A service account: the file with its key, and the assertion that the key signs (RFC 7523, section 3).

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::{Value, json};

use super::super::trouble::Trouble;
use crate::config::secret_file;

/// An assertion is good for so many seconds, which is the most that Google takes.
const LIFE: i64 = 3600;
/// Where assertions are exchanged, if the file does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// An account that is a program's.
pub struct ServiceAccount {
    name: String,
    key_id: Option<String>,
    token_uri: String,
    key: Arc<dyn SigningKey>,
}

impl ServiceAccount {
    /// Reads the file that Google gives for an account. The error names it.
    pub fn read(file: &Path) -> Result<Self, String> {
        let unusable = |what: &str| format!("{} {what}", file.display());
        let read = secret_file::read(file).map_err(|(what, _)| unusable(&what))?;
        if let Some(warning) = read.warning {
            tracing::warn!("{warning}");
        }
        let said: Value = serde_json::from_str(read.secret.expose()).map_err(|_| unusable("is no JSON"))?;
        let text = |name: &str| said[name].as_str().filter(|text| !text.is_empty());
        let (Some(name), Some(pem)) = (text("client_email"), text("private_key")) else {
            return Err(unusable("is no key of a service account: it has no client_email or no private_key"));
        };
        let key =
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable("has a private_key that is no PEM"))?;
        let key = any_supported_type(&key).map_err(|_| unusable("has a private_key that cannot be used"))?;
        if key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).is_none() {
            return Err(unusable("has a private_key that is no RSA key"));
        }
        let token_uri = text("token_uri").unwrap_or(TOKEN_URI).to_owned();
        Ok(Self { name: name.to_owned(), key_id: text("private_key_id").map(str::to_owned), token_uri, key })
    }

    /// The account's address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where assertions are exchanged for tokens.
    pub fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// Says, signed, that the account acts for somebody.
    pub fn assertion(&self, subject: &str, scope: &str, now: Time) -> Result<Secret, Trouble> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.name,
            "sub": subject,
            "scope": scope,
            "aud": self.token_uri,
            "iat": now.timestamp(),
            "exp": now.timestamp() + LIFE,
        });
        let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encoded(header), encoded(claims));
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signature = signer.map(|signer| signer.sign(text.as_bytes()));
        let Some(Ok(signature)) = signature else {
            return Err(Trouble::Broken("the key of the service account does not sign".to_owned()));
        };
        Ok(Secret::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
