//! The page on which a person lets an application act for them.

use askama::Template;

use crate::token::Scope;
use crate::words::fill;
use crate::{Frame, Page, sample};

/// The consent page. It posts the `scopes` (repeated) and `_xsrf` to its own address.
#[derive(Debug, Template)]
#[template(path = "oauth.html")]
pub struct Consent {
    /// What surrounds the page.
    pub frame: Frame,
    /// What the application is called.
    pub client: String,
    /// Where the answer is sent, shown as text: registered redirect addresses may be relative.
    pub redirect_uri: String,
    /// What it asks for, all or nothing: every scope once, as it is posted, with its meaning.
    pub scopes: Vec<Scope>,
}

impl Consent {
    /// The page's title.
    pub fn heading(&self) -> String {
        fill(self.frame.words.consent_title, &self.client)
    }

    /// Whether the application only wants to know who the person is.
    pub fn only_identifies(&self) -> bool {
        self.scopes.iter().all(|scope| {
            let base = scope.scope.split('!').next().unwrap_or_default();
            matches!(base, "identify" | "(no_scope)" | "read:users:name" | "read:users:groups")
        })
    }
}

impl Page for Consent {
    const NAME: &'static str = "oauth";

    fn samples() -> Vec<(&'static str, Self)> {
        sample::account::consent()
    }
}
