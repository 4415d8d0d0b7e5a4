//! The token against forged requests: made, recognised, and when it must be shown.
//!
//! A token is a signed value in URL-safe base64 around an id that binds it to session and login. JupyterHub's id holds
//! both in clear; ours is a hash of the same text, because scripts can read the token. Both are accepted.

use base64::{Engine, engine::general_purpose::URL_SAFE, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::Time;
use crate::cookie::{self, CookieSecret};

const MAX_AGE: Duration = Duration::days(31);

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor<'a> {
    /// Logged in: the session cookie's value and the user's `cookie_id`.
    User { session: &'a str, login: &'a str },
    /// Not logged in: the session cookie's value if there is one, and an [`anonymous_mark`].
    Anonymous { session: Option<&'a str>, mark: &'a str },
}

/// Why a request was taken for a forged one: 403, with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It shows no token.
    #[error("'_xsrf' argument missing from {0}")]
    Missing(String),
    /// It shows another token than the cookie, or one of somebody else.
    #[error("XSRF cookie does not match {0} argument")]
    Mismatch(String),
}

/// What sort of handler a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Pages and forms: reading is free.
    Page,
    /// The REST API: reading by scripts is checked as well.
    Api,
}

/// What decides whether a token must be shown.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// In capitals.
    pub method: &'a str,
    /// `Sec-Fetch-Mode`.
    pub fetch_mode: Option<&'a str>,
    /// `Sec-Fetch-Site`.
    pub fetch_site: Option<&'a str>,
    /// Whether there is an `Origin` header.
    pub has_origin: bool,
    /// Whether the request was authenticated by a token in its header.
    pub by_token: bool,
    /// Whether anybody is logged in at all.
    pub known: bool,
}

/// Whether this request must show its token.
pub fn when_checked(surface: Surface, request: &Circumstances<'_>) -> bool {
    let safe_method = match surface {
        Surface::Page => is_read_only(request.method),
        Surface::Api => matches!(request.method, "HEAD" | "OPTIONS"),
    };
    // Without login the API answers a plain 403; with `Origin` that would tell another site whether one is logged in.
    let nothing_to_forge = surface == Surface::Api && !request.known && !request.has_origin;
    if safe_method || nothing_to_forge || request.by_token {
        return false;
    }
    let read_only = is_read_only(request.method);
    match request.fetch_mode {
        // A websocket's origin is checked where it is accepted.
        Some("websocket") => false,
        Some("navigate") | None => !read_only,
        // Images and the like of our own pages: the page does not get at the content.
        Some("no-cors") => !(read_only && request.fetch_site == Some("same-origin")),
        Some(_) => true,
    }
}

/// Whether an answer may set a new `_xsrf` cookie: to pages only, never to what scripts fetch.
pub fn may_set_cookie(fetch_mode: Option<&str>) -> bool {
    matches!(fetch_mode, None | Some("navigate"))
}

/// Makes a token.
pub fn make(secret: &CookieSecret, visitor: Visitor<'_>, now: Time) -> String {
    URL_SAFE_NO_PAD.encode(cookie::sign(secret, cookie::XSRF, own_id(visitor).as_bytes(), now))
}

/// Whether a token is valid and this visitor's.
pub fn is_valid(secret: &CookieSecret, visitor: Visitor<'_>, token: &str, now: Time) -> bool {
    let Ok(signed) = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')) else { return false };
    let Ok(signed) = String::from_utf8(signed) else { return false };
    let Some(id) = cookie::verify(secret, cookie::XSRF, &signed, MAX_AGE, now) else { return false };
    let ours = id.ct_eq(own_id(visitor).as_bytes());
    let theirs = id.ct_eq(jupyterhub_id(visitor).as_bytes());
    (ours | theirs).into()
}

/// Finds this visitor's token among the `_xsrf` cookies sent; there may be one per path. `None` calls for a new one.
pub fn current<'c>(
    secret: &CookieSecret,
    visitor: Visitor<'_>,
    cookies: impl IntoIterator<Item = &'c str>,
    now: Time,
) -> Option<&'c str> {
    cookies.into_iter().find(|token| is_valid(secret, visitor, token, now))
}

/// Checks the token that a request shows, from its `_xsrf` argument, `X-XSRFToken` or `X-CSRFToken`, against its cookies.
pub fn check<'c>(
    secret: &CookieSecret,
    visitor: Visitor<'_>,
    method: &str,
    cookies: impl IntoIterator<Item = &'c str>,
    shown: Option<&str>,
    now: Time,
) -> Result<(), Refusal> {
    let Some(shown) = shown.filter(|shown| !shown.is_empty()) else { return Err(Refusal::Missing(method.to_owned())) };
    let same = |cookie: &&str| bool::from(cookie.as_bytes().ct_eq(shown.as_bytes()));
    match cookies.into_iter().filter(same).any(|token| is_valid(secret, visitor, token, now)) {
        true => Ok(()),
        false => Err(Refusal::Mismatch(method.to_owned())),
    }
}

/// What tells one anonymous visitor from another: the hash of an address (or of the network it is in, as text) and of
/// header values, by default `User-Agent` alone.
pub fn anonymous_mark(address: &str, headers: &[&str]) -> String {
    let mut sha = Sha256::new();
    sha.update(address.as_bytes());
    for value in headers {
        sha.update(value.as_bytes());
        // Not valid UTF-8, so that no value can contain it.
        sha.update([0xff]);
    }
    URL_SAFE.encode(sha.finalize())
}

fn jupyterhub_id(visitor: Visitor<'_>) -> String {
    match visitor {
        Visitor::User { session, login } => format!("{session}:{login}"),
        Visitor::Anonymous { session, mark } => format!("{}:{mark}", session.unwrap_or("None")),
    }
}

fn own_id(visitor: Visitor<'_>) -> String {
    let kind = match visitor {
        Visitor::User { .. } => "user",
        Visitor::Anonymous { .. } => "anonymous",
    };
    let hash = Sha256::digest(format!("{kind}:{}", jupyterhub_id(visitor)));
    format!("specola:{}", URL_SAFE_NO_PAD.encode(hash))
}

fn is_read_only(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const USER: Visitor<'_> = Visitor::User { session: "5e55", login: "c00c1e" };

    fn now() -> Time {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn secret() -> CookieSecret {
        CookieSecret::parse(&"cd".repeat(32)).unwrap()
    }

    #[derive(serde::Deserialize)]
    struct Token {
        secret: String,
        session: Option<String>,
        login: Option<String>,
        address: String,
        agent: String,
        time: i64,
        token: String,
    }

    /// API, method, mode, site, with origin, by token, known, checked.
    type Check = (bool, String, Option<String>, Option<String>, bool, bool, bool, bool);

    #[test]
    fn tokens_that_jupyterhub_made_are_accepted() {
        let vectors: Vec<Token> = serde_json::from_str(include_str!("../tests/vectors/xsrf_tokens.json")).unwrap();
        assert!(vectors.len() >= 3);
        for Token { secret, session, login, address, agent, time, token } in vectors {
            let secret = CookieSecret::parse(&secret).unwrap();
            let now = DateTime::from_timestamp(time, 0).unwrap();
            let mark = anonymous_mark(&address, &[&agent]);
            let visitor = match (&session, &login) {
                (Some(session), Some(login)) => Visitor::User { session, login },
                _ => Visitor::Anonymous { session: session.as_deref(), mark: &mark },
            };
            assert!(is_valid(&secret, visitor, &token, now));
            assert!(!is_valid(&secret, USER, &token, now));
            assert_eq!(check(&secret, visitor, "POST", [token.as_str()], Some(&token), now), Ok(()));
        }
    }

    #[test]
    fn a_check_is_asked_for_exactly_when_jupyterhub_asks() {
        let vectors: Vec<Check> = serde_json::from_str(include_str!("../tests/vectors/xsrf_checks.json")).unwrap();
        assert!(vectors.len() > 500);
        for (api, method, mode, site, has_origin, by_token, known, checked) in &vectors {
            let request = Circumstances {
                method,
                fetch_mode: mode.as_deref(),
                fetch_site: site.as_deref(),
                has_origin: *has_origin,
                by_token: *by_token,
                known: *known,
            };
            let surface = if *api { Surface::Api } else { Surface::Page };
            assert_eq!(when_checked(surface, &request), *checked, "{surface:?} {request:?}");
        }
    }

    #[test]
    fn a_token_counts_for_its_session_and_login_only() {
        let (secret, now) = (secret(), now());
        let token = make(&secret, USER, now);
        let others = [
            Visitor::User { session: "5e56", login: "c00c1e" },
            Visitor::User { session: "5e55", login: "c00c1f" },
            Visitor::Anonymous { session: Some("5e55"), mark: "c00c1e" },
        ];
        assert!(is_valid(&secret, USER, &token, now));
        for other in others {
            assert!(!is_valid(&secret, other, &token, now), "{other:?}");
        }
        assert!(!is_valid(&secret, USER, &token, now + MAX_AGE + Duration::seconds(1)));
        let clear = URL_SAFE_NO_PAD.decode(&token).unwrap();
        let value = String::from_utf8(clear).unwrap();
        assert!(!value.contains("c00c1e") && !value.contains("YzAwYzFl"));
    }

    #[test]
    fn the_shown_token_must_be_the_cookie_s() {
        let (secret, now) = (secret(), now());
        let token = make(&secret, USER, now);
        let older = make(&secret, USER, now - Duration::days(1));
        let shown = |cookies: &[&str], shown| check(&secret, USER, "POST", cookies.iter().copied(), shown, now);
        assert_eq!(shown(&["foreign", &token], Some(&token)), Ok(()));
        assert_eq!(shown(&[&older], Some(&token)), Err(Refusal::Mismatch("POST".into())));
        assert_eq!(shown(&["x"], Some("x")), Err(Refusal::Mismatch("POST".into())));
        assert_eq!(shown(&[&token], None).unwrap_err().to_string(), "'_xsrf' argument missing from POST");
        assert_eq!(shown(&[&token], Some("")), Err(Refusal::Missing("POST".into())));
        assert_eq!(current(&secret, USER, ["x", &older, &token], now), Some(older.as_str()));
        assert_eq!(current(&secret, USER, ["x", ""], now), None);
    }
}
