//! What a service may be called, where its browser log-ins end, and when its process is started again.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::name::escape_path;

/// The width of the columns, in characters.
const LONGEST_NAME: usize = 255;
/// The first wait before a process that ended is started again.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A process that ran for so long begins again with the first wait.
const SETTLED: Duration = Duration::from_secs(60);

/// Why a service cannot be as somebody wants it. The texts are for people; they do not repeat what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than 255 characters")]
    Long,
    #[error("the name contains a slash")]
    Slash,
    #[error("the name consists of dots only")]
    Dots,
    #[error("the name contains percent escapes")]
    Escaped,
    #[error("the name begins or ends with white space")]
    Edge,
    #[error("the name contains a control character")]
    Control,
    #[error("the OAuth client id does not begin with \"service-\"")]
    Client,
    #[error("the OAuth client id is longer than 255 characters or contains a control character")]
    ClientText,
    #[error("it has OAuth settings, but neither a url nor an oauth_redirect_uri")]
    NoRedirect,
    #[error("the oauth_redirect_uri is neither a path nor an http or https address")]
    Redirect,
    #[error("the url is not http://HOST:PORT")]
    Url,
}

/// Checks a name: JupyterHub's rule, and no control characters, which databases and logs do not bear.
pub fn check_name(name: &str) -> Result<(), ServiceError> {
    if name.is_empty() {
        return Err(ServiceError::Empty);
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(ServiceError::Long);
    }
    if name.contains('/') {
        return Err(ServiceError::Slash);
    }
    if name.bytes().all(|byte| byte == b'.') {
        return Err(ServiceError::Dots);
    }
    if percent_decode_str(name).decode_utf8_lossy() != name {
        return Err(ServiceError::Escaped);
    }
    if name.trim() != name {
        return Err(ServiceError::Edge);
    }
    if name.chars().any(char::is_control) { Err(ServiceError::Control) } else { Ok(()) }
}

/// What is said about the OAuth client of a service; what is not said has a default.
#[derive(Debug, Clone, Copy, Default)]
pub struct OAuthWish<'a> {
    /// The service.
    pub name: &'a str,
    /// Scheme and host of the service, when it is not the hub's own; empty otherwise.
    pub origin: &'a str,
    /// Whether the proxy leads to it.
    pub has_url: bool,
    /// `oauth_client_id`.
    pub client_id: Option<&'a str>,
    /// `oauth_redirect_uri`.
    pub redirect_uri: Option<&'a str>,
    /// `oauth_no_confirm`.
    pub no_confirm: bool,
}

/// The OAuth client of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthIdentity {
    /// `service-…`.
    pub client_id: String,
    /// Where codes are sent; a path or an address.
    pub redirect_uri: String,
}

/// Decides whether a service is an OAuth client, and under which id. `base_url` has slashes at both ends.
pub fn oauth_identity(base_url: &str, wish: OAuthWish<'_>) -> Result<Option<OAuthIdentity>, ServiceError> {
    let client_id = wish.client_id.filter(|id| !id.is_empty());
    let redirect_uri = wish.redirect_uri.filter(|uri| !uri.is_empty());
    if client_id.is_some_and(|id| !id.starts_with("service-")) {
        return Err(ServiceError::Client);
    }
    let client_id = client_id.map_or_else(|| crate::name::service_client_id(wish.name), str::to_owned);
    if client_id.chars().count() > LONGEST_NAME || client_id.chars().any(char::is_control) {
        return Err(ServiceError::ClientText);
    }
    let redirect_uri = match redirect_uri {
        Some(uri) if is_redirect(uri) => uri.to_owned(),
        Some(_) => return Err(ServiceError::Redirect),
        None if wish.has_url => format!("{}{}oauth_callback", wish.origin, prefix(base_url, wish.name)),
        None if wish.client_id.is_some() || wish.no_confirm => return Err(ServiceError::NoRedirect),
        None => return Ok(None),
    };
    Ok(Some(OAuthIdentity { client_id, redirect_uri }))
}

/// An address of the web, or a path of this site. Nothing that a browser would run or misread.
fn is_redirect(uri: &str) -> bool {
    let plain = uri.len() <= 1023 && !uri.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    let path = uri.starts_with('/') && !uri.starts_with("//");
    plain && (path || uri.starts_with("http://") || uri.starts_with("https://"))
}

/// The path a service is reached at: `/services/name/`, escaped, under a base URL with slashes at both ends.
pub fn prefix(base_url: &str, name: &str) -> String {
    format!("{base_url}services/{}/", escape_path(name))
}

/// How long to wait before a process that ended is started again: twice as long each time, up to a minute, and from
/// the beginning once it has run for a minute. `ended` counts the ends in a row before this one.
pub fn restart_wait(ended: u32, ran: Duration) -> (u32, Duration) {
    let ended = if ran >= SETTLED { 0 } else { ended };
    let wait = FIRST_WAIT.saturating_mul(1 << ended.min(10)).min(LONGEST_WAIT);
    (ended.saturating_add(1), wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_as_by_jupyterhub() {
        for bad in [".", "", "a/b", "..", "%2e", "%2E%2E", ".%2e", " space ", "a\n", "a\0b", &"x".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["cull-idle", "a b", "100%", "é@x", "...a"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_service_is_an_oauth_client_when_it_has_an_address_or_says_so() {
        let wish = OAuthWish { name: "a b", ..OAuthWish::default() };
        assert_eq!(oauth_identity("/", wish), Ok(None));
        let identity = oauth_identity("/x/", OAuthWish { has_url: true, ..wish }).unwrap().unwrap();
        assert_eq!(identity.client_id, "service-a b");
        assert_eq!(identity.redirect_uri, "/x/services/a%20b/oauth_callback");
        let external = OAuthWish { redirect_uri: Some("https://else.example/cb"), ..wish };
        assert_eq!(oauth_identity("/", external).unwrap().unwrap().redirect_uri, "https://else.example/cb");
        for (wish, error) in [
            (OAuthWish { client_id: Some("jupyterhub-user-x"), has_url: true, ..wish }, ServiceError::Client),
            (OAuthWish { client_id: Some("service-x"), ..wish }, ServiceError::NoRedirect),
            (OAuthWish { no_confirm: true, ..wish }, ServiceError::NoRedirect),
            (OAuthWish { redirect_uri: Some("javascript:alert(1)"), ..wish }, ServiceError::Redirect),
            (OAuthWish { redirect_uri: Some("//evil.example/"), ..wish }, ServiceError::Redirect),
            (OAuthWish { redirect_uri: Some("/a\nb"), ..wish }, ServiceError::Redirect),
        ] {
            assert_eq!(oauth_identity("/", wish), Err(error), "{wish:?}");
        }
    }

    #[test]
    fn a_process_that_keeps_ending_is_started_ever_more_rarely() {
        let (mut ended, mut waits) = (0, Vec::new());
        for _ in 0..9 {
            let (count, wait) = restart_wait(ended, Duration::from_secs(1));
            ended = count;
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(restart_wait(ended, SETTLED), (1, FIRST_WAIT));
        assert_eq!(restart_wait(u32::MAX, Duration::ZERO).1, LONGEST_WAIT);
    }
}
