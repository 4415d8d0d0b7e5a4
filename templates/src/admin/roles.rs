//! The roles in force: what each allows, where it comes from, and who holds it.

use askama::Template;

use super::Tab;
use crate::token::Scope;
use crate::words::{fill, grouped};
use crate::{Frame, Link, Page, Place, sample};

/// The roles.
#[derive(Debug, Template)]
#[template(path = "admin/roles.html")]
pub struct Roles {
    /// What surrounds the page.
    pub frame: Frame,
    /// All of them, in the order they were made.
    pub roles: Vec<Role>,
}

/// A role.
#[derive(Debug, Clone)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where it comes from, in words.
    pub origin: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// How many people hold it themselves.
    pub users: i64,
    /// The groups that bring it.
    pub groups: Vec<Link>,
    /// The services that have it.
    pub services: Vec<String>,
}

impl Roles {
    /// The tab that is open.
    pub fn tab(&self) -> Tab {
        Tab::Roles
    }

    /// How many people hold a role, in words.
    pub fn users(&self, role: &Role) -> String {
        let words = self.frame.words;
        if role.users == 1 { words.admin_one.to_owned() } else { fill(words.admin_many, grouped(role.users)) }
    }

    /// How much a role allows, in short.
    pub fn rights(&self, scopes: &[Scope]) -> String {
        crate::token::rights(self.frame.words, scopes)
    }
}

impl Page for Roles {
    const NAME: &'static str = "admin-roles";
    const PLACE: Place = Place::Admin;

    fn samples() -> Vec<(&'static str, Self)> {
        sample::admin::roles()
    }
}
