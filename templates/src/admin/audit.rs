//! Who did what to whom.

use askama::Template;
use hub_core::clock::Time;

use super::Tab;
use crate::groups::Part;
use crate::{Frame, Href, Page, Place, sample};

/// The audit, newest first. Its form asks with `actor`, `object`, `action`, `since` and `until`.
#[derive(Debug, Template)]
#[template(path = "admin/audit.html")]
pub struct Audit {
    /// What surrounds the page.
    pub frame: Frame,
    /// The page's own address.
    pub action: Href,
    /// One part of the acts.
    pub entries: Vec<Entry>,
    /// Which part it is.
    pub part: Part,
    /// What is asked for.
    pub form: AuditForm,
    /// The names of all actions.
    pub actions: Vec<&'static str>,
    /// Why nothing is shown.
    pub error: Option<String>,
}

/// What is asked for, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct AuditForm {
    /// Who did it.
    pub actor: String,
    /// To what.
    pub object: String,
    /// Which action, or with a dot at its end all that begin so.
    pub action: String,
    /// Not before.
    pub since: String,
    /// Before.
    pub until: String,
}

/// An act.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// Who: `user:alice`.
    pub actor: String,
    /// The name of the action.
    pub action: String,
    /// To what.
    pub object: String,
    /// Anything else, as pairs of name and value.
    pub detail: Vec<(String, String)>,
}

impl Audit {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::Audit
    }
}

impl Page for Audit {
    const NAME: &'static str = "admin-audit";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::audits()
    }
}
