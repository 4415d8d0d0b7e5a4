//! The page on which operators write announcements.

use askama::Template;
use hub_core::announcement::{Announcement, Moment, Severity};
use hub_core::clock::Time;

use crate::{Frame, Page, Place, sample};

/// The page of all announcements. Its forms post to `{base_url}announcements` with `_xsrf` and `action`: `save` with `id`
/// (empty for a new one), `text`, `severity`, `from` and `until` (`YYYY-MM-DDTHH:MM` in UTC, or empty), any number of
/// `pages`, and `groups` (separated by commas); or `delete` with `id`. `?edit=ID` fills the form with an old one.
#[derive(Debug, Template)]
#[template(path = "announcements.html")]
pub struct Announcements {
    /// What surrounds the page.
    pub frame: Frame,
    /// All announcements, the newest first.
    pub rows: Vec<Written>,
    /// What is filled in.
    pub form: AnnouncementForm,
    /// Why the last action was refused.
    pub error: Option<String>,
}

/// An announcement in the list.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its id in the API.
    pub id: i64,
    /// What it says, and to whom.
    pub announcement: Announcement,
    /// Who wrote it last.
    pub author: String,
}

/// What is filled in, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct AnnouncementForm {
    /// The announcement that is changed; none for a new one.
    pub id: Option<i64>,
    /// The text.
    pub text: String,
    /// How much it matters.
    pub severity: Severity,
    /// When it begins.
    pub from: String,
    /// When it ends.
    pub until: String,
    /// The pages that show it.
    pub pages: Vec<String>,
    /// The groups that see it, separated by commas.
    pub groups: String,
}

impl Announcements {
    /// The severities with their words, and whether each is chosen.
    pub fn severities(&self) -> Vec<(&'static str, &'static str, bool)> {
        let one = |severity: Severity| (severity.as_str(), self.severity(&severity), severity == self.form.severity);
        Severity::ALL.into_iter().map(one).collect()
    }

    /// A severity in a word.
    pub fn severity(&self, severity: &Severity) -> &'static str {
        let words = self.frame.words;
        match severity {
            Severity::Info => words.severity_info,
            Severity::Warning => words.severity_warning,
            Severity::Problem => words.severity_problem,
        }
    }

    /// The pages it can be limited to, and whether each is chosen.
    pub fn pages(&self) -> Vec<(&'static str, bool)> {
        let chosen = |page: &&str| self.form.pages.iter().any(|chosen| chosen == page);
        hub_core::announcement::PAGES.iter().map(|page| (*page, chosen(page))).collect()
    }

    /// Where an announcement stands in its time: its style and its word.
    pub fn moment(&self, announcement: &Announcement) -> (&'static str, &'static str) {
        let words = self.frame.words;
        match announcement.moment(self.frame.now) {
            Moment::Ahead => ("starting", words.announcement_ahead),
            Moment::Now => ("ready", words.announcement_now),
            Moment::Over => ("stopped", words.announcement_over),
        }
    }

    /// An instant as the form takes it.
    pub fn typed(time: Time) -> String {
        time.format("%Y-%m-%dT%H:%M").to_string()
    }
}

impl Page for Announcements {
    const NAME: &'static str = "announcements";
    const PLACE: Place = Place::Elsewhere;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::announcements::samples()
    }
}
