//! Real-looking pages: rendered by the tests, and by the example `samples` for people to look at.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod announcements;
pub(crate) mod groups;
pub(crate) mod home;
pub(crate) mod pending;
pub(crate) mod sharing;
pub(crate) mod spawn;
pub(crate) mod token;

use std::sync::Arc;

use chrono::TimeDelta;
use hub_core::clock::Time;

use crate::words::ENGLISH;
use crate::{Announcement, Frame, Href, Link, Maintenance, Nav, Page, Person, Severity, Site, Theme};

/// A page of every kind and case, as `(file name without ending, HTML)`.
pub fn all() -> Result<Vec<(String, String)>, askama::Error> {
    let mut pages = Vec::new();
    render::<crate::Login>(&mut pages)?;
    render::<crate::NewPassword>(&mut pages)?;
    render::<crate::Refused>(&mut pages)?;
    render::<crate::Logout>(&mut pages)?;
    render::<crate::Home>(&mut pages)?;
    render::<crate::Spawn>(&mut pages)?;
    render::<crate::SpawnPending>(&mut pages)?;
    render::<crate::StopPending>(&mut pages)?;
    render::<crate::NotRunning>(&mut pages)?;
    render::<crate::TokenPage>(&mut pages)?;
    render::<crate::Consent>(&mut pages)?;
    render::<crate::AcceptShare>(&mut pages)?;
    render::<crate::Sharing>(&mut pages)?;
    render::<crate::Announcements>(&mut pages)?;
    render::<crate::Groups>(&mut pages)?;
    render::<crate::Group>(&mut pages)?;
    render::<crate::admin::people::People>(&mut pages)?;
    render::<crate::admin::person::Person>(&mut pages)?;
    render::<crate::admin::confirm::Confirm>(&mut pages)?;
    render::<crate::admin::services::Services>(&mut pages)?;
    render::<crate::admin::sites::Sites>(&mut pages)?;
    render::<crate::admin::roles::Roles>(&mut pages)?;
    render::<crate::admin::usage::Usage>(&mut pages)?;
    render::<crate::admin::audit::Audit>(&mut pages)?;
    render::<crate::ErrorPage>(&mut pages)?;
    Ok(pages)
}

fn render<P: Page>(pages: &mut Vec<(String, String)>) -> Result<(), askama::Error> {
    for (case, page) in P::samples() {
        pages.push((format!("{}-{case}", P::NAME), page.render()?));
    }
    Ok(())
}

/// Text that does harm wherever it is not escaped.
pub(crate) const HOSTILE: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{{7*7}}";

/// The moment at which all samples are made.
pub(crate) fn now() -> Time {
    Time::from_timestamp(1_773_912_600, 0).unwrap_or_default()
}

/// Some seconds before that moment.
pub(crate) fn ago(seconds: i64) -> Time {
    now() - TimeDelta::seconds(seconds)
}

/// A path that is known to be a link.
pub(crate) fn path(text: &str) -> Href {
    Href::root().join(text)
}

/// A frame for somebody who is not logged in.
pub(crate) fn anonymous() -> Frame {
    let site = Site {
        name: "Università di Castelvecchio".to_owned(),
        logo: None,
        accent: None,
        base_url: path("hub/"),
        prefix: Href::root(),
        footer_links: vec![
            Link::new("Help", path("help")),
            Link::new("Privacy", path("privacy")),
            Link::new("Imprint", path("imprint")),
        ],
        extra_css: None,
    };
    Frame {
        site: Arc::new(site),
        person: None,
        nav: Nav::default(),
        announcements: Vec::new(),
        maintenance: Vec::new(),
        xsrf: "MnwxOjB8MTA6MTc3MzkxMjYwMHw1Ol94c3JmfDQ4OnNhbXBsZXw5ZjE0".to_owned(),
        theme: Theme::System,
        words: &ENGLISH,
        now: now(),
    }
}

/// A frame for an ordinary person.
pub(crate) fn student() -> Frame {
    let person = Person {
        name: "lbassi".to_owned(),
        display: Some("Laura Bassi".to_owned()),
        admin: false,
        groups: vec!["physics-2026".to_owned(), "gpu-users".to_owned()],
    };
    let services =
        vec![Link::new("Exchange", path("services/exchange/")), Link::new("Grades", path("services/grades/"))];
    Frame { person: Some(person), nav: Nav { services, groups: true, ..Nav::default() }, ..anonymous() }
}

/// A maintenance window, ahead or now.
pub(crate) fn maintenance(is_on: bool) -> Maintenance {
    Maintenance {
        site: "CNAF".to_owned(),
        is_on,
        begins: if is_on { ago(3600) } else { ago(-86_400) },
        ends: if is_on { ago(-7200) } else { ago(-100_000) },
        text: "New disks for the file system.".to_owned(),
        stops_servers: !is_on,
    }
}

/// A frame for an administrator, with announcements.
pub(crate) fn admin() -> Frame {
    let announce = |severity, text: &str| Announcement { severity, text: text.to_owned() };
    Frame {
        person: Some(Person { name: "admin".to_owned(), display: None, admin: true, groups: Vec::new() }),
        nav: Nav { admin: true, announcements: true, groups: true, sites: true, services: Vec::new() },
        announcements: vec![
            announce(Severity::Info, "New images with Python 3.13 are ready to use."),
            announce(
                Severity::Warning,
                "Servers will be stopped for maintenance on Saturday at 6:00. Files are kept. What will change: https://hub.example/news.",
            ),
        ],
        ..anonymous()
    }
}

/// A frame in which every text is hostile.
pub(crate) fn hostile() -> Frame {
    let text = || HOSTILE.to_owned();
    let mut site = (*anonymous().site).clone();
    site.name = text();
    site.logo = Some(path(HOSTILE));
    site.extra_css = Some(path(HOSTILE));
    site.footer_links = vec![Link::new(text(), path(HOSTILE))];
    Frame {
        site: Arc::new(site),
        person: Some(Person { name: text(), display: Some(text()), admin: true, groups: vec![text()] }),
        nav: Nav {
            services: vec![Link::new(text(), path(HOSTILE))],
            admin: true,
            announcements: true,
            groups: true,
            sites: true,
        },
        maintenance: vec![Maintenance { site: text(), text: text(), ..maintenance(true) }],
        announcements: vec![Announcement { severity: Severity::Critical, text: text() }],
        xsrf: text(),
        ..anonymous()
    }
}
