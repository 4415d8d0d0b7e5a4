//! `[pages]`: what operators change about the looks: name, logo, colour, words.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What people see: name, logo, colour and words of your own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PagesConfig {
    /// The name in the top bar and in titles.
    pub name: String,
    /// A picture in place of the mark: SVG, PNG, JPEG or WebP.
    #[schemars(extend("format" = "path"))]
    pub logo_file: Option<PathBuf>,
    /// The colour of buttons and links, as `#rrggbb`.
    #[schemars(extend("format" = "colour"))]
    pub accent: Option<String>,
    /// A sentence or two above the login form.
    pub login_text: Option<String>,
    /// Messages at the top of pages.
    pub announcements: Vec<AnnouncementConfig>,
    /// Links at the foot of every page.
    pub footer_links: Vec<LinkConfig>,
    /// A stylesheet of your own, read after ours.
    #[schemars(extend("format" = "path"))]
    pub extra_css_file: Option<PathBuf>,
}

impl Default for PagesConfig {
    fn default() -> Self {
        Self {
            name: "Specola".into(),
            logo_file: None,
            accent: None,
            login_text: None,
            announcements: Vec::new(),
            footer_links: Vec::new(),
            extra_css_file: None,
        }
    }
}

/// A message at the top of pages.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct AnnouncementConfig {
    /// What to say.
    pub text: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// The pages that show it (`login`, `home`, `spawn`, `token` …); none means all.
    #[serde(default)]
    pub pages: Vec<String>,
}

/// How much an announcement matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Something to keep in mind.
    Warning,
    /// Something is broken.
    Failed,
}

/// A link at the foot of every page.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct LinkConfig {
    /// Its words.
    pub text: String,
    /// Where it leads: `https://…`, `http://…`, `mailto:…` or a path.
    #[schemars(extend("format" = "link"))]
    pub url: String,
}
