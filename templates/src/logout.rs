//! The page after logging out.

use askama::Template;

use crate::{Frame, Href, Page, sample};

/// The page after logging out.
#[derive(Debug, Template)]
#[template(path = "logout.html")]
pub struct Logout {
    /// What surrounds the page; nobody is logged in.
    pub frame: Frame,
    /// Whether logging out stopped the person's servers too (`shutdown_on_logout`).
    pub servers_stopped: bool,
    /// Where to log in again.
    pub login_url: Href,
    /// Where the identity provider's own session ends, if the hub knows.
    pub provider_url: Option<Href>,
}

impl Page for Logout {
    const NAME: &'static str = "logout";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::account::logout()
    }
}
