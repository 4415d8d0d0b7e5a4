//! What a provider gives: an access token, and with it what refreshes it and says who it is of.

use chrono::TimeDelta;
use hub_core::clock::Time;
use hub_core::secret::Secret;
use serde_json::Value;

use super::http::Answer;
use super::trouble::Trouble;

/// Longer lives than this are not believed: ten years.
const LONGEST_LIFE: i64 = 315_360_000;
/// So much of a provider's own words is kept.
const DESCRIPTION: usize = 200;

/// An answer of the token endpoint.
#[derive(Clone)]
pub struct Tokens {
    /// Opens the provider's resources.
    pub access_token: Secret,
    /// Gives the next access token. `None`: none was given; after a refresh, the one before goes on being good.
    pub refresh_token: Option<Secret>,
    /// Says who it is.
    pub id_token: Option<Secret>,
    /// What was granted: told, or else what was asked for.
    pub scope: Vec<String>,
    /// When the access token ends, where that is told.
    pub expires_at: Option<Time>,
    /// The whole answer. It holds the tokens, so it is not printed.
    pub response: Value,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens(scope: {:?}, expires_at: {:?})", self.scope, self.expires_at)
    }
}

impl Tokens {
    /// Reads an answer. `asked` is the scope that was asked for, which stands for one that is not told (RFC 6749, 5.1).
    pub fn read(answer: &Answer, asked: &[String], now: Time) -> Result<Self, Trouble> {
        if answer.is_out_of_order() {
            return Err(Trouble::Unreachable(format!("its token endpoint answers {}", answer.status)));
        }
        // GitHub says no with 200, others with 400 or 401; what counts is the word.
        let response: Value = match serde_json::from_slice(&answer.body) {
            Ok(value @ Value::Object(_)) => value,
            _ => return Err(Trouble::Broken(format!("its token endpoint answers {} and no JSON", answer.status))),
        };
        if let Some(code) = response["error"].as_str() {
            return Err(Trouble::Denied {
                code: excerpt(code),
                description: excerpt(response["error_description"].as_str().unwrap_or_default()),
            });
        }
        if !answer.status.is_success() {
            return Err(Trouble::Broken(format!("its token endpoint answers {}", answer.status)));
        }
        Self::of_response(response, asked, now)
    }

    fn of_response(response: Value, asked: &[String], now: Time) -> Result<Self, Trouble> {
        let secret = |name: &str| response[name].as_str().filter(|text| !text.is_empty()).map(Secret::new);
        let Some(access_token) = secret("access_token") else {
            return Err(Trouble::Broken("its token endpoint gave no access token".to_owned()));
        };
        let scope = match &response["scope"] {
            Value::String(text) => words(text),
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => asked.to_vec(),
        };
        // Some write the number as a text.
        let life = response["expires_in"]
            .as_i64()
            .or_else(|| response["expires_in"].as_str().and_then(|text| text.parse().ok()))
            .filter(|seconds| (0..=LONGEST_LIFE).contains(seconds));
        Ok(Self {
            access_token,
            refresh_token: secret("refresh_token"),
            id_token: secret("id_token"),
            scope,
            expires_at: life.map(|seconds| now + TimeDelta::seconds(seconds)),
            response,
        })
    }
}

fn words(text: &str) -> Vec<String> {
    // GitHub writes commas.
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// What somebody else wrote, short and without control characters. What looks like a token is taken out.
pub fn excerpt(text: &str) -> String {
    let word = |word: &str| if word.len() > 40 { "…".to_owned() } else { word.to_owned() };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(4 * DESCRIPTION).collect();
    let text = text.split_whitespace().map(word).collect::<Vec<String>>().join(" ");
    text.chars().take(DESCRIPTION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chrono::DateTime;
    use http::{HeaderMap, StatusCode};

    fn now() -> Time {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn read(status: u16, body: &str) -> Result<Tokens, Trouble> {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        Tokens::read(&answer, &["openid".to_owned()], now())
    }

    #[test]
    fn an_answer_of_the_token_endpoint_is_read_as_providers_write_it() {
        let tokens = read(200, r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#).unwrap();
        assert_eq!((tokens.access_token.expose(), tokens.scope.as_slice()), ("a", &["openid".to_owned()][..]));
        assert_eq!(tokens.expires_at, Some(now() + TimeDelta::seconds(3600)));
        assert!(tokens.refresh_token.is_none() && tokens.id_token.is_none());
        let tokens = read(200, r#"{"access_token":"a","expires_in":"60","scope":"a b","refresh_token":"r"}"#).unwrap();
        assert_eq!((tokens.scope.len(), tokens.refresh_token.unwrap().expose()), (2, "r"));
        assert_eq!(read(200, r#"{"access_token":"a","scope":"read:org,read:user"}"#).unwrap().scope.len(), 2);
        assert_eq!(read(200, r#"{"access_token":"a","expires_in":-1}"#).unwrap().expires_at, None);
    }

    #[test]
    fn what_is_no_token_is_told_apart_by_whose_fault_it_is() {
        let kind = |status, body| match read(status, body).unwrap_err() {
            Trouble::Unreachable(_) => "down",
            Trouble::Broken(_) => "broken",
            Trouble::Denied { .. } => "denied",
            _ => "other",
        };
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant"}"#, "denied"),
            (200, r#"{"error":"bad_verification_code"}"#, "denied"),
            (401, r#"{"error":"invalid_client"}"#, "denied"),
            (503, "busy", "down"),
            (429, "", "down"),
            (200, "<html>", "broken"),
            (200, "[]", "broken"),
            (200, "{}", "broken"),
            (200, r#"{"access_token":""}"#, "broken"),
            (404, "{}", "broken"),
        ] {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    /// H2: what is printed of tokens, and what is kept of a provider's words, holds no token.
    #[test]
    fn tokens_are_not_printed() {
        let tokens = read(200, r#"{"access_token":"s3cret","refresh_token":"s3cret","id_token":"s3cret"}"#).unwrap();
        assert!(!format!("{tokens:?}").contains("s3cret"));
        let token = "eyJhbGciOiJSUzI1NiJ9".repeat(5);
        assert_eq!(excerpt(&format!("Invalid token:\n{token}")), "Invalid token: …");
    }
}
