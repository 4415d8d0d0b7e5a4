//! Where to go after login: the `next` parameter, held to this site. The guard against open redirects.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::form_urlencoded;

/// Where browsers find this hub.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host with its port, as in the `Host` header or the public URL.
    pub host: &'a str,
    /// Host with its port under which every user has a host of his own, if that is configured.
    pub subdomains_of: Option<&'a str>,
}

/// Gives the path, query and fragment to go to, in ASCII, or `None` if `next` is not on this site.
/// The result begins with exactly one slash.
pub fn validate(next: &str, site: &Site<'_>) -> Option<String> {
    // Browsers drop tabs and line breaks and only then look for slashes.
    if next.chars().any(char::is_control) {
        return None;
    }
    // Some browsers take a backslash for a slash.
    let mut next = next.replace('\\', "%5C");
    if next.starts_with("///") {
        // Browsers take any number of slashes for two.
        next = format!("//{}", next.trim_start_matches('/'));
    }
    let parts = split(&next);
    if is_own(&next, &parts, site) {
        // `http://this.host//evil.com` must not become `//evil.com`.
        let path = parts.path.trim_start_matches('/');
        return Some(ascii(&format!("/{path}{}{}", with_mark('?', parts.query), with_mark('#', parts.fragment))));
    }
    // JupyterHub lets `//` and `//?x`, whose host is empty, pass; no browser makes a page of ours of them.
    let on_site = next.starts_with('/') && !next.starts_with("//");
    on_site.then(|| ascii(&next))
}

/// Adds the parameters of a query to a URL, except empty ones and those named in `except`.
/// For a default destination: what the user asked for on the way there should arrive.
pub fn append_query(url: &str, query: &str, except: &[&str]) -> String {
    let mut added = form_urlencoded::Serializer::new(String::new());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if !value.is_empty() && !except.contains(&key.as_ref()) {
            added.append_pair(&key, &value);
        }
    }
    let added = added.finish();
    if added.is_empty() {
        return url.to_owned();
    }
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{added}{}", fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default())
}

fn is_own(next: &str, parts: &Parts<'_>, site: &Site<'_>) -> bool {
    let host = site.host;
    let own = [format!("{}://{host}/", site.scheme), format!("//{host}/")];
    let of_users = site.subdomains_of.filter(|domain| !domain.is_empty());
    (!host.is_empty() && own.iter().any(|own| format!("{next}/").starts_with(own.as_str())))
        || of_users
            .is_some_and(|domain| !parts.host.is_empty() && format!(".{}", parts.host).ends_with(&format!(".{domain}")))
}

struct Parts<'a> {
    /// With user information and port, as written.
    host: &'a str,
    path: &'a str,
    query: &'a str,
    fragment: &'a str,
}

/// Splits as Python's `urlsplit`, whose reading of a URL without scheme is the rule here.
fn split(url: &str) -> Parts<'_> {
    let rest = match url.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => url,
    };
    let (host, rest) = match rest.strip_prefix("//") {
        None => ("", rest),
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
    };
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Parts { host, path, query, fragment }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn with_mark(mark: char, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{mark}{text}") }
}

/// A header carries ASCII only.
fn ascii(url: &str) -> String {
    const SPACES: &AsciiSet = &CONTROLS.add(b' ');
    utf8_percent_encode(url, SPACES).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use url::Url;

    #[derive(serde::Deserialize)]
    struct Vector {
        next: String,
        scheme: String,
        host: String,
        subdomains_of: Option<String>,
        expected: String,
    }

    #[test]
    fn next_is_judged_as_by_jupyterhub_or_more_strictly() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/vectors/next_url.json")).unwrap();
        assert!(vectors.len() > 100);
        for Vector { next, scheme, host, subdomains_of, expected } in vectors {
            let site = Site { scheme: &scheme, host: &host, subdomains_of: subdomains_of.as_deref() };
            let stricter = next.chars().any(char::is_control) || expected.starts_with("//");
            let expected = if stricter { String::new() } else { ascii(&expected) };
            assert_eq!(validate(&next, &site).unwrap_or_default(), expected, "{next:?} on {host} {subdomains_of:?}");
        }
    }

    #[test]
    fn parameters_travel_with_a_default_destination() {
        let table = [
            ("/hub/home", "", "/hub/home"),
            ("/hub/home", "next=%2Fx&_xsrf=a&b=", "/hub/home"),
            ("/hub/spawn", "next=/x&profile=gpu&q=a%26b", "/hub/spawn?profile=gpu&q=a%26b"),
            ("/hub/spawn?x=1#end", "profile=gpu", "/hub/spawn?x=1&profile=gpu#end"),
        ];
        for (url, query, expected) in table {
            assert_eq!(append_query(url, query, &["next", "_xsrf"]), expected);
        }
    }

    const SITES: [Site<'static>; 3] = [
        Site { scheme: "https", host: "hub.example", subdomains_of: None },
        Site { scheme: "http", host: "hub.example:8000", subdomains_of: Some("hub.example:8000") },
        Site { scheme: "http", host: "", subdomains_of: Some("") },
    ];

    fn stays(next: &str) -> Result<(), TestCaseError> {
        for site in SITES {
            let Some(result) = validate(next, &site) else { continue };
            prop_assert!(result.starts_with('/') && !result.starts_with("//"), "{:?} -> {:?}", next, result);
            prop_assert!(result.is_ascii() && !result.contains(['\\', '\r', '\n', '\t']));
            let base = Url::parse("https://hub.example/hub/login").unwrap();
            let there = base.join(&result).unwrap();
            prop_assert_eq!(there.origin(), base.origin(), "{:?} -> {:?}", next, result);
            prop_assert!(validate(&result, &site).is_some());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_result_never_leaves_the_site(next in ".*") {
            stays(&next)?;
        }

        #[test]
        fn nor_with_pieces_that_attackers_use(pieces in prop::collection::vec(prop::sample::select(vec![
            "/", "//", "\\", "http:", "https://", "hub.example", "evil.com", "@", ":", ":8000", "?", "#", "%2F", "%5C",
            "\t", "\n", "\r", " ", ".", "..", "javascript:", ";", "[", "]", "\u{2028}", "\u{ff0f}", "\0", "user.hub.example:8000",
        ]), 0..10)) {
            stays(&pieces.concat())?;
        }
    }
}
