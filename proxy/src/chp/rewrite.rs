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
                format!("{}/{}", target.base.trim_end_matches('/'), path.trim_start_matches('/'))
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
        let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()?.parse::<Uri>().ok()) else {
            return;
        };
        if location.authority().is_none_or(|authority| !authority.as_str().eq_ignore_ascii_case(&target.authority)) {
            return;
        }
        let mut parts = location.into_parts();
        if self.auto_rewrite {
            match host.parse() {
                Ok(host) => parts.authority = Some(host),
                Err(_) => return,
            }
        }
        if let Some(Ok(scheme)) = self.protocol_rewrite.as_ref().map(|scheme| scheme.parse()) {
            parts.scheme = Some(scheme);
        }
        if let Ok(uri) = Uri::from_parts(parts)
            && let Ok(value) = HeaderValue::from_str(&uri.to_string())
        {
            headers.insert(LOCATION, value);
        }
    }
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
        ];
        for (prepend, include, target, prefix, asked, expected) in cases {
            let target = Target::with_path(target).unwrap();
            let found = rewrite(prepend, include).uri(&asked.parse().unwrap(), prefix, &target).unwrap();
            assert_eq!(found.to_string(), expected, "{prepend} {include} {asked}");
        }
    }

    #[test]
    fn only_the_location_of_the_target_is_changed() {
        let target = Target::with_path("http://backend.example:8080/").unwrap();
        let cases = [
            ("http://backend.example:8080/x?y", "https://hub.example/x?y"),
            ("http://other.example/x", "http://other.example/x"),
            ("/x", "/x"),
        ];
        for (told, expected) in cases {
            let mut headers: HeaderMap = [(LOCATION, HeaderValue::from_str(told).unwrap())].into_iter().collect();
            rewrite(true, true).location(StatusCode::FOUND, &mut headers, &target, "hub.example");
            assert_eq!(headers.get(LOCATION).unwrap(), expected);
        }
    }
}
