//! What surrounds every page: top bar, announcements, footer, theme, and the values scripts need.

use std::sync::Arc;

use hub_core::clock::Time;

use crate::words::Words;
use crate::{Accent, Href};

/// What the operator decides about the looks; the same for every page of a hub.
#[derive(Debug, Clone)]
pub struct Site {
    /// The name in the top bar and in titles.
    pub name: String,
    /// An image in place of the project's mark.
    pub logo: Option<Href>,
    /// A colour in place of the project's own. The hub serves [`Accent::stylesheet`] at `{base_url}accent.css`.
    pub accent: Option<Accent>,
    /// Where the hub's own pages live, with a slash at its end: `/hub/`.
    pub base_url: Href,
    /// Where the whole site lives, with a slash at its end: `/`.
    pub prefix: Href,
    /// Links at the foot of every page: help, imprint, privacy.
    pub footer_links: Vec<Link>,
    /// A stylesheet of the operator's own, loaded last.
    pub extra_css: Option<Href>,
}

/// A link with its words.
#[derive(Debug, Clone)]
pub struct Link {
    /// What it is called.
    pub label: String,
    /// Where it leads.
    pub url: Href,
}

impl Link {
    /// Puts words and address together.
    pub fn new(label: impl Into<String>, url: Href) -> Self {
        Self { label: label.into(), url }
    }
}

/// Who is logged in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The login name.
    pub name: String,
    /// The name to greet with, if it is another.
    pub display: Option<String>,
    /// Whether the person is an administrator.
    pub admin: bool,
    /// The groups, in the order to show them.
    pub groups: Vec<String>,
}

impl Person {
    /// The name to show.
    pub fn shown(&self) -> &str {
        self.display.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.name)
    }

    /// One letter that stands for the person, upper case.
    pub fn initial(&self) -> String {
        self.shown().chars().find(|c| c.is_alphanumeric()).map_or("?".to_owned(), |c| c.to_uppercase().to_string())
    }
}

/// The entries of the top bar that not everybody has.
#[derive(Debug, Clone, Default)]
pub struct Nav {
    /// Services the person may open.
    pub services: Vec<Link>,
    /// Whether to offer the admin panel (scope `admin-ui`).
    pub admin: bool,
    /// Whether to offer the page where announcements are written.
    pub announcements: bool,
    /// Whether to offer the groups.
    pub groups: bool,
    /// Whether the admin panel has a page of sites.
    pub sites: bool,
}

/// How much an announcement matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Will affect the person.
    Warning,
    /// Affects the person now.
    Critical,
}

impl Severity {
    /// The name of its style.
    pub fn style(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "failed",
        }
    }
}

/// A message of the operator on top of pages.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// How much it matters.
    pub severity: Severity,
    /// What it says, as plain text. Addresses in it become links.
    pub text: String,
}

/// A piece of an announcement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Shown as it is.
    Text(String),
    /// An address of the web.
    Link(Href),
}

impl Announcement {
    /// Names the announcement by its content, so that a dismissed one stays away and a changed one comes back.
    pub fn id(&self) -> String {
        format!("{:016x}", crate::asset::fnv1a(self.text.as_bytes()))
    }

    /// The text with its addresses found. Only `http://` and `https://` are, and only those that are safe as links.
    pub fn pieces(&self) -> Vec<Piece> {
        pieces(&self.text)
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let address = word.trim_end().trim_start_matches(['(', '"', '“', '‘']);
        // What ends a sentence or closes a bracket is no part of the address.
        let address = address.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '"', '\'', '”', '’']);
        let web = address.starts_with("https://") || address.starts_with("http://");
        match Href::parse(address).ok().filter(|_| web).zip(word.split_once(address)) {
            Some((link, (before, after))) => {
                plain.push_str(before);
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Link(link));
                plain.push_str(after);
            }
            None => plain.push_str(word),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

/// A maintenance window of a site, ahead or now.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// What people call the site.
    pub site: String,
    /// Whether it has begun.
    pub is_on: bool,
    /// When it begins.
    pub begins: Time,
    /// When it ends.
    pub ends: Time,
    /// What the operator says; may be empty.
    pub text: String,
    /// Whether servers there are stopped when it begins.
    pub stops_servers: bool,
}

/// Light or dark, as long as the person has not chosen in this browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    /// As the browser prefers.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// The value of `data-theme`.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// All that a page needs besides its own matter.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The operator's choices.
    pub site: Arc<Site>,
    /// Who is logged in, if anybody.
    pub person: Option<Person>,
    /// What the top bar offers.
    pub nav: Nav,
    /// Messages for this page.
    pub announcements: Vec<Announcement>,
    /// Maintenance of sites that concerns the person.
    pub maintenance: Vec<Maintenance>,
    /// The `_xsrf` token for forms and scripts.
    pub xsrf: String,
    /// The theme to begin with.
    pub theme: Theme,
    /// The words, which carry their language.
    pub words: &'static Words,
    /// When the page is made; times are told relative to it.
    pub now: Time,
}

impl Frame {
    /// The address of a static file, with its version.
    pub fn asset(&self, name: &str) -> String {
        crate::static_url(&self.site.base_url, name)
    }

    /// How long ago, or in how much time, in words.
    pub fn relative(&self, time: &Time) -> String {
        self.words.relative(*time, self.now)
    }

    /// Whether an instant is past, or comes within seconds.
    pub fn passed(&self, time: &Time) -> bool {
        (*time - self.now).num_seconds() < 10
    }

    /// An instant for people, in UTC, to the minute.
    pub fn exact(&self, time: &Time) -> String {
        time.format("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// An instant for machines.
    pub fn machine(&self, time: &Time) -> String {
        time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let piece = |piece: Piece| match piece {
            Piece::Text(text) => text,
            Piece::Link(link) => format!("<{link}>"),
        };
        pieces(text).into_iter().map(piece).collect()
    }

    #[test]
    fn addresses_in_a_text_become_links_if_they_are_safe() {
        let table = [
            ("", ""),
            ("No link, at 12:00.", "No link, at 12:00."),
            ("See https://status.example/a?b=1#c.", "See <https://status.example/a?b=1#c>."),
            ("(http://a.example) and\nhttps://b.example!", "(<http://a.example>) and\n<https://b.example>!"),
            ("javascript:alert(1) data:x //evil ftp://a", "javascript:alert(1) data:x //evil ftp://a"),
            ("https:// https://\"onclick=x", "https:// https://\"onclick=x"),
            ("xhttps://a.example", "xhttps://a.example"),
            ("https://a.example/<script>", "https://a.example/<script>"),
        ];
        for (text, shown) in table {
            assert_eq!(told(text), shown);
        }
    }
}
