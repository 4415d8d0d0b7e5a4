//! The admin panel: people, one person, services, roles, usage, the audit, and what is asked before much is done.

pub mod audit;
pub mod chart;
pub mod confirm;
pub mod people;
pub mod person;
pub mod roles;
pub mod services;
pub mod sites;
pub mod usage;

use crate::{Href, Words};

/// A tab of the panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// People and their servers.
    People,
    /// Services.
    Services,
    /// Sites.
    Sites,
    /// Roles in force.
    Roles,
    /// Usage over time.
    Usage,
    /// Who did what.
    Audit,
    /// Groups, whose pages are not the panel's alone.
    Groups,
}

impl Tab {
    const ALL: [Self; 7] =
        [Self::People, Self::Groups, Self::Services, Self::Sites, Self::Roles, Self::Usage, Self::Audit];

    /// All tabs, in their order, each with its name and its place below the hub's pages. Sites have one where there are any.
    pub fn all(words: &'static Words, sites: bool) -> Vec<(Self, &'static str, &'static str)> {
        let of = |tab: Self| {
            let (name, place) = match tab {
                Self::People => (words.admin_people, "admin"),
                Self::Groups => (words.groups, "groups"),
                Self::Services => (words.nav_services, "admin/services"),
                Self::Sites => (words.admin_sites, "admin/sites"),
                Self::Roles => (words.admin_roles, "admin/roles"),
                Self::Usage => (words.admin_usage, "admin/usage"),
                Self::Audit => (words.admin_audit, "admin/audit"),
            };
            (tab, name, place)
        };
        Self::ALL.into_iter().filter(|tab| sites || *tab != Self::Sites).map(of).collect()
    }
}

/// A choice that narrows a list, and the way to make or undo it.
#[derive(Debug, Clone)]
pub struct Chip {
    /// What it says.
    pub label: String,
    /// The list with the choice made, or undone if it is.
    pub url: Href,
    /// Whether it is made.
    pub on: bool,
    /// Whether undoing it takes it away, because it is one of very many.
    pub leaves: bool,
}

/// A value that a form sends along without showing it.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// The field.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Hidden {
    /// Puts field and value together.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, value: value.into() }
    }
}
