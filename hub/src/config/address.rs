//! Addresses in the configuration, parsed once: where to listen, the base path, and URLs that others are sent to.

use std::borrow::Cow;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Where browsers reach the proxy, read from `http://HOST:PORT/BASE/`, or `https://` where the proxy speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindUrl {
    /// A host name or address without brackets; empty means every address.
    pub host: String,
    /// The port; 80, or 443 for https, when none was written.
    pub port: u16,
    /// The base path, when one was written.
    pub base: Option<BasePath>,
    /// Whether the proxy speaks TLS there.
    pub https: bool,
}

impl BindUrl {
    /// Reads JupyterHub's form of a bind URL, in which the host may be empty or `*`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err("an address such as \"http://127.0.0.1:8000\""),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if rest.contains(['?', '#', ' ']) || authority.contains('@') {
            return Err("an address without user, question mark or fragment");
        }
        let (host, port) = split_authority(authority, if https { 443 } else { 80 })?;
        let base = if path.len() > 1 { Some(BasePath::parse(path)?) } else { None };
        Ok(Self { host, port, base, https })
    }

    /// What to give to a listener: `HOST:PORT`, with brackets where they are needed.
    pub fn listen(&self) -> String {
        if self.host.is_empty() { format!("0.0.0.0:{}", self.port) } else { join(&self.host, self.port) }
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// The address to open on this machine, without base path: `http://127.0.0.1:8000`.
    pub fn local_url(&self) -> String {
        let host = if matches!(self.host.as_str(), "" | "0.0.0.0" | "::") { "127.0.0.1" } else { &self.host };
        format!("{}://{}", self.scheme(), join(host, self.port))
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

/// Whether a host names this machine only. A name other than `localhost` may lead anywhere.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `HOST:PORT`, with brackets around an IPv6 address.
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn split_authority(authority: &str, own: u16) -> Result<(String, u16), &'static str> {
    const PORT: &str = "an address with a port from 1 to 65535";
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or(PORT)?)),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        None => own,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(PORT)?,
    };
    let host = if host == "*" { "" } else { host };
    check_host(host)?;
    Ok((host.to_owned(), port))
}

/// Checks a host name or address without brackets; empty is every address.
pub fn check_host(host: &str) -> Result<(), &'static str> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.parse::<IpAddr>().is_ok() || host.chars().all(name) { Ok(()) } else { Err("a host name or an IP address") }
}

/// A path that begins and ends with a slash: `/` or `/hub-one/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BasePath(String);

impl BasePath {
    /// Reads a path, adding the slashes at both ends.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let inner = text.trim_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/@!$&'()*+,;=:%".contains(c);
        if !inner.chars().all(plain) || inner.contains("//") || inner.split('/').any(|part| part == "." || part == "..")
        {
            return Err("a path such as \"/\" or \"/jupyter/\"");
        }
        Ok(Self(if inner.is_empty() { "/".into() } else { format!("/{inner}/") }))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }
}

impl Default for BasePath {
    fn default() -> Self {
        Self("/".into())
    }
}

/// A URL with `http` or `https` and a host, without user, query or fragment, and without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "an address such as \"https://hub.example.org\"";
        let url = url::Url::parse(text).map_err(|_| EXPECTED)?;
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !matches!(url.scheme(), "http" | "https") || !bare || url.password().is_some() || !url.has_host() {
            return Err(EXPECTED);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The URL, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Scheme, host and port: `https://hub.example.org`.
    pub fn origin(&self) -> &str {
        let start = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0.get(start..).and_then(|rest| rest.find('/')).map_or(self.0.len(), |at| start + at);
        self.0.get(..end).unwrap_or(&self.0)
    }

    /// Whether it has no path.
    pub fn is_origin(&self) -> bool {
        self.origin() == self.0.trim_end_matches('/')
    }

    /// Its host, without brackets.
    pub fn host(&self) -> &str {
        let authority = self.origin().split("://").nth(1).unwrap_or_default();
        let end = authority.rfind(':').filter(|at| !authority.get(*at..).unwrap_or_default().contains(']'));
        authority.get(..end.unwrap_or(authority.len())).unwrap_or_default().trim_matches(['[', ']'])
    }

    /// Whether it is `https`.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

/// Gives a type that is parsed from a text its `Deserialize`, and a schema that names the format `check` applies.
macro_rules! parsed {
    ($name:ident, $format:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}

parsed!(BindUrl, "bind-url");
parsed!(BasePath, "base-path");
parsed!(HttpUrl, "http-url");

impl Serialize for BindUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let base = self.base.as_ref().map_or("", BasePath::as_str);
        serializer.serialize_str(&format!("{}://{}{base}", self.scheme(), join(&self.host, self.port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_urls_are_read_as_jupyterhub_writes_them() {
        let table = [
            ("http://:8000", "", 8000, None),
            ("http://*:8000/", "", 8000, None),
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, None),
            ("http://127.0.0.1:8000/jupyter", "127.0.0.1", 8000, Some("/jupyter/")),
            ("http://[::1]:9/a/b/", "::1", 9, Some("/a/b/")),
            ("http://hub.example.org", "hub.example.org", 80, None),
            ("https://:8443/x", "", 8443, Some("/x/")),
            ("https://hub.example.org", "hub.example.org", 443, None),
            ("http://h:8/@/space%20word/", "h", 8, Some("/@/space%20word/")),
        ];
        for (text, host, port, base) in table {
            let bind = BindUrl::parse(text).unwrap();
            assert_eq!((bind.host.as_str(), bind.port), (host, port), "{text}");
            assert_eq!(bind.https, text.starts_with("https"), "{text}");
            assert_eq!(bind.base.as_ref().map(BasePath::as_str), base, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused() {
        for text in ["", "8000", "ftp://x", "http://x:0", "http://x:70000", "http://[::1]9", "http://a b"] {
            assert!(BindUrl::parse(text).is_err(), "{text}");
        }
        for text in ["http://u@x:1", "http://x:1/?a", "http://x:1/../", "http://é:1", "http://x:1/é"] {
            assert!(BindUrl::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for (host, expected) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("localhost", true), ("", false)]
        {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
        assert!(!is_loopback("0.0.0.0") && !is_loopback("localhost.example.org") && !is_loopback("::"));
    }

    #[test]
    fn an_origin_ends_before_the_path() {
        let url = HttpUrl::parse("https://hub.example.org:8443/base/").unwrap();
        assert_eq!((url.as_str(), url.origin()), ("https://hub.example.org:8443/base", "https://hub.example.org:8443"));
        assert_eq!(HttpUrl::parse("http://h/").unwrap().origin(), "http://h");
    }
}
