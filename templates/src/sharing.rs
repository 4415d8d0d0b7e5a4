//! The page on which a server is shared: with whom, and by which links.

use askama::Template;
use hub_core::clock::Time;
use hub_core::secret::Secret;

use crate::token::{Expiry, Scope};
use crate::words::fill;
use crate::{Frame, Href, Page, Place, sample};

/// The sharing page of one server. Its forms post to `action` with `_xsrf` and `action`: `grant` with `kind` (`user` or
/// `group`) and `name`, and `manage` when they may start and stop it too; `code` with `expires_in` (seconds), and `manage`;
/// `revoke` with `kind` and `name`; `revoke-code` with `code_id`; `end` for everything at once.
#[derive(Debug, Template)]
#[template(path = "sharing.html")]
pub struct Sharing {
    /// What surrounds the page.
    pub frame: Frame,
    /// Whose server it is, if it is not the person's own.
    pub owner: Option<String>,
    /// What people call the server.
    pub label: String,
    /// The page's own address.
    pub action: Href,
    /// Whether the person may name users to share with.
    pub users: bool,
    /// Whether the person may name groups to share with.
    pub groups: bool,
    /// Whether the person may let others start and stop it.
    pub may_manage: bool,
    /// How long a link may last.
    pub expiries: Vec<Expiry>,
    /// What was filled in before.
    pub form: SharingForm,
    /// The link just made; shown this once.
    pub created: Option<Secret>,
    /// Why the last action was refused.
    pub error: Option<String>,
    /// Who may use it.
    pub shares: Vec<Granted>,
    /// Links that are good now.
    pub links: Vec<Invitation>,
}

/// What was filled in before a refusal.
#[derive(Debug, Clone, Default)]
pub struct SharingForm {
    /// Whether the name is one of a group.
    pub is_group: bool,
    /// The name.
    pub name: String,
}

/// Somebody who may use the server.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Whether it is a group.
    pub is_group: bool,
    /// The name of the user or group.
    pub name: String,
    /// What they may do.
    pub scopes: Vec<Scope>,
    /// Since when.
    pub created: Time,
    /// When it ends by itself.
    pub expires_at: Option<Time>,
}

/// A link that is good now; the link itself is not known any more.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Its id in the API: `sc_3`.
    pub id: String,
    /// What it gives.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created: Time,
    /// When it ends.
    pub expires_at: Option<Time>,
    /// How often it was accepted.
    pub used: i64,
    /// When it was last accepted.
    pub last_used: Option<Time>,
}

impl Sharing {
    /// The page's title.
    pub fn heading(&self) -> String {
        fill(self.frame.words.sharing_title, &self.label)
    }

    /// The kind of somebody, as the forms post it.
    pub fn kind(&self, share: &Granted) -> &'static str {
        if share.is_group { "group" } else { "user" }
    }

    /// How much somebody may do, in short: the one thing, or how many.
    pub fn rights(&self, scopes: &[Scope]) -> String {
        match scopes {
            [] => self.frame.words.rights_none.to_owned(),
            [scope] => scope.meaning.clone(),
            more => fill(self.frame.words.rights_count, more.len()),
        }
    }

    /// How often a link was accepted, in words.
    pub fn uses(&self, link: &Invitation) -> String {
        match link.used {
            0 => self.frame.words.sharing_unused.to_owned(),
            1 => self.frame.words.sharing_used_once.to_owned(),
            more => fill(self.frame.words.sharing_used, more),
        }
    }

    /// The new link, if there is one.
    pub fn link(&self) -> Option<&str> {
        self.created.as_ref().map(Secret::expose)
    }
}

impl Page for Sharing {
    const NAME: &'static str = "sharing";
    const PLACE: Place = Place::Home;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::sharing::sharing()
    }
}
