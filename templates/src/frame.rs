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
    /// What it says, as plain text.
    pub text: String,
    /// Where to read more.
    pub link: Option<Link>,
}

impl Announcement {
    /// Names the announcement by its content, so that a dismissed one stays away and a changed one comes back.
    pub fn id(&self) -> String {
        format!("{:016x}", crate::asset::fnv1a(self.text.as_bytes()))
    }
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
