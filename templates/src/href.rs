//! A link that is safe to put into a page: a path of this site, or an http, https or mailto address.

use serde::{Deserialize, Serialize};

/// A checked link. Written into an attribute it can neither run a script nor leave the attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Href(String);

/// A text that is no safe link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadHref(String);

impl Href {
    /// Takes a path that begins with one `/`, an `http://` or `https://` address with a host, or a `mailto:` address.
    pub fn parse(text: &str) -> Result<Self, BadHref> {
        if is_safe(text) { Ok(Self(text.to_owned())) } else { Err(BadHref(text.chars().take(80).collect())) }
    }

    /// The top of the site.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Appends to a path. Characters that have no place in a URL are percent-encoded; `/ ? & = % #` stay as they are.
    pub fn join(&self, rest: &str) -> Self {
        let mut url = self.0.clone();
        let rest = if url.ends_with('/') { rest.trim_start_matches(['/', '\\']) } else { rest };
        for character in rest.chars() {
            if is_plain(character) {
                url.push(character);
            } else {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    url.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        Self(url)
    }

    /// The text, not escaped for HTML.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '"' | '\'' | '<' | '>' | '\\' | '`' | '{' | '}' | '|' | '^')
}

fn is_safe(text: &str) -> bool {
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\\' | '"' | '<' | '>' | '`')) {
        return false;
    }
    if let Some(rest) = text.strip_prefix('/') {
        return !rest.starts_with('/');
    }
    let lower = text.to_ascii_lowercase();
    let address = |scheme: &str| {
        lower.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', '@', ':']))
    };
    address("http://") || address("https://") || address("mailto:")
}

impl std::fmt::Display for Href {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Href {
    type Error = BadHref;

    fn try_from(text: String) -> Result<Self, BadHref> {
        Self::parse(&text)
    }
}

impl From<Href> for String {
    fn from(href: Href) -> Self {
        href.0
    }
}

impl std::fmt::Display for BadHref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is no path of this site and no http, https or mailto address", self.0)
    }
}

impl std::error::Error for BadHref {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_web_addresses_are_links() {
        for text in
            ["/", "/hub/home", "/user/a/lab?x=1&y=2#z", "https://uni.example/", "HTTP://h", "mailto:a@b.example"]
        {
            assert_eq!(Href::parse(text).map(String::from), Ok(text.to_owned()));
        }
    }

    #[test]
    fn scripts_and_foreign_hosts_in_disguise_are_not() {
        let bad =
            ["", "javascript:alert(1)", "JavaScript:x", " /x", "data:text/html,x", "//evil.example", "/\\evil", "x"];
        for text in bad.into_iter().chain(["https://", "http:///x", "/a\nb", "/\"onclick=", "vbscript:x", "https://@"])
        {
            assert!(Href::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_joined_stays_on_the_site() {
        assert_eq!(Href::root().join("//evil.example/x").as_str(), "/evil.example/x");
        assert_eq!(Href::root().join("\\\\evil").as_str(), "/evil");
        let hub = Href::parse("/hub/").unwrap();
        assert_eq!(hub.join("spawn/a%20b/\"><è").as_str(), "/hub/spawn/a%20b/%22%3E%3C%C3%A8");
        assert!(Href::parse(hub.join("x\ny\\z").as_str()).is_ok());
    }
}
