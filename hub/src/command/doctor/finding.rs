//! What a check has found.

use serde::Serialize;

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, and is worth a look.
    Note,
    /// It does not work.
    Bad,
    /// Not tested: this configuration does not need it, or there is nothing to test it with.
    Skipped,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: "provider iam".
    pub about: String,
    /// How it stands.
    pub level: Level,
    /// A sentence without its subject: "answers".
    pub said: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn good(about: impl Into<String>, said: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Ok, said: said.into(), remedy: None }
    }

    /// It works, and is worth a look. An empty remedy is none.
    pub fn note(about: impl Into<String>, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::bad(about, said, remedy) }
    }

    /// It does not work.
    pub fn bad(about: impl Into<String>, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into()).filter(|remedy| !remedy.is_empty());
        Self { about: about.into(), level: Level::Bad, said: said.into(), remedy }
    }

    /// Not tested.
    pub fn skipped(about: impl Into<String>, said: impl Into<String>) -> Self {
        Self { about: about.into(), level: Level::Skipped, said: said.into(), remedy: None }
    }
}
