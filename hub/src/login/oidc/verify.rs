//! Whether a token is the provider's and meant for us: signature, issuer, audience, time, nonce.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm as Algorithm};
use openidconnect::{ClaimsVerificationError, ClientId, IssuerUrl, JsonWebKey, Nonce, SignatureVerificationError};
use serde::Deserialize;
use serde_json::Value;

use super::discovery::is_same_issuer;

/// Clocks differ by this much.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// Tokens are not longer; hashing them is work.
const LONGEST: usize = 256 * 1024;

/// The algorithms that count, whatever a provider advertises: `none` and those whose key is our own secret never do.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// Why a token proves nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Unproven {
    /// No key that is known fits; newer keys may.
    UnknownKey,
    /// Anything else.
    Wrong(String),
}

/// What tokens are measured by.
pub struct Measure<'a> {
    /// The hub's client at the provider.
    pub client_id: &'a str,
    /// The provider.
    pub issuer: &'a str,
    /// The keys it signs with.
    pub keys: &'a CoreJsonWebKeySet,
    /// The present.
    pub now: Time,
}

impl Measure<'_> {
    /// The claims of an ID token. `nonce` is that of the login; `None` after a refresh, which has none.
    pub fn id_token(&self, token: &Secret, nonce: Option<&str>) -> Result<Value, Unproven> {
        let wrong = |what: String| Unproven::Wrong(format!("the ID token: {what}"));
        if token.expose().len() > LONGEST {
            return Err(wrong("it is too long".to_owned()));
        }
        let parsed: CoreIdToken = token.expose().parse().map_err(|_| wrong("it is none".to_owned()))?;
        let issuer = IssuerUrl::new(self.issuer.to_owned()).map_err(|error| wrong(error.to_string()))?;
        let (present, latest) = (self.now - SKEW, self.now + SKEW);
        let verifier =
            CoreIdTokenVerifier::new_public_client(ClientId::new(self.client_id.to_owned()), issuer, self.keys.clone())
                .set_allowed_algs(ALGORITHMS)
                // Compared below: the library wants every character to be the same.
                .require_issuer_match(false)
                .set_time_fn(move || present)
                .set_issue_time_verifier_fn(move |issued| match issued <= latest {
                    true => Ok(()),
                    false => Err("it is from the future".to_owned()),
                });
        let expected = nonce.map(|nonce| Nonce::new(nonce.to_owned()));
        let claims = parsed.claims(&verifier, |told: Option<&Nonce>| match &expected {
            Some(expected) if told.is_none_or(|told| !same(told.secret(), expected.secret())) => {
                Err("it is of another login".to_owned())
            }
            _ => Ok(()),
        });
        let claims = claims.map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
                Unproven::UnknownKey
            }
            error => wrong(error.to_string()),
        })?;
        if !is_same_issuer(claims.issuer(), self.issuer) {
            return Err(wrong(format!("it is of {:?}", claims.issuer().as_str())));
        }
        // The party it was made for, where it is told.
        if claims.authorized_party().is_some_and(|party| party.as_str() != self.client_id) {
            return Err(wrong("it was made for another client (azp)".to_owned()));
        }
        payload(token.expose()).ok_or_else(|| wrong("its claims are no JSON object".to_owned()))
    }

    /// The claims of an access token that is a JWT of this provider about `subject`; `None` of any other. Its audience is
    /// whoever it is for, or nobody: it came straight from the provider.
    pub fn access_token(&self, token: &Secret, subject: &str) -> Option<Value> {
        let token = token.expose();
        let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= LONGEST)?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').next()?).ok()?).ok()?;
        if !HashSet::from(ALGORITHMS).contains(&header.alg) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let named = |key: &&openidconnect::core::CoreJsonWebKey| match (&header.kid, key.key_id()) {
            (Some(wanted), Some(kid)) => wanted == kid.as_str(),
            _ => true,
        };
        let fits = |key: &openidconnect::core::CoreJsonWebKey| {
            key.verify_signature(&header.alg, signed.as_bytes(), &signature).is_ok()
        };
        if !self.keys.keys().iter().filter(named).any(fits) {
            return None;
        }
        let claims = payload(token)?;
        let ours = is_same_issuer(claims["iss"].as_str()?, self.issuer) && claims["sub"].as_str() == Some(subject);
        ours.then_some(claims)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
}

fn same(one: &str, other: &str) -> bool {
    subtle::ConstantTimeEq::ct_eq(one.as_bytes(), other.as_bytes()).into()
}

/// The claims of a JWT, whoever made it.
pub fn payload(token: &str) -> Option<Value> {
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()?;
    claims.is_object().then_some(claims)
}
