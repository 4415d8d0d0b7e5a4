//! Samples of the page on which announcements are written.

use hub_core::announcement::{Announcement, Severity};

use super::{HOSTILE, admin, ago, hostile};
use crate::Announcements;
use crate::announcements::{AnnouncementForm, Written};

fn written(id: i64, text: &str, severity: Severity, from: i64, until: Option<i64>) -> Written {
    let announcement = Announcement {
        text: text.to_owned(),
        severity,
        from: ago(from),
        until: until.map(ago),
        pages: Vec::new(),
        groups: Vec::new(),
    };
    Written { id, announcement, author: "admin".to_owned() }
}

pub(crate) fn samples() -> Vec<(&'static str, Announcements)> {
    let empty = || Announcements { frame: admin(), rows: Vec::new(), form: AnnouncementForm::default(), error: None };
    let mut limited = written(2, "The GPUs are back.", Severity::Info, 86_400, Some(3600));
    limited.announcement.groups = vec!["gpu-users".to_owned()];
    limited.announcement.pages = vec!["home".to_owned(), "spawn".to_owned()];
    let long = "Storage is slow at the moment. We are working on it, see https://status.example/storage for news.";
    let rows = vec![
        written(3, "Maintenance on Saturday at 6:00.", Severity::Warning, -86_400, Some(-200_000)),
        written(4, long, Severity::Problem, 7200, None),
        limited,
    ];
    let form = AnnouncementForm {
        id: Some(2),
        text: "The GPUs are back.".to_owned(),
        severity: Severity::Info,
        from: "2026-03-19T09:00".to_owned(),
        until: "2026-03-18T09:00".to_owned(),
        pages: vec!["home".to_owned()],
        groups: "gpu-users".to_owned(),
    };
    let text = || HOSTILE.to_owned();
    let mut bad = written(5, HOSTILE, Severity::Problem, 10, None);
    (bad.author, bad.announcement.groups, bad.announcement.pages) = (text(), vec![text()], vec![text()]);
    let worst = AnnouncementForm { text: text(), from: text(), until: text(), groups: text(), ..form.clone() };
    vec![
        ("empty", empty()),
        ("full", Announcements { rows: rows.clone(), ..empty() }),
        ("refused", Announcements { rows, form, error: Some("It would end before it begins".to_owned()), ..empty() }),
        ("hostile", Announcements { frame: hostile(), rows: vec![bad], form: worst, error: Some(text()) }),
    ]
}
