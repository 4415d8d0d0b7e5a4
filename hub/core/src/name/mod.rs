//! Names of users, servers and groups: what is accepted, how they are written in paths, URLs and cookie names.
//!
//! `parse` is for what people and clients send; `stored` takes what a database already holds, also what JupyterHub's
//! older rules allowed.

mod escape;
mod part;

pub use escape::{escape_path, oauth_client_id, server_prefix, service_client_id};
pub use part::safe_part;

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The width of the columns, in characters.
const LONGEST: usize = 255;
const LONGEST_SLUG: usize = 30;

/// Why a name was refused. The texts are for people and do not repeat the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name is longer than {0} characters")]
    Long(usize),
    #[error("the name contains a slash")]
    Slash,
    #[error("the name consists of dots only")]
    Dots,
    #[error("the name begins or ends with white space")]
    Edge,
    #[error("the name contains a control character")]
    Control,
    #[error(
        "the name must begin with a letter and contain only lower-case letters, digits and single hyphens between them"
    )]
    Slug,
    #[error("the display name contains two spaces in a row or a character that cannot be shown")]
    Display,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a name that the database holds, whatever it is.
            pub fn stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The name in clear.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as one piece of a path.
            pub fn escaped(&self) -> String {
                escape_path(&self.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

names! {
    /// The name of a user.
    UserName,
    /// The name of a server; empty for a user's default server.
    ServerName,
    /// What people call a server; composed Unicode (NFC).
    DisplayName,
    /// The name of a group.
    GroupName,
}

impl UserName {
    /// Checks a normalised name: JupyterHub's rule, and no control characters, which databases and logs do not bear.
    /// A pattern of the configuration is the caller's to check.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let general = bounded(text)?;
        let only_dots = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte == b'.');
        if text.contains('/') {
            return Err(NameError::Slash);
        }
        if only_dots(text) || only_dots(&percent_decode_str(text).decode_utf8_lossy()) {
            return Err(NameError::Dots);
        }
        if text.trim_matches(is_python_space) != text {
            return Err(NameError::Edge);
        }
        Ok(Self(general.to_owned()))
    }

    /// Brings what the authenticator or a client said into the form that is stored: lower case, then the map.
    /// To be parsed afterwards.
    pub fn normalise(raw: &str, map: &BTreeMap<String, String>) -> String {
        let lower = raw.to_lowercase();
        map.get(&lower).cloned().unwrap_or(lower)
    }
}

impl ServerName {
    /// Checks the name of a server to be made: empty, or 1 to 30 of `a-z 0-9 -`, a letter first, no hyphen at an edge
    /// or twice in a row. Servers that exist keep the names they have: see `stored`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || is_slug(text) { Ok(Self(text.to_owned())) } else { Err(NameError::Slug) }
    }

    /// A user's default server.
    pub fn default_server() -> Self {
        Self(String::new())
    }

    /// Whether this is the default server.
    pub fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a server of this name could be made today.
    pub fn is_current(&self) -> bool {
        self.is_default() || is_slug(&self.0)
    }
}

impl DisplayName {
    /// Composes and checks: 1 to 255 visible characters, with single spaces between them.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name: String = text.nfc().take(LONGEST + 1).collect();
        let name = bounded(&name)?;
        if name.starts_with(' ') || name.ends_with(' ') {
            return Err(NameError::Edge);
        }
        if name.contains("  ") || !name.chars().all(|c| c == ' ' || is_visible(c)) {
            return Err(NameError::Display);
        }
        Ok(Self(name.to_owned()))
    }
}

impl GroupName {
    /// Checks a name: any characters but control characters, 1 to 255 of them.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        bounded(text).map(|name| Self(name.to_owned()))
    }
}

fn bounded(text: &str) -> Result<&str, NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.chars().nth(LONGEST).is_some() {
        return Err(NameError::Long(LONGEST));
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(text)
}

fn is_slug(text: &str) -> bool {
    let piece = |piece: &str| !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.len() <= LONGEST_SLUG
        && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
        && text.split('-').all(piece)
}

/// What Python's `str.strip` strips: four separators more than Unicode's white space.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

fn is_visible(c: char) -> bool {
    use GeneralCategory as G;
    !matches!(
        c.general_category(),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::SpaceSeparator
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        user: Vec<(String, bool)>,
        slug: Vec<(String, bool)>,
        display: Vec<(String, String, bool)>,
        lower: Vec<(String, String)>,
    }

    fn vectors() -> Vectors {
        serde_json::from_str(include_str!("../../tests/vectors/names.json")).unwrap()
    }

    #[test]
    fn user_names_are_judged_as_by_jupyterhub_save_control_characters() {
        for (name, valid) in vectors().user {
            let expected = valid && !name.chars().any(char::is_control);
            assert_eq!(UserName::parse(&name).is_ok(), expected, "{name:?}");
        }
        assert_eq!(UserName::parse(&"ä".repeat(256)), Err(NameError::Long(255)));
        assert!(UserName::parse(&"ä".repeat(255)).is_ok());
    }

    #[test]
    fn server_and_display_names_are_judged_as_by_jupyterhub() {
        for (name, valid) in vectors().slug {
            assert_eq!(!name.is_empty() && ServerName::parse(&name).is_ok(), valid, "{name:?}");
        }
        for (name, composed, valid) in vectors().display {
            match DisplayName::parse(&name) {
                Ok(parsed) => assert!(valid && parsed.as_str() == composed, "{name:?}"),
                Err(_) => assert!(!valid, "{name:?}"),
            }
        }
        assert!(ServerName::parse("").unwrap().is_default());
        assert!(!ServerName::stored("My Server").is_current());
    }

    #[test]
    fn names_are_lowered_and_then_mapped() {
        for (name, lower) in vectors().lower {
            assert_eq!(UserName::normalise(&name, &BTreeMap::new()), lower);
        }
        let map = BTreeMap::from([("alice@example.org".into(), "alice".into())]);
        assert_eq!(UserName::normalise("Alice@Example.org", &map), "alice");
    }

    #[test]
    fn group_names_are_nearly_free() {
        assert!(GroupName::parse("Physics / 4 x=1!").is_ok());
        assert_eq!(GroupName::parse(""), Err(NameError::Empty));
        assert_eq!(GroupName::parse("a\0b"), Err(NameError::Control));
    }
}
