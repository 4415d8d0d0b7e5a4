//! Changes to requests and answers on their way, as configurable-http-proxy makes them by choice. Pure.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{HOST, LOCATION},
    uri::PathAndQuery,
};

use super::ChpOptions;
use crate::target::Target;

/// What is changed.
pub(crate) struct Rewrite {
    prepend_path: bool,
    include_prefix: bool,
    auto_rewrite: bool,
    change_origin: bool,
    protocol_rewrite: Option<String>,
    custom_headers: Vec<(HeaderName, HeaderValue)>,
}

impl Rewrite {
    pub(crate) fn new(options: &ChpOptions) -> Self {
        Self {
            prepend_path: options.prepend_path,
            include_prefix: options.include_prefix,
            auto_rewrite: options.auto_rewrite,
            change_origin: options.change_origin,
            protocol_rewrite: options.protocol_rewrite.clone(),
            custom_headers: options.custom_headers.clone(),
        }
    }

    /// Whether anything may be changed beside the path.
    pub(crate) fn changes(&self) -> bool {
        let headers = self.change_origin || !self.custom_headers.is_empty();
        headers || self.auto_rewrite || self.protocol_rewrite.is_some() || !self.include_prefix
    }

    /// Whether the target has a path or a query of its own, which goes before what is asked for.
    pub(crate) fn moves(&self, target: &Target) -> bool {
        self.prepend_path && (!target.base.trim_end_matches('/').is_empty() || target.query.is_some())
    }

    /// The address that the target is asked for. None when there is no such address.
    pub(crate) fn uri(&self, uri: &Uri, prefix: &str, target: &Target) -> Option<Uri> {
        let whole = uri.path_and_query()?;
        let path = if self.include_prefix { whole.path() } else { without_prefix(whole.path(), prefix) };
        let path = match self.prepend_path {
            true if !target.base.is_empty() => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                format!("{}{slash}{path}", target.base.trim_end_matches('/'))
            }
            _ => path.to_owned(),
        };
        let own = self.prepend_path.then_some(target.query.as_deref()).flatten();
        let query: Vec<&str> = own.into_iter().chain(whole.query()).collect();
        let whole = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        Uri::builder().path_and_query(PathAndQuery::try_from(whole).ok()?).build().ok()
    }

    /// The headers that the target gets.
    pub(crate) fn request(&self, headers: &mut HeaderMap, target: &Target) {
        if self.change_origin
            && let Ok(host) = HeaderValue::from_str(&target.authority)
        {
            headers.insert(HOST, host);
        }
        for (name, value) in &self.custom_headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The `Location` of an answer, where it is that of the target itself.
    pub(crate) fn location(&self, status: StatusCode, headers: &mut HeaderMap, target: &Target, host: &str) {
        let moved = matches!(status.as_u16(), 201 | 301 | 302 | 307 | 308);
        if !moved || (!self.auto_rewrite && self.protocol_rewrite.is_none()) {
            return;
        }
        let Some(location) = headers.get(LOCATION).and_then(|value| Location::of(value.as_bytes())) else { return };
        let own = if target.tls { "https" } else { "http" };
        if !bare(location.authority, location.scheme).eq_ignore_ascii_case(bare(&target.authority, own)) {
            return;
        }
        let scheme = self.protocol_rewrite.as_deref().unwrap_or(location.scheme);
        let authority = if self.auto_rewrite { host } else { location.authority };
        let slash = if location.rest.starts_with(b"/") { "" } else { "/" };
        let head = format!("{scheme}://{}{authority}{slash}", location.user);
        if let Ok(value) = HeaderValue::from_bytes(&[head.as_bytes(), location.rest].concat()) {
            headers.insert(LOCATION, value);
        }
    }
}

/// A whole address, as it stands.
struct Location<'a> {
    scheme: &'a str,
    /// With the `@` behind it.
    user: &'a str,
    authority: &'a str,
    /// Path, query and fragment.
    rest: &'a [u8],
}

impl<'a> Location<'a> {
    fn of(text: &'a [u8]) -> Option<Self> {
        let end = text.windows(3).position(|three| three == b"://")?;
        let (scheme, after) = (text.get(..end)?, text.get(end + 3..)?);
        let end = after.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let authority = std::str::from_utf8(authority).ok()?;
        let (user, authority) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let scheme = std::str::from_utf8(scheme).ok()?;
        Some(Self { scheme, user, authority, rest })
    }
}

/// Without the port of the scheme.
fn bare<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

/// A raw path without as many segments as the prefix has.
fn without_prefix<'a>(path: &'a str, prefix: &str) -> &'a str {
    // What stands before the first slash is a host, which is not in the path.
    let own = prefix.find('/').and_then(|at| prefix.get(at..)).unwrap_or("/");
    let count = own.split('/').filter(|segment| !segment.is_empty()).count();
    match path.match_indices('/').nth(count) {
        Some((at, _)) => path.get(at..).unwrap_or("/"),
        None => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(prepend_path: bool, include_prefix: bool) -> Rewrite {
        Rewrite {
            prepend_path,
            include_prefix,
            auto_rewrite: true,
            change_origin: false,
            protocol_rewrite: Some("https".to_owned()),
            custom_headers: Vec::new(),
        }
    }

    #[test]
    fn paths_are_joined_and_cut_on_segments() {
        let cases = [
            (true, true, "http://h/foo", "/bar/", "/bar/rest", "/foo/bar/rest"),
            (false, true, "http://h/foo", "/bar/", "/bar/rest", "/bar/rest"),
            (true, false, "http://h/foo", "/bar/", "/bar/rest", "/foo/rest"),
            (false, false, "http://h/foo", "/bar/", "/bar/rest", "/rest"),
            (true, false, "http://h/base/", "/b%40r/", "/b@r/rest", "/base/rest"),
            (false, false, "http://h", "/b%40r/", "/b%40r", "/"),
            (false, false, "http://h", "/", "/x/y", "/x/y"),
            (false, false, "http://h", "ex.com/sub/", "/sub/x", "/x"),
            (true, true, "http://h/?z=1", "/", "/x?q=1", "/x?z=1&q=1"),
            (true, true, "http://h/foo/", "/", "//x//y", "/foo//x//y"),
            (true, true, "http://h/foo/", "/", "*", "/foo/*"),
        ];
        for (prepend, include, target, prefix, asked, expected) in cases {
            let target = Target::with_path(target).unwrap();
            let found = rewrite(prepend, include).uri(&asked.parse().unwrap(), prefix, &target).unwrap();
            assert_eq!(found.to_string(), expected, "{prepend} {include} {asked}");
        }
    }

    #[test]
    fn only_the_location_of_the_target_is_changed() {
        const TARGET: &str = "http://backend.example:8080/";
        let cases = [
            (TARGET, "http://backend.example:8080/x?y", "https://hub.example/x?y"),
            (TARGET, "http://Backend.example:8080", "https://hub.example/"),
            (TARGET, "http://backend.example:8080/x?y#/z", "https://hub.example/x?y#/z"),
            (TARGET, "http://backend.example:8080#z", "https://hub.example/#z"),
            (TARGET, "http://backend.example:8080/a b/\u{e9}", "https://hub.example/a b/\u{e9}"),
            (TARGET, "http://me@backend.example:8080/x", "https://me@hub.example/x"),
            (TARGET, "http://other.example/x", "http://other.example/x"),
            (TARGET, "http://backend.example:8080@other.example/x", "http://backend.example:8080@other.example/x"),
            (TARGET, "http://backend.example:8080.other.example/x", "http://backend.example:8080.other.example/x"),
            (TARGET, "http://other.example/://backend.example:8080/", "http://other.example/://backend.example:8080/"),
            (TARGET, "//backend.example:8080/x", "//backend.example:8080/x"),
            (TARGET, "/x", "/x"),
            ("http://backend.example", "http://backend.example:80/x", "https://hub.example/x"),
            ("https://backend.example:443", "https://backend.example/x", "https://hub.example/x"),
        ];
        for (target, told, expected) in cases {
            let target = Target::with_path(target).unwrap();
            let mut headers: HeaderMap =
                [(LOCATION, HeaderValue::from_bytes(told.as_bytes()).unwrap())].into_iter().collect();
            rewrite(true, true).location(StatusCode::FOUND, &mut headers, &target, "hub.example");
            assert_eq!(headers.get(LOCATION).unwrap().as_bytes(), expected.as_bytes());
        }
    }
}
