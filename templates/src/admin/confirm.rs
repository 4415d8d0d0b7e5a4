//! What is asked before something is done to many, or to all.

use askama::Template;

use super::Hidden;
use crate::{Frame, Href, Page, Place, sample};

/// A question. Its form posts `_xsrf`, `confirmed=1`, the fields and the choices that are ticked to `action`.
#[derive(Debug, Template)]
#[template(path = "admin/confirm.html")]
pub struct Confirm {
    /// What surrounds the page.
    pub frame: Frame,
    /// What is asked: "Stop 12 servers of 10 people?"
    pub title: String,
    /// What will happen, a sentence or two.
    pub consequence: String,
    /// Whom or what it is about; the first of them.
    pub names: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// What is left out, and why: a sentence each.
    pub left_out: Vec<String>,
    /// Where the form goes.
    pub action: Href,
    /// What the form sends along.
    pub fields: Vec<Hidden>,
    /// What can be done besides.
    pub choices: Vec<Choice>,
    /// What the button says; nothing if there is nothing to do.
    pub yes: Option<String>,
    /// Where it goes back to.
    pub back: Href,
}

/// Something that can be done besides.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The field.
    pub name: &'static str,
    /// What it does.
    pub label: String,
}

impl Page for Confirm {
    const NAME: &'static str = "admin-confirm";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::confirmations()
    }
}
