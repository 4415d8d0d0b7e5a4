//! The page of one person.

use askama::Template;
use hub_core::clock::Time;
use hub_core::secret::Secret;

use super::Tab;
use super::audit::Entry;
use super::people::Lab;
use crate::token::{Expiry, Token, TokenForm};
use crate::{Frame, Href, Link, Page, Place, sample};

/// One person. Its forms post to `action` with `_xsrf` and: `start`, `stop` or `remove` with one server as `USER/SERVER`; or
/// `action`, which is `edit` with `name` and `admin`, `token` with `note`, `expires_in` and `scopes`, `revoke` with
/// `token_id`, or `delete`.
#[derive(Debug, Template)]
#[template(path = "admin/person.html")]
pub struct Person {
    /// What surrounds the page.
    pub frame: Frame,
    /// The login name.
    pub name: String,
    /// The page's own address.
    pub action: Href,
    /// Whether it is an administrator.
    pub admin: bool,
    /// When the account was made.
    pub created: Option<Time>,
    /// When the person was last active.
    pub last_activity: Option<Time>,
    /// The groups, if the person who looks may know them.
    pub groups: Option<Vec<Link>>,
    /// The roles in force, likewise.
    pub roles: Option<Vec<Role>>,
    /// The servers, likewise.
    pub servers: Option<Vec<Lab>>,
    /// The tokens, likewise.
    pub tokens: Option<Vec<Token>>,
    /// Whether tokens may be revoked.
    pub may_revoke: bool,
    /// The form of a new token, if one may be made.
    pub new_token: Option<NewToken>,
    /// The token just made; shown this once.
    pub made: Option<Secret>,
    /// The latest acts of this person and on it, if they may be read.
    pub audit: Option<Vec<Entry>>,
    /// Where all of them are.
    pub audit_all: Href,
    /// Whether name and admin flag may be changed.
    pub may_edit: bool,
    /// What becomes of the person's files when they are deleted.
    pub files: String,
    /// Whether the person may be deleted.
    pub may_delete: bool,
    /// The name that was typed, when it was refused.
    pub typed: Option<String>,
    /// Why the last action was refused.
    pub error: Option<String>,
}

/// The form of a new token.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// How long it may last.
    pub expiries: Vec<Expiry>,
    /// What was filled in, when it was refused.
    pub form: TokenForm,
}

/// A role in force, and where it comes from.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from, in words.
    pub origin: String,
}

impl Person {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::People
    }

    /// The name in the form.
    pub fn typed(&self) -> &str {
        self.typed.as_deref().unwrap_or(&self.name)
    }

    /// The new token, if there is one.
    pub fn secret(&self) -> Option<&str> {
        self.made.as_ref().map(Secret::expose)
    }

    /// What a token is called.
    pub fn note<'a>(&self, token: &'a Token) -> &'a str {
        if token.note.is_empty() { self.frame.words.token_without_note } else { &token.note }
    }

    /// How much a token may do, in short.
    pub fn rights(&self, scopes: &[crate::token::Scope]) -> String {
        crate::token::rights(self.frame.words, scopes)
    }
}

impl Page for Person {
    const NAME: &'static str = "admin-person";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::persons()
    }
}
