//! Announcements: what one may say, and who sees it where and when.

use serde::{Deserialize, Serialize};

use crate::clock::Time;

/// The pages that announcements can be limited to. JupyterHub's `announcement_login`, `_home`, `_spawn` and `_logout`
/// are the first four.
pub const PAGES: [&str; 12] = [
    "login",
    "home",
    "spawn",
    "logout",
    "token",
    "share",
    "accept-share",
    "oauth",
    "groups",
    "announcements",
    "error",
    "admin",
];

/// The longest text, in characters.
pub const LONGEST: usize = 2000;
/// The most groups one can be for.
pub const MOST_GROUPS: usize = 100;

/// How much an announcement matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Something to keep in mind.
    Warning,
    /// Something is broken.
    Problem,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Problem];

    /// Its name, as stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// Finds one by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }
}

/// What an announcement says, to whom, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Plain text, shown as it is; addresses in it become links.
    pub text: String,
    /// How much it matters.
    pub severity: Severity,
    /// Not shown before.
    pub from: Time,
    /// Not shown from then on; `None` for ever.
    pub until: Option<Time>,
    /// The pages that show it, of [`PAGES`]; none means all.
    pub pages: Vec<String>,
    /// The groups whose members see it; none means everybody, also who is not logged in.
    pub groups: Vec<String>,
}

/// Where an announcement stands in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It will be shown.
    Ahead,
    /// It is shown.
    Now,
    /// It was shown.
    Over,
}

impl Announcement {
    /// Tells what is wrong with it, in a sentence for people.
    pub fn check(&self) -> Result<(), String> {
        let length = self.text.chars().count();
        if self.text.trim().is_empty() {
            return Err("An announcement needs a text".to_owned());
        }
        if length > LONGEST {
            return Err(format!("The text has {length} characters; {LONGEST} is the most"));
        }
        if self.text.chars().any(|character| character.is_control() && character != '\n') {
            return Err("The text contains control characters".to_owned());
        }
        if let Some(page) = self.pages.iter().find(|page| !PAGES.contains(&page.as_str())) {
            let page: String = page.chars().take(40).collect();
            return Err(format!("There is no page {page:?}; there are {}", PAGES.join(", ")));
        }
        if self.groups.len() > MOST_GROUPS || self.groups.iter().any(|name| name.is_empty() || name.len() > 255) {
            return Err(format!("The groups have to be {MOST_GROUPS} names at most"));
        }
        if self.until.is_some_and(|until| until <= self.from) {
            return Err("It would end before it begins".to_owned());
        }
        Ok(())
    }

    /// Whether it is shown now, was, or will be.
    pub fn moment(&self, now: Time) -> Moment {
        match self.until {
            _ if now < self.from => Moment::Ahead,
            Some(until) if until <= now => Moment::Over,
            _ => Moment::Now,
        }
    }

    /// Whether a page shows it to a member of these groups; nobody who is logged in is a member of none.
    pub fn is_shown(&self, page: &str, groups: &[String], now: Time) -> bool {
        let of_page = self.pages.is_empty() || self.pages.iter().any(|name| name == page);
        of_page && self.is_for(groups, now)
    }

    /// Whether any page shows it to a member of these groups.
    pub fn is_for(&self, groups: &[String], now: Time) -> bool {
        let of_group = self.groups.is_empty() || self.groups.iter().any(|name| groups.contains(name));
        of_group && self.moment(now) == Moment::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn plain() -> Announcement {
        let (pages, groups) = (Vec::new(), Vec::new());
        Announcement { text: "x".to_owned(), severity: Severity::Info, from: at(0), until: None, pages, groups }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn it_is_shown_in_its_time_on_its_pages_to_its_groups() {
        let limited = Announcement { pages: names(&["home", "spawn"]), groups: names(&["gpu", "staff"]), ..plain() };
        let short = Announcement { until: Some(at(10)), ..plain() };
        // Announcement, page, groups, now, shown.
        let table: [(&Announcement, &str, &[&str], i64, bool); 10] = [
            (&plain(), "login", &[], 0, true),
            (&plain(), "login", &[], -1, false),
            (&plain(), "home", &["any"], 9_000_000, true),
            (&short, "home", &[], 9, true),
            (&short, "home", &[], 10, false),
            (&limited, "home", &["staff"], 0, true),
            (&limited, "home", &["other", "gpu"], 0, true),
            (&limited, "home", &["other"], 0, false),
            (&limited, "home", &[], 0, false),
            (&limited, "token", &["gpu"], 0, false),
        ];
        for (announcement, page, groups, now, shown) in table {
            assert_eq!(
                announcement.is_shown(page, &names(groups), at(now)),
                shown,
                "{announcement:?} {page} {groups:?}"
            );
        }
        assert_eq!(short.moment(at(-1)), Moment::Ahead);
        assert_eq!(short.moment(at(10)), Moment::Over);
    }

    #[test]
    fn what_cannot_be_said_is_told_in_a_sentence() {
        assert_eq!(plain().check(), Ok(()));
        assert_eq!(Announcement { text: "two\nlines".to_owned(), ..plain() }.check(), Ok(()));
        let bad = [
            Announcement { text: " \n".to_owned(), ..plain() },
            Announcement { text: "x".repeat(LONGEST + 1), ..plain() },
            Announcement { text: "a\u{0}b".to_owned(), ..plain() },
            Announcement { text: "a\u{1b}[2J".to_owned(), ..plain() },
            Announcement { pages: names(&["hom"]), ..plain() },
            Announcement { groups: names(&[""]), ..plain() },
            Announcement { groups: vec!["g".to_owned(); MOST_GROUPS + 1], ..plain() },
            Announcement { until: Some(at(0)), ..plain() },
        ];
        for announcement in bad {
            assert!(announcement.check().is_err(), "{announcement:?}");
        }
        for severity in Severity::ALL {
            assert_eq!(Severity::from_name(severity.as_str()), Some(severity));
        }
        assert_eq!(Severity::from_name("Info"), None);
    }
}
