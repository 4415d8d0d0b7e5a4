//! The page on which a person accepts the use of somebody else's server.

use askama::Template;
use hub_core::secret::Secret;

use crate::token::Scope;
use crate::{Frame, Href, Page, sample};

/// The page of an invitation. It posts `code` and `_xsrf` to its own address, which keeps `next`.
#[derive(Debug, Template)]
#[template(path = "accept_share.html")]
pub struct AcceptShare {
    /// What surrounds the page.
    pub frame: Frame,
    /// Who invites.
    pub owner: String,
    /// The server's name; empty for the default server.
    pub server: String,
    /// Where it is used.
    pub url: Href,
    /// Whether it runs.
    pub ready: bool,
    /// What the person may do with it.
    pub scopes: Vec<Scope>,
    /// What is exchanged.
    pub code: Secret,
    /// Where the person goes after accepting.
    pub next: Href,
}

impl Page for AcceptShare {
    const NAME: &'static str = "accept-share";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::sharing::accept()
    }
}
