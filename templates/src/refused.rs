//! The page for somebody who is who they say, and may not use the hub: why, and what would change that.

use askama::Template;

use crate::{Frame, Href, Page, sample};

/// The page after a login that the rules refuse.
#[derive(Debug, Template)]
#[template(path = "refused.html")]
pub struct Refused {
    /// What surrounds the page; nobody is logged in.
    pub frame: Frame,
    /// What people call the identity provider.
    pub provider: String,
    /// The user name there.
    pub username: String,
    /// The groups of which one would do; empty when none would.
    pub groups: Vec<Admitting>,
    /// Where to ask to join a group.
    pub join: Option<Href>,
    /// Where to log in again.
    pub login_url: Href,
}

/// A group whose members may log in.
#[derive(Debug, Clone)]
pub struct Admitting {
    /// Its name.
    pub name: String,
    /// Whether members of groups below it may too.
    pub and_below: bool,
}

impl Page for Refused {
    const NAME: &'static str = "refused";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::account::refused()
    }
}
