//! The cookie firewall, by choice: what stands between the hub's cookies and people's servers, which share one host.
//!
//! A server is a stranger's program on the same origin. Without per-user domains it can set cookies for the hub's paths
//! and for its neighbours', and tell browsers what holds for the whole host. With the firewall it is not shown the hub's
//! cookies, cannot set them, what it sets holds below its own path, and of the host it tells nothing.

use std::borrow::Cow;

use http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

/// What browsers take for the whole origin, from whichever path it comes.
const OF_ORIGIN: [&str; 6] =
    ["alt-svc", "nel", "report-to", "reporting-endpoints", "service-worker-allowed", "strict-transport-security"];
/// The same, and cookies of the hosts around it as well.
const CLEAR: &str = "clear-site-data";

/// Names of cookies that are the hub's alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieFirewall(Vec<String>);

impl CookieFirewall {
    /// A firewall for these names, with and without the prefixes that browsers know.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    fn protects(&self, name: &str) -> bool {
        let bare = name.strip_prefix("__Host-").or_else(|| name.strip_prefix("__Secure-")).unwrap_or(name);
        self.0.iter().any(|protected| protected == bare)
    }

    /// Whether a `Cookie` header has cookies of the hub.
    fn guards(&self, value: &[u8]) -> bool {
        match text(value) {
            Some(text) => pairs(text).any(|pair| self.protects(name(pair))),
            None => self.0.iter().any(|name| find(value, name.as_bytes())),
        }
    }

    /// What of a `Cookie` header others than the hub may see; None when that is nothing.
    pub(crate) fn shown<'a>(&self, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if !self.guards(value) {
            return Some(Cow::Borrowed(value));
        }
        // What is not text cannot be taken apart, and is not passed in pieces.
        let kept: Vec<&str> = pairs(text(value)?).filter(|pair| !self.protects(name(pair))).collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join("; ").into_bytes()))
    }

    /// Takes the hub's cookies out of a request that is not for the hub.
    pub(crate) fn request(&self, headers: &mut HeaderMap) {
        if !headers.get_all(COOKIE).iter().any(|value| self.guards(value.as_bytes())) {
            return;
        }
        let shown = headers.get_all(COOKIE).iter().filter_map(|value| self.shown(value.as_bytes()));
        let kept: Vec<_> = shown.filter_map(|value| HeaderValue::from_bytes(&value).ok()).collect();
        headers.remove(COOKIE);
        for value in kept {
            headers.append(COOKIE, value);
        }
    }

    /// Whether [`CookieFirewall::response`] looks at headers of this name.
    pub(crate) fn concerns(&self, name: &str) -> bool {
        name == CLEAR || name == SET_COOKIE.as_str() || OF_ORIGIN.contains(&name)
    }

    /// Keeps what a server sets below its own path and away from the hub. `prefix` is that of its route.
    pub(crate) fn response(&self, headers: &mut HeaderMap, prefix: &str) {
        headers.remove(CLEAR);
        if prefix.starts_with('/') {
            OF_ORIGIN.iter().for_each(|name| drop(headers.remove(*name)));
        }
        if !headers.contains_key(SET_COOKIE) {
            return;
        }
        // A route with a host of its own may do there as it likes, but not beyond.
        let path = if prefix.starts_with('/') { prefix } else { "/" };
        let set: Vec<HeaderValue> =
            headers.get_all(SET_COOKIE).iter().filter_map(|one| self.confined(one, path)).collect();
        headers.remove(SET_COOKIE);
        for value in set {
            headers.append(SET_COOKIE, value);
        }
    }

    /// The same cookie for the path alone; None when it is not the server's to set.
    fn confined(&self, value: &HeaderValue, path: &str) -> Option<HeaderValue> {
        let text = value.to_str().ok()?;
        let mut parts = pairs(text);
        let first = parts.next()?;
        let name = name(first);
        // Browsers read `__Host-` names as for the whole host, and refuse them with another path.
        if name.is_empty() || self.protects(name) || (name.starts_with("__Host-") && path != "/") {
            return None;
        }
        let mut kept = vec![first.to_owned()];
        let mut own = None;
        for part in parts {
            let (key, told) = part.split_once('=').unwrap_or((part, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "domain" => {}
                "path" => own = Some(told.trim()),
                _ => kept.push(part.to_owned()),
            }
        }
        let own = own.filter(|own| is_below(own, path)).unwrap_or(path);
        kept.push(format!("Path={own}"));
        HeaderValue::from_str(&kept.join("; ")).ok()
    }
}

/// Whether a path is the prefix or below it, as browsers compare them.
fn is_below(own: &str, prefix: &str) -> bool {
    own.starts_with(prefix) || format!("{own}/") == prefix
}

/// Visible ASCII.
fn text(value: &[u8]) -> Option<&str> {
    let visible = |byte: &u8| *byte == b'\t' || (b' '..=b'~').contains(byte);
    value.iter().all(visible).then(|| std::str::from_utf8(value).ok()).flatten()
}

fn pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|pair| !pair.is_empty())
}

fn name(pair: &str) -> &str {
    // Without `=` it is a value without a name, which servers read as a name.
    pair.split('=').next().unwrap_or_default().trim()
}

fn find(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall() -> CookieFirewall {
        CookieFirewall::new(["jupyterhub-hub-login".to_owned()])
    }

    fn lines(name: http::HeaderName, values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    fn texts(headers: &HeaderMap, name: http::HeaderName) -> Vec<&str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn the_hubs_cookies_are_not_shown_to_servers() {
        let mut headers = lines(
            COOKIE,
            &[
                b"a=1; jupyterhub-hub-login=secret; b=2",
                b"__Host-jupyterhub-hub-login=secret",
                b"jupyterhub-hub-login",
                b"c=3",
                b"x=\xff; jupyterhub-hub-login=secret",
            ],
        );
        firewall().request(&mut headers);
        assert_eq!(texts(&headers, COOKIE), ["a=1; b=2", "c=3"]);
        let mut odd = lines(COOKIE, &[b"a=\"x\";b"]);
        let before = odd.clone();
        firewall().request(&mut odd);
        assert_eq!(odd, before, "others stay as they are");
    }

    #[test]
    fn a_server_sets_cookies_below_its_own_path_alone() {
        let cases: [(&str, &[&str]); 11] = [
            ("a=1; Path=/user/x/; HttpOnly", &["a=1; HttpOnly; Path=/user/x/"]),
            ("a=1; Path=/user/x/lab", &["a=1; Path=/user/x/lab"]),
            ("a=1; path=/user/x", &["a=1; Path=/user/x"]),
            ("a=1", &["a=1; Path=/user/x/"]),
            ("a=1; Path=/", &["a=1; Path=/user/x/"]),
            ("a=1; Path=/hub/; Path=/user/y/", &["a=1; Path=/user/x/"]),
            ("a=1; Domain=example.org; Secure", &["a=1; Secure; Path=/user/x/"]),
            ("jupyterhub-hub-login=x; Path=/user/x/", &[]),
            ("__Secure-jupyterhub-hub-login=x", &[]),
            ("__Host-a=1; Path=/", &[]),
            ("=jupyterhub-hub-login=x", &[]),
        ];
        for (given, expected) in cases {
            let mut headers = lines(SET_COOKIE, &[given.as_bytes()]);
            firewall().response(&mut headers, "/user/x/");
            assert_eq!(texts(&headers, SET_COOKIE), expected, "{given}");
        }
        let mut own = lines(SET_COOKIE, &[b"a=1; Path=/; Domain=example.org"]);
        firewall().response(&mut own, "x.example.org/");
        assert_eq!(texts(&own, SET_COOKIE), ["a=1; Path=/"]);
    }

    #[test]
    fn a_server_says_nothing_of_the_host_it_shares() {
        let said = |prefix: &str| {
            let mut headers = HeaderMap::new();
            for name in OF_ORIGIN.into_iter().chain([CLEAR, "content-type", "cache-control"]) {
                headers.insert(name, HeaderValue::from_static("x"));
            }
            firewall().response(&mut headers, prefix);
            headers.len()
        };
        assert_eq!((said("/user/x/"), said("x.example.org/")), (2, 8));
    }
}
